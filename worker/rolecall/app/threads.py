"""Blocking context managers in asynchronous code."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


@asynccontextmanager
async def on_thread(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and exit a context manager that blocks (files, locks) on a thread."""
    value = await asyncio.to_thread(manager.__enter__)
    try:
        yield value
    except BaseException as error:
        if not await asyncio.shield(asyncio.to_thread(manager.__exit__, type(error), error, error.__traceback__)):
            raise
    else:
        await asyncio.shield(asyncio.to_thread(manager.__exit__, None, None, None))
