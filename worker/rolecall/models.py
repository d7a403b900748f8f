"""The values that the layers pass to each other: frozen, without behaviour, known to every layer."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple, Self, TypeAlias

Json: TypeAlias = Any
"""A JSON value: text, number, true, false, null, list or object."""


class Outcome(StrEnum):
    """The outcome of one row; the values are used in every report."""

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


class Row(NamedTuple):
    """One usable row of a job file."""

    line: int
    """The physical line (CSV, JSONL) or the position in the array (JSON), counted from 1."""
    room_id: str
    user_id: str
    extra: Mapping[str, Json]
    """The job's further columns, untouched, in the order of the file."""


class BadRow(NamedTuple):
    """One row of a job file that cannot be used; it is reported as `invalid` and never sent."""

    line: int
    room_id: str
    """As in the file; empty where there was none."""
    user_id: str
    reason: str
    """A short stable word such as `missing_room_id`; it goes into the report's `reason`."""
    message: str
    """One sentence for a person."""
    extra: Mapping[str, Json]


class DueRow(NamedTuple):
    """A row that is still to be done."""

    key: int
    """The row's key in its run store."""
    line: int
    room_id: str
    user_id: str
    attempts: int
    """Calls made for it before now, earlier sessions of the run included."""
    in_doubt: bool
    """True when an earlier attempt may have been carried out although no response is recorded."""


class Reply(NamedTuple):
    """A complete response (its body cut at the client's limit)."""

    status: int
    headers: Mapping[str, str]
    """Looked up without regard to case."""
    body: bytes
    sent_at: float
    """When the request left, in seconds of the run's monotonic clock."""
    received_at: float
    """When the response was read, in seconds of the run's monotonic clock."""


class NoReply(NamedTuple):
    """No usable response: the connection failed, broke or stayed silent."""

    reason: str
    """A short stable word such as `timeout`; it goes into the report's `reason`."""
    detail: str
    """One sentence for a person, without credentials."""
    maybe_sent: bool
    """True when the request may have reached the workspace, so that it may have been carried out."""


class RowOutcome(NamedTuple):
    """The outcome of a finished row, as the run store records it."""

    key: int
    outcome: Outcome
    reason: str
    http_status: int | None
    error_type: str
    message: str
    """The server's message, or ours where there was no response."""
    finished_at: int
    """UTC, milliseconds since the epoch."""
    duration_ms: int | None
    """Latency of the deciding call; None where no call was made."""
    in_doubt: bool
    """True when an attempt may have been carried out although the outcome does not say so."""

    @classmethod
    def without_call(cls, key: int, outcome: Outcome, reason: str, *, message: str = "", finished_at: int) -> Self:
        """Return the outcome of a row for which no changing call was made."""
        return cls(key, outcome, reason, None, "", message, finished_at, None, in_doubt=False)


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
    """Latency of the deciding call."""
    extra: Mapping[str, Json]


class RateLimitStatus(NamedTuple):
    """The workspace's rate limit, and what is left of it."""

    limit: int
    """Calls in a window."""
    seconds: float | None
    """Length of a window; None while not known."""
    left: int
    """Calls that the present window still accepts."""
    ends_in: float
    """Seconds until the next window."""


class RateLimitPause(NamedTuple):
    """All calls wait, because the server demands it."""

    seconds: float
    """Until they go on."""
    refused: bool
    """True after 'too many requests' or a Retry-After; False where the window is full."""


class OutageStatus(NamedTuple):
    """The workspace is unreachable; one probe at a time checks it."""

    seconds: float
    """Since it began."""
    probe_in: float | None = None
    """Seconds until the next probe; 0 while one is under way; None where that is not known."""
    gives_up_in: float | None = None
    """Seconds until the run gives up; None where that is not known."""


class Progress(NamedTuple):
    """The progress of a run at one moment, as a display shows it."""

    at: float
    """The moment: UTC, seconds since the epoch."""
    total: int
    """Rows of the job."""
    done: int
    """Rows that need nothing more, those of earlier sessions included."""
    outcomes: Mapping[Outcome, int]
    """Rows by outcome, those of earlier sessions included."""
    per_second: float | None = None
    """Calls a second, lately; None before enough was measured."""
    rate: float | None = None
    """The own rate, calls a second; None where it is unlimited."""
    allowance: RateLimitStatus | None = None
    """None where the workspace does not limit this account, as far as is known."""
    pause: RateLimitPause | None = None
    outage: OutageStatus | None = None
    in_flight: int = 0
    """Calls that wait for their responses."""
    overloaded_to: int | None = None
    """Calls that may be in flight since the workspace showed overload; None without an overload."""
    stopping_in: float | None = None
    """Seconds until calls in flight are cancelled, once a stop is requested; None before that."""
    remaining: float | None = None
    """Seconds until the last row is finished; None where that cannot be estimated."""
