"""What workers do in a real database beside the rows: jobs, leases of slots, takeover, the end and the stop of runs."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rolecall.app.errors import OperatorError
from rolecall.app.observer import NullLogger
from rolecall.app.run_job import RunRequest
from rolecall.cluster.database import operator_sql, worker_sql
from rolecall.cluster.database.job_queue import JOBS_CHANGED, JobExistsError, QueuedJob, channels_of, shard_job
from rolecall.cluster.database.lease import DatabaseClock
from rolecall.cluster.database.operator_database import open_operator_database
from rolecall.cluster.database.worker_database import WorkerDatabase, listen, open_database
from rolecall.cluster.runs.settings import BASELINE
from rolecall.cluster.runs.shard_size import choose_shard_size
from rolecall.cluster.runs.submit import SubmitRequest, release_run
from rolecall.cluster.worker import upkeep
from rolecall.cluster.worker.worker_list import has_live_worker, list_workers
from rolecall.cluster.workspaces_file import read_workspaces
from rolecall.engine.settings import FailureThreshold
from rolecall.models import Row
from rolecall.rocketchat.operations import REMOVE_LEADER
from rolecall.store.base import read_pages
from rolecall.store.postgres.reading import ShardLease
from rolecall.store.postgres.runs import NewRun, create_run, take_shard
from rolecall.store.postgres.store import open_store
from rolecall.store.records import Identity
from tests.support.cluster import PLAIN, WORKSPACE, Cluster
from tests.support.postgres import shared_server

PAIRS = [(f"room{number // 5}", f"user{number}") for number in range(20)]
LOG = NullLogger()


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """Return a new database; no workspace answers."""
    return Cluster(shared_server().initialised_database(), "http://127.0.0.1:9", tmp_path)


@pytest.fixture
async def two(cluster: Cluster) -> AsyncIterator[tuple[WorkerDatabase, WorkerDatabase]]:
    """Return the connections of two workers."""
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(open_database(cluster.config, DatabaseClock())) for _ in range(2)]
        yield one, other


async def job_pages(pages: int, read: list[int]) -> AsyncGenerator[Sequence[Row], None]:
    """Yield pages of 100 rows; `read` receives the number of each page."""
    for number in range(pages):
        read.append(number)
        yield [Row(number, "room", "user", {})] * 100


async def test_the_rows_are_counted_for_live_workers_with_an_address_of_their_own(cluster: Cluster) -> None:
    """Dead workers, those of other workspaces and those that stand by have no shards; a large job is not read twice."""
    now = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    read: list[int] = []

    async def choose(pages: int) -> int:
        read.clear()
        async with open_operator_database(cluster.config) as database:
            return await choose_shard_size(database, WORKSPACE, lambda: job_pages(pages, read))

    assert (await choose(8), read) == (200, [])
    for number, (egress, workspaces, seen) in enumerate(
        [
            ("one", "{main}", now),
            ("two", "{other,main}", now),
            ("two", "{main}", now),
            ("three", "{other}", now),
            ("four", "{main}", f"{now} - 60000"),
        ]
    ):
        await cluster.query(
            "INSERT INTO worker (id, host, egress, version, workspaces, started_at, seen_at) "
            f"VALUES ('{number}', 'h', '{egress}', '1', '{workspaces}', 0, {seen}) RETURNING id"
        )
    assert await choose(8) == 50
    assert await choose(1000) == 200
    assert len(read) == 32


Two = tuple[WorkerDatabase, WorkerDatabase]


async def begin(database: WorkerDatabase, worker: int) -> QueuedJob:
    """Begin the next job of the workspace; there must be one."""
    job = await database.jobs.fetch(WORKSPACE, worker)
    assert job is not None
    return job


async def jobs(cluster: Cluster) -> list[tuple[object, ...]]:
    """Return lock and state of all jobs that have not ended, in their order."""
    return await cluster.query(
        "SELECT lock, status::text FROM procrastinate_jobs WHERE status IN ('todo', 'doing') ORDER BY id"
    )


async def test_a_job_that_is_put_back_has_a_successor_with_a_greater_token(cluster: Cluster, two: Two) -> None:
    """The successor begins at once; until then the shard has one job that waits, however often it is put back."""
    await cluster.create_run(PAIRS, shard_rows=20)
    one, other = two
    worker = await one.jobs.register()
    first = await begin(one, worker)
    await one.jobs.put_back(first)
    await other.jobs.put_back(first, failed=True)
    assert await jobs(cluster) == [("shard:1", "todo")]
    second = await begin(other, await other.jobs.register())
    assert second.token > first.token
    assert second.arguments == first.arguments == {"shard": 1}
    await one.jobs.finish(first)
    assert await jobs(cluster) == [("shard:1", "doing")]


async def test_the_shard_of_a_worker_without_a_heartbeat_is_put_back(cluster: Cluster, two: Two) -> None:
    """Not before its heartbeat is old; and a worker that wakes up can neither end the new job nor take the shard."""
    await cluster.create_run(PAIRS, shard_rows=20)
    one, other = two
    frozen = await begin(one, await one.jobs.register())
    await upkeep.take_over_stalled(other, LOG)
    assert await jobs(cluster) == [("shard:1", "doing")]
    await cluster.query("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '11 s' RETURNING id")
    await upkeep.take_over_stalled(other, LOG)
    await upkeep.take_over_stalled(one, LOG)
    assert await jobs(cluster) == [("shard:1", "todo")]
    job = await begin(other, await other.jobs.register())
    assert await take_shard(other.connection, other.config, ShardLease(1, *job.token, "other")) is not None
    assert await take_shard(one.connection, one.config, ShardLease(1, *frozen.token, "one")) is None
    await one.jobs.finish(frozen)
    assert await jobs(cluster) == [("shard:1", "doing")]


async def test_a_worker_that_ends_leaves_no_job(cluster: Cluster, two: Two) -> None:
    """A job of a worker that is not registered any more is put back without waiting."""
    await cluster.create_run(PAIRS, shard_rows=20)
    one, other = two
    worker = await one.jobs.register()
    await begin(one, worker)
    await one.jobs.unregister(worker)
    await upkeep.take_over_stalled(other, LOG)
    assert await jobs(cluster) == [("shard:1", "todo")]


async def test_shards_without_a_job_are_brought_back_but_not_those_of_a_stopped_run(cluster: Cluster, two: Two) -> None:
    """Each gets one job, also where two workers look at the same time."""
    run = await cluster.create_run(PAIRS, shard_rows=5)
    one, other = two
    await cluster.query("DELETE FROM procrastinate_jobs WHERE lock <> 'shard:2' RETURNING id")
    assert await one.stop_run(run, "interrupted", "")
    await upkeep.bring_back_shards(one, LOG)
    assert await jobs(cluster) == [("shard:2", "todo")]
    await cluster.query("UPDATE run SET stop = '' RETURNING id")
    await asyncio.gather(upkeep.bring_back_shards(one, LOG), upkeep.bring_back_shards(other, LOG))
    assert sorted(map(str, await jobs(cluster))) == [f"('shard:{number}', 'todo')" for number in range(1, 5)]
    with pytest.raises(JobExistsError):
        await one.jobs.defer([shard_job(WORKSPACE, 1)])


async def test_a_run_ends_with_its_last_shard(cluster: Cluster, two: Two) -> None:
    """A shard ends only without a row that is left, and only for the worker that has it."""
    run = await cluster.create_run(PAIRS, shard_rows=10)
    one, other = two
    for number, database in ((1, one), (2, other)):
        lease = ShardLease(number, 10, 0, "me")
        assert await take_shard(database.connection, database.config, lease) == run
        info = await database.shard(number)
        assert info is not None
        assert not await database.finish_shard(info, (10, 0))
        await cluster.query("UPDATE pair SET outcome = 'removed' WHERE shard_id = %s RETURNING key", number)
        assert not await database.finish_shard(info, (9, 0))
        assert await cluster.query("SELECT ended_at IS NULL FROM run") == [(True,)]
        assert await database.finish_shard(info, (10, 0))
    assert await cluster.query("SELECT ended_at IS NULL FROM run") == [(False,)]


async def test_the_first_reason_of_a_stop_stands_and_is_notified(cluster: Cluster, two: Two) -> None:
    """Who listens gets the run at once; a job that may begin is notified as well."""
    run = await cluster.create_run(PAIRS)
    one, other = two
    got: list[tuple[str, str]] = []
    channels = [worker_sql.RUN_STOPPED, JOBS_CHANGED, *channels_of([WORKSPACE])]

    async def on_notify(channel: str, text: str) -> None:
        got.append((channel, text))

    listening = asyncio.create_task(listen(cluster.config, channels, on_notify))
    await cluster.wait_until(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'LISTEN %%' AND datname = current_database())"
    )
    assert await one.stop_run(run, "credentials", "revoked")
    assert not await other.stop_run(run, "interrupted", "")
    assert await other.run_stop(run) == ("credentials", "revoked")
    await one.jobs.put_back(await begin(one, await one.jobs.register()))
    async with asyncio.timeout(10):
        while len(got) < 3:  # noqa: ASYNC110 - the server sends them
            await asyncio.sleep(0.01)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert got[0] == (worker_sql.RUN_STOPPED, str(run))
    assert (JOBS_CHANGED, WORKSPACE) in got


async def test_one_worker_behind_an_address_is_active_until_its_connection_ends(cluster: Cluster, two: Two) -> None:
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


async def lease(database: WorkerDatabase, count: int, interval: float, kind: str = "change") -> tuple[float, float]:
    """Lease slots; return the first one and the database's clock."""
    values = {"workspace": WORKSPACE, "kind": kind, "count": count, "interval": interval}
    ((first, now),) = await database.fetch(worker_sql.LEASE_SLOTS, **values)
    return float(first), float(now)


