"""The rows of a job on their way: as read from the file, as due, with their outcome, as reported."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any, Literal, NamedTuple, Self, TypeAlias, get_args

from rolecall.models.outcomes import Outcome

Json: TypeAlias = Any
"""A JSON value: text, number, true, false, null, list or object."""

MAX_ID_LENGTH = 256
"""Characters of a room id or user id. Rocket.Chat's own ids have 17 characters; imported ids can be longer."""


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


class Row(NamedTuple):
    """One usable row of a job file, with both ids."""

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
    doubt: RowDoubt | None = None
    """What an earlier run left in doubt, where the job is its `retry.csv`."""


row_from_values: Callable[[tuple[int, str, str, Mapping[str, Json], str, str, RowDoubt | None]], Row] = partial(
    tuple.__new__, Row
)
"""Create a row from its values, in half the time of `Row(...)`."""


class NamedRow(NamedTuple):
    """One row of a job file that names its room, its user or both: an id that is empty must be looked up."""

    line: int
    room_id: str
    user_id: str
    extra: Mapping[str, Json]
    room_name: str = ""
    """As in `Row`; never empty where `room_id` is."""
    username: str = ""
    """As in `Row`; never empty where `user_id` is."""
    doubt: RowDoubt | None = None


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
    """As in `Row`; filled where a name could not be found."""
    username: str = ""


JobRow: TypeAlias = Row | NamedRow | BadRow
"""One row of a job file."""


class NameKind(StrEnum):
    """What a name of a job is the name of."""

    ROOM = "room"
    USER = "user"


class NameKey(NamedTuple):
    """A name of a room or a user that a job has instead of an id."""

    kind: NameKind
    name: str
    """As in `Row`, or an id: a column of names may have some."""


class FoundName(NamedTuple):
    """What the workspace knows by a name."""

    key: NameKey
    id: str = ""
    """Empty if there is no such room or user."""
    name: str = ""
    """The name as the server writes it."""
    reason: str = ""
    """Why there is no id: a short stable word, the `reason` in the report."""
    message: str = ""
    """The reason with the name, as one sentence for people."""


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
    room_name: str = ""
    """Empty if it is not known."""
    username: str = ""
    """Empty if it is not known."""
    outcome: Outcome | None = None
    """The recorded outcome, which another attempt may replace; None without one."""
    reason: str = ""
    """That of the recorded outcome."""


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
    room_name: str = ""
    """As it was read; empty if it is not known."""
    username: str = ""
    """As it was read; empty if it is not known."""

    @classmethod
    def without_call(
        cls,
        key: int,
        outcome: Outcome,
        reason: str,
        *,
        finished_at: int,
        error_type: str = "",
        message: str = "",
        evidence: str = "",
    ) -> Self:
        """Return the outcome of a row for which no changing call was made."""
        return cls(key, outcome, reason, None, error_type, message, finished_at, None, False, evidence)


ReportFormat: TypeAlias = Literal["jsonl", "json"]
"""A form in which the report is written beside CSV: the suffix of its file."""
REPORT_FORMATS: tuple[ReportFormat, ...] = get_args(ReportFormat)


class CsvStyle(NamedTuple):
    """How reports are written as CSV."""

    delimiter: str = ","
    """A comma, a semicolon or a tab."""
    has_bom: bool = False
    """A byte order mark comes first, by which spreadsheets recognise UTF-8."""


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
    room_name: str = ""
    """From the workspace or else from the job, without `#`; empty if it is not known."""
    username: str = ""
    """From the workspace or else from the job; empty if it is not known."""
