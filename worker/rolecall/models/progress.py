"""The progress of a run at one moment, with what the workspace's rate limit allows, and outages."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from rolecall.models.outcomes import Outcome


class RateLimitStatus(NamedTuple):
    """What the workspace's rate limit still allows."""

    limit: int
    """Calls per window."""
    seconds: float | None
    """Length of a window; None if not known."""
    left: int
    """Calls left in the current window."""
    ends_in: float
    """Seconds until the next window."""


class RateLimitPause(NamedTuple):
    """A rate limit pause: all calls wait because of the workspace's limit."""

    seconds: float
    """Seconds until the pause ends."""
    refused: bool
    """True after 'too many requests' or 'retry later'; False if the window is full."""


class OutageStatus(NamedTuple):
    """An outage: the workspace does not respond, and one probe at a time is sent."""

    seconds: float
    """Seconds since it began."""
    probe_in: float | None = None
    """Seconds until the next probe; 0 while one is in flight; None if not known."""
    gives_up_in: float | None = None
    """Seconds until the run gives up; None if not known."""


class Progress(NamedTuple):
    """The progress of a run at one moment, as displays show it."""

    at: float
    """The moment: UTC, seconds since the epoch."""
    total: int
    """Rows of the job."""
    done: int
    """Rows that need no further call, including those of earlier sessions."""
    outcomes: Mapping[Outcome, int]
    """Rows by outcome, including those of earlier sessions."""
    per_second: float | None = None
    """Recent calls per second; None if not known yet."""
    rate: float | None = None
    """The run's own limit in calls per second; None if it has none."""
    allowance: RateLimitStatus | None = None
    """None if no limit of the workspace is known."""
    pause: RateLimitPause | None = None
    outage: OutageStatus | None = None
    in_flight: int = 0
    """Calls in flight."""
    overloaded_to: int | None = None
    """The number of calls in flight that is allowed because of an overload; None without overload."""
    stopping_in: float | None = None
    """Seconds until calls in flight are abandoned, once the run stops; None while it continues."""
    remaining: float | None = None
    """Seconds until the last row is done; None if not known."""
    reasons: Mapping[str, int] = MappingProxyType({})
    """Rows of this session that are failed or unknown, by reason."""
    retries: int = 0
    """Requests of this session that were repeated after a failed attempt."""

    @property
    def is_remaining_upper_bound(self) -> bool:
        """True while no header has shown how long the workspace's window is: the usual length was assumed."""
        return self.allowance is not None and self.allowance.seconds is None
