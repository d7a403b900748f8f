"""Imports that fail or are cancelled: nothing of them stays, and the store can be used at once."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from rolecall.models import BadRow, DueRow, Outcome, Row
from rolecall.store.base import RunStore, StoreError
from rolecall.store.records import PresetOutcome
from tests.unit.store.contract.backends import Backend
from tests.unit.store.contract.jobs import all_results, due_lines, import_job, keys_by_line
from tests.unit.store.values import RUN, bad, outcomes, row, settled


async def contents(store: RunStore) -> tuple[object, ...]:
    """Return what an import changes."""
    due: list[tuple[int, DueRow]] = await store.fetch_due(0, 9, retry_failed=False)
    return await all_results(store), await store.get_meta(), due, await store.extra_columns()


async def test_a_failing_page_undoes_the_import(store: RunStore, backend: Backend) -> None:
    """An error while pages are read is raised and changes nothing, also after a crash; a new import works."""
    await import_job(store, [row(2, extra={"old": 1}), bad(3)])
    before = await contents(store)

    def broken() -> Iterator[Row | BadRow]:
        yield from (row(line, extra={"new": 2}) for line in range(7, 20))
        yield bad(8)
        raise ValueError("cut off")

    with pytest.raises(ValueError, match="cut off"):
        await import_job(store, broken(), RUN._replace(job_digest="other"), meta={"x": "y"})
    assert await contents(store) == before
    crashed = await backend.crash()
    assert await contents(crashed) == before
    await import_job(crashed, [row(5)])
    assert await due_lines(crashed) == [5]


@pytest.mark.parametrize("fault", ["preset", "meta"])
async def test_a_failure_at_the_end_undoes_the_import(store: RunStore, fault: str) -> None:
    """Preset outcomes that cannot be read, and facts that are no text, undo the whole import."""
    await import_job(store, [row(2)])
    before = await contents(store)

    def broken() -> Iterator[PresetOutcome]:
        yield PresetOutcome("R", "u7", Outcome.REMOVED, "", "", 1)
        raise ValueError("cut off")

    preset, meta = (broken(), {}) if fault == "preset" else ((), {"x": None})
    with pytest.raises((ValueError, StoreError)):
        await import_job(store, [row(7)], RUN._replace(job_digest="other"), preset, meta)  # type: ignore[arg-type] # the fault
    assert await contents(store) == before
    await store.set_meta(works="yes")


@pytest.mark.parametrize("pages_before", [0, 1, 5])
async def test_a_cancelled_import_is_undone(store: RunStore, pages_before: int) -> None:
    """A cancellation while the import waits for its next page changes nothing, and the store can be used at once."""
    await import_job(store, [row(2)])
    before = await contents(store)
    waiting = asyncio.Event()

    async def endless() -> AsyncIterator[Sequence[Row | BadRow]]:
        for number in range(pages_before):
            yield [row(100 + number)]
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(store.import_rows(RUN._replace(job_digest="other"), endless()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await contents(store) == before
    await import_job(store, [row(5)])
    assert await due_lines(store) == [5]


@pytest.mark.parametrize("turns", range(12))
async def test_a_cancellation_at_any_moment_leaves_a_usable_store(store: RunStore, turns: int) -> None:
    """Wherever an import is cancelled, also twice: the old job or the new one is there, and calls work afterwards."""
    await import_job(store, [row(2)])
    task = asyncio.create_task(import_job(store, [row(line) for line in range(10, 20)]))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await due_lines(store) in ([2], list(range(10, 20)))
    (key, *_) = (await keys_by_line(store)).values()
    await store.commit(outcomes(settled(key)))
    await import_job(store, [row(5)])
    assert await due_lines(store) == [5]
