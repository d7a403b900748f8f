"""A store of each implementation."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rolecall.store.base import RunStore
from tests.unit.store.contract.backends import BACKENDS, Backend


@pytest.fixture(params=BACKENDS)
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    """Return the place of a new run, for each implementation."""
    backend = BACKENDS[request.param](tmp_path)
    yield backend
    await backend.discard()


@pytest.fixture
async def store(backend: Backend) -> RunStore:
    """Return a new store."""
    return await backend.open()
