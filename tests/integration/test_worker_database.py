"""What workers do in a database beside the rows: jobs, leases of slots, takeover, the end and the stop of runs.

Every test runs with a real PostgreSQL, and with the simulated database of the simulation of several workers.
"""

import asyncio

import pytest

from rolecall.app.observer import NullLogger
from rolecall.cluster.database import worker_sql
from rolecall.cluster.database.worker_database import ShardInfo, WorkerDatabase
from rolecall.cluster.worker import upkeep
from rolecall.engine.settings import FailureThreshold
from rolecall.models import UNKNOWN_PRIOR, DueRow, Outcome
from rolecall.store.postgres.reading import ShardLease
from rolecall.store.postgres.runs import take_shard
from rolecall.store.postgres.store import PostgresStore
from rolecall.store.records import Batch, Intent, IntentRollback
from tests.support.cluster import PLAIN, WORKSPACE
from tests.support.shared_database import SharedDatabase
from tests.unit.store.values import settled

PAIRS = [(f"room{number // 5}", f"user{number}") for number in range(20)]
LOG = NullLogger()
REMOVED, FAILED, UNKNOWN = Outcome.REMOVED, Outcome.FAILED, Outcome.UNKNOWN
Two = tuple[WorkerDatabase, WorkerDatabase]
WORKER = {"host": "host", "egress": "nat", "version": "1", "workspaces": [WORKSPACE]}


async def info_of(database: WorkerDatabase, shard: int) -> ShardInfo:
    """Return what is recorded of a shard; there must be one."""
    info = await database.shard(shard)
    assert info is not None
    return info


async def record(database: WorkerDatabase, info: ShardInfo, *outcomes: Outcome, job: int = 10) -> None:
    """Take a shard with the token (`job`, 0), and record an outcome for each of its next rows."""
    lease = ShardLease(info.shard_id, job, 0, "me")
    assert await take_shard(database.connection, database.config, lease) == info.run_id
    store = PostgresStore(database.connection, database.config, info.run_id, lease)
    rows = await store.fetch_due(0, len(outcomes), retry_failed=False)
    await store.commit(Batch([settled(due.key, end) for (_, due), end in zip(rows, outcomes, strict=True)]))


async def has_ended(database: WorkerDatabase, run: int) -> bool:
    """Return whether a run has ended."""
    return await database.fetch(worker_sql.HAS_ENDED, run=run) == [(True,)]


async def test_a_run_ends_with_its_last_shard(shared: SharedDatabase, two: Two) -> None:
    """A shard ends only without a row that is left, and only for the worker that has it."""
    run = await shared.create_run(PAIRS, shard_rows=10)
    one, other = two
    for number, database in ((1, one), (2, other)):
        info = await info_of(database, number)
        assert (info.run_id, info.rows, info.is_done) == (run, 10, False)
        await record(database, info, *[REMOVED] * 9)
        assert not await database.finish_shard(info, (10, 0))
        await record(database, info, REMOVED, job=11)
        assert not await database.finish_shard(info, (10, 0))
        assert not await has_ended(database, run)
        assert await database.finish_shard(info, (11, 0))
        assert (await info_of(database, number)).is_done
    assert await has_ended(one, run)
    assert not await one.stop_run(run, "interrupted", "")


async def test_a_run_whose_shards_are_done_is_ended_by_any_worker(shared: SharedDatabase, two: Two) -> None:
    """A worker that died between the two steps leaves a run to end; until then there is none."""
    run = await shared.create_run(PAIRS, shard_rows=20)
    one, other = two
    info = await info_of(one, 1)
    await record(one, info, *[REMOVED] * 20)
    await upkeep.end_runs(other)
    assert not await has_ended(one, run)
    assert await one.fetch(worker_sql.FINISH_SHARD, shard=1, job=10, attempt=0) == [(1,)]
    await asyncio.gather(upkeep.end_runs(one), upkeep.end_runs(other))
    assert await has_ended(one, run)
    assert await one.fetch(worker_sql.DONE_RUNS) == []


async def test_a_shard_and_a_run_that_are_not_there(shared: SharedDatabase, two: Two) -> None:
    """A shard is None, and a run is one that was deleted."""
    run = await shared.create_run(PAIRS)
    one, _ = two
    assert await one.shard(99) is None
    assert await take_shard(one.connection, one.config, ShardLease(99, 10, 0)) is None
    assert (await one.run_stop(run + 1))[0] == "interrupted"


