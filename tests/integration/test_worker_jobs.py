"""What workers do with the jobs of the queue: begin, put back, take over, bring back, and notify of them.

Every test runs with a real PostgreSQL, and with the simulated database of the simulation of several workers.
"""

import asyncio

import pytest

from rolecall.app.observer import NullLogger
from rolecall.cluster.database import worker_sql
from rolecall.cluster.database.job_queue import JOBS_CHANGED, JobExistsError, QueuedJob, channels_of, shard_job
from rolecall.cluster.database.worker_database import WorkerDatabase, listen
from rolecall.cluster.worker import upkeep
from rolecall.store.postgres.reading import ShardLease
from rolecall.store.postgres.runs import take_shard
from tests.support.cluster import WORKSPACE
from tests.support.shared_database import SharedDatabase

PAIRS = [(f"room{number // 5}", f"user{number}") for number in range(20)]
LOG = NullLogger()
Two = tuple[WorkerDatabase, WorkerDatabase]


async def begin(database: WorkerDatabase, worker: int) -> QueuedJob:
    """Begin the next job of the workspace; there must be one."""
    job = await database.jobs.fetch(WORKSPACE, worker)
    assert job is not None
    return job


async def test_a_job_that_is_put_back_has_a_successor_with_a_greater_token(shared: SharedDatabase, two: Two) -> None:
    """The successor begins at once; until then the shard has one job that waits, however often it is put back."""
    await shared.create_run(PAIRS, shard_rows=20)
    one, other = two
    worker = await one.jobs.register()
    first = await begin(one, worker)
    await one.jobs.put_back(first)
    await other.jobs.put_back(first, failed=True)
    assert await shared.jobs() == [("shard:1", "todo")]
    second = await begin(other, await other.jobs.register())
    assert second.token > first.token
    assert second.arguments == first.arguments == {"shard": 1}
    await one.jobs.finish(first)
    assert await shared.jobs() == [("shard:1", "doing")]


async def test_the_shard_of_a_worker_without_a_heartbeat_is_put_back(shared: SharedDatabase, two: Two) -> None:
    """Not before its heartbeat is old; and a worker that wakes up can neither end the new job nor take the shard."""
    await shared.create_run(PAIRS, shard_rows=20)
    one, other = two
    worker = await one.jobs.register()
    frozen = await begin(one, worker)
    await shared.age_heartbeats(11)
    await one.jobs.send_heartbeat(worker)
    await upkeep.take_over_stalled(other, LOG)
    assert await shared.jobs() == [("shard:1", "doing")]
    await shared.age_heartbeats(11)
    await upkeep.take_over_stalled(other, LOG)
    await upkeep.take_over_stalled(one, LOG)
    assert await shared.jobs() == [("shard:1", "todo")]
    job = await begin(other, await other.jobs.register())
    assert await take_shard(other.connection, other.config, ShardLease(1, *job.token, "other")) is not None
    assert await take_shard(one.connection, one.config, ShardLease(1, *frozen.token, "one")) is None
    await one.jobs.finish(frozen)
    assert await shared.jobs() == [("shard:1", "doing")]


async def test_a_worker_that_ends_leaves_no_job(shared: SharedDatabase, two: Two) -> None:
    """A job of a worker that is not registered any more is put back without waiting."""
    await shared.create_run(PAIRS, shard_rows=20)
    one, other = two
    worker = await one.jobs.register()
    await begin(one, worker)
    await one.jobs.unregister(worker)
    await upkeep.take_over_stalled(other, LOG)
    assert await shared.jobs() == [("shard:1", "todo")]


async def test_a_worker_that_is_long_dead_is_deleted_with_the_next_that_starts(
    shared: SharedDatabase, two: Two
) -> None:
    """Its job is stalled still."""
    await shared.create_run(PAIRS, shard_rows=20)
    one, other = two
    await begin(one, await one.jobs.register())
    await shared.age_heartbeats(601)
    await other.jobs.register()
    assert [job.arguments for job in await other.jobs.stalled()] == [{"shard": 1}]


async def test_jobs_begin_in_their_order_and_those_of_a_lock_one_after_the_other(
    shared: SharedDatabase, two: Two
) -> None:
    """Another workspace has none of them; a workspace has jobs that wait until the last one has begun."""
    await shared.create_run(PAIRS, shard_rows=10)
    one, other = two
    worker = await one.jobs.register()
    names = {"names": [WORKSPACE, "other"]}
    assert await one.jobs.fetch("other", worker) is None
    assert await other.fetch(worker_sql.WAITING_QUEUES, **names) == [(WORKSPACE,)]
    assert await other.fetch(worker_sql.WAITING_QUEUES, names=["other"]) == []
    first = await begin(one, worker)
    await one.jobs.defer([shard_job(WORKSPACE, 1)])
    second = await begin(other, worker)
    assert [job.arguments for job in (first, second)] == [{"shard": 1}, {"shard": 2}]
    assert await one.jobs.fetch(WORKSPACE, worker) is None
    await one.jobs.finish(first)
    third = await begin(one, worker)
    assert (third.arguments, await other.fetch(worker_sql.WAITING_QUEUES, **names)) == ({"shard": 1}, [])


async def test_several_jobs_are_added_all_or_none(shared: SharedDatabase, two: Two) -> None:
    """Where one of them waits already, or is named twice, none of them is added."""
    await shared.create_run(PAIRS, shard_rows=10)
    await shared.delete_jobs_except("shard:1")
    for shards in ((2, 1), (2, 2)):
        with pytest.raises(JobExistsError):
            await two[0].jobs.defer([shard_job(WORKSPACE, shard) for shard in shards])
        assert await shared.jobs() == [("shard:1", "todo")]


async def test_shards_without_a_job_are_brought_back_but_not_those_of_a_stopped_run(
    shared: SharedDatabase, two: Two
) -> None:
    """Each gets one job, also where two workers look at the same time."""
    run = await shared.create_run(PAIRS, shard_rows=5)
    one, other = two
    await shared.delete_jobs_except("shard:2")
    assert await one.stop_run(run, "interrupted", "")
    await upkeep.bring_back_shards(one, LOG)
    assert await shared.jobs() == [("shard:2", "todo")]
    await shared.resume()
    await asyncio.gather(upkeep.bring_back_shards(one, LOG), upkeep.bring_back_shards(other, LOG))
    assert sorted(map(str, await shared.jobs())) == [f"('shard:{number}', 'todo')" for number in range(1, 5)]
    with pytest.raises(JobExistsError):
        await one.jobs.defer([shard_job(WORKSPACE, 1)])


async def test_the_first_reason_of_a_stop_stands_and_is_notified(shared: SharedDatabase, two: Two) -> None:
    """Who listens gets the run at once; a job that may begin is notified as well."""
    run = await shared.create_run(PAIRS)
    one, other = two
    got: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    channels = [worker_sql.RUN_STOPPED, JOBS_CHANGED, *channels_of([WORKSPACE])]

    async def on_notify(channel: str, text: str) -> None:
        got.put_nowait((channel, text))

    listening = asyncio.create_task(listen(shared.config, channels, on_notify))
    await shared.wait_for_listener(channels)
    assert await one.stop_run(run, "credentials", "revoked")
    assert not await other.stop_run(run, "interrupted", "")
    assert await other.run_stop(run) == ("credentials", "revoked")
    await one.jobs.put_back(await begin(one, await one.jobs.register()))
    async with asyncio.timeout(10):
        first, *later = [await got.get() for _ in range(3)]
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert first == (worker_sql.RUN_STOPPED, str(run))
    assert (JOBS_CHANGED, WORKSPACE) in later
