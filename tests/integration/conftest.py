"""Databases of workers, a real one and the simulated one; and a real one with the contents of a test module."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rolecall.cluster.database.lease import DatabaseClock
from rolecall.cluster.database.operator_database import OperatorDatabase, open_operator_database
from rolecall.cluster.database.worker_database import WorkerDatabase, open_database
from rolecall.store.postgres.connection import DatabaseConfig
from tests.support.postgres import Database, shared_server
from tests.support.shared_database import SIMULATED, SharedDatabase, new_database


@pytest.fixture(params=["wheel", SIMULATED])
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> SharedDatabase:
    """Return a new database of each kind."""
    return new_database(request.param, tmp_path)


@pytest.fixture
async def two(shared: SharedDatabase) -> AsyncIterator[tuple[WorkerDatabase, WorkerDatabase]]:
    """Return the connections of two workers."""
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(open_database(shared.config, DatabaseClock())) for _ in range(2)]
        yield one, other


@pytest.fixture
def contents() -> str:
    """Return the statements that fill the database; a test module has its own."""
    return ""


@pytest.fixture
def server(contents: str) -> Database:
    """Return a database with the tables and these contents."""
    database = shared_server().initialised_database()
    if contents:
        database.execute(contents)
    return database


@pytest.fixture
async def database(server: Database) -> AsyncIterator[OperatorDatabase]:
    """Return the connection of an operator to it."""
    async with open_operator_database(DatabaseConfig.parse(server.url)) as opened:
        yield opened
