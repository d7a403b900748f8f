"""Adaptive concurrency limit: AIMD, as TCP does it.

Additive increase, multiplicative decrease, driven by the server's own signs of overload (5xx, timeouts, broken
connections) and not by latency: over the internet and behind a rate limit, latency says little about load, so a
latency gradient would slow calls down for reasons that are not the server's.
"""

import asyncio
from collections import deque

INTERVAL = 1.0
"""Seconds in which several signs of overload count once; a single sign within that time is taken for chance."""
AHEAD = 0.5
"""Rows that are prepared ahead, as a share of the calls in flight: on a quick disk half of it would be enough."""


def max_rows(calls: int) -> int:
    """Return the rows that are under way, prepared or in flight, where so many calls may be in flight."""
    return calls + int(calls * AHEAD)


class Places:
    """A number of places, given in the order of arrival; the number may change."""

    def __init__(self, size: int) -> None:
        self.size = size
        """Places in all; after a decrease, more may be in use until enough are released."""
        self._in_use = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    def acquire_now(self) -> bool:
        """Acquire without waiting; False where `acquire` must be awaited."""
        if self._waiters or self._in_use >= self.size:
            return False
        self._in_use += 1
        return True

    async def acquire(self) -> None:
        """Return once a place is acquired; `release` must follow."""
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

    async def acquire_within(self, seconds: float) -> bool:
        """Acquire a place; False where there was none within so many seconds."""
        if self.acquire_now():
            return True
        try:
            async with asyncio.timeout(seconds):
                await self.acquire()
        except TimeoutError:
            return False
        return True

    def release(self) -> None:
        """Release a place; the first that waits gets it."""
        self._in_use -= 1
        while self._waiters and self._in_use < self.size:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._in_use += 1
                waiter.set_result(None)


class AdaptiveConcurrencyLimiter:
    """Places for calls in flight, and for rows under way, of which some are prepared ahead.

    Both become fewer after an overload, and one call more is allowed for each round of good responses.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        """Calls in flight as configured."""
        self.calls = Places(maximum)
        self.rows = Places(max_rows(maximum))
        self._allowed = float(maximum)
        self._last_decrease = float("-inf")
        self._last_sign = float("-inf")

    @property
    def allowed(self) -> int:
        """Calls that may be in flight now."""
        return self.calls.size

    def decrease(self, now: float) -> bool:
        """Record a sign of overload; return True when it halves the limit."""
        alone = now - self._last_sign >= INTERVAL
        self._last_sign = now
        if alone or now - self._last_decrease < INTERVAL or self.allowed == 1:
            return False
        self._last_decrease = now
        self._set(max(1.0, self._allowed / 2))
        return True

    def increase(self) -> None:
        """Record a good response: one more call is allowed after as many of them as there are calls in flight."""
        if self._allowed < self.maximum:
            self._set(min(float(self.maximum), self._allowed + 1.0 / self._allowed))

    def _set(self, allowed: float) -> None:
        self._allowed = allowed
        self.calls.size = int(allowed)
        self.rows.size = max_rows(self.calls.size)
