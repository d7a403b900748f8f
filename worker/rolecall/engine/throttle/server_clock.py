"""The offset of the server's clock, as exactly as its responses show it.

A `Date` header is cut down to the second, so one response places the server's clock only within a second. Two things
make it exact: the bounds of many responses are intersected; and a response that opened a window shows the window's
start, `reset - length`, to the millisecond, once the length is known. The length is guessed to be a whole number of
seconds (the default is 60, and administrators use round numbers), which bounds of one second always decide. The guess
is dropped for good when a later response contradicts it.
"""

import math
from typing import NamedTuple

DRIFT = 200e-6
"""Seconds by which two clocks may drift apart in a second; a bound widens by this until a response renews it."""
TOLERANCE = 0.050
"""Seconds by which a guessed window may miss the bounds of the `Date` headers before the guess is dropped."""


class ClockOffsetBounds(NamedTuple):
    """Bounds of the server's clock minus ours, in seconds, as known at a moment of our clock."""

    low: float
    high: float
    at: float

    def widened(self, now: float) -> "ClockOffsetBounds":
        """Return the bounds widened by the possible drift since they were known."""
        drift = max(0.0, now - self.at) * DRIFT
        return ClockOffsetBounds(self.low - drift, self.high + drift, now)

    def narrowed(self, by: "ClockOffsetBounds") -> "ClockOffsetBounds":
        """Return the intersection with newer bounds; newer ones that contradict mean that a clock was set, and win."""
        old = self.widened(by.at)
        low, high = max(old.low, by.low), min(old.high, by.high)
        return ClockOffsetBounds(low, high, by.at) if low <= high else by


class ServerClock:
    """The server's clock, learnt from responses. All times in seconds; epoch seconds for the server."""

    def __init__(self) -> None:
        self._dates: ClockOffsetBounds | None = None
        self._starts: ClockOffsetBounds | None = None
        self._length: int | None = None
        self._guessing = True
        self._confirmed = False

    @property
    def window_length(self) -> int | None:
        """Seconds of the server's window, None while not known; a guess, good enough to show."""
        return self._length

    @property
    def is_guess_unconfirmed(self) -> bool:
        """True while the window's length is a guess that no second window has confirmed."""
        return self._starts is not None and not self._confirmed

    def record_date(self, date: float, sent_at: float, received_at: float) -> None:
        """Learn from a `Date` header: between the two moments the server's clock was within a second after `date`."""
        seen = ClockOffsetBounds(date - received_at, date + 1.0 - sent_at, received_at)
        self._dates = seen if self._dates is None else self._dates.narrowed(seen)

    def record_window_start(self, reset_at: float, sent_at: float, received_at: float) -> None:
        """Learn from the response to the call that opened a window which ends at `reset_at`."""
        if not self._guessing or self._dates is None:
            return
        dates = self._dates.widened(received_at)
        if self._length is None:
            self._length = _only_whole_number(reset_at - received_at - dates.high, reset_at - sent_at - dates.low)
            if self._length is None:
                return
        start = reset_at - self._length
        seen = ClockOffsetBounds(start - received_at, start - sent_at, received_at)
        if seen.high < dates.low - TOLERANCE or seen.low > dates.high + TOLERANCE:
            self.drop_guess()
        else:
            self._confirmed = self._starts is not None
            self._starts = seen if self._starts is None else self._starts.narrowed(seen)

    def drop_guess(self) -> None:
        """Drop the guess of the window's length for good: from now on only `Date` headers count."""
        self._guessing = False
        self._starts = None

    def to_local(self, server_time: float, now: float) -> float | None:
        """Return the moment of our clock by which the server's has surely reached `server_time`; None if unknown."""
        known = self._starts or self._dates
        return None if known is None else server_time - known.widened(now).low


def _only_whole_number(low: float, high: float) -> int | None:
    """Return the one whole number of seconds in (low, high], or None where there is none or more than one."""
    highest = math.floor(high)
    return highest if highest >= 1 and low < highest and highest - 1 <= low else None
