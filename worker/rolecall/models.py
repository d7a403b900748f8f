"""The values that the layers pass to each other: frozen, without I/O, known to every layer."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

Json: TypeAlias = Any
"""A value that JSON can say: text, number, true, false, null, list or object."""


class Outcome(StrEnum):
    """The outcome of one row, as every report names it. `OUTCOMES` has the properties of each."""

    REMOVED = "removed"
    ADDED = "added"
    NOT_LEADER = "not_leader"
    NOT_MODERATOR = "not_moderator"
    NOT_OWNER = "not_owner"
    ALREADY_LEADER = "already_leader"
    ALREADY_MODERATOR = "already_moderator"
    ALREADY_OWNER = "already_owner"
    FAILED = "failed"
    UNKNOWN = "unknown"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    NOT_ATTEMPTED = "not_attempted"


class OutcomeProperties(NamedTuple):
    """What an outcome means for exit code, reports and later runs."""

    style: str
    """The style in terminals, as Rich names it. The HTML report has a colour of the same name (`--bold-red`)."""
    is_success: bool = False
    """True where the row has the wanted state."""
    is_failure: bool = False
    """True where the command exits with 1."""
    is_retryable: bool = False
    """True where the row is worth another run: it stands in `retry.csv`."""
    needs_attention: bool = False
    """True where a person has to look at the row."""


_CHANGED = OutcomeProperties("green", is_success=True)
_UNCHANGED = OutcomeProperties("cyan", is_success=True)

OUTCOMES: Mapping[Outcome, OutcomeProperties] = MappingProxyType(
    {
        Outcome.REMOVED: _CHANGED,
        Outcome.ADDED: _CHANGED,
        Outcome.NOT_LEADER: _UNCHANGED,
        Outcome.NOT_MODERATOR: _UNCHANGED,
        Outcome.NOT_OWNER: _UNCHANGED,
        Outcome.ALREADY_LEADER: _UNCHANGED,
        Outcome.ALREADY_MODERATOR: _UNCHANGED,
        Outcome.ALREADY_OWNER: _UNCHANGED,
        Outcome.FAILED: OutcomeProperties("bold red", is_failure=True, is_retryable=True, needs_attention=True),
        Outcome.UNKNOWN: OutcomeProperties("bold yellow", is_failure=True, is_retryable=True, needs_attention=True),
        Outcome.INVALID: OutcomeProperties("magenta", is_failure=True, needs_attention=True),
        Outcome.DUPLICATE: OutcomeProperties("dim"),
        Outcome.NOT_ATTEMPTED: OutcomeProperties("yellow", is_retryable=True, needs_attention=True),
    }
)
"""The properties of each outcome: the only place that says them. `store/sqlite/sql.py` repeats `is_due` in SQL."""


def is_due(outcome: Outcome | None, *, retry_failed: bool) -> bool:
    """Return whether a session of the run sends a row of this outcome; None is a row without a recorded outcome.

    A failed row is sent again only with `retry_failed`.
    """
    if outcome is None:
        return True
    return OUTCOMES[outcome].is_retryable and (retry_failed or outcome is not Outcome.FAILED)


class Row(NamedTuple):
    """One usable row of a job file."""

    line: int
    """The physical line (CSV, JSONL) or the place in the array (JSON), counted from 1."""
    room_id: str
    user_id: str
    extra: Mapping[str, Json]
    """The job's further columns, untouched, in the order of the file."""


class BadRow(NamedTuple):
    """One row of a job file that cannot be used; it is told as `invalid` and never sent."""

    line: int
    room_id: str
    """As it stood in the file; empty where there was none."""
    user_id: str
    reason: str
    """A short stable word such as `missing_room_id`; it goes into the report's `reason`."""
    message: str
    """One sentence for a person."""
    extra: Mapping[str, Json]


