"""How many calls are in flight at once: AIMD, as TCP does it.

Additive increase, multiplicative decrease, driven by the server's own signs of overload (5xx, timeouts, broken
connections), not by latency: over the internet and behind a rate limit, latency says little about load, so that a
gradient would lower the pace for reasons that are not the server's.
"""

import asyncio
from collections import deque

INTERVAL = 1.0
"""Seconds in which one overload counts once, however many calls tell of it; a sign without another in that time is
chance."""


class AdaptiveConcurrencyLimiter:
    """At most `most` calls in flight; fewer after an overload, one more for each round of good answers."""

    def __init__(self, most: int) -> None:
        self.most = most
        """What was asked for."""
        self._allowed = float(most)
        self._busy = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._last_cut = float("-inf")
        self._last_sign = float("-inf")

    @property
    def allowed(self) -> int:
        """Calls that may be in flight now."""
        return int(self._allowed)

    async def enter(self) -> None:
        """Return when a call may be in flight; `leave` must follow."""
        if self._busy < self.allowed and not self._waiters:
            self._busy += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiters.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Note that a call is over."""
        self._busy -= 1
        while self._waiters and self._busy < self.allowed:
            turn = self._waiters.popleft()
            if not turn.done():
                self._busy += 1
                turn.set_result(None)

    def overloaded(self, now: float) -> bool:
        """Note a sign of overload; True when it halves what is allowed."""
        alone = now - self._last_sign >= INTERVAL
        self._last_sign = now
        if alone or now - self._last_cut < INTERVAL or self.allowed == 1:
            return False
        self._last_cut = now
        self._allowed = max(1.0, self._allowed / 2)
        return True

    def relaxed(self) -> None:
        """Allow one call more after as many good answers as there are calls in flight."""
        if self._allowed < self.most:
            self._allowed = min(float(self.most), self._allowed + 1.0 / self._allowed)
