"""Adaptive concurrency limit: AIMD, as TCP does it.

Additive increase, multiplicative decrease, driven by the server's own signs of overload (5xx, timeouts, broken
connections) and not by latency: over the internet and behind a rate limit, latency says little about load, so a
latency gradient would slow calls down for reasons that are not the server's.
"""

import asyncio
from collections import deque

INTERVAL = 1.0
"""Seconds in which several signs of overload count once; a single sign within that time is taken for chance."""


class AdaptiveConcurrencyLimiter:
    """Admits at most `maximum` calls in flight: fewer after an overload, one more for each round of good responses."""

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        """Calls in flight as configured."""
        self._allowed = float(maximum)
        self._in_flight = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._last_decrease = float("-inf")
        self._last_sign = float("-inf")

    @property
    def allowed(self) -> int:
        """Calls that may be in flight now."""
        return int(self._allowed)

    def acquire_now(self) -> bool:
        """Acquire without waiting; False where `acquire` must be awaited."""
        if self._waiters or self._in_flight >= self.allowed:
            return False
        self._in_flight += 1
        return True

    async def acquire(self) -> None:
        """Return when a call may be in flight; `release` must follow."""
        if self.acquire_now():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Record the end of a call and admit the next waiting one."""
        self._in_flight -= 1
        while self._waiters and self._in_flight < self.allowed:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._in_flight += 1
                waiter.set_result(None)

    def decrease(self, now: float) -> bool:
        """Record a sign of overload; return True when it halves the limit."""
        alone = now - self._last_sign >= INTERVAL
        self._last_sign = now
        if alone or now - self._last_decrease < INTERVAL or self.allowed == 1:
            return False
        self._last_decrease = now
        self._allowed = max(1.0, self._allowed / 2)
        return True

    def increase(self) -> None:
        """Record a good response: one more call is allowed after as many of them as there are calls in flight."""
        if self._allowed < self.maximum:
            self._allowed = min(float(self.maximum), self._allowed + 1.0 / self._allowed)
