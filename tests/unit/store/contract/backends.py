"""The implementations of RunStore that the contract is tested with."""

import shutil
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Protocol

from rolecall.store.base import RunStore
from rolecall.store.postgres.connection import DatabaseConfig, connect
from rolecall.store.postgres.runs import NewRun, create_run
from rolecall.store.postgres.store import PostgresStore
from rolecall.store.sqlite.store import FILE_NAME, SqliteStore
from tests.support.memory_store import MemoryStore
from tests.support.postgres import Database, all_binaries, shared_server
from tests.support.simulated_database import SimulatedDatabase


class Backend(Protocol):
    """The place where one run is stored."""

    async def open(self) -> RunStore:
        """Open the store as a new process does, after the earlier one has closed it."""

    async def crash(self) -> RunStore:
        """Open the store as it is after a power cut: the earlier process could not close it."""

    async def discard(self) -> None:
        """Close everything that was opened."""


class SqliteBackend:
    """A run store in a real SQLite file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._crashes = 0
        self._opened: list[SqliteStore] = []

    async def open(self) -> RunStore:
        """Open the file."""
        self._opened.append(await SqliteStore.open(self._directory / FILE_NAME))
        return self._opened[-1]

    async def crash(self) -> RunStore:
        """Open a copy of the files while the earlier process still has them open."""
        self._crashes += 1
        copies = self._directory / f"crash-{self._crashes}"
        copies.mkdir()
        for name in (FILE_NAME, f"{FILE_NAME}-wal"):
            shutil.copy(self._directory / name, copies / name)
        await self.discard()
        self._directory = copies
        return await self.open()

    async def discard(self) -> None:
        """Close all connections."""
        for store in self._opened:
            await store.close()
        self._opened.clear()


class MemoryBackend:
    """A run store in memory."""

    def __init__(self, _: Path) -> None:
        self._store: MemoryStore | None = None

    async def open(self) -> RunStore:
        """Open the contents of the earlier store."""
        self._store = self._store.crash() if self._store else MemoryStore()
        return self._store

    async def crash(self) -> RunStore:
        """Open what was committed."""
        return await self.open()

    async def discard(self) -> None:
        """Close the store."""
        if self._store:
            await self._store.close()


@cache
def contract_database(server: str) -> Database:
    """Return a database for the runs of all tests of this process."""
    database = shared_server(server).initialised_database()
    database.execute("INSERT INTO workspace (name, url) VALUES ('main', 'https://chat.example.org')")
    return database


class PostgresBackend:
    """One run in a database that has the runs of other tests too."""

    def __init__(self, server: str, _: Path) -> None:
        self._config = DatabaseConfig.parse(contract_database(server).url)
        self._opened: list[PostgresStore] = []
        self._run_id = 0

    async def open(self) -> RunStore:
        """Open the run over a new connection."""
        connection = await connect(self._config)
        if not self._run_id:
            self._run_id = await create_run(connection, self._config, NewRun("main", 1))
        self._opened.append(PostgresStore(connection, self._config, self._run_id, shard_rows=2))
        return self._opened[-1]

    async def crash(self) -> RunStore:
        """Open the run while the earlier connection ends without a word."""
        for store in self._opened:
            store.connection.pgconn.finish()
        return await self.open()

    async def discard(self) -> None:
        """Close all connections."""
        for store in self._opened:
            await store.close()
        self._opened.clear()


class SimulatedBackend:
    """The run of the simulated database, over which the simulation of several workers has the store of a real one."""

    def __init__(self, _: Path) -> None:
        self._database: SimulatedDatabase | None = None
        self._opened: list[PostgresStore] = []

    async def open(self) -> RunStore:
        """Open the run over a new connection."""
        self._database = self._database or SimulatedDatabase()
        self._opened.append(await self._database.open_store())
        return self._opened[-1]

    async def crash(self) -> RunStore:
        """Open the run while the earlier connections end without a word."""
        assert self._database is not None
        for store in self._opened:
            self._database.break_connection(store.connection)
        return await self.open()

    async def discard(self) -> None:
        """Close all connections."""
        for store in self._opened:
            await store.close()
        self._opened.clear()


BACKENDS: Mapping[str, Callable[[Path], Backend]] = {
    "sqlite": SqliteBackend,
    "memory": MemoryBackend,
    "simulated": SimulatedBackend,
    **{f"postgres-{server}": partial(PostgresBackend, server) for server in all_binaries()},
}
"""Every implementation, by its name in the ids of the tests. All tests of this folder run with each of them."""
