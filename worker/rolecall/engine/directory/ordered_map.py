"""A concurrent map whose results come in the order of the items."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


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
