"""The number or share of failed rows that stops a run."""

import re
from typing import NamedTuple, Self

from rolecall.models import Outcome, RolecallError

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


class FailureCounter:
    """Counts `failed` and `unknown` against the threshold, in this session."""

    def __init__(self, threshold: FailureThreshold) -> None:
        self._threshold = threshold
        self._done = 0
        self._failed = 0
        self._forbidden = 0

    def count(self, outcome: Outcome) -> bool:
        """Count one row; return True when the threshold is exceeded."""
        self._done += 1
        if outcome not in (Outcome.FAILED, Outcome.UNKNOWN):
            return False
        self._failed += 1
        if self._threshold.is_percent:
            return self._done >= PERCENT_AFTER and self._failed * 100 > self._threshold.limit * self._done
        return self._failed > self._threshold.limit

    def count_forbidden(self, forbidden: bool) -> bool:
        """Count refusals of the whole method; return True when there were ten in a row."""
        self._forbidden = self._forbidden + 1 if forbidden else 0
        return self._forbidden >= FORBIDDEN_IN_A_ROW
