"""Import a job into a store, and read in short what the store has."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from itertools import islice
from types import MappingProxyType

from rolecall.models import BadRow, Outcome, Result, Row
from rolecall.store.base import RunStore
from rolecall.store.records import Identity, PresetOutcome
from tests.unit.store.values import RUN, row

EVERY = 10_000
"""More rows than any test has."""


async def in_pages(rows: Iterable[Row | BadRow], size: int = 3) -> AsyncIterator[Sequence[Row | BadRow]]:
    """Return the rows in pages of `size`; other tasks run before each page."""
    left = iter(rows)
    while page := list(islice(left, size)):
        await asyncio.sleep(0)
        yield page


async def import_job(
    store: RunStore,
    rows: Iterable[Row | BadRow],
    identity: Identity = RUN,
    preset: Iterable[PresetOutcome] = (),
    meta: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Import the rows page by page."""
    await store.import_rows(identity, in_pages(rows), preset, meta)


async def import_lines(store: RunStore, *lines: int) -> list[int]:
    """Import one row for each line and return their keys in this order."""
    await import_job(store, [row(line) for line in lines])
    keys = await keys_by_line(store)
    return [keys[line] for line in lines]


async def keys_by_line(store: RunStore) -> dict[int, int]:
    """Return the keys of the rows that are due, by line."""
    return {due.line: due.key for _, due in await store.fetch_due(0, EVERY, retry_failed=True)}


async def due_lines(store: RunStore, *, retry_failed: bool = False) -> list[int]:
    """Return the lines that are due, in their order."""
    return [due.line for _, due in await store.fetch_due(0, EVERY, retry_failed=retry_failed)]


async def all_results(store: RunStore) -> list[Result]:
    """Return the results of all pages."""
    return [result async for page in store.results() for result in page]


async def reported(store: RunStore) -> list[tuple[int | None, Outcome, str]]:
    """Return line, outcome and reason of each result."""
    return [(result.line, result.outcome, result.reason) for result in await all_results(store)]
