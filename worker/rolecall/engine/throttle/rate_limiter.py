"""The run's own rate: calls spread evenly, without a burst above it."""

import re
from typing import NamedTuple

from rolecall.models import RolecallError


class JitterTolerance(NamedTuple):
    """What lateness may do to the slots: a call is some milliseconds late by its timer, its commit or its way."""

    headroom: float
    """Slots lie this much further apart than asked, as a share."""
    caught_up: float
    """Seconds of lateness that later slots make up for."""


EXACT = JitterTolerance(0.007, 0.003)
"""Makes up for less than the headroom has in a second, so that no second has a call too many."""
COARSE_FROM = 50.0
"""Calls a second, from which on a fiftieth more is a whole call."""
COARSE = JitterTolerance(0.002, 0.016)
"""No second has a fiftieth too many, and less of the rate is lost."""
IDLE_AFTER = 0.010
"""Seconds after a slot from which on nobody wanted it; a timer that fires late is less late than that."""
MAX_LEAD = 0.100
"""Seconds before its slot at which a call is made ready, at most."""


class InvalidRateError(RolecallError, ValueError):
    """The text is not a rate; the message is one line for a person."""


def parse_rate(text: str) -> float | None:
    """Read `10/s`, `600/m`, `3600/h` or `unlimited` as calls a second; None is unlimited. Raises InvalidRateError."""
    if text.strip().lower() == "unlimited":
        return None
    found = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*/\s*(s|m|h)\s*", text, re.IGNORECASE)
    rate = float(found[1]) / {"s": 1, "m": 60, "h": 3600}[found[2].lower()] if found else 0.0
    if rate <= 0:
        raise InvalidRateError(f"{text!r} is not a rate: write 10/s, 600/m, 3600/h or unlimited")
    return rate


class PacedRateLimiter:
    """Next-slot pacing: each call has its slot, one interval after the slot before; idle time is not saved up.

    A token bucket would let twice the limit through in its first window, and so break a fixed-window server.

    A call is admitted (`reserve`) a little before its slot, so that it can be made ready, and given the next slot when
    it is (`take`, else `forfeit`). So calls leave evenly however unevenly they are made ready.
    """

    def __init__(self, per_second: float | None) -> None:
        slack = EXACT if per_second is not None and per_second < COARSE_FROM else COARSE
        self._interval = 0.0 if per_second is None else (1.0 + slack.headroom) / per_second
        self._caught_up = slack.caught_up
        self._next = float("-inf")
        self._reserved = 0
        self._usual = self._deviation = 0.0

    @property
    def lead(self) -> float:
        """Seconds before its slot at which a call may be admitted: what making it ready takes, but for rare times.

        The usual time and four of its deviations, as TCP waits for an answer (RFC 6298).
        """
        return min(self._usual + 4 * self._deviation, MAX_LEAD)

    def was_ready_after(self, seconds: float) -> None:
        """Learn how long it took to make a call ready."""
        if not self._usual:
            self._usual, self._deviation = seconds, seconds / 2
            return
        self._deviation += (abs(seconds - self._usual) - self._deviation) / 4
        self._usual += (seconds - self._usual) / 8

    def slot(self, now: float) -> float:
        """Tell when the next call may leave, behind those that are being made ready."""
        if not self._reserved:
            return self._next
        return max(self._next, now - self._caught_up) + self._reserved * self._interval

    def reserve(self, now: float) -> None:
        """Note that a call is admitted; slots that passed while there was none are lost."""
        if not self._reserved and now - self._next > IDLE_AFTER:
            self._next = now
        self._reserved += 1

    def forfeit(self) -> None:
        """Note that an admitted call will not leave."""
        self._reserved -= 1

    def take(self, now: float) -> float:
        """Give the next slot to an admitted call that is ready: it may leave then, or now where that has passed."""
        self._reserved -= 1
        slot = max(self._next, now - self._caught_up)
        self._next = slot + self._interval
        return slot
