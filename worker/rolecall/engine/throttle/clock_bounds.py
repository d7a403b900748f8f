"""What responses show of the server's clock: bounds of its offset, and how exactly its resets are given."""

from typing import NamedTuple

DRIFT = 200e-6
"""Seconds by which two clocks may drift apart in a second; a bound widens by this until a response renews it."""


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

    def distance(self, other: "ClockOffsetBounds") -> float:
        """Return the seconds between the two ranges; 0 where they overlap."""
        return max(0.0, self.low - other.high, other.low - self.high)


class ResetPrecision:
    """Finds out whether the server cuts its resets down to whole seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """Seconds by which a reset may be cut down: 0 or 1."""
        self._has_fractions = False
        self._last_whole: float | None = None

    def record(self, reset_at: float) -> bool:
        """Record a reset; return True where it shows that resets are cut: two windows ended at a whole second."""
        if reset_at % 1:
            self._has_fractions, self.seconds = True, 0.0
            return False
        is_second = self._last_whole is not None and self._last_whole != reset_at
        self._last_whole = reset_at
        return is_second and self.expect_whole_seconds()

    def expect_whole_seconds(self) -> bool:
        """Assume that resets are cut, unless one had a fraction; return True where that is new."""
        if self._has_fractions or self.seconds:
            return False
        self.seconds = 1.0
        return True