async def test_one_worker_behind_an_address_is_active_until_its_connection_ends(
    shared: SharedDatabase, two: Two
) -> None:
    """Another address, and another workspace, have locks of their own."""
    one, other = two
    assert await one.lock_egress(WORKSPACE, "nat")
    assert not await other.lock_egress(WORKSPACE, "nat")
    assert await other.lock_egress(WORKSPACE, "other nat")
    assert await other.lock_egress("other workspace", "nat")
    await one.connection.close()
    async with asyncio.timeout(10):
        while not await other.lock_egress(WORKSPACE, "nat"):  # noqa: ASYNC110 - the server notices its end
            await asyncio.sleep(0.01)


async def test_only_the_active_worker_can_let_another_one_become_active(shared: SharedDatabase, two: Two) -> None:
    """What another one unlocks stays locked."""
    one, other = two
    assert await one.lock_egress(WORKSPACE, "nat")
    await other.unlock_egress(WORKSPACE, "nat")
    assert not await other.lock_egress(WORKSPACE, "nat")
    await one.unlock_egress(WORKSPACE, "nat")
    assert await other.lock_egress(WORKSPACE, "nat")
    assert not await one.lock_egress(WORKSPACE, "nat")


async def lease(database: WorkerDatabase, count: int, interval: float, kind: str = "change") -> tuple[float, float]:
    """Lease slots; return the first one and the database's clock."""
    values = {"workspace": WORKSPACE, "kind": kind, "count": count, "interval": interval}
    ((first, now),) = await database.fetch(worker_sql.LEASE_SLOTS, **values)
    return float(first), float(now)


async def test_slots_of_all_workers_are_one_interval_apart(shared: SharedDatabase, two: Two) -> None:
    """Leases at the same time follow each other; changes and reads have slots of their own."""
    await shared.create_run(PAIRS)
    leases = await asyncio.gather(*(lease(two[number % 2], 3, 0.5) for number in range(10)))
    firsts = sorted(first for first, _ in leases)
    assert firsts == pytest.approx([firsts[0] + number * 1.5 for number in range(10)], abs=1e-3)
    assert firsts[0] == pytest.approx(leases[0][1], abs=1.0)
    first, now = await lease(two[0], 1, 0.5, "read")
    assert abs(first - now) < 0.5


async def test_slots_that_passed_are_lost_and_none_is_far_away(shared: SharedDatabase, two: Two) -> None:
    """After an idle time the next slot is now; after a step of the database's clock back it is near."""
    await shared.create_run(PAIRS)
    await lease(two[0], 1, 0.1)
    await shared.shift_slots(-3600)
    first, now = await lease(two[0], 1, 0.1)
    assert -0.01 < first - now < 0.01
    await shared.shift_slots(3600)
    first, now = await lease(two[0], 1, 0.1)
    assert first - now == pytest.approx(64 * 0.25, abs=0.1)


async def test_rows_that_failed_are_counted_over_all_shards(shared: SharedDatabase, two: Two) -> None:
    """One too many stops the run; those before it was resumed do not count."""
    settings = PLAIN.__class__(max_failures=FailureThreshold.parse("3"))
    run = await shared.create_run(PAIRS, settings, shard_rows=5)
    first, second, third = [await info_of(two[0], number) for number in (1, 2, 3)]
    await record(two[0], first, FAILED, FAILED)
    await shared.resume()
    assert await two[0].fetch(worker_sql.FAILURES, run=run) == [(0, 0)]
    await record(two[0], first, FAILED, REMOVED, job=11)
    await record(two[0], second, FAILED, FAILED)
    assert await two[0].fetch(worker_sql.FAILURES, run=run) == [(4, 3)]
    await upkeep.stop_failing_runs(two[0], [(first, 0)], LOG)
    assert await two[0].run_stop(run) == ("", "")
    await record(two[0], third, FAILED)
    await upkeep.stop_failing_runs(two[0], [(first, 0), (first, 0)], LOG)
    assert (await two[0].run_stop(run))[0] == "max_failures"


async def due_in(store: PostgresStore, *, retry_failed: bool = True) -> list[DueRow]:
    """Return the due rows of a shard; the count agrees."""
    rows = [due for _, due in await store.fetch_due(0, 99, retry_failed=retry_failed)]
    assert (await store.count_due(retry_failed=retry_failed))[0] == len(rows)
    return rows


