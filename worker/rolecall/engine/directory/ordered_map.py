"""Several questions at once, their answers in the order of the questions."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def ordered_map(
    items: AsyncIterable[T], work: Callable[[T], Awaitable[R]], *, at_once: int
) -> AsyncGenerator[R, None]:
    """Do the work for each item, at most so many at once; the first exception ends it all.

    Close it (`aclosing`) where it is not read to its end.
    """
    under_way: deque[asyncio.Task[R]] = deque()
    try:
        async for item in items:
            under_way.append(asyncio.create_task(_run(work, item)))
            if len(under_way) >= at_once:
                yield await _first(under_way)
        while under_way:
            yield await _first(under_way)
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _run(work: Callable[[T], Awaitable[R]], item: T) -> R:
    """Begin the work only when the task does: one that is cancelled before has nothing to clean up."""
    return await work(item)


async def _first(under_way: deque[asyncio.Task[R]]) -> R:
    answer = await under_way[0]
    under_way.popleft()
    return answer
