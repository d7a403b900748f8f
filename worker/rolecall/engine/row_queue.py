"""The queue of rows to send: a bounded read-ahead, in job order, grouped by room where that saves calls."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self

from rolecall.engine.room_cache import RejectedRoom, RoomCache
from rolecall.models import DueRow
from rolecall.rocketchat.response_classifier import CallResult

READ_AHEAD = 512
"""Rows in memory from which on no more are read. One reading may add as many."""


class RowQueue:
    """The rows that must be sent; each is returned once in a session. An async context manager."""

    def __init__(self, source: AsyncGenerator[Sequence[DueRow], None], rooms: RoomCache | None) -> None:
        """Without `rooms` every row is sent, also to a room that rejects all requests."""
        self._source = source
        self._rooms = rooms
        self._ready: deque[DueRow] = deque()
        self._exhausted = False
        self._failure: BaseException | None = None
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._reading = asyncio.create_task(self._read_ahead(), name="row queue")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def next(self) -> DueRow | None:
        """Return the next row, or None when none is left. Raise what reading the rows raised."""
        while True:
            while self._ready:
                row = self._ready.popleft()
                if len(self._ready) < READ_AHEAD:
                    self._has_room.set()
                if self._rooms is None or self._rooms.admit(row):
                    return row
            if self._failure is not None:
                raise self._failure
            if self._exhausted and not (self._rooms is not None and self._rooms.parked):
                return None
            await self._changed.wait()

    @property
    def is_empty(self) -> bool:
        """True when every row has been returned."""
        return self._exhausted and not self._ready and not (self._rooms is not None and self._rooms.parked)

    def rejection(self, row: DueRow) -> RejectedRoom | None:
        """Return why a row need not be sent; None where it must be."""
        return None if self._rooms is None else self._rooms.rejection(row)

    def record_response(self, row: DueRow, result: CallResult) -> None:
        """Record the result of a row; the rows that waited for it are next."""
        if self._rooms is None:
            return
        released = self._rooms.record_response(row, result)
        if released:
            self._ready.extendleft(reversed(released))
        if released or (self._exhausted and not self._rooms.parked):
            self._notify()

    async def _read_ahead(self) -> None:
        try:
            async with aclosing(self._source) as source:
                async for rows in source:
                    self._ready.extend(rows)
                    self._notify()
                    while len(self._ready) >= READ_AHEAD:
                        self._has_room.clear()
                        await self._has_room.wait()
        except Exception as error:
            self._failure = error
        self._exhausted = True
        self._notify()

    def _notify(self) -> None:
        """Wake everything that waits for rows."""
        self._changed.set()
        self._changed = asyncio.Event()