async def test_slots_of_all_workers_are_one_interval_apart(cluster: Cluster, two: Two) -> None:
    """Leases at the same time follow each other; changes and reads have slots of their own."""
    await cluster.create_run(PAIRS)
    leases = await asyncio.gather(*(lease(two[number % 2], 3, 0.5) for number in range(10)))
    firsts = sorted(first for first, _ in leases)
    assert firsts == pytest.approx([firsts[0] + number * 1.5 for number in range(10)], abs=1e-3)
    assert firsts[0] == pytest.approx(leases[0][1], abs=1.0)
    first, now = await lease(two[0], 1, 0.5, "read")
    assert abs(first - now) < 0.5


async def test_slots_that_passed_are_lost_and_none_is_far_away(cluster: Cluster, two: Two) -> None:
    """After an idle time the next slot is now; after a step of the database's clock back it is near."""
    await cluster.create_run(PAIRS)
    await lease(two[0], 1, 0.1)
    await cluster.query("UPDATE pace SET next_slot = next_slot - 3600 RETURNING 1")
    first, now = await lease(two[0], 1, 0.1)
    assert -0.01 < first - now < 0.01
    await cluster.query("UPDATE pace SET next_slot = next_slot + 3600 RETURNING 1")
    first, now = await lease(two[0], 1, 0.1)
    assert first - now == pytest.approx(64 * 0.25, abs=0.1)


