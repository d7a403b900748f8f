"""Works through a ledger's pairs room by room or user by user, several at once, a page in memory."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import TypeVar

from rolecall.store.base import Pair, RunStore

T = TypeVar("T")

PAGE_SIZE = 1000
"""Pairs that are read from the ledger at once."""


def pairs_grouped_by_room(ledger: RunStore, wanted: Callable[[Pair], bool]) -> Iterator[Sequence[Pair]]:
    """Give the wanted pairs of each room; what is written meanwhile is seen from the next page on."""
    return _groups(ledger.pairs_by_room, ("room_id", "user_id"), wanted)


def pairs_grouped_by_user(ledger: RunStore, wanted: Callable[[Pair], bool]) -> Iterator[Sequence[Pair]]:
    """Give the wanted pairs of each user; what is written meanwhile is seen from the next page on."""
    return _groups(ledger.pairs_by_user, ("user_id", "room_id"), wanted)


async def for_each_concurrently(items: Iterable[T], work: Callable[[T], Awaitable[None]], at_once: int) -> None:
    """Do the work for each item, at most so many at once; the first exception ends it all."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    workers = [asyncio.create_task(worker()) for _ in range(at_once)]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def _groups(
    read: Callable[[tuple[str, str], int], list[Pair]], order: tuple[str, str], wanted: Callable[[Pair], bool]
) -> Iterator[Sequence[Pair]]:
    pairs = filter(wanted, _paged(read, attrgetter(*order)))
    for _, group in groupby(pairs, attrgetter(order[0])):
        yield list(group)


def _paged(
    read: Callable[[tuple[str, str], int], list[Pair]], place: Callable[[Pair], tuple[str, str]]
) -> Iterator[Pair]:
    after = ("", "")
    while page := read(after, PAGE_SIZE):
        yield from page
        after = place(page[-1])
