"""The settings of the engine, as one frozen value."""

import math
from dataclasses import dataclass, field

from rolecall.engine.failure_threshold import FailureThreshold


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user can configure.

    Raises ValueError for a number that no run can use, and TypeError where `max_failures` is no FailureThreshold.
    """

    rate: float | None = 10.0
    """Calls a second; None is unlimited. Where the workspace limits too, the lower rate applies."""
    concurrency: int = 8
    """Calls in flight, at most."""
    max_attempts: int = 5
    """Calls for one row in one session, at most."""
    retry_backoff: float = 0.5
    """Seconds: the upper end of the wait before the first retry, and the pause before the first probe."""
    max_failures: FailureThreshold = field(default_factory=lambda: FailureThreshold(50, is_percent=True))
    outage_timeout: float = 900.0
    """Seconds to wait for an unreachable workspace before the run gives up."""
    shutdown_timeout: float = 10.0
    """Seconds to wait for calls in flight once a stop is requested."""
    room_cache: bool = True
    """Skip the remaining rows of a room that rejects every request."""
    read_roles: bool = True
    """Read the roles before sending: rows without the role are not sent."""
    message_evidence: bool = True
    """Read the system messages of a room to settle rows in doubt."""
    late_arrival: float = 120.0
    """Seconds after the last attempt in which a call that was given up may still arrive; only `verify` uses it."""
    retry_failed: bool = False
    """Send failed rows of earlier sessions again."""

    def __post_init__(self) -> None:
        if self.rate is not None and not (self.rate > 0 and math.isfinite(self.rate)):
            raise ValueError(f"rate is {self.rate!r}: give calls a second above 0, or None for unlimited")
        for name in ("concurrency", "max_attempts"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}: give a whole number from 1")
        for name in ("retry_backoff", "outage_timeout", "shutdown_timeout", "late_arrival"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"{name} is {value!r}: give seconds from 0")
        if not isinstance(self.max_failures, FailureThreshold):
            raise TypeError(
                f"max_failures is {self.max_failures!r}: give a FailureThreshold, such as FailureThreshold.parse('10%')"
            )
