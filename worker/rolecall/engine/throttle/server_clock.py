"""How far the server's clock is ahead of ours, as exactly as its answers tell.

A `Date` header is cut down to the second, so one answer places the server's clock only within a second. Two things
make it exact: the bounds of many answers are intersected; and an answer that opened a window tells its start,
`reset - length`, to the millisecond, once the window's length is known. That is guessed to be a whole number of
seconds (the default is 60, and administrators give round numbers), which a second's width always decides; the guess
is dropped for good when a later answer contradicts it.
"""

import math
from typing import NamedTuple

DRIFT = 200e-6
"""Seconds by which two clocks may drift apart in a second; a bound widens by this while no answer renews it."""
TOLERANCE = 0.050
"""Seconds by which a guessed window may miss the bounds of the `Date` headers before the guess is dropped."""


class ClockOffsetBounds(NamedTuple):
    """Where the server's clock lies, less ours, in seconds: as known at a moment of our clock."""

    low: float
    high: float
    at: float

    def aged(self, now: float) -> "ClockOffsetBounds":
        """Widen the bounds by what the clocks may have drifted apart since."""
        drift = max(0.0, now - self.at) * DRIFT
        return ClockOffsetBounds(self.low - drift, self.high + drift, now)

    def narrowed(self, by: "ClockOffsetBounds") -> "ClockOffsetBounds":
        """Intersect with a newer bound; one that contradicts means that a clock was set, and replaces this one."""
        old = self.aged(by.at)
        low, high = max(old.low, by.low), min(old.high, by.high)
        return ClockOffsetBounds(low, high, by.at) if low <= high else by


class ServerClock:
    """The server's clock, learnt from the answers of one run. All times in seconds; epoch seconds for the server."""

    def __init__(self) -> None:
        self._dates: ClockOffsetBounds | None = None
        self._starts: ClockOffsetBounds | None = None
        self._length: int | None = None
        self._guessing = True
        self._proved = False

    @property
    def window_length(self) -> int | None:
        """Seconds of the server's window as far as it could be told; a guess, good enough to show."""
        return self._length

    @property
    def guess_is_open(self) -> bool:
        """True while the window's length is a guess that no second window has borne out."""
        return self._starts is not None and not self._proved

    def saw_date(self, date: float, sent_at: float, received_at: float) -> None:
        """Learn from a `Date` header: the server's clock stood within a second after `date` between the two moments."""
        seen = ClockOffsetBounds(date - received_at, date + 1.0 - sent_at, received_at)
        self._dates = seen if self._dates is None else self._dates.narrowed(seen)

    def saw_window_open(self, reset_at: float, sent_at: float, received_at: float) -> None:
        """Learn from the answer to the call that opened a window which ends at `reset_at`."""
        if not self._guessing or self._dates is None:
            return
        dates = self._dates.aged(received_at)
        if self._length is None:
            self._length = _only_whole_number(reset_at - received_at - dates.high, reset_at - sent_at - dates.low)
            if self._length is None:
                return
        start = reset_at - self._length
        seen = ClockOffsetBounds(start - received_at, start - sent_at, received_at)
        if seen.high < dates.low - TOLERANCE or seen.low > dates.high + TOLERANCE:
            self.distrust_windows()
        else:
            self._proved = self._starts is not None
            self._starts = seen if self._starts is None else self._starts.narrowed(seen)

    def distrust_windows(self) -> None:
        """Drop the guess of the window's length for good: from now on only `Date` headers count."""
        self._guessing = False
        self._starts = None

    def ours(self, server_time: float, now: float) -> float | None:
        """Tell when, on our clock, the server's clock surely stands at `server_time`; None before any answer."""
        known = self._starts or self._dates
        return None if known is None else server_time - known.aged(now).low


def _only_whole_number(low: float, high: float) -> int | None:
    """Give the one whole number of seconds in (low, high], or None where there is none or more than one."""
    highest = math.floor(high)
    return highest if highest >= 1 and low < highest and highest - 1 <= low else None
