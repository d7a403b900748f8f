"""The promise in the cases that need a certain order of events: the smallest reproductions of what once broke it."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rolecall.engine.stop_signal import StopReason, StopSignal
from rolecall.models import Evidence, Outcome, Prior, PriorState, Row
from rolecall.rocketchat.operations import REMOVE_LEADER
from rolecall.sandbox import Fault, FaultMatch, Kind, Sandbox, leader_world
from rolecall.store.records import Batch, Identity, Intent
from rolecall.store.sqlite.database import SqliteDatabase
from tests.support.engine import QUICK, run_pairs
from tests.support.store import import_rows
from tests.support.truth import OURS, Pair, change_as_other, is_true, wait_for_route

PAIR = ("room", "user")
ADMIN = "otherAdmin"


def put_in_doubt(path: Path, url: str, pairs: Sequence[Pair], lines: Sequence[int]) -> None:
    """Write a run store as a killed session leaves it: the calls of these lines were sent, no response is known."""
    ledger = SqliteDatabase(path)
    rows = (Row(line, room, user, {}) for line, (room, user) in enumerate(pairs, start=2))
    import_rows(ledger, Identity(url, REMOVE_LEADER.name, ""), rows)
    ledger.open_session("tester", 0)
    keys = {row.line: row.key for _, row in ledger.fetch_due(0, len(pairs), retry_failed=False)}
    prior = Prior(PriorState.HAS_ROLE, 0, "", tuple(OURS))
    ledger.commit(Batch(intents=[Intent(keys[line], 1, 0, prior) for line in lines]))
    ledger.close()


async def test_rows_in_flight_are_not_settled_by_a_reading(tmp_path: Path) -> None:
    """A row in doubt far down the job has its room read again at most once, and rows in flight are left alone then."""
    pairs = [("first", f"user{number}") for number in range(8)]
    pairs += [(f"room{number % 9}", f"user{number}") for number in range(600)]
    pairs.append(("first", "user8"))
    world, path = leader_world(pairs), tmp_path / "ledger"
    async with Sandbox(world, latency=0.03) as sandbox:
        put_in_doubt(path, sandbox.url, pairs, [len(pairs) + 1])
        told = await run_pairs(sandbox.url, pairs, path, replace(QUICK, concurrency=32), answer_within=5.0)
    assert [result for result in told.results if not is_true(world, result)] == []
    assert {result.outcome for result in told.results} == {Outcome.REMOVED}
    assert Counter(result.evidence for result in told.results) == {"response": len(pairs)}
    assert sum(call.route == "groups.roles" for call in world.calls) <= len({room for room, _ in pairs}) + 1


async def test_an_attempt_that_did_not_leave_makes_no_doubt_younger(tmp_path: Path) -> None:
    """The doubt of an old session keeps its age where the next session has no connection for its attempt."""
    path = tmp_path / "ledger"
    async with Sandbox(leader_world([PAIR])) as sandbox:
        put_in_doubt(path, sandbox.url, [PAIR], [2])
        url = sandbox.url
    told = await run_pairs(url, [PAIR], path, replace(QUICK, read_roles=False))
    (result,) = told.results
    assert (result.outcome, result.attempted_at) == (Outcome.UNKNOWN, 0)


async def test_failed_rows_are_settled_once_in_a_session(tmp_path: Path) -> None:
    """With `retry_failed` a stranger far down the job is read once, and the room's rows in flight are left alone."""
    pairs = [("first", f"user{number}") for number in range(8)]
    pairs += [(f"room{number % 9}", f"user{number}") for number in range(600)]
    world = leader_world(pairs)
    world.add_user("outsider")
    pairs.append(("first", "outsider"))
    settings = replace(QUICK, concurrency=32, retry_failed=True)
    async with Sandbox(world, latency=0.03) as sandbox:
        told = await run_pairs(sandbox.url, pairs, tmp_path / "ledger", settings, answer_within=5.0)
    assert [result for result in told.results if not is_true(world, result)] == []
    *others, last = told.results
    assert (last.outcome, last.reason, last.attempts) == (Outcome.FAILED, "user_not_in_room", 0)
    assert {result.outcome for result in others} == {Outcome.REMOVED}
    assert sum(call.route == "groups.roles" and call.room_id == "first" for call in world.calls) == 1


