"""Databases of workers: a real one, and the simulated one."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rolecall.cluster.database.lease import DatabaseClock
from rolecall.cluster.database.worker_database import WorkerDatabase, open_database
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
