"""The settings of the engine, as one frozen value; one of them is the number of failures that stops a run."""

import math
import re
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from rolecall.models import RolecallError

PERCENT_AFTER = 100
"""Rows that must be finished before a percentage applies."""
FORBIDDEN_IN_A_ROW = 10
"""Refusals of the whole method in a row that are taken for a fault of the credentials."""


class InvalidThresholdError(RolecallError, ValueError):
    """The text is not a threshold; the message is one line for a person."""


class FailureThreshold(NamedTuple):
    """How many failures stop the run."""

    limit: float
    is_percent: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `25` or `10%`. Raise InvalidThresholdError."""
        found = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,3})?)\s*(%?)\s*", text)
        if not found or (not found[2] and "." in found[1]) or (found[2] and float(found[1]) > 100):
            raise InvalidThresholdError(
                f"{text!r} is not a threshold: write a number of rows such as 25, or a share such as 10%"
            )
        return cls(float(found[1]), bool(found[2]))

    def __str__(self) -> str:
        return f"{self.limit:g}%" if self.is_percent else f"{self.limit:g}"


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
