"""The asyncio tests of this folder run in virtual time."""

from tests.unit.engine.conftest import pytest_asyncio_loop_factories as pytest_asyncio_loop_factories
