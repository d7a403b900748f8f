"""The database connections of run stores: one for each shard that is processed, kept for the next one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rolecall.store.postgres.connection import Connection, DatabaseConfig, connect


class StoreConnections:
    """Connections that are free, and new ones where none is."""

    def __init__(self, config: DatabaseConfig) -> None:
        self._config = config
        self._free: list[Connection] = []

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """Return a connection for the block; after an error it is closed. Raises StoreError."""
        connection = self._free.pop() if self._free else await connect(self._config)
        try:
            yield connection
        except BaseException:
            await connection.close()
            raise
        self._free.append(connection)

    async def close(self) -> None:
        """Close those that are free."""
        while self._free:
            await self._free.pop().close()
