"""The queue of rows to send: a bounded read-ahead, in job order, and a cache of the rooms that reject every request.

The first row of an unknown room is sent alone; the room's other rows wait for its result. Memory stays bounded: the
oldest room is forgotten first, and sending a row to a forgotten room is harmless.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from rolecall.models import DueRow
from rolecall.rocketchat.error_table import ErrorScope
from rolecall.rocketchat.operations import DONE, NOTHING_TO_DO
from rolecall.rocketchat.response_classifier import CallResult

T = TypeVar("T")

READ_AHEAD = 512
"""Rows in memory from which on no more are read. One reading may add as many."""
MAX_PARKED = 1000
"""Rows that may wait for the first row of their room; further rows are sent at once."""
USABLE_ROOM = DONE | NOTHING_TO_DO
"""Outcomes that show that a room accepts requests."""
MAX_ROOMS = 10_000
"""Rooms of each kind (accepting, rejecting) that are remembered."""


class RejectedRoom(NamedTuple):
    """Why a room rejects every request, and which row got that response."""

    result: CallResult
    line: int


class RoomCache:
    """What the responses of this session showed about rooms."""

    def __init__(self) -> None:
        self._accepting: OrderedDict[str, None] = OrderedDict()
        self._rejected: OrderedDict[str, RejectedRoom] = OrderedDict()
        self._waiting: dict[str, list[DueRow]] = {}
        self.parked = 0
        """Rows that wait for the first row of their room."""

    def admit(self, row: DueRow) -> bool:
        """Return True for a row that may be sent; False parks it until the first row of its room has a result."""
        room = row.room_id
        if room in self._accepting or room in self._rejected or self.parked >= MAX_PARKED:
            return True
        waiting = self._waiting.get(room)
        if waiting is None:
            self._waiting[room] = []
            return True
        waiting.append(row)
        self.parked += 1
        return False

    def rejection(self, row: DueRow) -> RejectedRoom | None:
        """Return why a row need not be sent; None where it must be. A row in doubt is always sent, to settle it."""
        return None if row.in_doubt else self._rejected.get(row.room_id)

    def record_response(self, row: DueRow, result: CallResult) -> list[DueRow]:
        """Learn from the result of a row; return the parked rows that need not wait any more."""
        if result.rule.scope is ErrorScope.ROOM:
            _remember(self._rejected, row.room_id, RejectedRoom(result, row.line))
        else:
            if self._rejected and result.rule.outcome in USABLE_ROOM:
                self._rejected.pop(row.room_id, None)
            if row.room_id not in self._accepting:
                _remember(self._accepting, row.room_id, None)
        released = self._waiting.pop(row.room_id, None)
        if not released:
            return []
        self.parked -= len(released)
        return released


def _remember(known: OrderedDict[str, T], room: str, value: T) -> None:
    known[room] = value
    known.move_to_end(room)
    if len(known) > MAX_ROOMS:
        known.popitem(last=False)


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
