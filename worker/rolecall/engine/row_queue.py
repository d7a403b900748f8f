"""The queue of due rows: a bounded read-ahead of the run store, in job order, room by room where that saves calls."""

import asyncio
from collections import deque

from rolecall.engine.room_cache import RejectedRoom, RoomCache
from rolecall.models import DueRow
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.store.batch_writer import BatchWriter

CHUNK = 512
"""Rows that are read at once; in memory are at most these and the parked rows."""


class RowQueue:
    """The rows that are due; each is returned once in a session."""

    def __init__(self, journal: BatchWriter, rooms: RoomCache | None, *, retry_failed: bool) -> None:
        """Without `rooms` every row is sent, also to a room that rejects all requests."""
        self._journal = journal
        self._rooms = rooms
        self._retry_failed = retry_failed
        self._ready: deque[DueRow] = deque()
        self._place = 0
        self._exhausted = False
        self._reading = asyncio.Lock()
        self._released = asyncio.Event()

    async def next(self) -> DueRow | None:
        """Return the next row, or None when none is left. Raise StoreError."""
        while True:
            while self._ready:
                row = self._ready.popleft()
                if self._rooms is None or self._rooms.admit(row):
                    return row
            if not self._exhausted:
                await self._read_ahead()
            elif self._rooms is not None and self._rooms.parked:
                self._released.clear()
                await self._released.wait()
            else:
                return None

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
            self._released.set()

    async def _read_ahead(self) -> None:
        async with self._reading:
            if self._ready or self._exhausted:
                return
            found = await self._journal.fetch_due(self._place, CHUNK, retry_failed=self._retry_failed)
            if found:
                self._place = found[-1][0]
                self._ready.extend(row for _, row in found)
            else:
                self._exhausted = True
