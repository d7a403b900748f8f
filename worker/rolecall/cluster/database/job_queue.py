"""The job queue of the workers: the one module that uses procrastinate, on one connection that the caller owns.

procrastinate decides who works on what and who is dead. Its own worker is not used: it needs a connection and a
heartbeat for each queue, and a worker has a queue for each of its workspaces.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Self

import psycopg
from procrastinate import exceptions
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager, get_channel_for_queues
from procrastinate.psycopg_connector import PsycopgConnector

from rolecall.cluster.database.lease import STALLED, Token
from rolecall.store.postgres.connection import Connection, DatabaseConfig, database_errors

PROCESS_SHARD = "process_shard"
"""The task of a job that processes the rows of one shard."""
JOBS_CHANGED = "rolecall_jobs"
"""The channel on which the name of a workspace is sent once a job of its queue that had to wait may begin."""
FORGET_WORKERS_AFTER = 600.0
"""Seconds without a heartbeat after which a worker is deleted from the queue."""


class QueuedJob(NamedTuple):
    """A job that this worker has begun."""

    job: Job
    task: str
    arguments: Mapping[str, Any]
    token: Token

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return a job as the queue has it."""
        return cls(job, job.task_name, job.task_kwargs, Token(job.id or 0, job.attempts))


def queue_of(workspace: str) -> str:
    """Return the name of a workspace's queue."""
    return f"ws:{workspace}"


def shard_job(workspace: str, shard: int) -> Job:
    """Return the job that processes a shard; there is one at a time, and at most one more that waits."""
    lock = f"shard:{shard}"
    return new_job(workspace, PROCESS_SHARD, {"shard": shard}, lock)


def new_job(workspace: str, task: str, arguments: dict[str, Any], lock: str) -> Job:
    """Return a job for the workers of a workspace; of one lock there is one at a time, and at most one that waits."""
    return Job(
        queue=queue_of(workspace), lock=lock, queueing_lock=lock, task_name=task, task_kwargs=arguments, priority=0
    )


def channels_of(workspaces: Sequence[str]) -> dict[str, str]:
    """Return the workspaces by the channel on which a new job for them is notified."""
    return {channel: name for name in workspaces for channel in get_channel_for_queues([queue_of(name)])}


class _OneConnection(PsycopgConnector):
    """Uses one connection for all statements, instead of a pool. Each of them returns rows."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._one = connection

    async def execute_query_async(self, query: Any, **arguments: Any) -> None:
        """Run a statement."""
        await self.execute_query_all_async_with_connection(self._one, query, **arguments)

    async def execute_query_one_async(self, query: Any, **arguments: Any) -> dict[str, Any]:
        """Run a statement and return its one row."""
        row: dict[str, Any] = await self.execute_query_one_async_with_connection(self._one, query, **arguments)
        return row

    async def execute_query_all_async(self, query: Any, **arguments: Any) -> list[dict[str, Any]]:
        """Run a statement and return its rows."""
        rows: list[dict[str, Any]] = await self.execute_query_all_async_with_connection(self._one, query, **arguments)
        return rows


class JobQueue:
    """The jobs, and the workers of the queue. All methods raise StoreError."""

    def __init__(self, connection: Connection, config: DatabaseConfig) -> None:
        self._connection = connection
        self._config = config
        self._manager = JobManager(_OneConnection(connection))

    async def register(self) -> int:
        """Register this worker, with a first heartbeat; return its number. Long dead ones are deleted."""
        with self._errors():
            await self._manager.prune_stalled_workers(FORGET_WORKERS_AFTER)
            return await self._manager.register_worker()

    async def unregister(self, worker: int) -> None:
        """Delete this worker: jobs that it has not ended are stalled at once."""
        with self._errors():
            await self._manager.unregister_worker(worker)

    async def send_heartbeat(self, worker: int) -> None:
        """Record that this worker is alive."""
        with self._errors():
            await self._manager.update_heartbeat(worker)

    async def fetch(self, workspace: str, worker: int) -> QueuedJob | None:
        """Begin the next job of a workspace; None where there is none that may begin."""
        with self._errors():
            job = await self._manager.fetch_job([queue_of(workspace)], worker)
        return None if job is None else QueuedJob.of(job)

    async def defer(self, jobs: Sequence[Job]) -> None:
        """Add jobs in the transaction of the connection. Raises JobExistsError where one of them waits already."""
        with self._errors():
            await self._manager.batch_defer_jobs_async(list(jobs), connection=self._connection)

    async def finish(self, queued: QueuedJob, *, failed: bool = False) -> None:
        """End a job. One that another worker has ended, because this one seemed to be dead, stays as it is."""
        with self._errors(), _ended_before():
            await self._manager.finish_job(queued.job, Status.FAILED if failed else Status.SUCCEEDED, delete_job=False)

    async def put_back(self, queued: QueuedJob, *, failed: bool = False) -> None:
        """End a job and add its successor, which may begin at once.

        The successor has a greater token. It is added first: it waits for the lock of the job, and where this process
        dies between the two, the job is stalled.
        """
        job = queued.job
        successor = job.evolve(id=None, status=None, scheduled_at=None, attempts=0, worker_id=None)
        with self._errors(), suppress(exceptions.AlreadyEnqueued):
            await self._manager.batch_defer_jobs_async([successor], connection=self._connection)
        await self.finish(queued, failed=failed)
        with self._errors():
            await self._connection.execute(b"SELECT pg_notify(%s, %s)", [JOBS_CHANGED, job.queue.removeprefix("ws:")])

    async def stalled(self) -> list[QueuedJob]:
        """Return the jobs whose workers are dead."""
        with self._errors():
            jobs = await self._manager.get_stalled_jobs(seconds_since_heartbeat=STALLED)
        return [QueuedJob.of(job) for job in jobs]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with database_errors(self._config):
            try:
                yield
            except exceptions.AlreadyEnqueued:
                raise JobExistsError from None
            except exceptions.ConnectorException as error:
                raise error.__cause__ or error from None


class JobExistsError(Exception):
    """A job with the same lock waits already."""


@contextmanager
def _ended_before() -> Iterator[None]:
    """Do nothing where the job was ended before."""
    try:
        yield
    except exceptions.ConnectorException as error:
        if not isinstance(error.__cause__, psycopg.errors.RaiseException):
            raise
