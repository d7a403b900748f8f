"""The store in memory that other tests use: its hooks for slow, failing and crashing commits."""

import asyncio

import pytest

from rolecall.models import Outcome
from rolecall.store.base import StoreError
from rolecall.store.records import Batch
from tests.support.memory_store import MemoryStore
from tests.unit.store.contract.jobs import import_lines, reported
from tests.unit.store.values import outcomes, settled


async def test_a_crash_keeps_what_was_committed() -> None:
    """The next process finds the committed rows; the crashed store refuses every call."""
    store = MemoryStore()
    (key,) = await import_lines(store, 2)
    await store.commit(outcomes(settled(key)))
    again = store.crash()
    assert await reported(again) == [(2, Outcome.REMOVED, "")]
    with pytest.raises(StoreError):
        await store.counts()
    await store.close()
    assert await reported(again) == [(2, Outcome.REMOVED, "")]


@pytest.mark.parametrize("is_durable", [False, True])
async def test_a_crash_in_a_commit(is_durable: bool) -> None:
    """Before a batch is durable a crash loses it; afterwards it is kept, though the commit never returned."""
    store = MemoryStore()
    (key,) = await import_lines(store, 2)
    survivors: list[MemoryStore] = []

    async def crash(batch: Batch) -> None:
        survivors.append(store.crash())

    setattr(store, "after_commit" if is_durable else "before_commit", crash)
    with pytest.raises(StoreError):
        await store.commit(outcomes(settled(key)))
    outcome = Outcome.REMOVED if is_durable else Outcome.NOT_ATTEMPTED
    assert await reported(survivors[0]) == [(2, outcome, "")]


async def test_a_commit_can_fail() -> None:
    """A hook that raises StoreError fails the commit, which changes nothing; the next one works."""
    store = MemoryStore()
    (key,) = await import_lines(store, 2)

    async def fail(batch: Batch) -> None:
        raise StoreError("disk full")

    store.before_commit = fail
    with pytest.raises(StoreError, match="disk full"):
        await store.commit(outcomes(settled(key)))
    assert await reported(store) == [(2, Outcome.NOT_ATTEMPTED, "")]
    store.before_commit = None
    await store.commit(outcomes(settled(key)))
    assert await reported(store) == [(2, Outcome.REMOVED, "")]


async def test_a_commit_can_take_time() -> None:
    """While a hook waits, the commit and every call after it wait."""
    store = MemoryStore()
    (key,) = await import_lines(store, 2)
    gate = asyncio.Event()

    async def wait(batch: Batch) -> None:
        await gate.wait()

    store.before_commit = wait
    committing = asyncio.create_task(store.commit(outcomes(settled(key))))
    reading = asyncio.create_task(reported(store))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not committing.done()
    assert not reading.done()
    gate.set()
    await committing
    assert await reading == [(2, Outcome.REMOVED, "")]
