"""The values that the layers hand to each other: frozen, without behaviour, known to every layer."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

Json: TypeAlias = Any
"""A value that JSON can say: text, number, true, false, null, list or object."""


class Outcome(StrEnum):
    """What became of one row; the words stand in every report."""

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
    """The physical line (CSV, JSONL) or the place in the array (JSON), counted from 1."""
    room_id: str
    user_id: str
    extra: Mapping[str, Json]
    """The job's further columns, untouched, in the order of the file."""


MAX_ID_LENGTH = 256
"""Characters of a room id or user id. Rocket.Chat's own ids have 17 characters; imported ids can be longer."""


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


MAX_RESPONSE_SIZE = 65_536
"""Bytes of a response body that are read. Rocket.Chat's responses to role changes have some hundred bytes."""


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


class RoleAssignment(NamedTuple):
    """One user who has the role in one room."""

    room_id: str
    user_id: str
    room_name: str
    username: str
    name: str
    roles: tuple[str, ...]
    """Every role of the user in this room, in alphabetical order."""
    active: bool | None
    """False for a deactivated account; None if the server did not return it."""


class LookupGap(NamedTuple):
    """Something that the account could not read, so that rows may be missing."""

    reason: str
    """A short stable word such as `room_not_joined`."""
    what: str
    """The user, room or list, as the command line or the list file names it."""
    detail: str = ""
    """The server's own message if it says more than the reason."""


class LookupResult(NamedTuple):
    """The result of looking up one user, room or list."""

    target_key: str
    """Identifies the target; the same in every session of the same command."""
    subject_id: str = ""
    """The id of the user or room; empty if not known."""
    rows: tuple[RoleAssignment, ...] = ()
    gap: LookupGap | None = None
    note: str = ""
    """What a person should know about this result; empty if there is nothing."""


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
