"""A room that cannot be worked in is asked once: its first row scouts, the others wait for what it is told.

Memory stays flat: rooms that are known are forgotten again, the longest known first; to ask one twice is harmless.
"""

from collections import OrderedDict
from typing import NamedTuple, TypeVar

from rolecall.models import DueRow
from rolecall.rocketchat.error_table import ErrorScope
from rolecall.rocketchat.operations import DONE, NOTHING_TO_DO
from rolecall.rocketchat.response_classifier import CallResult

T = TypeVar("T")

MAX_PARKED = 1000
"""Rows that may wait for scouts; more than that go themselves."""
USABLE_ROOM = DONE | NOTHING_TO_DO
"""Outcomes that show that a room can be worked in."""
MAX_ROOMS = 10_000
"""Rooms of each kind that are remembered."""


class RejectedRoom(NamedTuple):
    """Why a room cannot be worked in, and which row was told so."""

    verdict: CallResult
    line: int


class RoomCache:
    """What the answers of this session said about rooms."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, None] = OrderedDict()
        self._closed: OrderedDict[str, RejectedRoom] = OrderedDict()
        self._scouted: dict[str, list[DueRow]] = {}
        self.parked = 0

    def admit(self, row: DueRow) -> bool:
        """Let a row go on, or park it (False) until its room's scout has been answered."""
        room = row.room_id
        if room in self._open or room in self._closed or self.parked >= MAX_PARKED:
            return True
        waiting = self._scouted.get(room)
        if waiting is None:
            self._scouted[room] = []
            return True
        waiting.append(row)
        self.parked += 1
        return False

    def closed(self, row: DueRow) -> RejectedRoom | None:
        """Tell why a row need not be asked; a row in doubt is asked all the same, to settle its doubt."""
        return None if row.in_doubt else self._closed.get(row.room_id)

    def answered(self, row: DueRow, verdict: CallResult) -> list[DueRow]:
        """Learn from an answer; give the rows that need not wait any more."""
        if verdict.rule.scope is ErrorScope.ROOM:
            _remember(self._closed, row.room_id, RejectedRoom(verdict, row.line))
        else:
            if verdict.rule.outcome in USABLE_ROOM:
                self._closed.pop(row.room_id, None)
            if row.room_id not in self._open:
                _remember(self._open, row.room_id, None)
        released = self._scouted.pop(row.room_id, None)
        if not released:
            return []
        self.parked -= len(released)
        return released


def _remember(known: OrderedDict[str, T], room: str, what: T) -> None:
    known[room] = what
    known.move_to_end(room)
    if len(known) > MAX_ROOMS:
        known.popitem(last=False)
