"""Reads the pairs of a store grouped by room or by user, a page in memory, and processes groups concurrently."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from operator import attrgetter
from typing import TypeVar

from rolecall.store.base import Pair, RunStore

T = TypeVar("T")

PAGE_SIZE = 1000
"""Pairs that are read from the store at once."""

ReadPage = Callable[[tuple[str, str], int], Awaitable[list[Pair]]]


def pairs_grouped_by_room(store: RunStore, wanted: Callable[[Pair], bool]) -> AsyncGenerator[Sequence[Pair], None]:
    """Return the wanted pairs of each room; what is written meanwhile is seen from the next page on."""
    return _groups(store.pairs_by_room, ("room_id", "user_id"), wanted)


def pairs_grouped_by_user(store: RunStore, wanted: Callable[[Pair], bool]) -> AsyncGenerator[Sequence[Pair], None]:
    """Return the wanted pairs of each user; what is written meanwhile is seen from the next page on."""
    return _groups(store.pairs_by_user, ("user_id", "room_id"), wanted)


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
