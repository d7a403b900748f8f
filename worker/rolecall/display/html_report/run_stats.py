"""Statistics of all rows, collected in one pass; memory does not grow with the number of rows."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from rolecall.models import OUTCOMES, Evidence, Outcome, Result

MIN_BIN_WIDTH = 60_000 / 512
"""Milliseconds; doubled nine times it is a minute, the usual window of a server's rate limit."""
MAX_BINS = 1_024
"""Bins that are kept. Only bins with an amount count, so a pause between two sessions costs nothing."""
MAX_BINS_PER_INTERVAL = 64
"""Bins that one interval is spread over; for a longer one the bins are widened first."""
MAX_ROOMS = 10_000
"""Rooms that are counted one by one; the rows of further rooms are counted together."""
PLAIN_REASONS = frozenset({"", "not_needed"})
"""Reasons that need no explanation for each row."""
_INFERRED = Evidence.INFERRED.value
"""A name of its own: looking up the member of an enumeration takes longer than all the rest of a row's check."""
MAX_EXACT_MS = 1_000
"""Durations below this are counted exactly; longer ones keep three digits."""


class TimeBins:
    """Amounts over time in bounded memory: bins double their width when there are too many of them.

    Times are in milliseconds since the epoch; `at[n]` is the amount from `n * width` up to `(n + 1) * width`.
    """

    def __init__(self, width: float = MIN_BIN_WIDTH, max_bins: int = MAX_BINS) -> None:
        self.width = width
        self.at: Counter[int] = Counter()
        self._max_bins = max_bins

    def add(self, time: int, amount: int = 1) -> None:
        """Add an amount at one moment."""
        number = int(time // self.width)
        if number in self.at:
            self.at[number] += amount
        else:
            self.at[number] = amount
            self._limit()

    def add_interval(self, begin: int, end: int) -> None:
        """Add the milliseconds of an interval, each to the bin that it is in."""
        while (end - begin) / self.width > MAX_BINS_PER_INTERVAL:
            self.widen()
        at = begin
        while at < end:
            number = int(at // self.width)
            until = min(end, max(at + 1, int((number + 1) * self.width)))
            self.at[number] += until - at
            at = until
        self._limit()

    def widen(self) -> None:
        """Double the width of every bin."""
        self.width *= 2
        merged: Counter[int] = Counter()
        for number, amount in self.at.items():
            merged[number // 2] += amount
        self.at = merged

    def _limit(self) -> None:
        while len(self.at) > self._max_bins:
            self.widen()


class RoomProblems(NamedTuple):
    """Rows of one room that were sent or read and not done."""

    room_id: str
    rows: int
    reasons: Sequence[tuple[str, int]]
    """Each reason with its rows, the most frequent first."""
    room_name: str = ""
    """Empty if it is not known."""


class RunStats:
    """Counts of results by outcome and reason, by time, by duration and by room."""

    def __init__(self) -> None:
        self.reasons: Counter[tuple[Outcome, str]] = Counter()
        self.evidence: Counter[str] = Counter()
        self.finished = TimeBins()
        """Rows that were finished by a call, by the time of its response."""
        self.not_done = TimeBins()
        """Those of them that need attention."""
        self.durations: Counter[int] = Counter()
        """Deciding calls by their duration in milliseconds, see `round_duration`."""
        self.first: int | None = None
        """When the first call was sent, in milliseconds since the epoch."""
        self.last: int | None = None
        """When the last call was answered, in milliseconds since the epoch."""
        self.other_room_rows = 0
        """Rows that were not done in rooms beyond the first `MAX_ROOMS`."""
        self._rooms: dict[tuple[str, str], Counter[str]] = {}
        """By the id of the room; by its name where it has no id."""
        self._room_names: dict[str, str] = {}

    def add(self, result: Result, *, has_room: bool = True) -> None:
        """Count one row; without a room it is of a person only."""
        self.reasons[result.outcome, result.reason] += 1
        if result.evidence:
            self.evidence[result.evidence] += 1
        not_done = OUTCOMES[result.outcome].needs_attention
        if has_room and not_done and result.outcome is not Outcome.NOT_ATTEMPTED:
            self._add_to_room(result)
        if result.duration_ms is not None and result.finished_at is not None:
            self._add_call(result.finished_at, result.duration_ms, not_done=not_done)

    def _add_call(self, finished_at: int, duration: int, *, not_done: bool) -> None:
        self.finished.add(finished_at)
        if not_done:
            self.not_done.add(finished_at)
        self.durations[round_duration(duration)] += 1
        started_at = finished_at - duration
        if self.first is None or started_at < self.first:
            self.first = started_at
        if self.last is None or finished_at > self.last:
            self.last = finished_at

    def _add_to_room(self, result: Result) -> None:
        key = (result.room_id, "" if result.room_id else result.room_name)
        room = self._rooms.get(key)
        if room is None:
            if len(self._rooms) >= MAX_ROOMS:
                self.other_room_rows += 1
                return
            room = self._rooms[key] = Counter()
        room[result.reason] += 1
        if result.room_id and result.room_name:
            self._room_names[result.room_id] = result.room_name

    @property
    def outcomes(self) -> Counter[Outcome]:
        """Rows by outcome."""
        outcomes: Counter[Outcome] = Counter()
        for (outcome, _), rows in self.reasons.items():
            outcomes[outcome] += rows
        return outcomes

    @property
    def rooms(self) -> int:
        """Rooms with rows that were not done, at most `MAX_ROOMS`."""
        return len(self._rooms)

    def worst_rooms(self, count: int) -> list[RoomProblems]:
        """Return the rooms with the most rows that were not done; equal ones in the order of the job."""
        rooms = [
            RoomProblems(room_id, reasons.total(), reasons.most_common(), name or self._room_names.get(room_id, ""))
            for (room_id, name), reasons in self._rooms.items()
        ]
        return sorted(rooms, key=lambda room: -room.rows)[:count]


def needs_no_attention(result: Result) -> bool:
    """Return whether a row is done and there is nothing to report about it."""
    if OUTCOMES[result.outcome].needs_attention or result.evidence == _INFERRED:
        return False
    return result.reason in PLAIN_REASONS or result.outcome is Outcome.DUPLICATE


def round_duration(duration: int) -> int:
    """Round a duration down to three digits, so that few different ones are counted."""
    if duration < MAX_EXACT_MS:
        return duration
    unit = 10
    while duration // unit >= MAX_EXACT_MS:
        unit *= 10
    return duration // unit * unit


def quantile(durations: Counter[int], share: float) -> int | None:
    """Return the duration that this share of the calls did not exceed; None without calls."""
    needed = share * durations.total()
    seen = 0
    for duration in sorted(durations):
        seen += durations[duration]
        if seen >= needed:
            return duration
    return None
