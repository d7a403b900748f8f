"""The values that the layers pass to each other: frozen, without I/O, known to every layer."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Self, TypeAlias

Json: TypeAlias = Any
"""A JSON value: text, number, true, false, null, list or object."""


class Advice(StrEnum):
    """What an operator can do about an error; the command line has a sentence with its own flags for each."""

    ALLOW_HTTP = "allow_http"
    CA_FILE = "ca_file"
    CHECK_URL = "check_url"
    CHECK_CREDENTIALS = "check_credentials"
    OTHER_DIRECTORY = "other_directory"
    OTHER_FILE = "other_file"
    OTHER_PLAN = "other_plan"
    NAME_PLAN = "name_plan"
    NAME_ENCODING = "name_encoding"
    WRITE_PLAN = "write_plan"
    INCLUDE_INFERRED = "include_inferred"
    RETRY_FAILED = "retry_failed"
    ALLOW_REMOVALS = "allow_removals"


class RolecallError(Exception):
    """Base of every exception that a caller can see; the text is one line for a person."""

    advice: Advice | None = None

    def __init__(self, text: str, advice: Advice | None = None) -> None:
        super().__init__(text)
        if advice is not None:
            self.advice = advice


class LockedError(RolecallError):
    """Another process is working on the same run or file."""


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
"""The properties of each outcome. No other module lists outcomes, except that SQL repeats `is_due`; a test compares."""


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
    """The physical line (CSV, JSONL) or the position in the array (JSON), counted from 1."""
    room_id: str
    user_id: str
    extra: Mapping[str, Json]
    """The other columns of the job file, unchanged, in their order."""
    room_name: str = ""
    """The room's name without `#`, where the job has it; also in `extra` if it has a column of its own."""
    username: str = ""
    """The user's name without `@` (kept if the user is on another server), where the job has it."""
    doubt: "RowDoubt | None" = None
    """What an earlier run left in doubt, where the job is its `retry.csv`."""


MAX_ID_LENGTH = 256
"""Characters of a room id or user id. Rocket.Chat's own ids have 17 characters; imported ids can be longer."""


class BadRow(NamedTuple):
    """One row of a job file that cannot be used; it is reported as `invalid` and never sent."""

    line: int
    room_id: str
    """As in the file; empty if it is missing."""
    user_id: str
    reason: str
    """A short stable word such as `missing_room_id`: the `reason` in the report."""
    message: str
    """One sentence for people."""
    extra: Mapping[str, Json]
    room_name: str = ""
    """Filled, as in `Row`, where the reason is `room_name_only` or `user_name_only`: the ids can be looked up."""
    username: str = ""


class PriorState(StrEnum):
    """What was read of a user's role before the first call of a row."""

    HAS_ROLE = "has_role"
    MEMBER = "member"
    """A member of the room without the role."""
    STRANGER = "stranger"
    """Not a member of the room, or no such user."""
    UNKNOWN = "unknown"
    """It could not be read, or reading is switched off."""


class Prior(NamedTuple):
    """The prior state of a row, with what later proves whose call changed it."""

    state: PriorState = PriorState.UNKNOWN
    read_at: int | None = None
    """The server's clock at the reading, or before the first call: UTC, milliseconds since the epoch."""
    username: str = ""
    """Of the user; empty if it is not known. System messages name users by it."""
    accounts: tuple[str, ...] = ()
    """The ids of the accounts that sent calls of this row."""


UNKNOWN_PRIOR = Prior()


class RowDoubt(NamedTuple):
    """What an earlier run knew of a row that it left in doubt."""

    reason: str
    """Of the row in the report of that run."""
    prior: Prior
    attempted_at: int
    """When its last attempt was intended: UTC, milliseconds since the epoch."""
    seal: str = ""
    """Of these values, as the file has it."""


class Evidence(StrEnum):
    """What an outcome is based on; rows that were not sent have none."""

    RESPONSE = "response"
    """The server's response, with the prior state read."""
    ROLES = "roles"
    """The role was read as present before our attempt and as gone after it (or the other way round)."""
    MESSAGE = "message"
    """The system message of an account of this run, or of another account."""
    INFERRED = "inferred"
    """The prior state is unknown, or nothing better was found."""


class DueRow(NamedTuple):
    """A row of the run store that is still to be done."""

    key: int
    """The key of the row in the run store."""
    line: int
    room_id: str
    user_id: str
    attempts: int
    """Calls made for it so far, including those of earlier sessions."""
    in_doubt: bool
    """True if an earlier attempt may have been carried out although no response is recorded."""
    prior: Prior | None = None
    """None if it must be read in this session; the prior state of a row in doubt is never replaced."""
    attempted_at: int | None = None
    """When the last attempt was intended: UTC, milliseconds since the epoch."""


MAX_RESPONSE_SIZE = 65_536
"""Bytes of a response body that are read. Rocket.Chat's responses to role changes have some hundred bytes."""


class Reply(NamedTuple):
    """A complete response; its body is cut at the client's limit."""

    status: int
    headers: Mapping[str, str]
    """Names are not case-sensitive."""
    body: bytes
    sent_at: float
    """When the request was sent, in seconds of the run's monotonic clock."""
    received_at: float
    """When the response was read, in seconds of the run's monotonic clock."""


class NoReply(NamedTuple):
    """No usable response: the connection failed, broke or timed out."""

    reason: str
    """A short stable word such as `timeout`: the `reason` in the report."""
    detail: str
    """One sentence for people, without credentials."""
    maybe_sent: bool
    """True when the request may have reached the workspace, so that it may have been carried out."""
    certificate_refused: bool = False
    """True when the connection failed because the server's TLS certificate is not trusted."""
    by_proxy: bool = False
    """True when the configured proxy failed, not the workspace."""


class RowOutcome(NamedTuple):
    """The outcome of a row as the run store records it."""

    key: int
    outcome: Outcome
    reason: str
    http_status: int | None
    error_type: str
    message: str
    """The message of the server, or our own if there was no response."""
    finished_at: int
    """UTC, milliseconds since the epoch."""
    duration_ms: int | None
    """Duration of the deciding call; None if no call was made."""
    in_doubt: bool
    """True if an attempt may have been carried out although the outcome does not show it."""
    evidence: str = ""
    """A word of Evidence; empty for a row that was not sent."""

    @classmethod
    def without_call(cls, key: int, outcome: Outcome, reason: str, *, message: str = "", finished_at: int) -> Self:
        """Return the outcome of a row for which no changing call was made."""
        return cls(key, outcome, reason, None, "", message, finished_at, None, in_doubt=False)


class Result(NamedTuple):
    """One row of the report."""

    line: int | None
    """None for a row that only an earlier version of the job file has."""
    room_id: str
    user_id: str
    outcome: Outcome
    reason: str
    http_status: int | None
    error_type: str
    message: str
    attempts: int
    started_at: int | None
    """When the first attempt was sent: UTC, milliseconds since the epoch."""
    finished_at: int | None
    duration_ms: int | None
    """Duration of the deciding call."""
    extra: Mapping[str, Json]
    evidence: str = ""
    """A word of Evidence; empty for a row that was not sent."""
    prior: Prior = UNKNOWN_PRIOR
    attempted_at: int | None = None
    """When the last attempt was intended: UTC, milliseconds since the epoch."""


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
