"""The database of several workers as tests use it that run with a real one and with the simulated one."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Protocol

from rolecall.engine.settings import Settings
from rolecall.store.postgres.connection import DatabaseConfig
from tests.support.cluster import PLAIN, Cluster
from tests.support.postgres import all_binaries, shared_server
from tests.support.simulated_database import SimulatedDatabase

SIMULATED = "simulated"
KINDS = (*all_binaries(), SIMULATED)
"""Each installed server, and the simulated database."""


class SharedDatabase(Protocol):
    """A database, and what a test changes in it that no worker changes."""

    @property
    def config(self) -> DatabaseConfig:
        """Return how to connect to it."""

    async def create_run(
        self, pairs: Iterable[tuple[str, str]], settings: Settings = PLAIN, *, shard_rows: int = 50, **more: object
    ) -> int:
        """Create a run of these pairs, the one run of the database, and release it; return its id."""

    async def shards(self) -> list[int]:
        """Return the ids of all shards."""

    async def jobs(self) -> list[tuple[object, ...]]:
        """Return lock and state of all jobs that have not ended, in their order."""

    async def delete_jobs_except(self, lock: str) -> None:
        """Delete all jobs but those with a lock."""

    async def resume(self) -> None:
        """Resume all runs."""

    async def age_heartbeats(self, seconds: float) -> None:
        """Make the last heartbeat of each worker older."""

    async def age_answers(self, seconds: float) -> None:
        """Make the last answer of each workspace older."""

    async def shift_slots(self, seconds: float) -> None:
        """Make the next slot of each rate later."""

    async def wait_for_listener(self, channels: Collection[str]) -> None:
        """Return once a connection listens."""


class RealDatabase(Cluster):
    """A SharedDatabase in a real PostgreSQL; no workspace answers."""

    async def shards(self) -> list[int]:
        """Return the ids of all shards."""
        return [int(str(shard)) for (shard,) in await self.query("SELECT id FROM shard ORDER BY id")]

    async def jobs(self) -> list[tuple[object, ...]]:
        """Return lock and state of all jobs that have not ended, in their order."""
        return await self.query(
            "SELECT lock, status::text FROM procrastinate_jobs WHERE status IN ('todo', 'doing') ORDER BY id"
        )

    async def delete_jobs_except(self, lock: str) -> None:
        """Delete all jobs but those with a lock."""
        await self.query("DELETE FROM procrastinate_jobs WHERE lock <> %s RETURNING id", lock)

    async def resume(self) -> None:
        """Resume all runs."""
        await self.query("UPDATE run SET stop = '', stop_detail = '', resumption = resumption + 1 RETURNING id")

    async def age_heartbeats(self, seconds: float) -> None:
        """Make the last heartbeat of each worker older."""
        await self.query(
            "UPDATE procrastinate_workers SET last_heartbeat = last_heartbeat - make_interval(secs => %s) RETURNING id",
            seconds,
        )
        await self.query("UPDATE worker SET seen_at = seen_at - %s::bigint RETURNING id", round(seconds * 1000))

    async def age_answers(self, seconds: float) -> None:
        """Make the last answer of each workspace older."""
        await self.query("UPDATE workspace SET answered_at = answered_at - %s RETURNING 1", round(seconds * 1000))

    async def shift_slots(self, seconds: float) -> None:
        """Make the next slot of each rate later."""
        await self.query("UPDATE pace SET next_slot = next_slot + %s RETURNING 1", seconds)

    async def wait_for_listener(self, channels: Collection[str]) -> None:
        """Return once a connection listens."""
        await self.wait_until(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'LISTEN %%' AND datname = current_database())"
        )


def new_database(kind: str, folder: Path) -> SharedDatabase:
    """Return an empty database: on a server by its name, or the simulated one, on the running event loop."""
    if kind == SIMULATED:
        return SimulatedDatabase()
    return RealDatabase(shared_server(kind).initialised_database(), "http://127.0.0.1:9", folder)
