"""Work that runs to its end, also where its caller is cancelled."""

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def complete(work: asyncio.Future[T]) -> T:
    """Return the result of work that has begun; a cancellation is raised only after the work has ended."""
    cancellation: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancellation = error
    failure = work.exception()
    if cancellation is not None:
        raise cancellation
    if failure is not None:
        raise failure
    return work.result()
