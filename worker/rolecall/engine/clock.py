"""Time as the engine sees it, so that tests can bring their own."""

import time
from collections.abc import Callable
from typing import NamedTuple


class Clock(NamedTuple):
    """Two clocks: one that never jumps, to measure and wait by, and the one that people read."""

    now: Callable[[], float] = time.monotonic
    """Seconds of a monotonic clock."""
    wall: Callable[[], float] = time.time
    """Seconds since the epoch, UTC."""

    def wall_ms(self) -> int:
        """Give milliseconds since the epoch, UTC, as the ledger keeps them."""
        return int(self.wall() * 1000)
