"""The own rate of calls: evenly spaced, without a burst above it, and slower where a hidden limiter refuses calls.

A hidden limiter sends no headers, such as nginx `limit_req`: its rate is learnt from its refusals. As the adaptive
retries of AWS: the rate is cut after a refusal and recovers slowly, the more so the longer nothing is refused. The
bucket of such a limiter is full at each refusal, so what it accepted between two refusals is its rate.
"""

import math
import re
from collections import deque
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

MIN_ACCEPTED = 5
"""Calls accepted within `RECENT` that show that a refusal is a limiter's, and not an outage."""
RECENT = 5.0
CUT, MEDIUM_CUT, SMALL_CUT = 0.5, 0.75, 0.9
"""Factors by which one refusal cuts the rate, at most: before anything was measured, with a measurement, soon after."""
ENOUGH, LONG_ENOUGH = 8, 1.0
"""Calls accepted since the last refusal, and seconds, from which on they are a measurement."""
SHORTEST_MEASURE = 0.1
"""Seconds over which the rate before the first refusal is measured, at least."""
BELOW = 0.97
"""Factor of a measured rate."""
FAST_GROWTH, GROWTH, ACCELERATION = 0.2, 0.03, 0.001
"""The rate grows by the factor exp(GROWTH * t + ACCELERATION * t²) within t seconds without a refusal."""
MAX_GROWTH = 20.0
"""Natural logarithm of the factor at which the limiter counts as gone."""


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


class LearntRate:
    """Slows the own rate down to what a hidden limiter accepts; one for all calls that share that rate."""

    def __init__(self, rate: PacedRateLimiter) -> None:
        self.limiter = rate
        """The own rate, which is slowed down."""
        self._learnt: float | None = None
        self._since: float | None = None
        """When the rate was cut, or the first call was accepted."""
        self._is_measured = False
        self._accepted = 0
        """Calls accepted since then."""
        self._last_accepted: deque[float] = deque(maxlen=MIN_ACCEPTED)

    def record_acceptance(self, now: float) -> None:
        """Record a call that was not refused, and let the rate recover."""
        self._last_accepted.append(now)
        self._accepted += 1
        if self._since is None:
            self._since = now
        elif self._learnt is not None:
            rate = self._recovered(now)
            self.limiter.slow_down(rate)
            if rate >= self.limiter.per_second:
                self._learnt, self._is_measured = None, False

    def record_refusal(self, sent_at: float, now: float) -> bool:
        """Cut the rate after a refusal without headers; return False where no call passes, so that it is an outage."""
        recent, since = self._last_accepted, self._since
        if since is None or len(recent) < MIN_ACCEPTED or now - recent[0] > RECENT:
            return False
        if sent_at < since or not self._accepted:
            return True  # it left before the last cut, or that cut has not shown an effect yet
        if self._learnt is not None:
            current = self._recovered(now)
        else:
            current = min(self.limiter.per_second, (len(recent) - 1) / max(now - recent[0], SHORTEST_MEASURE))
        lowest = current * (SMALL_CUT if self._is_measured else CUT)
        if self._accepted >= ENOUGH and now - since >= LONG_ENOUGH:
            self._is_measured = True
            lowest = max(self._accepted / (now - since) * BELOW, current * MEDIUM_CUT)
        self._learnt = min(current, lowest)
        self._since, self._accepted = now, 0
        self.limiter.slow_down(self._learnt)
        return True

    def _recovered(self, now: float) -> float:
        seconds = now - (self._since or now)
        growth = GROWTH if self._is_measured else FAST_GROWTH
        growth = min(MAX_GROWTH, seconds * (growth + ACCELERATION * seconds))
        return (self._learnt or 0.0) * math.exp(growth)
