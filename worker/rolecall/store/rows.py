"""Conversion between rows of a database and the values of `store.records`; batches and further columns as JSON."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import orjson

from rolecall.models import UNKNOWN_PRIOR, DueRow, Outcome, Prior, PriorState, Result, RowDoubt, is_due
from rolecall.store.records import DOUBT_MESSAGE, KILLED_IN_FLIGHT, Count, Intent, Pair, PriorRecord, Session

_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")

# A report converts each row: members by their words and tuples by `tuple.__new__` take half the time of the classes.
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
_PRIOR_STATES = {state.value: state for state in PriorState}
_result_from_values: Callable[[tuple[Any, ...]], Result] = partial(tuple.__new__, Result)
_prior_from_values: Callable[[tuple[Any, ...]], Prior] = partial(tuple.__new__, Prior)


class Group(NamedTuple):
    """The number of rows of one part of the store with the same recorded outcome, reason, doubt and evidence."""

    part: str
    """`job`, `removed` (pairs that only an earlier version of the job file has) or `unsent` (rows never sent)."""
    outcome: str
    """Empty for rows without an outcome."""
    reason: str
    in_doubt: int
    evidence: str
    rows: int

    @property
    def recorded(self) -> Outcome | None:
        """Return the recorded outcome."""
        return Outcome(self.outcome) if self.outcome else None

    def is_due(self, *, retry_failed: bool) -> bool:
        """Return whether these rows are due, as the statement DUE selects them."""
        return self.part == "job" and is_due(self.recorded, retry_failed=retry_failed)

    @property
    def is_removed_in_doubt(self) -> bool:
        """Whether these rows are in doubt, and the present job file no longer has them."""
        return self.part == "removed" and (self.recorded is Outcome.UNKNOWN or bool(self.in_doubt))


def counts_of(groups: Iterable[Group], stop: str) -> list[Count]:
    """Return the number of rows by reported outcome and reason, the most frequent first within an outcome."""
    rows: Counter[tuple[Outcome, str]] = Counter()
    for group in groups:
        rows[reported_outcome(group.outcome or None, group.reason, group.in_doubt, stop)] += group.rows
    order = list(Outcome)
    counts = [Count(outcome, reason, number) for (outcome, reason), number in rows.items()]
    return sorted(counts, key=lambda count: (order.index(count.outcome), -count.rows, count.reason))


def evidence_counts_of(groups: Iterable[Group]) -> Counter[tuple[Outcome, str]]:
    """Return the number of pairs by recorded outcome and evidence."""
    counts: Counter[tuple[Outcome, str]] = Counter()
    for group in groups:
        if group.recorded is not None and group.part != "unsent":
            counts[group.recorded, group.evidence] += group.rows
    return counts


def removed_in_doubt_of(groups: Iterable[Group]) -> int:
    """Return the number of pairs in doubt or `unknown` that the present job file no longer has."""
    return sum(group.rows for group in groups if group.is_removed_in_doubt)


def stop_reason_of(sessions: Sequence[Session]) -> str:
    """Return the stop reason of the latest session; empty without one."""
    return sessions[-1].stop_reason if sessions else ""


def reported_outcome(outcome: str | None, reason: str | None, in_doubt: int, stop: str) -> tuple[Outcome, str]:
    """Return the reported outcome and reason; without a recorded outcome: unknown if in doubt, else not attempted."""
    if outcome is not None:
        return Outcome(outcome), reason or ""
    return (Outcome.UNKNOWN, KILLED_IN_FLIGHT) if in_doubt else (Outcome.NOT_ATTEMPTED, stop)


def to_pair(row: tuple[Any, ...]) -> Pair:
    """Convert a row of the database to a pair."""
    key, line, room, user, outcome, reason, in_doubt, room_name, username = row
    recorded = None if outcome is None else Outcome(outcome)
    return Pair(key, line, room, user, recorded, reason or "", bool(in_doubt), room_name or "", username or "")


def to_result(row: tuple[Any, ...], stop: str) -> Result:
    """Return the row of the report; `stop` is the stop reason of the latest session."""
    (
        _, line, room, user, outcome, reason, status, error_type, message, attempts, started, finished, took, extra,
        in_doubt, evidence, state, read_at, username, accounts, attempted_at, room_name, user_name,
    ) = row  # fmt: skip
    if outcome is None:  # what an earlier session recorded does not describe the row any more
        status = error_type = message = finished = took = evidence = None
        reported, why = reported_outcome(None, reason, in_doubt, stop)
    else:
        reported, why = _OUTCOMES.get(outcome) or Outcome(outcome), reason or ""
    prior = UNKNOWN_PRIOR if state is None else to_prior(state, read_at, username, accounts)
    return _result_from_values(
        (
            line, room, user, reported, why, status, error_type or "", message or "", attempts, started, finished, took,
            orjson.loads(extra) if extra else {}, evidence or "", prior, attempted_at,
            room_name or "", username or user_name or "",
        )
    )  # fmt: skip


def to_due_row(row: Sequence[Any]) -> tuple[int, DueRow]:
    """Return the due row that a row of the database stands for, with its place."""
    place, key, line, room, user, attempts, in_doubt, state, read_at, username, accounts, attempted_at, *rest = row
    prior = None if state is None else to_prior(state, read_at, username, accounts)
    room_name, user_name, outcome, reason = rest
    recorded = None if outcome is None else Outcome(outcome)
    names = (room_name or "", user_name or "")
    return place, DueRow(
        key, line, room, user, attempts, bool(in_doubt), prior, attempted_at, *names, recorded, reason or ""
    )


def to_prior(state: str | None, read_at: int | None, username: str | None, accounts: str | None) -> Prior:
    """Return a prior state from its columns."""
    if state is None:
        return UNKNOWN_PRIOR
    known = _PRIOR_STATES.get(state) or PriorState(state)
    return _prior_from_values((known, read_at, username or "", tuple(accounts.split()) if accounts else ()))


def intent_values(intent: Intent) -> tuple[object, ...]:
    """Return the values of an intent for WRITE_INTENT."""
    return intent.key, intent.attempt, intent.at, *_prior_columns(intent.prior)


def doubt_columns(doubt: RowDoubt) -> tuple[object, ...]:
    """Return the columns of an earlier run's doubt: reason, message, prior state, time of the last attempt."""
    state, read_at, username, accounts = _prior_columns(doubt.prior)
    prior = (state, read_at, to_text(username), to_text(accounts))
    return to_text(doubt.reason), DOUBT_MESSAGE, *prior, doubt.attempted_at


