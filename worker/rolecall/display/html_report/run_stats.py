"""What the page tells of all rows together, gathered while they pass by; memory does not grow with them."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from rolecall.display.html_report.time_bins import TimeBins
from rolecall.models import OUTCOMES, Outcome, Result

MOST_ROOMS = 10_000
"""Rooms with rows that did not go well; of any further ones the rows are counted together."""
EXACT = 1_000
"""Milliseconds up to which durations are kept as they are; longer ones keep three digits."""


class Room(NamedTuple):
    """Rows of one room that did not go well."""

    room_id: str
    rows: int
    reasons: Sequence[tuple[str, int]]
    """The most frequent first."""


class RunStats:
    """Counts results by outcome and reason, by time, by duration and by room."""

    def __init__(self) -> None:
        self.reasons: Counter[tuple[Outcome, str]] = Counter()
        self.answered = TimeBins()
        """Rows that a call has settled, by the time at which it did."""
        self.refused = TimeBins()
        """Those of them that did not go well."""
        self.durations: Counter[int] = Counter()
        self.attempts = 0
        self.first: int | None = None
        self.last: int | None = None
        self.other_rooms = 0
        """Rows that did not go well in rooms beyond the first `MOST_ROOMS`."""
        self._rooms: dict[str, Counter[str]] = {}

    def add(self, result: Result) -> None:
        """Take one row."""
        outcome = result.outcome
        self.reasons[outcome, result.reason] += 1
        self.attempts += result.attempts
        not_well = OUTCOMES[outcome].needs_attention
        if not_well and outcome is not Outcome.NOT_ATTEMPTED:
            self._add_to_room(result)
        if result.duration_ms is not None and result.finished_at is not None:
            self._add_call(result.finished_at, result.duration_ms, not_well=not_well)

    def _add_call(self, finished_at: int, duration: int, *, not_well: bool) -> None:
        self.answered.add(finished_at)
        if not_well:
            self.refused.add(finished_at)
        self.durations[rounded(duration)] += 1
        if self.first is None or finished_at - duration < self.first:
            self.first = finished_at - duration
        if self.last is None or finished_at > self.last:
            self.last = finished_at

    def _add_to_room(self, result: Result) -> None:
        room = self._rooms.get(result.room_id)
        if room is None:
            if len(self._rooms) >= MOST_ROOMS:
                self.other_rooms += 1
                return
            room = self._rooms[result.room_id] = Counter()
        room[result.reason] += 1

    @property
    def outcomes(self) -> Counter[Outcome]:
        """Rows by outcome."""
        outcomes: Counter[Outcome] = Counter()
        for (outcome, _), rows in self.reasons.items():
            outcomes[outcome] += rows
        return outcomes

    @property
    def rooms(self) -> int:
        """Rooms with rows that did not go well, as far as they were counted."""
        return len(self._rooms)

    def worst_rooms(self, count: int) -> list[Room]:
        """Give the rooms with the most rows that did not go well; equal ones in the order of the job."""
        found = [Room(room_id, reasons.total(), reasons.most_common()) for room_id, reasons in self._rooms.items()]
        return sorted(found, key=lambda room: -room.rows)[:count]


def needs_no_attention(result: Result) -> bool:
    """Tell whether there is nothing to say of a row but that it is done."""
    return not OUTCOMES[result.outcome].needs_attention and (not result.reason or result.outcome is Outcome.DUPLICATE)


def rounded(duration: int) -> int:
    """Keep three digits of a duration, so that few different ones are counted."""
    unit = 1
    while duration // unit >= EXACT:
        unit *= 10
    return duration // unit * unit


def quantile(durations: Counter[int], share: float) -> int | None:
    """Give the duration that this share of the calls stayed within; None without calls."""
    wanted = share * durations.total()
    seen = 0
    for duration in sorted(durations):
        seen += durations[duration]
        if seen >= wanted:
            return duration
    return None
