"""What the engine and the reports need of a ledger, whatever database stands behind it."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from rolecall.models import BadRow, DueRow, Outcome, Result, RolecallError, Row, RowOutcome

KILLED = "killed"
"""Why a session ended that could not say so."""


class InvalidStoreError(RolecallError):
    """The ledger cannot be used for this run; the text is one line for a person."""


class StoreError(RolecallError):
    """The ledger could not be written or read in the middle of a run; the text is one line for a person."""


class Identity(NamedTuple):
    """Which run a ledger belongs to."""

    workspace: str
    operation: str
    job_digest: str


class Intent(NamedTuple):
    """A request is about to leave."""

    key: int
    attempt: int
    """The number of this attempt, counted from 1 over all sessions of the run."""
    at: int
    """UTC, milliseconds since the epoch."""


class IntentRollback(NamedTuple):
    """An intended request did not leave, or was certainly not carried out: the intent is taken back."""

    key: int
    attempts: int
    """The attempts that still count."""
    in_doubt: bool
    """True when an earlier attempt may have been carried out."""


class Batch(NamedTuple):
    """What one transaction takes; outcomes and rollbacks first, so that a later intent of a row stands."""

    settled: Sequence[RowOutcome]
    rollbacks: Sequence[IntentRollback]
    intents: Sequence[Intent]


class PresetOutcome(NamedTuple):
    """What is known of a pair before anything is sent: it is told so, and never sent."""

    room_id: str
    user_id: str
    outcome: Outcome
    reason: str
    message: str
    at: int
    """When it was found out: UTC, milliseconds since the epoch."""


class Pair(NamedTuple):
    """One pair, and what it is told."""

    key: int
    line: int | None
    """None for a pair that an earlier version of the job file had and the present one does not."""
    room_id: str
    user_id: str
    outcome: Outcome | None
    reason: str
    in_doubt: bool
    """True when an attempt may have been carried out whose outcome is not recorded."""


class Count(NamedTuple):
    """How many rows came to one outcome for one reason."""

    outcome: Outcome
    reason: str
    rows: int


def count_by_outcome(counts: Iterable[Count]) -> Counter[Outcome]:
    """Count the rows by outcome alone, in the order of the counts."""
    outcomes: Counter[Outcome] = Counter()
    for count in counts:
        outcomes[count.outcome] += count.rows
    return outcomes


class Session(NamedTuple):
    """One start of the command on a run."""

    started_at: int
    """UTC, milliseconds since the epoch."""
    ended_at: int | None
    """None for a session that was killed, or that goes on."""
    stop: str
    """Why it stopped before the last row; empty when it reached it."""
    account: str

    @property
    def why(self) -> str:
        """Why it ended before the last row, KILLED for one that did not end itself; empty when it reached it."""
        return self.stop or ("" if self.ended_at else KILLED)


class RunStore(Protocol):
    """The record of one run. Calls come one at a time; each is atomic. Raises StoreError."""

    def identity(self) -> Identity | None:
        """Tell which run this is; None for a new ledger."""

    def extra_columns(self) -> Sequence[str]:
        """Name the job's further columns, in the order of their first appearance."""

    def import_rows(
        self,
        identity: Identity,
        rows: Iterable[Row | BadRow],
        known: Iterable[PresetOutcome] = (),
        notes: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Make the job's rows the ledger's, in one transaction; pairs that it knows keep what came of them.

        What is `known` of pairs that nothing has been tried for becomes their outcome; the notes are kept beside it.
        """

    def due(self, after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        """Give the next rows to be done in job order, each with its place, beyond the place `after`."""

    def count_due(self, *, retry_failed: bool) -> tuple[int, int]:
        """Count the rows to be done, and the rooms they are in."""

    def pairs_by_room(self, after: tuple[str, str], count: int) -> list[Pair]:
        """Give the next pairs beyond `after`, a room and a user, in the order of these."""

    def pairs_by_user(self, after: tuple[str, str], count: int) -> list[Pair]:
        """Give the next pairs beyond `after`, a user and a room, in the order of these."""

    def count_rooms_and_users(self, outcomes: Collection[Outcome], reason: str | None = None) -> tuple[int, int]:
        """Count the rooms and the users of the pairs that have one of these outcomes, and this reason."""

    def delete_removed_pairs(self) -> None:
        """Drop the pairs that the present job file no longer has, and what came of them."""

    def reset_outcomes(self) -> None:
        """Forget what came of every pair."""

    def commit(self, batch: Batch) -> None:
        """Make a batch durable: a power cut after the return loses nothing of it."""

    def open_session(self, account: str, at: int) -> None:
        """Note that the command has started."""

    def close_session(self, stop: str, at: int) -> None:
        """Note that the command ends, and why when it ends early."""

    def sessions(self) -> list[Session]:
        """List the starts of the command on this run."""

    def results(self) -> Iterator[Result]:
        """Tell every row in job order; then the rows worked on that the present job file no longer has."""

    def results_by_key(self, keys: Sequence[int]) -> list[Result]:
        """Tell single rows, known by their keys, in job order."""

    def counts(self) -> list[Count]:
        """Count the rows by outcome and reason."""

    def note(self, **values: str) -> None:
        """Keep facts about the run by name."""

    def notes(self) -> Mapping[str, str]:
        """Give the facts about the run."""

    def close(self) -> None:
        """Let go of the database."""