async def test_refusals_of_a_firewall_are_no_failure_where_the_role_cannot_be_read(tmp_path: Path) -> None:
    """Each call is carried out and answered with a firewall's 403, and the role cannot be read again: `unknown`."""
    world = leader_world([PAIR])
    forbidden = Fault(Kind.STATUS, times=None, status=403, html=True, act=True)
    async with Sandbox(world, faults=[forbidden], latency=0.01) as sandbox:
        run = asyncio.create_task(run_pairs(sandbox.url, [PAIR], tmp_path / "ledger"))
        await wait_for_route(sandbox, "groups.roles")
        sandbox.faults.add(Fault(Kind.STATUS, FaultMatch(route="groups.roles"), times=None, status=500))
        told = await run
    (result,) = told.results
    assert world.removers(*PAIR)
    assert result.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("message_evidence", "outcome", "evidence"),
    [(True, Outcome.NOT_LEADER, Evidence.MESSAGE), (False, Outcome.REMOVED, Evidence.ROLES)],
)
async def test_another_account_was_first_and_our_response_is_lost(
    tmp_path: Path, message_evidence: bool, outcome: Outcome, evidence: Evidence
) -> None:
    """The message names the other account; without messages the role that is gone is taken for our own call."""
    world = leader_world([PAIR])
    world.add_user(ADMIN)
    settings = replace(QUICK, message_evidence=message_evidence)
    async with Sandbox(world, faults=[Fault(Kind.DROP_AFTER)], latency=0.01) as sandbox:
        run = asyncio.create_task(run_pairs(sandbox.url, [PAIR], tmp_path / "ledger", settings))
        await wait_for_route(sandbox, "groups.roles")
        change_as_other(world, ADMIN, PAIR)
        (result,) = (await run).results
    assert world.removers(*PAIR) == [ADMIN]
    assert (result.outcome, result.evidence) == (outcome, evidence)


async def test_another_account_was_first_and_the_response_is_known(tmp_path: Path) -> None:
    """'Not a leader' after a reading that showed the role: another account took it, by its message."""
    world = leader_world([PAIR])
    world.add_user(ADMIN)
    async with Sandbox(world, latency=0.01) as sandbox:
        run = asyncio.create_task(run_pairs(sandbox.url, [PAIR], tmp_path / "ledger"))
        await wait_for_route(sandbox, "groups.roles")
        change_as_other(world, ADMIN, PAIR)
        (result,) = (await run).results
    assert (result.outcome, result.reason) == (Outcome.NOT_LEADER, "removed_by_other")
    assert result.evidence == Evidence.MESSAGE


async def test_a_repeated_call_that_failed_before_its_message_is_only_inferred(tmp_path: Path) -> None:
    """A proxy repeats a call after the server failed between its writes: 'not a leader' proves nothing."""
    world = leader_world([PAIR])

    async with Sandbox(world, latency=0.01) as sandbox:
        run = asyncio.create_task(run_pairs(sandbox.url, [PAIR], tmp_path / "ledger"))
        await wait_for_route(sandbox, "groups.roles")
        world.fail_after_writes = 1
        change_as_other(world, min(OURS), PAIR)  # the proxy's first attempt, in our name
        world.fail_after_writes = None
        (result,) = (await run).results
    assert world.removers(*PAIR) == [*OURS]
    assert (result.outcome, result.reason) == (Outcome.NOT_LEADER, "changed_since_read")
    assert result.evidence == Evidence.INFERRED


async def test_messages_are_read_without_the_roles(tmp_path: Path) -> None:
    """With unread roles a lost response is settled by the message; nothing but messages and the user's name is read."""
    world = leader_world([PAIR])
    async with Sandbox(world, faults=[Fault(Kind.DROP_AFTER)]) as sandbox:
        told = await run_pairs(sandbox.url, [PAIR], tmp_path / "ledger", replace(QUICK, read_roles=False))
    (result,) = told.results
    assert (result.outcome, result.evidence) == (Outcome.REMOVED, Evidence.MESSAGE)
    assert {call.route for call in world.calls} == {"groups.removeLeader", "users.info", "chat.syncMessages"}


async def test_a_stop_before_the_messages_are_read_settles_nothing(tmp_path: Path) -> None:
    """A row in doubt whose role is gone is not claimed while the messages are unread; the next session reads them."""
    world, stop = leader_world([PAIR]), StopSignal()
    unread = Fault(Kind.HANG_BEFORE, FaultMatch(route="chat.syncMessages"))

    async def act_and_stop() -> None:
        await wait_for_route(sandbox, "groups.removeLeader")
        change_as_other(world, ADMIN, PAIR)
        await wait_for_route(sandbox, "chat.syncMessages")
        stop.request(StopReason.INTERRUPTED)

    async with Sandbox(world, faults=[Fault(Kind.RESET_BEFORE), unread], latency=0.02) as sandbox:
        world.add_user(ADMIN)
        settings = replace(QUICK, retry_backoff=0.2)
        told, _ = await asyncio.gather(
            run_pairs(sandbox.url, [PAIR], tmp_path / "ledger", settings, stop=stop, answer_within=5.0),
            act_and_stop(),
        )
        (result,) = told.results
        assert (result.outcome, result.reason, result.evidence) == (Outcome.UNKNOWN, "cancelled_in_flight", "")
        (result,) = (await run_pairs(sandbox.url, [PAIR], tmp_path / "ledger", answer_within=5.0)).results
    assert (result.outcome, result.reason) == (Outcome.NOT_LEADER, "removed_by_other")
    assert result.evidence == Evidence.MESSAGE