async def test_rows_that_failed_are_counted_over_all_shards(cluster: Cluster, two: Two) -> None:
    """One too many stops the run; those before its last start do not count."""
    settings = PLAIN.__class__(max_failures=FailureThreshold.parse("3"))
    run = await cluster.create_run(PAIRS, settings, shard_rows=5, **{BASELINE: [2, 2]})
    count = (
        "INSERT INTO group_count VALUES (%s, %s, 'job', 'failed', 'forbidden', false, 'response', %s) RETURNING rows"
    )
    info = await two[0].shard(1)
    assert info is not None
    await cluster.query(count, run, 1, 3)
    await cluster.query(count, run, 2, 2)
    await upkeep.stop_failing_runs(two[0], [(info, 0)], LOG)
    assert await two[0].run_stop(run) == ("", "")
    await cluster.query(count, run, 3, 1)
    await upkeep.stop_failing_runs(two[0], [(info, 0), (info, 0)], LOG)
    assert (await two[0].run_stop(run))[0] == "max_failures"


async def test_a_run_is_undone_once(cluster: Cluster) -> None:
    """Of two undos that were prepared at once the second is refused, also where the first has ended before."""
    done = await cluster.create_run(PAIRS)
    await cluster.query("UPDATE run SET ended_at = 1 RETURNING id")
    identity = Identity(cluster.url, REMOVE_LEADER.inverse.name, "undone")
    request = SubmitRequest(
        read_workspaces(cluster.workspaces_file(), pytest.fail)[WORKSPACE], RunRequest(), parent=done
    )
    async with open_operator_database(cluster.config) as database:
        runs = []
        for _ in range(2):
            new = NewRun(WORKSPACE, 1, parent=done)
            runs.append(await create_run(database.connection, database.config, new))
            async with open_store(cluster.config, runs[-1]) as store:
                await store.import_rows(identity, read_pages([Row(2, "room0", "user0", {})]))
        assert await release_run(database, runs[0], identity, request, "") == 1
        await cluster.query("UPDATE run SET ended_at = 1 RETURNING id")
        await cluster.query("UPDATE group_count SET outcome = 'added' RETURNING run_id")
        with pytest.raises(OperatorError, match=f"Run {done} was undone meanwhile, by run {runs[0]}"):
            await release_run(database, runs[1], identity, request, "")
    assert await cluster.query("SELECT is_released FROM run WHERE id = %s", runs[1]) == [(False,)]


