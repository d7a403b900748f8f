"""The reading phase: every due row is settled by what was read, or returned once, in job order, with its prior."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.engine import prior_reader as module
from rolecall.engine.prior_reader import due_rows
from rolecall.engine.settlement import MESSAGE_TOLERANCE, ROLES_PROVE_FOR
from rolecall.models import DueRow, Outcome, Prior, PriorState
from rolecall.rocketchat.operations import REMOVE_LEADER
from rolecall.rocketchat.responses import RoleMessage
from rolecall.store.batch_writer import BatchWriter
from rolecall.store.records import Intent
from tests.unit.engine.prior_readings import ADD_LEADER, AT, READING, SENT, STARTED, Reading, leaders, lines
from tests.unit.engine.virtual import EPOCH, run_virtual
from tests.unit.engine.workspace import TOOK, UNREADABLE


async def test_what_needs_no_call_is_settled_and_the_rest_is_sent() -> None:
    """Members and strangers are settled by the reading; leaders come with their prior state, in job order."""
    workspace = leaders(("R", "lea"), ("S", "lea"), ("S", "leo"), members=[("R", "max"), ("S", "max")])
    workspace.add_user("out")
    run = Reading(workspace)
    pairs = [("S", "leo"), ("R", "max"), ("R", "out"), ("R", "lea"), ("S", "nobody"), ("S", "max"), ("S", "lea")]
    await run.import_pairs(pairs)
    rows = await run.go()
    assert [(each.line, each.prior) for each in rows] == [
        (1, Prior(PriorState.HAS_ROLE, AT, "name-leo")),
        (4, Prior(PriorState.HAS_ROLE, AT, "name-lea")),
        (7, Prior(PriorState.HAS_ROLE, AT, "name-lea")),
    ]
    results = await run.results()
    told = {pair: (each.outcome, each.reason, each.evidence) for pair, each in results.items() if each.finished_at}
    assert told == {
        ("R", "max"): (Outcome.NOT_LEADER, "not_needed", ""),
        ("S", "max"): (Outcome.NOT_LEADER, "not_needed", ""),
        ("R", "out"): (Outcome.FAILED, "user_not_in_room", ""),
        ("S", "nobody"): (Outcome.FAILED, "user_not_found", ""),
    }
    assert {each.http_status for each in results.values()} == {None}
    assert {each.message for each in results.values()} == {""}
    assert {each.attempts for each in results.values()} == {0}


async def test_adding_is_mirrored() -> None:
    """For `add` who has the role already is settled, and members are sent."""
    workspace = leaders(("R", "lea"), members=[("R", "max"), ("S", "lea")])
    run = Reading(workspace, ADD_LEADER)
    await run.import_pairs([("R", "lea"), ("R", "max"), ("R", "nobody")])
    (sent,) = await run.go()
    assert (sent.user_id, sent.prior) == ("max", Prior(PriorState.MEMBER, AT, "name-max"))
    results = await run.results()
    assert (results["R", "lea"].outcome, results["R", "lea"].reason) == (Outcome.ALREADY_LEADER, "not_needed")
    assert results["R", "nobody"].outcome is Outcome.FAILED


async def test_what_cannot_be_read_is_sent() -> None:
    """Rows of a room that cannot be read have an unknown prior state, with the server's clock before the first call."""
    workspace = leaders(("R", "lea"), ("S", "leo"), members=[("R", "max")])
    workspace.unreadable["R"] = UNREADABLE["forbidden"]
    run = Reading(workspace)
    await run.import_pairs([("R", "lea"), ("R", "max"), ("S", "leo")])
    rows = await run.go()
    unknown = Prior(PriorState.UNKNOWN, STARTED)
    assert [each.prior for each in rows] == [unknown, unknown, Prior(PriorState.HAS_ROLE, AT, "name-leo")]


