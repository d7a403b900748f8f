"""The database of the simulation of several workers, without a simulation: no time passes in it, and nothing watches.

The real stores and the real client of the job queue run over it, so that tests of the real database run with it too.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from random import Random
from typing import Any, cast

from rolecall.cluster.runs.settings import ENGINE, settings_to_json
from rolecall.engine.settings import Settings
from rolecall.models import BadRow, Row
from rolecall.store.postgres.connection import DatabaseConfig, connect
from rolecall.store.postgres.store import PostgresStore
from rolecall.store.records import Identity, PresetOutcome
from tests.simulation.cluster.database import Database
from tests.simulation.cluster.process import WorkerProcess
from tests.simulation.cluster.statements import execute_of
from tests.simulation.cluster.tables import RUN_ID, Shard, Tables, make_run
from tests.simulation.cluster.watch import ClusterWatch
from tests.simulation.loop import Timeline
from tests.simulation.network import URL
from tests.simulation.scenario import Scenario
from tests.support.cluster import PLAIN
from tests.support.memory_contents import Contents, JobImport


class NoWatch(ClusterWatch):
    """A watch without rules: tests may do what no worker does."""

    def __init__(self) -> None:
        super().__init__(cast(Scenario, None), lambda *_: None)

    def at_lost(self, *_: object) -> None:
        """Do nothing."""

    def at_commit(self, *_: object) -> None:
        """Do nothing."""

    def at_take(self, *_: object) -> None:
        """Do nothing."""

    def at_finish(self, *_: object) -> None:
        """Do nothing."""

    def at_job_end(self, *_: object) -> None:
        """Do nothing."""

    def at_stalled(self, *_: object) -> None:
        """Do nothing."""


class Client:
    """Who has a connection."""

    is_dead = False

    def __init__(self) -> None:
        self.numbers: set[int] = set()


class SimulatedDatabase:
    """A SharedDatabase: one run of one shard without rows, until a job is imported or a run with rows created."""

    def __init__(self, *, latency: float = 0.0, commit_time: float = 0.0) -> None:
        """Use the running event loop. `latency`, `commit_time`: seconds, on average."""
        loop = asyncio.get_running_loop()
        timing = {"skew": 0.0, "latency": latency, "commit_time": commit_time}
        tables = Tables("", {}, {1: Shard(1, Contents())})
        self.database = Database(tables, execute_of, NoWatch(), Timeline(loop), loop, Random(0), **timing)
        self.config = DatabaseConfig("", "the simulated database", "", open=self._connect)
        self._client = cast(WorkerProcess, Client())

    @property
    def tables(self) -> Tables:
        """Return what is on its disk."""
        return self.database.tables

    async def _connect(self, _: str) -> Any:
        return await self.database.connect(self._client)

    async def open_store(self) -> PostgresStore:
        """Return a store of the whole run over a new connection."""
        return SimulatedStore(await connect(self.config), self.config, self.tables)

    def break_connection(self, connection: Any) -> None:
        """End a connection: its client is gone."""
        connection.lose("the connection was reset")
        self.database.drop(connection)

    # As a SharedDatabase

    async def create_run(
        self, pairs: Iterable[tuple[str, str]], settings: Settings = PLAIN, *, shard_rows: int = 50, **more: object
    ) -> int:
        """Replace the run by one of these pairs, which is released; return its id."""
        rows = [Row(line, room, user, {}) for line, (room, user) in enumerate(pairs, start=2)]
        values = {ENGINE: settings_to_json(settings), **more}
        self.database.tables = make_run(rows, Identity(URL, "remove", "digest"), values, shard_rows)
        return RUN_ID

    async def shards(self) -> list[int]:
        """Return the ids of all shards."""
        return list(self.tables.shards)

    async def jobs(self) -> list[tuple[object, ...]]:
        """Return lock and state of all jobs that have not ended, in their order."""
        return [(job.lock, job.status) for job in self.tables.jobs.values() if job.status in ("todo", "doing")]

    async def delete_jobs_except(self, lock: str) -> None:
        """Delete all jobs but those with a lock."""
        self.tables.jobs = {number: job for number, job in self.tables.jobs.items() if job.lock == lock}

    async def resume(self) -> None:
        """Resume all runs."""
        self.tables.resume(self.database.now())

    async def age_heartbeats(self, seconds: float) -> None:
        """Make the last heartbeat of each worker older."""
        tables = self.tables
        tables.queue_workers = {number: seen_at - seconds for number, seen_at in tables.queue_workers.items()}
        tables.workers = {name: seen_at - seconds for name, seen_at in tables.workers.items()}

    async def age_answers(self, seconds: float) -> None:
        """Make the last answer of each workspace older."""
        self.tables.answered_at -= seconds

    async def shift_slots(self, seconds: float) -> None:
        """Make the next slot of each rate later."""
        self.tables.pace = {kind: slot + seconds for kind, slot in self.tables.pace.items()}

    async def wait_for_listener(self, channels: Collection[str]) -> None:
        """Return once a connection listens."""
        while not self.database.channels >= set(channels):  # noqa: ASYNC110 - another task opens the connection
            await asyncio.sleep(0)


class SimulatedStore(PostgresStore):
    """A store of the run. The simulated database has no statements of an import: it is filled by its own means."""

    def __init__(self, connection: Any, config: DatabaseConfig, tables: Tables) -> None:
        super().__init__(connection, config, RUN_ID)
        self._tables = tables

    async def _import(
        self,
        identity: Identity,
        pages: AsyncIterator[Sequence[Row | BadRow]],
        preset: Iterable[PresetOutcome],
        meta: Mapping[str, str],
    ) -> None:
        tables, old_names = self._tables, self._tables.names
        job = JobImport(tables.contents(None))
        tables.names = {key: found for key, found in old_names.items() if found.id}
        is_complete = False

        async def complete_import() -> None:
            nonlocal is_complete
            await self.connection.execute(b"SELECT 1")
            tables.shards[1].contents, tables.unsent = contents, contents.unsent
            tables.meta.update(contents.meta)
            is_complete = True

        try:
            async for page in pages:
                await self._serial.work(self.connection.execute, b"SELECT 1")
                for row in page:
                    job.add(row)
            contents = job.finish(identity, preset, meta)
            await self._serial.work(complete_import)
        finally:
            if not is_complete:
                tables.names = old_names
