"""Groups of pairs, by room or by user, a page in memory; and work on many items at once, in their order or not."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence
from operator import attrgetter
from typing import TypeVar

from rolecall.store.base import RunStore
from rolecall.store.records import Pair

T = TypeVar("T")
R = TypeVar("R")

PAGE_SIZE = 1000
"""Pairs that are read from the store at once."""

ReadPage = Callable[[tuple[str, str], int], Awaitable[list[Pair]]]


def pairs_grouped_by_room(store: RunStore, wanted: Callable[[Pair], bool]) -> AsyncGenerator[Sequence[Pair], None]:
    """Return the wanted pairs of each room; what is written meanwhile is seen from the next page on."""
    return _groups(store.pairs_by_room, ("room_id", "user_id"), wanted)


def pairs_grouped_by_user(store: RunStore, wanted: Callable[[Pair], bool]) -> AsyncGenerator[Sequence[Pair], None]:
    """Return the wanted pairs of each user; what is written meanwhile is seen from the next page on."""
    return _groups(store.pairs_by_user, ("user_id", "room_id"), wanted)


async def _groups(
    read_page: ReadPage, order: tuple[str, str], wanted: Callable[[Pair], bool]
) -> AsyncGenerator[Sequence[Pair], None]:
    key, place = attrgetter(order[0]), attrgetter(*order)
    after, group = ("", ""), list[Pair]()
    while page := await read_page(after, PAGE_SIZE):
        for pair in page:
            if group and key(group[0]) != key(pair):
                yield group
                group = []
            if wanted(pair):
                group.append(pair)
        after = place(page[-1])
    if group:
        yield group


async def for_each_concurrently(
    items: AsyncGenerator[T, None], work: Callable[[T], Awaitable[None]], concurrency: int
) -> None:
    """Do the work for each item, at most `concurrency` at once; the first exception ends it."""
    reading = asyncio.Lock()

    async def worker() -> None:
        while True:
            async with reading:
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
            await work(item)

    workers = [asyncio.create_task(worker()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        await items.aclose()


async def ordered_map(
    items: AsyncIterable[T], work: Callable[[T], Awaitable[R]], *, at_once: int
) -> AsyncGenerator[R, None]:
    """Do the work for each item, at most `at_once` at a time; the first exception ends it all.

    Close it (`aclosing`) where it is not read to its end.
    """
    running: deque[asyncio.Task[R]] = deque()
    try:
        async for item in items:
            running.append(asyncio.create_task(_run(work, item)))
            if len(running) >= at_once:
                yield await _first(running)
        while running:
            yield await _first(running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _run(work: Callable[[T], Awaitable[R]], item: T) -> R:
    """Create the work only when the task starts: a task that is cancelled before has nothing to clean up."""
    return await work(item)


async def _first(running: deque[asyncio.Task[R]]) -> R:
    result = await running[0]
    running.popleft()
    return result