async def test_without_reading_every_prior_state_is_unknown() -> None:
    """`due_rows` returns all due rows; a row in doubt keeps its stored prior state."""
    run = Reading(leaders(("R", "lea")))
    await run.import_pairs([("R", "lea"), ("R", "max")])
    await run.put_in_doubt({1: SENT})
    async with BatchWriter(run.store) as journal:
        rows = [each async for part in due_rows(journal, run.context()) for each in part]
    assert [each.prior for each in rows] == [SENT, Prior(PriorState.UNKNOWN, STARTED)]
    assert run.workspace.calls == []


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
async def test_a_room_is_read_once_for_all_of_its_rows(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """Rows of one room that stand far apart cost one reading; the later ones find their prior state in the store."""
    monkeypatch.setattr(module, "CHUNK", chunk)
    pairs = [(f"room{number % 3}", f"user{number}") for number in range(30)]
    run = Reading(leaders(*pairs[::2], members=pairs[1::2]))
    await run.import_pairs(pairs)
    rows = await run.go()
    assert lines(rows) == list(range(1, 31, 2))
    assert {each.prior.state for each in rows if each.prior} == {PriorState.HAS_ROLE}
    pages = 10 if chunk == 1 else math_ceil(10, chunk)
    assert 3 <= run.workspace.routes["groups.roles"] <= 3 * pages
    assert len(run.recorded) == len({each.key for each in run.recorded}) == 15


def math_ceil(number: int, divisor: int) -> int:
    """Return the quotient, rounded up."""
    return -(-number // divisor)


@pytest.mark.parametrize(("users", "rooms", "by_user"), [(2, 9, True), (9, 2, False), (5, 5, False)])
async def test_whichever_takes_fewer_calls(users: int, rooms: int, by_user: bool) -> None:
    """Fewer users than rooms are read by `users.info`; else the rooms are read."""
    pairs = [(f"room{number % rooms}", f"user{number % users}") for number in range(45)]
    pairs = list(dict.fromkeys(pairs))
    run = Reading(leaders(*pairs))
    await run.import_pairs(pairs)
    assert lines(await run.go()) == list(range(1, len(pairs) + 1))
    if by_user:
        assert run.workspace.routes == {"users.info": users + 1}  # one shows that the account sees rooms
    else:
        assert run.workspace.routes == {"groups.roles": rooms, "roles.list": 1}


@pytest.mark.parametrize("why", ["rooms not shown", "no such user", "forbidden"])
async def test_by_room_where_users_cannot_be_read(why: str) -> None:
    """An account that does not see other users' rooms reads by room, although there are more of them."""
    pairs = [(f"room{number}", user) for number in range(5) for user in ("user", "lea")]
    workspace = leaders(*pairs)
    if why == "rooms not shown":
        workspace.shows_rooms = False
    elif why == "no such user":
        del workspace.users["user"]
        workspace.users["user "] = "x"
    else:
        workspace.unreadable["users.info"] = UNREADABLE["forbidden"]
    run = Reading(workspace)
    if why == "no such user":
        for room in workspace.rooms.values():
            room.pop("user")
    await run.import_pairs(pairs)
    rows = await run.go()
    assert run.workspace.routes["groups.roles"] == 5
    assert {each.user_id for each in rows} == ({"lea"} if why == "no such user" else {"user", "lea"})


async def test_readings_are_pipelined_and_the_first_rows_do_not_wait_for_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many readings as calls are allowed are under way at a time; the rows of a room come once it is read."""
    pairs = [(f"room{number:02}", "lea") for number in range(40)] + [(f"room{number:02}", "leo") for number in range(2)]
    run = Reading(leaders(*pairs))
    run.workspace.shows_rooms = False
    came: list[float] = []
    began = asyncio.get_running_loop().time()

    async def note(journal: BatchWriter, part: Sequence[DueRow]) -> None:
        came.append(asyncio.get_running_loop().time() - began)

    monkeypatch.setattr(run, "on_part", note)
    await run.import_pairs(pairs)
    assert lines(await run.go()) == list(range(1, 43))
    assert run.workspace.most_in_flight == READING.concurrency
    assert came[0] <= 5 * TOOK
    assert came[-1] == pytest.approx((40 / 4 + came[0] / TOOK - 1) * TOOK, abs=2 * TOOK)


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_more_is_read_than_the_sender_takes(monkeypatch: pytest.MonkeyPatch, concurrency: int) -> None:
    """While the sender has not taken the first rows, only a few rooms ahead of it are read."""
    monkeypatch.setattr(module, "CHUNK", 50)
    pairs = [(f"room{number:03}", f"user{number:03}") for number in range(200)]
    run = Reading(leaders(*pairs), settings=replace(READING, concurrency=concurrency))
    await run.import_pairs(pairs)
    await run.go(most=1)
    assert run.workspace.routes["groups.roles"] <= concurrency + 2


async def test_a_second_session_reads_again_what_is_not_in_doubt() -> None:
    """A prior state of an earlier session is old: the row is read again, and settled by what is true now."""
    run = Reading(leaders(("R", "lea"), ("R", "leo")))
    await run.import_pairs([("R", "lea"), ("R", "leo")])
    assert lines(await run.go()) == [1, 2]
    run.workspace.rooms["R"]["leo"] = set()
    assert lines(await run.go()) == [1]
    assert (await run.results())["R", "leo"].reason == "not_needed"
    assert run.workspace.routes["groups.roles"] == 2


@pytest.mark.parametrize(
    "now", ["present", "unreadable", "left", "no such user"], ids=lambda now: now.replace(" ", "_")
)
async def test_a_row_in_doubt_is_sent_with_its_stored_prior_state(now: str) -> None:
    """A role that is present, cannot be read, or went with the member proves nothing: the row is sent again."""
    workspace = leaders(("R", "lea"), members=[("R", "max"), ("R", "mia")])
    if now == "unreadable":
        workspace.unreadable["R"] = UNREADABLE["timeout"]
    elif now != "present":
        del workspace.rooms["R"]["lea"]
    if now == "no such user":
        del workspace.users["lea"]
    run = Reading(workspace)
    await run.import_pairs([("R", "lea")])
    await run.put_in_doubt({1: SENT})
    (row,) = await run.go()
    assert (row.prior, row.in_doubt, row.attempts) == (SENT, True, 1)
    assert run.recorded == []
    assert workspace.routes["chat.syncMessages"] == (now == "present")


async def test_a_row_in_doubt_with_an_unknown_prior_state_is_sent() -> None:
    """Where nobody knows whether the role was there, that it is gone now proves nothing."""
    run = Reading(leaders(("R", "leo"), members=[("R", "lea")]))
    await run.import_pairs([("R", "lea")])
    unknown = Prior(PriorState.UNKNOWN, AT - 9000, "", ("bot-0",))
    await run.put_in_doubt({1: unknown})
    (row,) = await run.go()
    assert row.prior == unknown


def removal(account: str, at: int = AT) -> RoleMessage:
    """Return the message of a removal of lea."""
    return RoleMessage(False, "name-lea", "leader", account, at)


NOW = round((EPOCH + 1000.0) * 1000)
"""The wall clock of the virtual loop at first, in milliseconds."""


@pytest.mark.parametrize(
    ("messages", "attempted_at", "expected"),
    [
        ([removal("bot-0")], NOW, (Outcome.REMOVED, "", "message")),
        ([removal("bot-0")], NOW - 2 * ROLES_PROVE_FOR, (Outcome.REMOVED, "", "message")),
        ([removal("boss")], NOW, (Outcome.NOT_LEADER, "removed_by_other", "message")),
        ([removal("bot-0", AT - 5000 - MESSAGE_TOLERANCE - 1)], NOW, (Outcome.REMOVED, "", "roles")),
        ([], NOW, (Outcome.REMOVED, "", "roles")),
        ([], NOW - 2 * ROLES_PROVE_FOR, (Outcome.REMOVED, "", "inferred")),
    ],
)
@pytest.mark.parametrize("by_user", [False, True])
async def test_a_row_in_doubt_whose_role_is_gone_is_settled(
    messages: list[RoleMessage], attempted_at: int, expected: tuple[Outcome, str, str], by_user: bool
) -> None:
    """Whose message it is decides; without one the roles do, if the attempt is recent."""
    workspace = leaders(("R", "leo"), ("S", "lea"), ("T", "lea"), members=[("R", "lea")])
    workspace.messages["R"] = messages
    run = Reading(workspace)
    others = [("S", "lea"), ("T", "lea")] if by_user else []
    await run.import_pairs([("R", "lea"), *others])
    await run.put_in_doubt({1: SENT}, attempted_at)
    assert lines(await run.go()) == [2, 3][: len(others)]
    result = (await run.results())["R", "lea"]
    assert (result.outcome, result.reason, result.evidence) == expected
    assert (result.prior, result.attempts, result.finished_at is not None) == (SENT, 1, True)
    assert ("groups.roles" in workspace.routes) is not by_user
    assert [query["lastUpdate"] for path, query in workspace.calls if "sync" in path] == ["2023-11-14T22:13:13.000Z"]


async def test_one_reading_of_messages_for_all_rows_in_doubt_of_a_room() -> None:
    """The messages of a room are read once, from the earliest prior reading on; rooms without a doubt are not."""
    workspace = leaders(("R", "leo"), ("S", "leo"), members=[("R", "lea"), ("R", "max"), ("R", "mia")])
    run = Reading(workspace)
    await run.import_pairs([("R", "lea"), ("R", "max"), ("R", "mia"), ("S", "leo")])
    await run.put_in_doubt({1: SENT, 2: SENT._replace(read_at=AT - 8000, username="name-max"), 3: SENT})
    await run.go()
    reads = [query for path, query in workspace.calls if "sync" in path]
    assert reads == [{"roomId": "R", "lastUpdate": "2023-11-14T22:13:10.000Z"}]


async def test_without_message_evidence_no_message_is_read() -> None:
    """`--no-message-evidence`: a row in doubt is settled by the roles alone."""
    workspace = leaders(("R", "leo"), members=[("R", "lea")])
    workspace.messages["R"] = [removal("boss")]
    run = Reading(workspace, settings=replace(READING, message_evidence=False))
    await run.import_pairs([("R", "lea")])
    await run.put_in_doubt({1: SENT})
    assert await run.go() == []
    assert workspace.routes["chat.syncMessages"] == 0
    assert (await run.results())["R", "lea"].evidence == "roles"


@pytest.mark.parametrize("state", [PriorState.HAS_ROLE, PriorState.MEMBER, PriorState.STRANGER])
async def test_a_row_in_doubt_that_adds(state: PriorState) -> None:
    """For `add` only a role that is there now proves the attempt; who has left the room proves nothing."""
    workspace = leaders(("R", "leo"), members=[("R", "max")])
    if state is PriorState.HAS_ROLE:
        workspace.rooms["R"]["max"] = {"leader"}
    elif state is PriorState.STRANGER:
        del workspace.rooms["R"]["max"]
    run = Reading(workspace, ADD_LEADER)
    await run.import_pairs([("R", "max")])
    await run.put_in_doubt({1: Prior(PriorState.MEMBER, AT - 5000, "name-max", ("bot-0",))})
    rows = await run.go()
    outcome = (await run.results())["R", "max"].outcome
    assert (lines(rows), outcome) == (([], Outcome.ADDED) if state is PriorState.HAS_ROLE else ([1], Outcome.UNKNOWN))


async def test_rows_in_flight_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading for a later row of a room settles no row that was handed out before: its own call is under way."""
    monkeypatch.setattr(module, "CHUNK", 2)
    pairs = [("R", "lea"), ("R", "leo"), ("S", "one"), ("S", "two"), ("R", "last")]
    workspace = leaders(*pairs)
    run = Reading(workspace)
    await run.import_pairs(pairs)
    await run.put_in_doubt({5: SENT._replace(username="name-last")})

    async def send(journal: BatchWriter, part: Sequence[DueRow]) -> None:
        for row in part:  # the intent is on disk and the server has acted; the response has not come yet
            await journal.write_intent(Intent(row.key, 1, NOW, row.prior or SENT))
            workspace.rooms[row.room_id][row.user_id] = set()

    monkeypatch.setattr(run, "on_part", send)
    assert lines(await run.go()) == [1, 2, 3, 4, 5]
    assert run.recorded == []
    assert workspace.routes["groups.roles"] == 2 + 1 + 1  # R in two pages, S, and R again for the row in doubt


async def test_a_known_row_before_an_unread_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row with a known state, then another room, then a doubt in the first room: no row is lost or mixed up."""
    monkeypatch.setattr(module, "CHUNK", 3)
    pairs = [("A", "a1"), ("X", "x1"), ("Y", "y1"), ("A", "a2"), ("B", "b1"), ("A", "a3")]
    run = Reading(leaders(*pairs))
    await run.import_pairs(pairs)
    await run.put_in_doubt({6: SENT._replace(username="name-a3")})
    rows = await run.go()
    assert lines(rows) == [1, 2, 3, 4, 5, 6]
    assert [each.prior.username for each in rows if each.prior] == [f"name-{user}" for _, user in pairs]


async def test_a_failed_row_is_settled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `retry_failed` a stranger whom a reading settled further down the job is not settled, or read, again."""
    monkeypatch.setattr(module, "CHUNK", 2)
    workspace = leaders(("R", "lea"), ("S", "one"), ("S", "two"))
    for user in ("out1", "out2"):
        workspace.add_user(user)
    run = Reading(workspace, settings=replace(READING, retry_failed=True))
    await run.import_pairs([("R", "lea"), ("S", "one"), ("S", "two"), ("R", "out1"), ("R", "out2")])
    assert lines(await run.go()) == [1, 2, 3]
    assert Counter(each.outcome for each in run.recorded) == {Outcome.FAILED: 2}
    assert lines(await run.go()) == [1, 2, 3]
    assert Counter(each.outcome for each in run.recorded) == {Outcome.FAILED: 4}, "another session reads them again"


async def test_a_failed_row_is_settled_once_beside_a_row_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `retry_failed` the second reading of a room, for a row in doubt, leaves alone what the first one settled."""
    monkeypatch.setattr(module, "CHUNK", 2)
    workspace = leaders(("R", "lea"), ("S", "one"), ("R", "leo"), ("S", "two"))
    workspace.add_user("out")
    run = Reading(workspace, settings=replace(READING, retry_failed=True))
    await run.import_pairs([("R", "lea"), ("S", "one"), ("R", "leo"), ("S", "two"), ("R", "out")])
    await run.put_in_doubt({3: SENT})
    assert lines(await run.go()) == [1, 2, 3, 4]
    assert Counter(each.outcome for each in run.recorded) == {Outcome.FAILED: 1}


async def test_rows_that_do_not_fit_their_plan() -> None:
    """With a plan every due row was to be sent: one that needs no call any more says so."""
    run = Reading(leaders(("R", "lea"), members=[("R", "max")]))
    await run.import_pairs([("R", "lea"), ("R", "max")])
    assert lines(await run.go(follows_plan=True)) == [1]
    result = (await run.results())["R", "max"]
    assert (result.outcome, result.reason) == (Outcome.NOT_LEADER, "differs_from_plan")
    assert "not_needed" in result.message


@pytest.mark.parametrize("calls", range(9))
async def test_a_stop_in_the_middle_loses_nothing(calls: int) -> None:
    """Stopped after any number of reading calls, the rows end without an exception; the next session does the rest."""
    pairs = [(f"room{number % 3}", f"user{number}") for number in range(12)]
    run = Reading(leaders(*pairs[::2], members=pairs[1::2]))
    await run.import_pairs(pairs)
    run.workspace.stops_after = calls
    before = await run.go()
    assert lines(before) == sorted(set(lines(before)))
    run.workspace.stops_after = None
    assert lines(await run.go()) == list(range(1, 13, 2))
    assert Counter(each.outcome for each in run.recorded) == {Outcome.NOT_LEADER: 6}
    assert len({each.key for each in run.recorded}) == 6


@given(
    data=st.data(),
    chunk=st.integers(1, 9),
    sizes=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    adds=st.booleans(),
    concurrency=st.integers(1, 5),
)
@settings(deadline=None, max_examples=150)
def test_every_row_is_settled_or_sent_once(
    data: st.DataObject, chunk: int, sizes: tuple[int, int], adds: bool, concurrency: int
) -> None:
    """Whatever the job, the roles and the doubts: each row has one end, and only what was read decides."""
    operation = ADD_LEADER if adds else REMOVE_LEADER
    every = [(f"room{room}", f"user{user}") for room in range(sizes[0]) for user in range(sizes[1])]
    pairs = data.draw(st.lists(st.sampled_from(every), unique=True), "pairs")
    states = st.sampled_from([PriorState.HAS_ROLE, PriorState.MEMBER, PriorState.STRANGER])
    state = {pair: data.draw(states, str(pair)) for pair in pairs}
    hidden = data.draw(st.sets(st.sampled_from([room for room, _ in every])), "hidden")
    doubtful = {pair: data.draw(st.sampled_from(PriorState)) for pair in pairs if data.draw(st.booleans())}
    members = [pair for pair in pairs if state[pair] is PriorState.MEMBER]
    workspace = leaders(*(pair for pair in pairs if state[pair] is PriorState.HAS_ROLE), members=members)
    for room, user in every:
        workspace.rooms.setdefault(room, {})
        workspace.add_user(user)
    workspace.shows_rooms = data.draw(st.booleans(), "shows rooms")
    workspace.unreadable = dict.fromkeys(hidden, UNREADABLE["not joined"])
    before, after = (PriorState.MEMBER, PriorState.HAS_ROLE) if adds else (PriorState.HAS_ROLE, PriorState.MEMBER)

    async def scenario() -> None:
        run = Reading(workspace, operation, replace(READING, concurrency=concurrency))
        await run.import_pairs(pairs)
        line = {pair: number for number, pair in enumerate(pairs, start=1)}
        priors = {line[pair]: Prior(was, AT, f"name-{pair[1]}", ("bot-0",)) for pair, was in doubtful.items()}
        await run.put_in_doubt(priors)
        rows = await run.go()
        assert lines(rows) == sorted(set(lines(rows)))
        settled = {each.key for each in run.recorded}
        assert len(settled) == len(run.recorded)
        assert not settled & {each.key for each in rows}
        assert len(settled) + len(rows) == len(pairs)
        results = await run.results()
        by_user = "groups.roles" not in workspace.routes
        for row in rows:
            pair = (row.room_id, row.user_id)
            assert row.prior is not None
            if pair in doubtful:
                assert row.prior == priors[row.line]
            elif row.prior.state is PriorState.UNKNOWN:
                assert not by_user
                assert pair[0] in hidden
            else:
                assert row.prior.state is before
                assert state[pair] is before or (state[pair] is PriorState.STRANGER and not workspace.shows_rooms)
        for pair in pairs:
            result = results[pair]
            if result.outcome in (Outcome.REMOVED, Outcome.ADDED):
                assert doubtful[pair] is before
                left = state[pair] is PriorState.STRANGER and not workspace.shows_rooms and not adds
                assert state[pair] is after or left
                assert result.evidence in (("inferred",) if left else ("roles", "inferred"))
                assert result.evidence == "roles" or not workspace.shows_rooms
            elif result.outcome is operation.nothing_to_do:
                assert pair not in doubtful
                assert state[pair] is not before
            elif result.outcome is Outcome.FAILED:
                assert (state[pair], pair in doubtful) == (PriorState.STRANGER, False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", chunk)
        run_virtual(scenario())
