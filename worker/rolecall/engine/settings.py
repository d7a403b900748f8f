"""How a run shall behave, as one frozen value."""

import math
from dataclasses import dataclass, field

from rolecall.engine.failure_threshold import FailureThreshold


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person can turn; each collaborator is given only the values that it needs.

    Raises ValueError for a number with which no run can work, and TypeError where `max_failures` is no Threshold.
    """

    rate: float | None = 10.0
    """Calls a second; None is unlimited. Where the workspace limits too, the slower of both holds."""
    concurrency: int = 8
    """Calls in flight at once, at most."""
    max_attempts: int = 5
    """Calls for one row in one session, at most."""
    retry_backoff: float = 0.5
    """Seconds: the upper end of the first wait before another attempt, and the first pause between probes."""
    max_failures: FailureThreshold = field(default_factory=lambda: FailureThreshold(50, is_percent=True))
    outage_timeout: float = 900.0
    """Seconds to wait for a workspace that is away, before the run gives up."""
    shutdown_timeout: float = 10.0
    """Seconds to await the answers under way once the run shall end."""
    room_cache: bool = True
    """Ask a room that cannot be worked in only once."""
    retry_failed: bool = False
    """Send the rows again that an earlier session was refused."""

    def __post_init__(self) -> None:
        if self.rate is not None and not (self.rate > 0 and math.isfinite(self.rate)):
            raise ValueError(f"rate is {self.rate!r}: give calls a second above 0, or None for unlimited")
        for name in ("concurrency", "max_attempts"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}: give a whole number from 1")
        for name in ("retry_backoff", "outage_timeout", "shutdown_timeout"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"{name} is {value!r}: give seconds from 0")
        if not isinstance(self.max_failures, FailureThreshold):
            raise TypeError(f"max_failures is {self.max_failures!r}: give a Threshold, such as Threshold.parse('10%')")
