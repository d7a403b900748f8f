"""The rate of a limiter that sends no headers, learnt from its refusals: a proxy's, such as nginx `limit_req`.

As the adaptive retries of AWS: the rate is cut after a refusal and recovers slowly, the more so the longer nothing is
refused. The bucket of such a limiter is full at each refusal, so what it accepted between two refusals is its rate.
"""

import math
from collections import deque

from rolecall.engine.throttle.rate_limiter import PacedRateLimiter

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
