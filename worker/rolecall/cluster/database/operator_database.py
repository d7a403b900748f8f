"""The database over one connection, with its errors as one line: what commands of an operator and workers share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rolecall.app.errors import OperatorError
from rolecall.cluster.database import operator_sql
from rolecall.cluster.database.lease import DatabaseClock, database_clock
from rolecall.cluster.workspaces_file import WorkspaceEntry
from rolecall.engine.clock import Clock
from rolecall.store.postgres.connection import Connection, DatabaseConfig, database_errors
from rolecall.store.postgres.runs import add_workspace
from rolecall.store.postgres.schema_version import connect_current


class OperatorDatabase:
    """An open connection. All methods raise StoreError."""

    def __init__(self, connection: Connection, config: DatabaseConfig) -> None:
        self.connection = connection
        self.config = config

    async def fetch(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows, none where it returns no rows."""
        with database_errors(self.config):
            cursor = await self.connection.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def read_time(self) -> float:
        """Return the time of the database: seconds since the epoch."""
        ((now,),) = await self.fetch("SELECT extract(epoch FROM clock_timestamp())::double precision")
        return float(now)


async def read_clock(database: OperatorDatabase) -> Clock:
    """Return the clock of the database, from which the times of the rows are. Raises StoreError."""
    clock = DatabaseClock()
    clock.record(await database.read_time(), clock.now())
    return database_clock(clock)


@asynccontextmanager
async def open_operator_database(config: DatabaseConfig) -> AsyncIterator[OperatorDatabase]:
    """Connect to a database with the schema of this version. Raises StoreError and InvalidStoreError."""
    connection = await connect_current(config)
    try:
        yield OperatorDatabase(connection, config)
    finally:
        await connection.close()


async def register_workspace(database: OperatorDatabase, entry: WorkspaceEntry) -> None:
    """Make a workspace known to the database. Raises OperatorError where its name or its URL belongs to another."""
    for (name,) in await database.fetch(operator_sql.WORKSPACE_OF_URL, url=entry.url):
        if name != entry.name:
            raise OperatorError(f"{entry.place}: the database knows {entry.url} as the workspace {name!r}.")
    await add_workspace(database.connection, database.config, entry.name, entry.url)
    ((url,),) = await database.fetch(operator_sql.WORKSPACE_URL, name=entry.name)
    if url != entry.url:
        raise OperatorError(f"{entry.place}: the workspace {entry.name!r} of the database is {url}, not {entry.url}.")
