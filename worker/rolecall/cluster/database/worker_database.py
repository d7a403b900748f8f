"""The database as a worker uses it: one connection for statements, one that listens, and those of its run stores."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from rolecall.cluster.database import worker_sql
from rolecall.cluster.database.job_queue import JobQueue
from rolecall.cluster.database.lease import DatabaseClock
from rolecall.cluster.database.operator_database import OperatorDatabase
from rolecall.store.postgres.connection import Connection, DatabaseConfig, DatabaseError, connect, database_errors
from rolecall.store.postgres.schema_version import connect_current

LISTEN_CHECK = 10.0
"""Seconds without a notification after which the connection that listens is checked."""


class ShardInfo(NamedTuple):
    """A shard, and what is recorded of its run."""

    shard_id: int
    run_id: int
    workspace: str
    operation: str
    account: str
    """Empty where no worker has begun it."""
    settings: Mapping[str, Any]
    stop: str
    stop_detail: str
    reason: str
    url: str
    rate: float | None
    """The rate of the workspace; None where that of the run counts."""
    is_done: bool
    rows: int


class WorkerDatabase(OperatorDatabase):
    """One worker's access to the database. All methods raise StoreError; the connection serves one call at a time."""

    def __init__(self, connection: Connection, config: DatabaseConfig, clock: DatabaseClock) -> None:
        super().__init__(connection, config)
        self.clock = clock
        self.jobs = JobQueue(connection, config)

    async def record_time(self, statement: str, **values: object) -> bool:
        """Run a statement that returns the database's time in its one row; False where it has none."""
        rows = await self.fetch(statement, **values)
        for (now,) in rows:
            self.record_clock(now)
        return bool(rows)

    def now(self) -> float:
        """Return the database's time: seconds since the epoch."""
        return self.clock.wall(self.clock.now())

    def record_clock(self, now: float) -> None:
        """Record the database's time, which was received at this moment."""
        self.clock.record(now, self.clock.now())

    async def shard(self, shard: int) -> ShardInfo | None:
        """Return what is recorded of a shard; None where it was deleted."""
        rows = await self.fetch(worker_sql.SHARD, shard=shard)
        return ShardInfo(*rows[0]) if rows else None

    async def lock_egress(self, workspace: str, egress: str) -> bool:
        """Become the one active worker for a workspace behind an address; False where another one is."""
        ((is_locked,),) = await self.fetch(worker_sql.LOCK_EGRESS, workspace=workspace, egress=egress)
        return bool(is_locked)

    async def unlock_egress(self, workspace: str, egress: str) -> None:
        """Let another worker behind the address become active."""
        await self.fetch(worker_sql.UNLOCK_EGRESS, workspace=workspace, egress=egress)

    async def stop_run(self, run: int, stop: str, detail: str) -> bool:
        """Stop a run for all workers; False where it was stopped or has ended before."""
        return bool(await self.fetch(worker_sql.STOP_RUN, run=run, stop=stop, detail=detail))

    async def run_stop(self, run: int) -> tuple[str, str]:
        """Return the stop reason of a run and its detail; empty while it is not stopped."""
        rows = await self.fetch(worker_sql.RUN_STOP, run=run)
        return (rows[0][0], rows[0][1]) if rows else ("interrupted", "the run was deleted")

    async def claim_account(self, info: ShardInfo, account: str) -> str:
        """Return the account of a run, which is that of the first worker that processes it."""
        if info.account:
            return info.account
        rows = await self.fetch(worker_sql.CLAIM_ACCOUNT, run=info.run_id, account=account)
        return str(rows[0][0]) if rows else account

    async def record_refusal(self, run: int, detail: str) -> None:
        """Record why this worker leaves the shards of a run to others."""
        await self.fetch(worker_sql.RECORD_REFUSAL, run=run, detail=detail)

    async def record_answer(self, workspace: str) -> None:
        """Record that a workspace gives answers now."""
        await self.fetch(worker_sql.RECORD_ANSWER, workspace=workspace)

    async def answered_within(self, workspace: str, seconds: float) -> bool:
        """Return whether a workspace gave an answer to any worker within the last seconds."""
        rows = await self.fetch(worker_sql.ANSWERED_WITHIN, workspace=workspace, ms=round(seconds * 1000))
        return bool(rows and rows[0][0])

    async def finish_shard(self, info: ShardInfo, token: tuple[int, int]) -> bool:
        """End a shard, and its run with the last one; False where rows are left or another worker has it.

        Each is a transaction of its own: a worker that froze within one would keep others from taking the shard over.
        """
        job, attempt = token
        done = await self.fetch(worker_sql.FINISH_SHARD, shard=info.shard_id, job=job, attempt=attempt)
        await self.fetch(worker_sql.END_RUN, run=info.run_id)
        return bool(done)

    async def release_shard(self, shard: int, token: tuple[int, int]) -> None:
        """Record that this worker has ended its work on a shard; nothing where another one has taken it."""
        job, attempt = token
        await self.fetch(worker_sql.RELEASE_SHARD, shard=shard, job=job, attempt=attempt)


@asynccontextmanager
async def open_database(config: DatabaseConfig, clock: DatabaseClock) -> AsyncIterator[WorkerDatabase]:
    """Connect to a database with the schema of this version. Raises DatabaseError and InvalidDatabaseError."""
    connection = await connect_current(config)
    try:
        yield WorkerDatabase(connection, config, clock)
    finally:
        await connection.close()


async def listen(
    config: DatabaseConfig, channels: Iterable[str], on_notify: Callable[[str, str], Awaitable[None]]
) -> None:
    """Call `on_notify` with the channel and the text of each notification, until cancelled. Raises DatabaseError."""
    connection = await connect(config)
    try:
        with database_errors(config):
            for channel in channels:
                quoted = channel.replace('"', '""')
                await connection.execute(f'LISTEN "{quoted}"'.encode())
            while True:
                async for notification in connection.notifies(timeout=LISTEN_CHECK):
                    await on_notify(notification.channel, notification.payload)
                await connection.execute(b"SELECT 1")
                if connection.closed:
                    raise DatabaseError(f"The connection to the database {config.place} was lost.")
    finally:
        await connection.close()
        await asyncio.sleep(0)


class StoreConnections:
    """Connections that are free, and new ones where none is."""

    def __init__(self, config: DatabaseConfig) -> None:
        self._config = config
        self._free: list[Connection] = []

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """Return a connection for the block; after an error it is closed. Raises StoreError."""
        connection = self._free.pop() if self._free else await connect(self._config)
        try:
            yield connection
        except BaseException:
            await connection.close()
            raise
        self._free.append(connection)

    async def close(self) -> None:
        """Close those that are free."""
        while self._free:
            await self._free.pop().close()
