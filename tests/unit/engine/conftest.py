"""The asyncio tests of this folder run in virtual time."""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping

import pytest

from tests.unit.engine.virtual import VirtualLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """Give each asyncio test a loop whose time jumps."""
    return {"virtual": VirtualLoop}
