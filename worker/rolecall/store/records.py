"""The values that a run store accepts and returns: frozen, the same for every database."""

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from rolecall.models import UNKNOWN_PRIOR, Outcome, Prior, RowOutcome

KILLED = "killed"
"""Stop reason of a session whose process ended without recording one."""
KILLED_IN_FLIGHT = "killed_in_flight"
"""Reason of a row whose call is in flight, or whose outcome was not recorded."""
DOUBT_MESSAGE = "the call of an earlier run may have been carried out"
"""Message of a row that an earlier run left in doubt and that this run has not sent."""


class Identity(NamedTuple):
    """Which run a store belongs to."""

    workspace: str
    operation: str
    job_digest: str


class Intent(NamedTuple):
    """A request is about to be sent (write-ahead)."""

    key: int
    attempt: int
    """The number of this attempt, counted from 1 over all sessions of the run."""
    at: int
    """UTC, milliseconds since the epoch."""
    prior: Prior = UNKNOWN_PRIOR


class PriorRecord(NamedTuple):
    """The prior state of a due row, as read in the current session."""

    key: int
    prior: Prior
    room_name: str = ""
    """Where it was read too; empty if it was not."""


class IntentRollback(NamedTuple):
    """An intended request was not sent, or was certainly not carried out: the row is as before the intent."""

    key: int
    attempts: int
    """The attempts that still count."""
    in_doubt: bool
    """True when an earlier attempt may have been carried out."""
    doubted_at: int | None = None
    """When that attempt was intended; None leaves the time of the last intent. UTC, milliseconds since the epoch."""
    outcome: Outcome | None = None
    """The outcome that the row had before the intent, where it is true again; None leaves what is recorded."""
    reason: str = ""
    """That of the outcome."""


class PauseKind(StrEnum):
    """Why no request was sent for a time."""

    WINDOW = "window"
    """The server's rate limit window was full."""
    REFUSED = "refused"
    """The server answered 'too many requests', or to come back later."""
    OUTAGE = "outage"
    """The workspace did not respond; probes only."""
    SHUTDOWN = "shutdown"
    """The run was stopped; only responses to requests in flight were awaited."""


class Pause(NamedTuple):
    """A period in which no new request was sent. Times are UTC, milliseconds since the epoch.

    Its end is `ended_at`; where that is None, `until`; where both are None, the pause lasts.
    """

    kind: PauseKind
    started_at: int
    until: int | None = None
    """Planned end; None where it is not known (OUTAGE)."""
    ended_at: int | None = None
    """Recorded end; None until a PauseEnd is committed. Kinds with a planned end need no PauseEnd."""
    limit: int | None = None
    """Requests in a window of the server, where the window is the reason and its limit is known."""
    window_seconds: float | None = None


class PauseEnd(NamedTuple):
    """The end of the latest pause of a kind that is open in the latest session; without one it changes nothing."""

    kind: PauseKind
    at: int
    """UTC, milliseconds since the epoch."""


class Batch(NamedTuple):
    """The entries that one transaction writes, in the order of the fields.

    Intents come after outcomes and rollbacks: a row that has an intent in the batch is in doubt after it. Pauses are
    written in their own order and belong to the latest session, which must exist. Entries with an unknown key change
    nothing.
    """

    outcomes: Sequence[RowOutcome] = ()
    rollbacks: Sequence[IntentRollback] = ()
    intents: Sequence[Intent] = ()
    pauses: Sequence[Pause | PauseEnd] = ()
    priors: Sequence[PriorRecord] = ()


class PresetOutcome(NamedTuple):
    """An outcome that is known before anything is sent: the pair is reported with it and never sent."""

    room_id: str
    user_id: str
    outcome: Outcome
    reason: str
    message: str
    at: int
    """When it was established: UTC, milliseconds since the epoch."""
    evidence: str = ""
    """A word of Evidence where it settles what an earlier run left in doubt; empty for a pair that is not in doubt."""


class Pair(NamedTuple):
    """One pair of the job with its recorded outcome."""

    key: int
    line: int | None
    """None for a pair that an earlier version of the job file had and the present one does not."""
    room_id: str
    user_id: str
    outcome: Outcome | None
    reason: str
    in_doubt: bool
    """True when an attempt may have been carried out whose outcome is not recorded."""
    room_name: str = ""
    """Empty if it is not known."""
    username: str = ""
    """Empty if it is not known."""


class RoomCount(NamedTuple):
    """The number of pairs in one room."""

    room_id: str
    room_name: str
    """Empty if it is not known."""
    rows: int


class Count(NamedTuple):
    """The number of rows with one outcome and reason."""

    outcome: Outcome
    reason: str
    rows: int


def count_by_outcome(counts: Iterable[Count]) -> Counter[Outcome]:
    """Return the number of rows by outcome, in the order of the counts."""
    outcomes: Counter[Outcome] = Counter()
    for count in counts:
        outcomes[count.outcome] += count.rows
    return outcomes


class Session(NamedTuple):
    """One start of the command on a run."""

    started_at: int
    """UTC, milliseconds since the epoch."""
    ended_at: int | None
    """None for a session whose process was killed, or that is running."""
    stop: str
    """Stop reason; empty when it reached the last row."""
    account: str

    @property
    def stop_reason(self) -> str:
        """Return why it ended early: KILLED without a recorded end; empty when it reached the last row."""
        return self.stop or ("" if self.ended_at else KILLED)