class DueRow(NamedTuple):
    """A row that the ledger says is still to be done."""

    key: int
    """The row's key in its ledger."""
    line: int
    room_id: str
    user_id: str
    attempts: int
    """Calls made for it before now, earlier sessions of the run included."""
    in_doubt: bool
    """True when an earlier attempt may have been carried out although no answer is recorded."""


class Reply(NamedTuple):
    """An answer that arrived whole (its body cut at the client's limit)."""

    status: int
    headers: Mapping[str, str]
    """Looked up without regard to case."""
    body: bytes
    sent_at: float
    """When the request left, in seconds of the run's monotonic clock."""
    received_at: float
    """When the answer was read, in seconds of the run's monotonic clock."""


class NoReply(NamedTuple):
    """No usable answer: the connection failed, broke or stayed silent."""

    reason: str
    """A short stable word such as `timeout`; it goes into the report's `reason`."""
    detail: str
    """One sentence for a person, without credentials."""
    maybe_sent: bool
    """True when the request may have reached the workspace, so that it may have been carried out."""


class RowOutcome(NamedTuple):
    """What the ledger keeps of a row that came to its end (or to `unknown`)."""

    key: int
    outcome: Outcome
    reason: str
    http_status: int | None
    error_type: str
    message: str
    """The server's own words, or ours where there was no answer."""
    finished_at: int
    """UTC, milliseconds since the epoch."""
    duration_ms: int | None
    """How long the deciding call took; None where no call was made."""
    in_doubt: bool
    """True when an attempt may have been carried out although the outcome does not say so."""


class Result(NamedTuple):
    """One row of the report."""

    line: int | None
    """None for a row that an earlier version of the job file had and the present one does not."""
    room_id: str
    user_id: str
    outcome: Outcome
    reason: str
    http_status: int | None
    error_type: str
    message: str
    attempts: int
    started_at: int | None
    """When the first attempt left: UTC, milliseconds since the epoch."""
    finished_at: int | None
    duration_ms: int | None
    """How long the deciding call took."""
    extra: Mapping[str, Json]


class RateLimitStatus(NamedTuple):
    """What the workspace's limit still allows."""

    limit: int
    """Calls in a window."""
    seconds: float | None
    """Length of a window; None while it is not known."""
    left: int
    """Calls that the present window still takes."""
    ends_in: float
    """Seconds until the next window."""


class RateLimitPause(NamedTuple):
    """All calls wait, because the workspace says so."""

    seconds: float
    """Until they go on."""
    refused: bool
    """True after 'too many requests' or 'come back later'; False where the window is simply full."""


class OutageStatus(NamedTuple):
    """The workspace is away; one probe at a time asks for it."""

    seconds: float
    """Since it began."""
    probe_in: float | None = None
    """Seconds until the next probe; 0 while one is under way; None where that is not known."""
    gives_up_in: float | None = None
    """Seconds until the run gives up; None where that is not known."""


class Progress(NamedTuple):
    """How far a run is at one moment, as a display shows it."""

    at: float
    """The moment: UTC, seconds since the epoch."""
    total: int
    """Rows of the job."""
    done: int
    """Rows that need nothing more, those of earlier sessions included."""
    outcomes: Mapping[Outcome, int]
    """How many rows came to what, those of earlier sessions included."""
    per_second: float | None = None
    """Calls a second, lately; None before anything can be said."""
    rate: float | None = None
    """Calls a second that the run allows itself; None where it does not limit itself."""
    allowance: RateLimitStatus | None = None
    """None where the workspace does not limit this account, as far as is known."""
    hold: RateLimitPause | None = None
    outage: OutageStatus | None = None
    under_way: int = 0
    """Calls that await their answers."""
    overloaded_to: int | None = None
    """Calls that may be under way at once since the workspace showed overload; None where that is not so."""
    stopping_in: float | None = None
    """Seconds until calls under way are given up, once the run shall end; None while it goes on."""
    remaining: float | None = None
    """Seconds until the last row; None where nothing can be said."""
