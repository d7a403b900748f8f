"""How long a worker may work on a shard, which token may write, and the database's clock as seen from here. Pure.

The lease of a worker is its heartbeat: what it has sent and the database has received. Other workers take over its
shards when the heartbeat is STALLED seconds old; it sends no call from MARGIN seconds before that.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from rolecall.engine.clock import Clock

HEARTBEAT = 3.0
"""Seconds between heartbeats."""
STALLED = 10.0
"""Seconds without a heartbeat after which other workers take over."""
MARGIN = 1.0
"""Seconds before that in which no call leaves any more."""
FRESH = 2 * HEARTBEAT
"""Seconds of a heartbeat's age up to which a shard may be begun."""
RECENT_OFFSETS = 64
"""Measurements of the database's clock that count."""
CLOCK_STEP = 1.0
"""Seconds by which a measurement may be later than the best one; more is a step of the database's clock."""


class Token(NamedTuple):
    """Which start of a shard this is: the newest one may write. Later jobs and attempts compare as greater."""

    job: int
    attempt: int


def boot_time() -> float:
    """Return seconds of a monotonic clock that goes on while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class HeartbeatLease:
    """The lease of this worker, from the moments at which its heartbeats were sent."""

    def __init__(self, now: Callable[[], float] = boot_time) -> None:
        self._now = now
        self._sent_at = -math.inf

    @property
    def age(self) -> float:
        """Seconds since the last heartbeat that the database received was sent; infinite before the first."""
        return self._now() - self._sent_at

    @property
    def is_valid(self) -> bool:
        """True while calls may leave."""
        return self.age < STALLED - MARGIN

    @property
    def is_fresh(self) -> bool:
        """True while a shard may be begun."""
        return self.age < FRESH

    @property
    def is_lost(self) -> bool:
        """True once other workers may have taken over."""
        return self.age >= STALLED

    def start(self) -> float:
        """Return the moment at which a heartbeat is sent, for `renew`."""
        return self._now()

    def renew(self, sent_at: float) -> None:
        """Record that the database has received the heartbeat that was sent at this moment."""
        self._sent_at = max(self._sent_at, sent_at)


class DatabaseClock:
    """The clock of the database, as this process's monotonic clock plus an offset.

    A response shows a clock that is late by the time that it was under way: the smallest difference of the last
    measurements is the most exact one.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        """Our monotonic clock, in seconds."""
        self._differences: deque[float] = deque(maxlen=RECENT_OFFSETS)

    def record(self, database: float, received: float) -> None:
        """Record the database's time (seconds since the epoch) that was received at a moment of our clock."""
        difference = received - database
        if self._differences and difference - min(self._differences) > CLOCK_STEP:
            self._differences.clear()
        self._differences.append(difference)

    def to_local(self, database: float) -> float:
        """Return the moment of our monotonic clock at which the database's clock shows `database`."""
        return database + min(self._differences)

    def wall(self, now: float) -> float:
        """Return the database's time at a moment of our clock; our own wall clock before the first measurement."""
        return now - min(self._differences) if self._differences else time.time()


def database_clock(clock: DatabaseClock) -> Clock:
    """Return the clock of the engine: the times of all workers are those of the database."""
    return Clock(clock.now, lambda: clock.wall(clock.now()))


def lease_moments(first: float, count: int, interval: float, clock: DatabaseClock) -> list[float]:
    """Return the moments of our clock of so many slots, the first of which is at `first` of the database's clock."""
    start = clock.to_local(first)
    return [start + number * interval for number in range(count)]
