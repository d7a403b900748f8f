"""The rows of the reading phase: which are read again, what the store keeps of them, and the names that they get."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from rolecall.engine import prior_reader as module
from rolecall.engine.prior_reader import due_rows
from rolecall.engine.settings import Settings
from rolecall.models import UNKNOWN_PRIOR, DueRow, Outcome, Prior, PriorState, Row
from rolecall.store.batch_writer import BatchWriter
from rolecall.store.records import Batch, PriorRecord
from tests.support.memory_store import MemoryStore
from tests.unit.engine.prior_readings import AT, READING, SENT, STARTED, Pair, Reading, leaders, lines
from tests.unit.engine.workspace import UNREADABLE, Workspace
from tests.unit.store.contract.jobs import import_job

RETRYING = replace(READING, retry_failed=True)


async def test_rows_that_failed_are_read_again_though_no_other_is_due() -> None:
    """With `retry_failed` a job whose rows have all failed is not at its end."""
    workspace = leaders(("R", "lea"))
    workspace.add_user("out")
    run = Reading(workspace, settings=RETRYING)
    await run.import_pairs([("R", "out")])
    assert (await run.go(), await run.go()) == ([], [])
    assert Counter(each.outcome for each in run.recorded) == {Outcome.FAILED: 2}


@pytest.mark.parametrize(
    ("pairs", "route"),
    [
        ([(f"room{number}", "out") for number in range(5)], "users.info"),
        ([("R", f"out{number}") for number in range(3)], "groups.roles"),
    ],
)
async def test_rows_that_failed_count_where_the_cheaper_reading_is_chosen(pairs: list[Pair], route: str) -> None:
    """By user or by room: whichever takes fewer calls for what is due now."""
    workspace = leaders(*((room, "leo") for room, _ in pairs))
    for _, user in pairs:
        workspace.add_user(user)
    run = Reading(workspace, settings=RETRYING)
    await run.import_pairs(pairs)
    await run.go()
    workspace.calls.clear()
    await run.go()
    assert ("groups.roles" in workspace.routes) is (route == "groups.roles")


class SlowStore(MemoryStore):
    """A store whose commits begin late, so that what is read meanwhile does not contain them."""

    async def commit(self, batch: Batch) -> None:
        """Make a batch durable after a second."""
        await asyncio.sleep(1.0)
        await super().commit(batch)


async def test_no_row_is_fetched_before_what_was_read_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk lets no row be settled twice."""
    monkeypatch.setattr(module, "CHUNK", 1)
    run = Reading(leaders(("R", "leo"), members=[("R", "max"), ("R", "mia")]))
    run.store = SlowStore()
    await run.import_pairs([("R", "max"), ("R", "mia")])
    assert await run.go() == []
    assert len(run.recorded) == len({each.key for each in run.recorded}) == 2
    assert run.workspace.routes["groups.roles"] == 2


async def test_no_part_is_empty_and_what_needs_no_reading_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that failed in this session are not read again where their room is, for a row in doubt."""
    monkeypatch.setattr(module, "CHUNK", 2)
    workspace = leaders(("R", "lea"), ("S", "one"), ("R", "leo"), ("S", "two"))
    pairs = [("R", "lea"), ("S", "one"), ("R", "leo"), ("S", "two"), *(("R", f"out{number}") for number in range(3))]
    for _, user in pairs[4:]:
        workspace.add_user(user)
    run, parts = Reading(workspace, settings=RETRYING), list[int]()

    async def note(_: BatchWriter, part: Sequence[DueRow]) -> None:
        parts.append(len(part))

    monkeypatch.setattr(run, "on_part", note)
    await run.import_pairs(pairs)
    await run.put_in_doubt({3: SENT})
    assert lines(await run.go()) == [1, 2, 3, 4]
    assert 0 not in parts
    assert workspace.routes["groups.roles"] == 3 + 1 + 1  # R in three pages, S, and R again for the row in doubt


# What the store keeps


async def test_a_reading_does_not_replace_the_prior_state_of_a_row_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a reading for an earlier row of the room settles it: the report shows the state before the call."""
    monkeypatch.setattr(module, "CHUNK", 1)
    run = Reading(leaders(("R", "leo"), members=[("R", "lea")]))
    await run.import_pairs([("R", "leo"), ("R", "lea")])
    await run.put_in_doubt({2: SENT})
    assert lines(await run.go()) == [1]
    result = (await run.results())["R", "lea"]
    assert (result.outcome, result.reason, result.message, result.evidence) == (Outcome.REMOVED, "", "", "roles")
    assert result.prior == SENT


