"""What the ledger's statements give, as the values that others know."""

from typing import Any, NamedTuple

import orjson

from rolecall.models import Json, Outcome, Result, is_due
from rolecall.store.base import Pair


class Group(NamedTuple):
    """Rows that are told the same."""

    outcome: str | None
    reason: str | None
    doubt: int
    in_job: int
    rows: int

    def is_due(self, *, retry_failed: bool) -> bool:
        """Return whether these rows are sent; `sql.DUE` says the same of a row."""
        outcome = None if self.outcome is None else Outcome(self.outcome)
        return bool(self.in_job) and is_due(outcome, retry_failed=retry_failed)


def reported_outcome(outcome: str | None, reason: str | None, doubt: int, stop: str) -> tuple[Outcome, str]:
    """Say what a row is told, also where no outcome is recorded."""
    if outcome is not None:
        return Outcome(outcome), reason or ""
    return (Outcome.UNKNOWN, "killed_in_flight") if doubt else (Outcome.NOT_ATTEMPTED, stop)


def to_pair(row: tuple[Any, ...]) -> Pair:
    """Make a pair of a row of its statements."""
    key, line, room, user, outcome, reason, doubt = row
    return Pair(key, line, room, user, None if outcome is None else Outcome(outcome), reason or "", bool(doubt))


def to_result(row: tuple[Any, ...], stop: str) -> Result:
    """Tell a row of the report; `stop` is why the last session ended early."""
    _, line, room, user, outcome, reason, status, error_type, message, attempts, started, finished, took, *rest = row
    extra, doubt = rest
    outcome_told, why = reported_outcome(outcome, reason, doubt, stop)
    if outcome is None:  # what an earlier session wrote is not what the row is told now
        status = error_type = message = finished = took = None
    words = (error_type or "", message or "")
    further: dict[str, Json] = orjson.loads(extra) if extra else {}
    return Result(line, room, user, outcome_told, why, status, *words, attempts, started, finished, took, further)