async def test_a_failed_row_is_sent_once_in_each_resumption(shared: SharedDatabase, two: Two) -> None:
    """A worker that takes the shard over leaves what failed again, and sends what was not sent; the failure counts."""
    run = await shared.create_run(PAIRS, shard_rows=20)
    info = await info_of(two[0], 1)
    await record(two[0], info, *[FAILED] * 3, *[REMOVED] * 17)
    for resumption in (1, 2):
        await shared.resume()
        lease = ShardLease(1, 100 + 10 * resumption, 0)
        assert await take_shard(two[0].connection, two[0].config, lease) == run
        store = PostgresStore(two[0].connection, two[0].config, run, lease)
        assert await due_in(store, retry_failed=False) == []
        again, sent, rolled_back = await due_in(store)
        await store.commit(Batch(intents=[Intent(due.key, 2, 5) for due in (again, sent, rolled_back)]))
        before = IntentRollback(rolled_back.key, 1, False, None, rolled_back.outcome, rolled_back.reason)
        await store.commit(Batch([settled(again.key, FAILED)], [before]))
        lease = ShardLease(1, 101 + 10 * resumption, 0)
        assert await take_shard(two[1].connection, two[1].config, lease) == run
        successor = PostgresStore(two[1].connection, two[1].config, run, lease)
        assert [due.key for due in await due_in(successor)] == [sent.key, rolled_back.key]
        assert len(await successor.due_in_room("room0", 0, 99, retry_failed=True)) == 2
        assert await successor.fetch_due(0, 99, retry_failed=False) == [
            (2, sent._replace(attempts=2, in_doubt=True, outcome=None, reason="", prior=UNKNOWN_PRIOR, attempted_at=5))
        ]
        assert await two[1].fetch(worker_sql.FAILURES, run=run) == [(1, 1)]
        await successor.commit(Batch([settled(sent.key, FAILED), settled(rolled_back.key, FAILED)]))
        assert await two[1].fetch(worker_sql.FAILURES, run=run) == [(3, 3)]


async def test_an_unknown_row_counts_in_the_worker_that_has_it_and_once_its_shard_is_done(
    shared: SharedDatabase, two: Two
) -> None:
    """Until then another worker may still settle it."""
    settings = PLAIN.__class__(max_failures=FailureThreshold.parse("1"))
    run = await shared.create_run(PAIRS, settings, shard_rows=5)
    info = await info_of(two[0], 1)
    await record(two[0], info, UNKNOWN, UNKNOWN, REMOVED, REMOVED, REMOVED)
    await upkeep.stop_failing_runs(two[0], [(info, 1)], LOG)
    assert await two[0].run_stop(run) == ("", "")
    assert await two[0].finish_shard(info, (10, 0))
    await upkeep.stop_failing_runs(two[0], [(info, 0)], LOG)
    assert (await two[0].run_stop(run))[0] == "max_failures"


async def test_the_last_answer_of_a_workspace_is_known_to_all(shared: SharedDatabase, two: Two) -> None:
    """So a worker that gets none knows whether others do."""
    await shared.create_run(PAIRS)
    one, other = two
    assert not await other.answered_within(WORKSPACE, 3600)
    await one.record_answer(WORKSPACE)
    assert await other.answered_within(WORKSPACE, 5)
    await shared.age_answers(6)
    assert not await other.answered_within(WORKSPACE, 5)


async def test_a_heartbeat_returns_the_time_unless_the_worker_was_deleted(shared: SharedDatabase, two: Two) -> None:
    """A worker is deleted when it ends, and where it was not seen for a week; it adds itself again."""
    one, other = two
    assert not await one.record_time(worker_sql.SEE_WORKER, id="one")
    for _ in range(2):
        assert await one.record_time(worker_sql.ADD_WORKER, id="one", **WORKER)
    assert await other.record_time(worker_sql.SEE_WORKER, id="one")
    assert abs(one.now() - other.now()) < 1.0
    await shared.age_heartbeats(6.9 * 86400)
    await other.fetch(worker_sql.FORGET_WORKERS)
    assert await one.record_time(worker_sql.SEE_WORKER, id="one")
    await shared.age_heartbeats(7.1 * 86400)
    await other.fetch(worker_sql.FORGET_WORKERS)
    assert not await one.record_time(worker_sql.SEE_WORKER, id="one")
    assert await one.record_time(worker_sql.ADD_WORKER, id="one", **WORKER)
    await one.fetch(worker_sql.DELETE_WORKER, id="one")
    assert not await one.record_time(worker_sql.SEE_WORKER, id="one")


async def test_the_first_worker_makes_its_account_that_of_the_run(shared: SharedDatabase, two: Two) -> None:
    """Another account gets the first one, and so refuses the shards."""
    await shared.create_run(PAIRS)
    info = await info_of(two[0], 1)
    assert info.account == ""
    assert await two[0].claim_account(info, "first") == "first"
    assert await two[1].claim_account(info, "second") == "first"
    later = await info_of(two[1], 1)
    assert await two[1].claim_account(later, "second") == "first"
