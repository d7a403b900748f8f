"""The server's rate limiter: a fixed window for each pair of client address and route."""

from collections import defaultdict
from itertools import cycle
from typing import NamedTuple


class LimitDecision(NamedTuple):
    """What the limiter says of one call."""

    allowed: bool
    limit: int
    """Calls in a window."""
    remaining: int
    """Calls left in this window."""
    reset: float
    """When this window ends, in seconds of the clock that `now` came from."""
    wait: float
    """Seconds until then."""


class Limiter:
    """Allow `calls` in each window of `seconds`; a window starts with the first call after the old one ran out.

    Every call counts, refused ones too, but a refused call does not lengthen the window. `instances` stands for
    servers behind a balancer: calls are handed round to them, and each counts in windows of its own.
    """

    def __init__(self, calls: int = 10, seconds: float = 60.0, instances: int = 1) -> None:
        self.calls = calls
        self.seconds = seconds
        self._turns = cycle([_Windows() for _ in range(instances)])

    def take(self, client: str, route: str, now: float) -> LimitDecision:
        """Count one call made at `now` (seconds) and rule on it."""
        window = next(self._turns)[client, route]
        if now >= window.end:
            window.end, window.count = now + self.seconds, 0
        window.count += 1
        remaining = max(0, self.calls - window.count)
        return LimitDecision(window.count <= self.calls, self.calls, remaining, window.end, window.end - now)


class _Window:
    """One fixed window; the first call finds it already over."""

    __slots__ = ("count", "end")

    def __init__(self) -> None:
        self.end = float("-inf")
        self.count = 0


class _Windows(defaultdict[tuple[str, str], _Window]):
    """The windows of one server instance, by client address and route."""

    def __init__(self) -> None:
        super().__init__(_Window)
