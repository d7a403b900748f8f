"""A connection whose users wait for each other, and whose work is not broken off by a cancellation."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from rolecall.store.base import StoreError
from rolecall.store.completion import complete
from rolecall.store.postgres.connection import Connection, DatabaseConfig, database_errors

T = TypeVar("T")


class SerialConnection:
    """A connection of one run store. Raises StoreError where the database fails, and after the close."""

    def __init__(self, connection: Connection, config: DatabaseConfig) -> None:
        self.connection = connection
        self.config = config
        self.is_reserved = False
        """True within `reserve`."""
        self._calls = asyncio.Lock()
        """Locked during each call, and while the connection is reserved."""
        self._statements = asyncio.Lock()
        """Locked while the connection works."""
        self._closing: asyncio.Task[None] | None = None

    async def call(self, method: Callable[..., Awaitable[T]], *args: object) -> T:
        """Call a method that uses the connection, after the calls that came before."""
        self.require_open()
        async with self._calls:
            self.require_open()
            return await self.work(method, *args)

    @asynccontextmanager
    async def reserve(self) -> AsyncIterator[None]:
        """Let other calls wait until the end of this context, which itself uses `work`."""
        self.require_open()
        async with self._calls:
            self.require_open()
            self.is_reserved = True
            try:
                yield
            finally:
                self.is_reserved = False

    async def work(self, method: Callable[..., Awaitable[T]], *args: object) -> T:
        """Call a method that uses the connection; once begun it runs to its end, even if its caller is cancelled."""

        async def run() -> T:
            async with self._statements:
                if self.connection.closed:
                    self.require_open()
                with database_errors(self.config):
                    return await method(*args)

        return await complete(asyncio.ensure_future(run()))

    def require_open(self) -> None:
        """Raise StoreError after the close has begun."""
        if self._closing is not None:
            raise StoreError(f"The run store in the database {self.config.place} is closed.")

    async def close(self) -> None:
        """Close the connection after the calls that have begun, or after the statement of who has reserved it.

        Idempotent. A cancellation is raised once the connection is closed.
        """
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await complete(self._closing)

    async def _close(self) -> None:
        async with self._statements if self.is_reserved else self._calls:
            await self.connection.close()
