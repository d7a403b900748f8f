"""The working time of a run: its sessions without the time between them, with rate limit pauses and outages."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from rolecall.display.html_report.formatting import format_day, format_time_of_day
from rolecall.display.html_report.run_stats import MIN_BIN_WIDTH, RunStats, TimeBins
from rolecall.models import Json

MAX_BUCKETS = 120
"""Buckets of the chart; they are not narrower than the bins of the rows."""
_PAUSED, _OUTAGE_BEGAN = "rate limit pause", "outage began"
_OUTAGE_ENDS = frozenset({"outage ended", "run ended", "run stopped", "run started", "run resumed"})
WAIT_EVENTS = frozenset({_PAUSED, _OUTAGE_BEGAN}) | _OUTAGE_ENDS
"""The log events that rate limit pauses and outages are read from."""
_DAY = 86_400_000
_STEPS = tuple(
    1_000 * seconds
    for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 604_800)
)
"""Steps between the ticks of a time axis, in milliseconds."""
MAX_WAIT = 10 * 365 * 86_400_000
"""Milliseconds; a longer pause or outage in a log is ignored as invalid."""


class WaitStats:
    """Rate limit pauses and outages, read from the log of a run; invalid events are ignored."""

    def __init__(self) -> None:
        self.paused, self.outage = TimeBins(), TimeBins()
        self.pauses = self.outages = 0
        self.paused_ms = self.outage_ms = 0
        self._paused_until = 0
        self._outage_since: int | None = None

    def add(self, event: Mapping[str, Json]) -> None:
        """Count one event; events come in the order of the log."""
        at = _parse_timestamp(event.get("timestamp"))
        name = event.get("event")
        if at is None or not isinstance(name, str):
            return
        if name == _PAUSED:
            self._add_pause(at, event.get("seconds"))
        elif name == _OUTAGE_BEGAN and self._outage_since is None:
            self._outage_since = at
            self.outages += 1
        elif name in _OUTAGE_ENDS and self._outage_since is not None:
            self._add_outage(at)

    def _add_pause(self, at: int, seconds: Json) -> None:
        if not isinstance(seconds, int | float) or not 0 < seconds * 1_000 < MAX_WAIT:
            return
        begin, end = max(at, self._paused_until), at + round(seconds * 1_000)
        self.pauses += 1
        if end > begin:  # a pause that is prolonged is logged again; the overlap counts once
            self.paused.add_interval(begin, end)
            self.paused_ms += end - begin
            self._paused_until = end

    def _add_outage(self, at: int) -> None:
        since, self._outage_since = self._outage_since, None
        if since is not None and since < at < since + MAX_WAIT:
            self.outage.add_interval(since, at)
            self.outage_ms += at - since

    def close(self, at: int | None) -> None:
        """End an outage whose end is not in the log."""
        if at is not None and self._outage_since is not None:
            self._add_outage(at)


class TimelineBucket(NamedTuple):
    """A part of the run's working time."""

    rows: float
    """Rows finished per second."""
    not_done: float
    """Those of them that need attention, per second."""
    paused: float
    """The share of the time in which all calls waited for the server's rate limit, from 0 to 1."""
    outage: float
    """The share of the time in which the workspace did not answer, from 0 to 1."""


class TimeAxis:
    """The run's working time: its sessions one after the other, in milliseconds from 0."""

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        """`spans` has the begin and end of each session, in order, in milliseconds since the epoch."""
        self.spans = [(begin, max(begin + 1, end)) for begin, end in spans] or [(0, 1)]
        self._begins = [begin for begin, _ in self.spans]
        self.offsets = [0]
        for begin, end in self.spans:
            self.offsets.append(self.offsets[-1] + end - begin)
        self.length = self.offsets[-1]

    def position(self, time: float) -> float:
        """Return the position of a time; between two sessions it is the end of the first."""
        number = max(0, bisect_right(self._begins, time) - 1)
        begin, end = self.spans[number]
        return self.offsets[number] + min(max(0.0, time - begin), end - begin)

    def time(self, position: float) -> int:
        """Return the time at a position."""
        number = min(len(self.spans) - 1, max(0, bisect_right(self.offsets, position) - 1))
        return round(self.spans[number][0] + position - self.offsets[number])

    def ticks(self, max_ticks: int) -> list[tuple[float, str]]:
        """Return about `max_ticks` positions with round times of day; the first of a new day has its date."""
        step = next(step for step in _STEPS if self._count(step) <= max_ticks or step == _STEPS[-1])
        ticks, day = list[tuple[float, str]](), self.spans[0][0] // _DAY
        for (begin, end), offset in zip(self.spans, self.offsets, strict=False):
            for at in range(-(-begin // step) * step, end + 1, step):
                position = float(offset + at - begin)
                if ticks and position - ticks[-1][0] < 0.75 * self.length / max_ticks:
                    continue
                text = format_time_of_day(at, seconds=step < 60_000)
                ticks.append((position, text if at // _DAY == day else f"{format_day(at)} {text}"))
                day = at // _DAY
        return ticks

    def _count(self, step: int) -> int:
        return sum(end // step - (begin - 1) // step for begin, end in self.spans)


class Timeline(NamedTuple):
    """The run's working time in buckets of equal width."""

    axis: TimeAxis
    width: float
    """Milliseconds."""
    buckets: Sequence[TimelineBucket]


def build_timeline(
    spans: Sequence[tuple[int, int]], stats: RunStats, waits: WaitStats, max_buckets: int = MAX_BUCKETS
) -> Timeline:
    """Sort rows, pauses and outages into buckets on one axis."""
    axis = TimeAxis(spans)
    width = max(MIN_BIN_WIDTH, stats.finished.width, stats.not_done.width)
    while axis.length / width > max_buckets:
        width *= 2
    count = max(1, -int(-axis.length // width))
    rows, not_done, paused, outage = (
        _amounts(bins, axis, width, count) for bins in (stats.finished, stats.not_done, waits.paused, waits.outage)
    )
    seconds = width / 1_000
    buckets = [
        TimelineBucket(
            rows[n] / seconds, not_done[n] / seconds, min(1.0, paused[n] / width), min(1.0, outage[n] / width)
        )
        for n in range(count)
    ]
    return Timeline(axis, width, buckets)


def _amounts(bins: TimeBins, axis: TimeAxis, width: float, count: int) -> list[float]:
    """Return the amount in each bucket; a bin that is wider than a bucket is spread evenly."""
    amounts = [0.0] * count
    parts = max(1, round(bins.width / width))
    for number, amount in bins.at.items():
        for part in range(parts):
            position = axis.position(bins.width * (number + (part + 0.5) / parts))
            amounts[min(count - 1, int(position // width))] += amount / parts
    return amounts


def _parse_timestamp(timestamp: Json) -> int | None:
    """Parse an ISO 8601 time into milliseconds since the epoch; None if it is invalid."""
    try:
        return round(datetime.fromisoformat(timestamp).timestamp() * 1_000)
    except (TypeError, ValueError, OverflowError):
        return None
