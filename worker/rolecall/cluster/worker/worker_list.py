"""The workers that are there, as the database knows them."""

from collections.abc import Sequence
from typing import NamedTuple

from rolecall.cluster.database import worker_sql
from rolecall.cluster.database.lease import STALLED, DatabaseClock
from rolecall.cluster.database.worker_database import open_database
from rolecall.store.postgres.connection import DatabaseConfig


class WorkerInfo(NamedTuple):
    """One worker."""

    worker_id: str
    host: str
    egress: str
    version: str
    workspaces: Sequence[str]
    started_at: int
    """UTC, milliseconds since the epoch."""
    seen_ago: float
    """Seconds since its last heartbeat."""
    shards: Sequence[str]
    """The shards that it has, each as run/shard."""

    @property
    def is_alive(self) -> bool:
        """Whether it sends heartbeats."""
        return self.seen_ago < STALLED


async def list_workers(config: DatabaseConfig) -> list[WorkerInfo]:
    """Return all workers. Raises StoreError and InvalidStoreError."""
    async with open_database(config, DatabaseClock()) as database:
        return [WorkerInfo(*row) for row in await database.fetch(worker_sql.WORKERS)]


def has_live_worker(workers: Sequence[WorkerInfo], egress: str) -> bool:
    """Return whether a worker behind an address sends heartbeats."""
    return any(worker.is_alive for worker in workers if worker.egress == egress)