async def test_later_rows_of_an_unreadable_room_are_unknown_since_the_session_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Messages are compared with that time."""
    monkeypatch.setattr(module, "CHUNK", 1)
    workspace = leaders(("R", "lea"), ("R", "leo"))
    workspace.unreadable["R"] = UNREADABLE["timeout"]
    run = Reading(workspace)
    await run.import_pairs([("R", "lea"), ("R", "leo")])
    assert [each.prior for each in await run.go()] == [Prior(PriorState.UNKNOWN, STARTED)] * 2


# Rows in doubt


async def test_a_row_in_doubt_without_a_stored_prior_state_is_sent() -> None:
    """It is as if the state had been unreadable; no message is read for it."""
    run = Reading(leaders(("R", "leo"), members=[("R", "lea")]))
    await run.import_pairs([("R", "lea")])
    await run.put_in_doubt({1: SENT})
    entries = run.store.contents.entries
    entries.update({key: entry._replace(prior=None) for key, entry in entries.items()})
    (row,) = await run.go()
    assert (row.prior, row.in_doubt) == (UNKNOWN_PRIOR, True)
    assert run.workspace.routes["chat.syncMessages"] == 0


@pytest.mark.parametrize(
    ("prior", "sent"), [(SENT._replace(read_at=None), False), (SENT._replace(state=PriorState.MEMBER), True)]
)
async def test_messages_are_read_only_where_they_can_settle_a_row(prior: Prior, sent: bool) -> None:
    """Not without the time of the prior reading, nor where a call could change nothing."""
    run = Reading(leaders(("R", "leo"), members=[("R", "lea")]))
    await run.import_pairs([("R", "lea")])
    await run.put_in_doubt({1: prior})
    assert [each.prior for each in await run.go()] == [prior] * sent
    assert run.workspace.routes["chat.syncMessages"] == 0


# Names


class NamedRooms(Workspace):
    """A workspace that shows the names of rooms beside the roles of a user."""

    def _user(self, user: str) -> dict[str, object] | None:
        body = super()._user(user)
        shown = body["user"] if body else None
        if isinstance(shown, dict):
            shown["rooms"] = [{**room, "name": f"read-{room['rid']}"} for room in shown["rooms"]]
        return body


@pytest.mark.parametrize("chunk", [1, 10])
async def test_names_that_were_read_replace_those_of_the_job(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    """Of rows at hand and of later ones, which find them in the store."""
    monkeypatch.setattr(module, "CHUNK", chunk)
    rooms: Mapping[str, Mapping[str, list[str]]] = {room: {"lea": ["leader"]} for room in ("R", "S", "T")}
    run = Reading(NamedRooms(rooms))
    named = [Row(line, room, "lea", {}, f"job-{room}", "job-lea") for line, room in enumerate(rooms, start=1)]
    await import_job(run.store, named)
    rows = await run.go()
    assert [(each.room_name, each.username) for each in rows] == [(f"read-{room}", "name-lea") for room in rooms]


@pytest.mark.parametrize("is_readable", [True, False])
async def test_names_of_the_job_stay_where_none_was_read(is_readable: bool) -> None:
    """The list of a room's roles shows usernames, and not the room's name; an unreadable room shows none."""
    workspace = leaders(("R", "lea"))
    if not is_readable:
        workspace.unreadable["R"] = UNREADABLE["timeout"]
    run = Reading(workspace)
    await import_job(run.store, [Row(1, "R", "lea", {}, "job-R", "job-lea")])
    (row,) = await run.go()
    assert (row.room_name, row.username) == ("job-R", "name-lea" if is_readable else "job-lea")


# Without a reading


async def unread(run: Reading) -> list[list[DueRow]]:
    """Return the parts of the due rows that `due_rows` returns."""
    async with BatchWriter(run.store) as journal:
        return [list(part) async for part in due_rows(journal, run.context())]


@pytest.mark.parametrize("settings", [READING, RETRYING])
async def test_without_a_reading_rows_come_in_parts(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Each row once, in job order; failed ones with `retry_failed` only."""
    monkeypatch.setattr(module, "CHUNK", 3)
    workspace = leaders(*(pairs := [("R", f"user{number}") for number in range(7)]))
    workspace.add_user("out")
    run = Reading(workspace, settings=settings)
    await run.import_pairs([*pairs, ("R", "out")])
    await run.go()  # settles the last one
    parts = await unread(run)
    assert [lines(part) for part in parts] == [[1, 2, 3], [4, 5, 6], [7, 8] if settings.retry_failed else [7]]


async def test_without_a_reading_only_a_stored_doubt_keeps_its_prior_state() -> None:
    """A state that was read before says nothing of now, and a doubt without one is unknown."""
    run = Reading(leaders(("R", "lea")))
    await run.import_pairs([("R", "lea"), ("R", "leo"), ("R", "max")])
    await run.put_in_doubt({1: SENT, 2: SENT})
    await run.store.open_session("bot", 3)
    await run.store.commit(Batch(priors=[PriorRecord(3, Prior(PriorState.HAS_ROLE, AT))]))
    entries = run.store.contents.entries
    entries[2] = entries[2]._replace(prior=None)
    (rows,) = await unread(run)
    unknown = Prior(PriorState.UNKNOWN, STARTED)
    assert [(each.line, each.prior) for each in rows] == [(1, SENT), (2, unknown), (3, unknown)]
