"""A connection to the simulated database, as psycopg's: one statement at a time, each with its way there and back."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import psycopg

if TYPE_CHECKING:
    from tests.simulation.cluster.database import Database
    from tests.simulation.cluster.process import WorkerProcess

CANCEL_TIMEOUT = 5.0
"""Seconds in which psycopg waits for the end of a statement that was cancelled."""


class Notification(NamedTuple):
    """What a channel brings."""

    channel: str
    payload: str


class Cursor:
    """The rows of a statement."""

    description = True

    def __init__(self, connection: "SimulatedConnection", rows: Sequence[Any] = ()) -> None:
        self._connection = connection
        self._rows = list(rows)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def execute(self, query: str, values: Mapping[str, Any] | None = None) -> None:
        """Run a statement. Raises psycopg.Error."""
        self._rows = await self._connection.exchange(query, values or {})

    async def fetchone(self) -> Any:
        """Return the first row."""
        return self._rows[0] if self._rows else None

    async def fetchall(self) -> list[Any]:
        """Return all rows."""
        return self._rows


class SimulatedConnection:
    """One connection. All methods raise psycopg.OperationalError once it is broken."""

    def __init__(self, database: "Database", process: "WorkerProcess", number: int) -> None:
        self.process = process
        self.number = number
        self.closed = False
        self.is_cut = False
        """What is on its way to the database does not arrive."""
        self.stalled_until = 0.0
        """Until when nothing arrives at the worker."""
        self.channels: set[str] = set()
        self.undo: list[Callable[[], object]] | None = None
        """What undoes the statements of the transaction that is open, the first one first; None outside of one."""
        self.info = SimpleNamespace(backend_pid=number)
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._statements = asyncio.Lock()
        self._reply: asyncio.Future[list[Any]] | None = None
        self._inbox: deque[Notification] = deque()
        self._wake: asyncio.Future[None] | None = None

    async def execute(self, query: bytes | str, values: Any = None) -> Cursor:
        """Run a statement."""
        text = query.decode() if isinstance(query, bytes) else query
        return Cursor(self, await self.exchange(text, {} if values is None else values))

    def cursor(self, row_factory: object) -> Cursor:
        """Return a cursor."""
        return Cursor(self)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Run the statements of the block: all of them have an effect, or none."""
        await self.exchange("BEGIN", {})
        try:
            yield
        except BaseException:
            if not self.closed:
                await self.rollback()
            raise
        await self.exchange("COMMIT", {})

    async def rollback(self) -> None:
        """Undo the statements of the transaction that is open, if there is one."""
        await self.exchange("ROLLBACK", {})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close it; what was sent is carried out."""
        self.lose("the connection is closed")
        self._database.drop(self)

    async def exchange(self, query: str, values: Any) -> list[Any]:
        """Send a statement and return its rows; once sent it may be carried out, even if its caller is cancelled."""
        async with self._statements:
            if self.closed:
                raise psycopg.OperationalError("the connection is closed")
            reply = self._reply = self._loop.create_future()
            self._database.send(self, query, values, reply)
            try:
                return await asyncio.shield(reply)
            except asyncio.CancelledError:
                if not reply.done():
                    await asyncio.wait([reply], timeout=CANCEL_TIMEOUT)
                if reply.done() and not reply.cancelled():
                    reply.exception()
                raise

    def lose(self, why: str) -> None:
        """Break it: the worker notices at once."""
        if self.closed:
            return
        self.closed = True
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(psycopg.OperationalError(why))
            self._reply.exception()
        self._wake_listener()

    def notify(self, notification: Notification) -> None:
        """Deliver a notification."""
        self._inbox.append(notification)
        self._wake_listener()

    def _wake_listener(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def notifies(self, timeout: float) -> AsyncIterator[Notification]:  # noqa: ASYNC109 - as psycopg has it
        """Return the notifications as they arrive, until nothing more arrives for so long."""
        end = self._loop.time() + timeout
        while True:
            while self._inbox:
                yield self._inbox.popleft()
            if self.closed:
                raise psycopg.OperationalError("the connection is closed")
            wake = self._wake = self._loop.create_future()
            timer = self._loop.call_at(end, _set, wake)
            try:
                await wake
            finally:
                timer.cancel()
            if self._loop.time() >= end and not self._inbox:
                return


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
