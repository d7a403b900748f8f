"""The clock of a run. A module of its own because the limiters need nothing else; tests bring their own clock."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple


class Clock(NamedTuple):
    """Two clocks: a monotonic one to measure and wait by, and the wall clock that people read."""

    now: Callable[[], float] = time.monotonic
    """Seconds of a monotonic clock."""
    wall: Callable[[], float] = time.time
    """Seconds since the epoch, UTC."""

    def offset(self) -> float:
        """Return the wall clock minus the monotonic one, in seconds."""
        return self.wall() - self.now()

    def wall_ms(self) -> int:
        """Return milliseconds since the epoch, UTC, as the run store records them."""
        return int(self.wall() * 1000)

    def wall_time_in(self, seconds: float) -> str:
        """Return the moment `seconds` from now as RFC 3339 text in UTC, to the second."""
        return datetime.fromtimestamp(self.wall() + seconds, UTC).isoformat(timespec="seconds")
