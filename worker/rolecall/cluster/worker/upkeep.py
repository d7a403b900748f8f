"""What each worker does beside its shards; each step is harmless where two workers do it.

It takes over from dead workers, brings back shards without a job, ends runs, and stops a run in which too many rows
fail.
"""

from collections.abc import Iterable

from rolecall.cluster.database import worker_sql
from rolecall.cluster.database.job_queue import PROCESS_SHARD, JobExistsError, shard_job
from rolecall.cluster.database.worker_database import ShardInfo, WorkerDatabase
from rolecall.cluster.worker.shard_work import stop_if_failing
from rolecall.engine.events import EventLogger

MAX_JOBS = 200
"""Jobs that are added at once."""


async def take_over_stalled(database: WorkerDatabase, log: EventLogger) -> None:
    """Put back the jobs of workers without a heartbeat. Raises StoreError.

    Each gets a successor, never a second attempt: what ends a job does not look at who does it, so a worker that wakes
    up would end the attempt of another one.
    """
    for job in await database.jobs.stalled():
        if job.task == PROCESS_SHARD:
            log.warning("worker stalled", shard=job.arguments.get("shard"), detail="its shard goes to another worker")
        await database.jobs.put_back(job, failed=True)


async def bring_back_shards(database: WorkerDatabase, log: EventLogger) -> None:
    """Add a job for each shard of an active run that no worker has and that no job waits for. Raises StoreError.

    This heals every other accident: a job that failed, a run that was resumed, a database that crashed between two
    steps.
    """
    lost = [shard_job(workspace, shard) for workspace, shard in await database.fetch(worker_sql.LOST_SHARDS)]
    for start in range(0, len(lost), MAX_JOBS):
        try:
            await database.jobs.defer(lost[start : start + MAX_JOBS])
        except JobExistsError:  # another worker does the same
            return
    if lost:
        log.info("shards brought back", shards=len(lost))


async def end_runs(database: WorkerDatabase) -> None:
    """End the runs whose shards are all done. Raises StoreError."""
    for (run,) in await database.fetch(worker_sql.DONE_RUNS):
        await database.fetch(worker_sql.END_RUN, run=run)


async def stop_failing_runs(
    database: WorkerDatabase, shards: Iterable[tuple[ShardInfo, int]], log: EventLogger
) -> None:
    """Stop each of these shards' runs in which more rows failed than its threshold allows. Raises StoreError.

    `shards`: those that this worker processes, each with the rows that became unknown.
    """
    runs: dict[int, tuple[ShardInfo, int]] = {}
    for info, unknown in shards:
        runs[info.run_id] = (info, unknown + runs.get(info.run_id, (info, 0))[1])
    for info, unknown in runs.values():
        await stop_if_failing(database, info, unknown, log.bind(run=info.run_id))
