"""A room that cannot be worked in is asked once: its first row scouts, the others wait for what it is told.

Memory stays flat: rooms that are known are forgotten again, the longest known first; to ask one twice is harmless.
"""

from collections import OrderedDict
from typing import NamedTuple, TypeVar

from worker.model import Pending
from worker.workspace.answers import Verdict
from worker.workspace.meanings import Scope
from worker.workspace.operations import DONE, NOTHING_TO_DO

T = TypeVar("T")

MOST_PARKED = 1000
"""Rows that may wait for scouts; more than that go themselves."""
WORKED = DONE | NOTHING_TO_DO
"""Outcomes that show that a room can be worked in."""
MOST_KNOWN = 10_000
"""Rooms of each kind that are remembered."""


class Closed(NamedTuple):
    """Why a room cannot be worked in, and which row was told so."""

    verdict: Verdict
    line: int


class Rooms:
    """What the answers of this session said about rooms."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, None] = OrderedDict()
        self._closed: OrderedDict[str, Closed] = OrderedDict()
        self._scouted: dict[str, list[Pending]] = {}
        self.parked = 0

    def admit(self, row: Pending) -> bool:
        """Let a row go on, or park it (False) until its room's scout has been answered."""
        room = row.room_id
        if room in self._open or room in self._closed or self.parked >= MOST_PARKED:
            return True
        waiting = self._scouted.get(room)
        if waiting is None:
            self._scouted[room] = []
            return True
        waiting.append(row)
        self.parked += 1
        return False

    def closed(self, row: Pending) -> Closed | None:
        """Tell why a row need not be asked; a row in doubt is asked all the same, to settle its doubt."""
        return None if row.doubtful else self._closed.get(row.room_id)

    def answered(self, row: Pending, verdict: Verdict) -> list[Pending]:
        """Learn from an answer; give the rows that need not wait any more."""
        if verdict.meaning.scope is Scope.ROOM:
            _remember(self._closed, row.room_id, Closed(verdict, row.line))
        else:
            if verdict.meaning.outcome in WORKED:
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
    if len(known) > MOST_KNOWN:
        known.popitem(last=False)
