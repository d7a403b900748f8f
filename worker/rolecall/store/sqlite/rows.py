"""Conversion between rows of SQLite and the values of `store.base`; batches and further columns as JSON."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from rolecall.models import Json, Outcome, Result, is_due
from rolecall.store.base import Pair

_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")


class Group(NamedTuple):
    """Rows with the same recorded outcome, reason and doubt."""

    outcome: str | None
    reason: str | None
    in_doubt: int
    in_job: int
    rows: int

    def is_due(self, *, retry_failed: bool) -> bool:
        """Return whether these rows are due, as the statement DUE selects them."""
        outcome = None if self.outcome is None else Outcome(self.outcome)
        return bool(self.in_job) and is_due(outcome, retry_failed=retry_failed)


def reported_outcome(outcome: str | None, reason: str | None, in_doubt: int, stop: str) -> tuple[Outcome, str]:
    """Return the reported outcome and reason; without a recorded outcome: unknown if in doubt, else not attempted."""
    if outcome is not None:
        return Outcome(outcome), reason or ""
    return (Outcome.UNKNOWN, "killed_in_flight") if in_doubt else (Outcome.NOT_ATTEMPTED, stop)


def to_pair(row: tuple[Any, ...]) -> Pair:
    """Convert a row of SQLite to a pair."""
    key, line, room, user, outcome, reason, in_doubt = row
    return Pair(key, line, room, user, None if outcome is None else Outcome(outcome), reason or "", bool(in_doubt))


def to_result(row: tuple[Any, ...], stop: str) -> Result:
    """Return the row of the report; `stop` is the stop reason of the latest session."""
    _, line, room, user, outcome, reason, status, error_type, message, attempts, started, finished, took, *rest = row
    extra, in_doubt = rest
    reported, why = reported_outcome(outcome, reason, in_doubt, stop)
    if outcome is None:  # what an earlier session recorded does not describe the row any more
        status = error_type = message = finished = took = None
    words = (error_type or "", message or "")
    further: dict[str, Json] = orjson.loads(extra) if extra else {}
    return Result(line, room, user, reported, why, status, *words, attempts, started, finished, took, further)


def batch_json(part: Iterable[Sequence[object]]) -> str:
    """Return a batch as one JSON text; zero bytes, at which `->>` ends a text, and lone surrogates are replaced."""
    rows = [tuple(entry) for entry in part]
    try:
        text = orjson.dumps(rows).decode()
    except TypeError:
        text = ""
    if text and "\\u0000" not in text:
        return text
    return orjson.dumps(
        [[to_text(value) if isinstance(value, str) else value for value in row] for row in rows]
    ).decode()


def json_text(value: object) -> str:
    """Return a value as JSON; lone surrogates, which are not text, are replaced."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return to_text(json.dumps(value, ensure_ascii=False))


def to_text(value: str) -> str:
    """Replace what SQLite cannot store as text: zero bytes and lone surrogates."""
    return _NOT_TEXT.sub("\ufffd", value)
