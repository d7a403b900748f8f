"""The own rate of calls: evenly spaced, without a burst above it."""

import math
import re
from typing import NamedTuple

from rolecall.models import RolecallError


class JitterTolerance(NamedTuple):
    """Tolerance for scheduling jitter from timers, commits and the network."""

    headroom: float
    """Share by which slots lie further apart than configured."""
    catch_up: float
    """Seconds of lateness that later slots make up for."""


EXACT = JitterTolerance(0.007, 0.003)
"""Catches up with less than the headroom of one second, so that no second has a call too many."""
COARSE_FROM = 50.0
"""Calls a second from which on a fiftieth more is a whole call."""
COARSE = JitterTolerance(0.002, 0.016)
"""Less of the rate is lost, and still no second has more than a fiftieth too many."""
IDLE_AFTER = 0.010
"""Seconds after which an unused slot is lost; a late timer is less late than that."""
MAX_LEAD = 0.100
"""Most seconds before its slot at which a call is prepared."""


class InvalidRateError(RolecallError, ValueError):
    """The text is not a rate; the message is one line for a person."""


def parse_rate(text: str) -> float | None:
    """Parse `10/s`, `600/m`, `3600/h` or `unlimited` to calls a second; None is unlimited. Raise InvalidRateError."""
    if text.strip().lower() == "unlimited":
        return None
    found = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*/\s*(s|m|h)\s*", text, re.IGNORECASE)
    rate = float(found[1]) / {"s": 1, "m": 60, "h": 3600}[found[2].lower()] if found else 0.0
    if rate <= 0:
        raise InvalidRateError(f"{text!r} is not a rate: write 10/s, 600/m, 3600/h or unlimited")
    return rate


class PacedRateLimiter:
    """Next-slot pacing: each call has its slot, one interval after the slot before; idle time is not saved up.

    A token bucket would admit twice the limit in its first window, and so break the limit of a fixed-window server.

    A call is admitted (`reserve`) a little before its slot, so that it can be prepared, and gets the next slot once it
    is prepared (`assign_slot`, else `cancel_reservation`). So calls leave evenly however long each preparation takes.
    """

    def __init__(self, per_second: float | None) -> None:
        tolerance = EXACT if per_second is not None and per_second < COARSE_FROM else COARSE
        self.per_second = math.inf if per_second is None else per_second
        """Calls a second as configured; infinite for unlimited."""
        self._own_interval = 0.0 if per_second is None else (1.0 + tolerance.headroom) / per_second
        self._interval = self._own_interval
        self._catch_up = tolerance.catch_up
        self._next = float("-inf")
        self._reserved = 0
        self._usual = self._deviation = 0.0

    @property
    def lead(self) -> float:
        """Seconds before its slot at which a call may be admitted: what its preparation takes, but for rare cases.

        The smoothed time and four of its deviations, as the retransmission timer of TCP (RFC 6298).
        """
        return min(self._usual + 4 * self._deviation, MAX_LEAD)

    def slow_down(self, per_second: float) -> None:
        """Leave at most so many calls a second from now on, and never more than configured."""
        self._interval = max(self._own_interval, 1.0 / per_second)

    def record_preparation(self, seconds: float) -> None:
        """Record how long the preparation of a call took."""
        if not self._usual:
            self._usual, self._deviation = seconds, seconds / 2
            return
        self._deviation += (abs(seconds - self._usual) - self._deviation) / 4
        self._usual += (seconds - self._usual) / 8

    def next_slot(self, now: float) -> float:
        """Return when the next call may leave, behind those that are being prepared."""
        if not self._reserved:
            return self._next
        return max(self._next, now - self._catch_up) + self._reserved * self._interval

    def reserve(self, now: float) -> None:
        """Record that a call is admitted; slots that passed unused are lost."""
        if not self._reserved and now - self._next > IDLE_AFTER:
            self._next = now
        self._reserved += 1

    def cancel_reservation(self) -> None:
        """Record that an admitted call will not leave."""
        self._reserved -= 1

    def assign_slot(self, now: float) -> float:
        """Return the slot of an admitted call that is prepared: it may leave then, or now where that has passed."""
        self._reserved -= 1
        slot = max(self._next, now - self._catch_up)
        self._next = slot + self._interval
        return slot
