"""Values on their way from one task to another."""

import asyncio
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class ResultQueue(Generic[T]):
    """Passes values on in their order; it takes whatever it is given, so its giver sees to it that this is not much."""

    def __init__(self) -> None:
        self._values: list[T] = []
        self._news = asyncio.Event()
        self._closed = False

    def put(self, values: Iterable[T]) -> None:
        """Hand over some values."""
        self._values.extend(values)
        self._news.set()

    def close(self) -> None:
        """Note that no more will come."""
        self._closed = True
        self._news.set()

    async def take(self) -> list[T]:
        """Give all that has come since the last time, at least one; nothing once it is closed and empty."""
        while not (self._values or self._closed):
            self._news.clear()
            await self._news.wait()
        values, self._values = self._values, []
        return values
