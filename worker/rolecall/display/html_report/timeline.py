"""The working time of a run: its sessions without the time between them, with rate limit pauses and outages."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from rolecall.display.html_report.axis_scales import format_day, format_time_of_day
from rolecall.display.html_report.run_stats import MIN_BIN_WIDTH, RunStats, TimeBins

MAX_BUCKETS = 120
"""Buckets of the chart; they are not narrower than the bins of the rows."""
_DAY = 86_400_000
_STEPS = tuple(
    1_000 * seconds
    for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 604_800)
)
"""Steps between the ticks of a time axis, in milliseconds."""
MAX_WAIT = 10 * 365 * 86_400_000
"""Milliseconds; a longer pause or outage is ignored: a clock was set."""


class WaitStats:
    """The rate limit pauses and outages of a run. Times are milliseconds since the epoch; they come in their order."""

    def __init__(self) -> None:
        self.paused, self.outage = TimeBins(), TimeBins()
        self.pauses = self.outages = 0
        self.paused_ms = self.outage_ms = 0
        self._paused_until = 0
        self._outage_since: int | None = None

    def add_pause(self, start: int, end: int) -> None:
        """Count a rate limit pause. A pause that was extended is recorded again; the overlap counts once."""
        self.pauses += 1
        start = max(start, self._paused_until)
        if start < end < start + MAX_WAIT:
            self.paused.add_interval(start, end)
            self.paused_ms += end - start
            self._paused_until = end

    def add_outage(self, start: int, end: int | None) -> None:
        """Count an outage; without an end (the process was killed) it lasts until `close`."""
        self.outages += 1
        if end is None:
            self._outage_since = start
        elif start < end < start + MAX_WAIT:
            self.outage.add_interval(start, end)
            self.outage_ms += end - start

    def close(self, at: int | None) -> None:
        """End an outage whose end is not recorded."""
        since, self._outage_since = self._outage_since, None
        if at is not None and since is not None:
            self.outages -= 1
            self.add_outage(since, at)


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