async def test_a_run_that_is_resumed_meanwhile_is_not_ended(cluster: Cluster, two: Two) -> None:
    """A worker that waits to end a stopped run sees shards as they were: it must not end one with rows to send."""
    run = await cluster.create_run(PAIRS)
    await cluster.query("UPDATE shard SET done = true RETURNING id")
    one, other = two
    assert await one.stop_run(run, "outage", "")
    async with other.connection.transaction():
        await other.fetch(operator_sql.LOCK_RUN, run=run)
        ending = asyncio.create_task(one.fetch(worker_sql.END_RUN, run=run))
        await cluster.wait_until("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        await other.connection.execute("UPDATE shard SET done = false")
        await other.fetch(operator_sql.RESUME, run=run, settings="{}")
    await ending
    assert await cluster.query("SELECT stop, ended_at FROM run") == [("", None)]
    await cluster.query("UPDATE shard SET done = true RETURNING id")
    assert await one.fetch(worker_sql.END_RUN, run=run)


async def test_the_last_answer_of_a_workspace_is_known_to_all(cluster: Cluster, two: Two) -> None:
    """So a worker that gets none knows whether others do."""
    await cluster.create_run(PAIRS)
    one, other = two
    assert not await other.answered_within(WORKSPACE, 3600)
    await one.record_answer(WORKSPACE)
    assert await other.answered_within(WORKSPACE, 5)
    await cluster.query("UPDATE workspace SET answered_at = answered_at - 6000 RETURNING 1")
    assert not await other.answered_within(WORKSPACE, 5)


async def test_a_worker_is_dead_without_heartbeats(cluster: Cluster, two: Two) -> None:
    """The list of workers shows the seconds since the last one, by the database's clock."""
    values = {"host": "host", "egress": "nat", "version": "1", "workspaces": [WORKSPACE]}
    assert await two[0].record_time(worker_sql.ADD_WORKER, id="one", **values)
    assert two[0].clock.wall(time.monotonic()) == pytest.approx(time.time(), abs=5)
    assert has_live_worker(await list_workers(cluster.config), "nat")
    assert not has_live_worker(await list_workers(cluster.config), "other")
    await cluster.query("UPDATE worker SET seen_at = seen_at - 10500 RETURNING id")
    (worker,) = await list_workers(cluster.config)
    assert (worker.is_alive, worker.egress, worker.workspaces) == (False, "nat", [WORKSPACE])
    assert 10 < worker.seen_ago < 20
    assert await two[1].record_time(worker_sql.SEE_WORKER, id="one")
    assert not await two[1].record_time(worker_sql.SEE_WORKER, id="unknown")
    assert has_live_worker(await list_workers(cluster.config), "nat")


async def test_the_first_worker_makes_its_account_that_of_the_run(cluster: Cluster, two: Two) -> None:
    """Another account gets the first one, and so refuses the shards."""
    await cluster.create_run(PAIRS)
    info = await two[0].shard(1)
    assert info is not None
    assert info.account == ""
    assert await two[0].claim_account(info, "first") == "first"
    assert await two[1].claim_account(info, "second") == "first"
    later = await two[1].shard(1)
    assert later is not None
    assert await two[1].claim_account(later, "second") == "first"


async def test_an_unknown_row_counts_in_the_worker_that_has_it_and_once_its_shard_is_done(
    cluster: Cluster, two: Two
) -> None:
    """Until then another worker may still settle it."""
    settings = PLAIN.__class__(max_failures=FailureThreshold.parse("1"))
    run = await cluster.create_run(PAIRS, settings, shard_rows=5)
    info = await two[0].shard(1)
    assert info is not None
    await cluster.query(
        "INSERT INTO group_count VALUES (%s, 1, 'job', 'unknown', 'timeout', false, '', 2) RETURNING rows", run
    )
    await upkeep.stop_failing_runs(two[0], [(info, 1)], LOG)
    assert await two[0].run_stop(run) == ("", "")
    await cluster.query("UPDATE shard SET done = true WHERE id = 1 RETURNING id")
    await upkeep.stop_failing_runs(two[0], [(info, 0)], LOG)
    assert (await two[0].run_stop(run))[0] == "max_failures"
