"""When the run worked, and when it had to wait: its sessions put end to end, with holds and outages from its log."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from rolecall.display.html_report.formatting import format_day, format_hour
from rolecall.display.html_report.run_stats import RunStats
from rolecall.display.html_report.time_bins import NARROWEST, TimeBins
from rolecall.models import Json

MOST_CELLS = 120
"""Cells of the picture, at most twice as fine as the rows' own bins allow."""
_ENDS = frozenset({"outage ended", "run ended", "run stopped", "run started", "run resumed"})
WAITING = frozenset({"rate limit pause", "outage began"}) | _ENDS
"""The events of the log that tell of holds and outages."""
_DAY = 86_400_000
_STEPS = tuple(
    1_000 * seconds
    for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 604_800)
)
"""Between the times on an axis, in milliseconds."""
LONGEST_WAIT = 10 * 365 * 86_400_000
"""Milliseconds; a log that says more is not believed."""


class WaitStats:
    """The holds and outages that a log tells of; what it tells badly is passed over."""

    def __init__(self) -> None:
        self.held, self.away = TimeBins(), TimeBins()
        self.holds = self.outages = 0
        self.held_ms = self.away_ms = 0
        self._held_until = 0
        self._away_since: int | None = None

    def add(self, event: Mapping[str, Json]) -> None:
        """Take one event of the log, in its order."""
        at = _milliseconds(event.get("timestamp"))
        name = event.get("event")
        if at is None or not isinstance(name, str):
            return
        if name == "rate limit pause":
            self._hold(at, event.get("seconds"))
        elif name == "outage began" and self._away_since is None:
            self._away_since = at
            self.outages += 1
        elif name in _ENDS and self._away_since is not None:
            self._spread_outage(at)

    def _hold(self, at: int, seconds: Json) -> None:
        if not isinstance(seconds, int | float) or not 0 < seconds * 1_000 < LONGEST_WAIT:
            return
        begin, end = max(at, self._held_until), at + round(seconds * 1_000)
        self.holds += 1
        if end > begin:  # a hold that is prolonged is told again, and counts once
            self.held.spread(begin, end)
            self.held_ms += end - begin
            self._held_until = end

    def _spread_outage(self, at: int) -> None:
        since, self._away_since = self._away_since, None
        if since is not None and since < at < since + LONGEST_WAIT:
            self.away.spread(since, at)
            self.away_ms += at - since

    def close(self, at: int | None) -> None:
        """End an outage that the log leaves open."""
        if at is not None and self._away_since is not None:
            self._spread_outage(at)


class TimelineBucket(NamedTuple):
    """A stretch of the run's working time."""

    rows: float
    """Rows settled, a second."""
    not_well: float
    held: float
    """The share of the time that all calls waited for the server's limit, from 0 to 1."""
    away: float


class Axis:
    """The run's working time: its sessions without the pauses between them, in milliseconds from 0."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        """Take the begin and end of each session, in order, in milliseconds since the epoch."""
        self.spans = [(begin, max(begin + 1, end)) for begin, end in spans] or [(0, 1)]
        self._begins = [begin for begin, _ in self.spans]
        self.offsets = [0]
        for begin, end in self.spans:
            self.offsets.append(self.offsets[-1] + end - begin)
        self.length = self.offsets[-1]

    def place(self, time: float) -> float:
        """Give the place of a time; in a pause it is the end of the session before."""
        number = max(0, bisect_right(self._begins, time) - 1)
        begin, end = self.spans[number]
        return self.offsets[number] + min(max(0.0, time - begin), end - begin)

    def time(self, place: float) -> int:
        """Give the time at a place."""
        number = min(len(self.spans) - 1, max(0, bisect_right(self.offsets, place) - 1))
        return round(self.spans[number][0] + place - self.offsets[number])

    def marks(self, most: int) -> list[tuple[float, str]]:
        """Give about `most` places at most with the round time of day at each; a new day is named with its first."""
        size = next(step for step in _STEPS if self._count(step) <= most or step == _STEPS[-1])
        found, before = list[tuple[float, str]](), self.spans[0][0] // _DAY
        for (begin, end), offset in zip(self.spans, self.offsets, strict=False):
            for at in range(-(-begin // size) * size, end + 1, size):
                place = float(offset + at - begin)
                if found and place - found[-1][0] < 0.75 * self.length / most:
                    continue
                text = format_hour(at, seconds=size < 60_000)
                found.append((place, text if at // _DAY == before else f"{format_day(at)} {text}"))
                before = at // _DAY
        return found

    def _count(self, step: int) -> int:
        return sum(end // step - (begin - 1) // step for begin, end in self.spans)


class Timeline(NamedTuple):
    """The run's working time in cells of one width."""

    axis: Axis
    width: float
    """Milliseconds."""
    cells: Sequence[TimelineBucket]


def timeline(spans: Sequence[tuple[int, int]], tally: RunStats, waits: WaitStats, most: int = MOST_CELLS) -> Timeline:
    """Put rows, holds and outages on one axis of at most `most` cells."""
    axis = Axis(spans)
    width = max(NARROWEST, tally.answered.width, tally.refused.width)
    while axis.length / width > most:
        width *= 2
    count = max(1, -int(-axis.length // width))
    rows, not_well, held, away = (
        _amounts(bins, axis, width, count) for bins in (tally.answered, tally.refused, waits.held, waits.away)
    )
    seconds = width / 1_000
    cells = [
        TimelineBucket(rows[n] / seconds, not_well[n] / seconds, min(1.0, held[n] / width), min(1.0, away[n] / width))
        for n in range(count)
    ]
    return Timeline(axis, width, cells)


def _amounts(bins: TimeBins, axis: Axis, width: float, count: int) -> list[float]:
    """Share the bins out over the cells; a bin wider than a cell is spread evenly."""
    amounts = [0.0] * count
    parts = max(1, round(bins.width / width))
    for number, amount in bins.at.items():
        for part in range(parts):
            place = axis.place(bins.width * (number + (part + 0.5) / parts))
            amounts[min(count - 1, int(place // width))] += amount / parts
    return amounts


def _milliseconds(timestamp: Json) -> int | None:
    try:
        return round(datetime.fromisoformat(timestamp).timestamp() * 1_000)
    except (TypeError, ValueError, OverflowError):
        return None