def prior_values(record: PriorRecord) -> tuple[object, ...]:
    """Return the values of a prior state for WRITE_PRIOR."""
    return record.key, *_prior_columns(record.prior), record.room_name


def _prior_columns(prior: Prior) -> tuple[PriorState, int | None, str, str]:
    return prior.state, prior.read_at, prior.username, " ".join(prior.accounts)


def batch_json(part: Iterable[Sequence[object]]) -> str:
    """Return a batch as one JSON text; zero bytes, at which `->>` ends a text, and lone surrogates are replaced."""
    rows = [tuple(entry) for entry in part]
    text = _json_if_storable(rows)
    return text or orjson.dumps(list(map(_storable, rows))).decode()


def keyed_json(part: Iterable[Sequence[object]]) -> str:
    """Return a part of a batch as one JSON object: each entry by its key, which is its first value."""
    rows = {str(entry[0]): tuple(entry) for entry in part}
    text = _json_if_storable(rows)
    return text or orjson.dumps({key: _storable(row) for key, row in rows.items()}).decode()


def _json_if_storable(rows: object) -> str:
    """Return the JSON text; empty where a value has characters that must be replaced."""
    try:
        text = orjson.dumps(rows).decode()
    except TypeError:
        return ""
    return "" if "\\u0000" in text else text


def _storable(row: Iterable[object]) -> list[object]:
    return [to_text(value) if isinstance(value, str) else value for value in row]


def json_text(value: object) -> str:
    """Return a value as JSON; lone surrogates, which are not text, are replaced."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return to_text(json.dumps(value, ensure_ascii=False))


def to_text(value: str) -> str:
    """Replace what no database stores as text: zero bytes and lone surrogates."""
    return _NOT_TEXT.sub("\ufffd", value)
