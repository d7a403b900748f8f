"""The store of one run: its protocol, which every database implements, and its errors.

The tests in `tests/unit/store/contract` state the behaviour of each method and run against every implementation.
"""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeVar

from rolecall.models import BadRow, DueRow, FoundName, NameKey, Outcome, Result, RolecallError, Row
from rolecall.store.records import Batch, Count, Identity, Pair, Pause, PresetOutcome, RoomCount, Session

T = TypeVar("T")

PAGE_SIZE = 512
"""Rows that are in memory at once while a job is imported."""


class InvalidStoreError(RolecallError):
    """The store cannot be used for this run; the text is one line for a person."""


class StoreError(RolecallError):
    """The store could not be written or read in the middle of a run; the text is one line for a person."""


class FencedError(StoreError):
    """Another worker has taken over this part of the run: nothing of it may be written here any more."""


class RunStoppedElsewhere(Exception):  # noqa: N818 - control flow, not an error
    """The run was stopped by another process: the intents of the batch were not written, all else of it is durable."""

    def __init__(self, stop: str, detail: str = "") -> None:
        super().__init__(stop, detail)
        self.stop = stop
        """The stop reason: a word of the engine's StopReason."""
        self.detail = detail


class StoreLoss(StrEnum):
    """What was deleted, replaced or moved while a run was active."""

    STORE = "store"
    """The store file: what it recorded can be read only as long as it is open."""
    HELPER = "helper"
    """A helper file of the database, or the lock of the run; what was recorded is in the store file."""
    DIRECTORY = "directory"
    """The directory: the store is still in it, at another path."""


class StoreLostError(StoreError):
    """The files of the store are not in their place any more; the text is one line for a person."""

    def __init__(self, text: str, loss: StoreLoss) -> None:
        super().__init__(text)
        self.loss = loss


class LockWait(NamedTuple):
    """How long a write waits while another program has locked the store. The functions are called on a thread."""

    seconds: float = 5.0
    on_wait: Callable[[Path, float], None] = lambda *_: None
    """Called once for each wait, with the store and the seconds that are left."""
    is_stopping: Callable[[], bool] = lambda: False
    """Whether the run is ending, so that a write waits only for MIN_LOCK_WAIT."""


DEFAULT_LOCK_WAIT = LockWait()
MIN_LOCK_WAIT = 5.0
"""Seconds that a write waits for another program in any case."""


class RunStore(Protocol):
    """The record of one run. All methods raise StoreError.

    Each method is atomic, and methods may be called concurrently: calls during an import wait for its end. A call
    that is cancelled may have been carried out.
    """

    async def identity(self) -> Identity | None:
        """Return which run this is; None for a new store."""

    async def extra_columns(self) -> Sequence[str]:
        """Return the names of the job's further columns, in the order of their first appearance."""

    async def import_rows(
        self,
        identity: Identity,
        pages: AsyncIterator[Sequence[Row | BadRow]],
        preset: Iterable[PresetOutcome] = (),
        meta: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Make the rows of a job the store's, in one transaction; pairs that it has keep their outcome.

        A row with a doubt becomes `unknown` and in doubt, with the prior state and the time of the last attempt of the
        earlier run, where it has no outcome and no attempt. A `preset` outcome is recorded for a pair that has neither;
        `meta` is stored with the rows.

        What `pages` raises undoes everything and is raised; so does a cancellation before the last page. `pages` may
        call `find_names` and `add_name`, and nothing else of the store.
        """

    async def find_names(self, keys: Collection[NameKey]) -> list[FoundName]:
        """Return what is stored of these names; unknown ones are left out.

        A name without an id is unknown to the next import.
        """

    async def add_name(self, found: FoundName) -> None:
        """Store what was found by a name, as a part of the import that has begun; a stored name stays as it is."""

    async def delete_names(self) -> None:
        """Delete what was found by names."""

    async def fetch_due(self, after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        """Return the next due rows in job order, each with its place, beyond the place `after`."""

    async def due_in_room(
        self, room_id: str, after: int, count: int, *, retry_failed: bool
    ) -> list[tuple[int, DueRow]]:
        """Return the next due rows of one room in job order, each with its place, beyond the place `after`."""

    async def due_of_user(
        self, user_id: str, after: int, count: int, *, retry_failed: bool
    ) -> list[tuple[int, DueRow]]:
        """Return the next due rows of one user in job order, each with its place, beyond the place `after`."""

    async def count_due(self, *, retry_failed: bool) -> tuple[int, int]:
        """Return the number of due rows, and of the rooms that they are in."""

    async def count_removed_in_doubt(self) -> int:
        """Return the number of pairs in doubt or `unknown` that the present job file no longer has."""

    async def count_due_users(self, *, retry_failed: bool) -> int:
        """Return the number of users with due rows."""

    async def pairs_by_room(self, after: tuple[str, str], count: int) -> list[Pair]:
        """Return the next pairs beyond `after`, a room and a user, in this order."""

    async def pairs_by_user(self, after: tuple[str, str], count: int) -> list[Pair]:
        """Return the next pairs beyond `after`, a user and a room, in this order."""

    async def count_rooms_and_users(self, outcomes: Collection[Outcome], reason: str | None = None) -> tuple[int, int]:
        """Return the number of rooms and of users of the pairs with one of these outcomes and this reason."""

    async def rooms_by_pairs(self, outcomes: Collection[Outcome], reason: str | None, count: int) -> list[RoomCount]:
        """Return the rooms with the most pairs with one of these outcomes and this reason, at most `count`."""

    async def delete_removed_pairs(self) -> None:
        """Delete the pairs that the present job file no longer has, with their outcomes."""

    async def reset_outcomes(self) -> None:
        """Delete the outcomes and doubts of all pairs."""

    async def commit(self, batch: Batch) -> None:
        """Make a batch durable: a power cut after the return loses nothing of it.

        A store that several processes share raises RunStoppedElsewhere where another one has stopped the run and the
        batch has intents, and FencedError where another one has taken over.
        """

    async def open_session(self, account: str, at: int) -> None:
        """Record that the command has started."""

    async def close_session(self, stop: str, at: int) -> None:
        """Record that the session has ended, with the stop reason where it ended early; its outage ends with it."""

    async def sessions(self) -> list[Session]:
        """Return the sessions of this run, the first one first."""

    async def pauses(self, after: int, count: int) -> list[tuple[int, Pause]]:
        """Return the next pauses of all sessions in their order, each with its number, beyond the number `after`."""

    async def open_pauses(self, at: int) -> list[Pause]:
        """Return the pauses of the latest session that last at the moment `at` (UTC, milliseconds since the epoch)."""

    def results(self) -> AsyncGenerator[Sequence[Result], None]:
        """Return all rows in job order, page by page; then rows with an attempt or outcome that left the job.

        A page shows its rows at the time when it is read, or at the time of the call. Use `aclosing` where not all
        pages are read.
        """

    async def results_by_key(self, keys: Sequence[int]) -> list[Result]:
        """Return single rows by their keys, in job order; unknown keys are left out."""

    async def counts(self) -> list[Count]:
        """Return the number of rows by outcome and reason, the most frequent first within an outcome.

        Each commit keeps it up to date: it is read without a scan, also from a snapshot of a run that is active.
        """

    async def evidence_counts(self) -> Counter[tuple[Outcome, str]]:
        """Return the number of pairs by recorded outcome and evidence, which is empty for a pair that was not sent.

        It is up to date and read without a scan, as `counts`.
        """

    async def count_settled(self, since: int) -> int:
        """Return the number of rows with an outcome from `since` (UTC, milliseconds since the epoch) on.

        It takes no longer than these rows require: those before `since` are not read.
        """

    async def set_meta(self, **values: str) -> None:
        """Store facts about the run by name; other facts stay."""

    async def get_meta(self) -> Mapping[str, str]:
        """Return the facts about the run: those that were stored, and the fields of its identity."""

    async def close(self) -> None:
        """Close the database after the calls that have begun; every later call raises StoreError. Idempotent.

        An import that still waits for rows is undone. A cancellation is raised once the database is closed.
        """


async def read_pages(rows: Iterable[T], size: int = PAGE_SIZE) -> AsyncGenerator[list[T], None]:
    """Return the rows in pages. They are read on a thread, because reading a file blocks."""
    import asyncio  # here: it is slow to import, and usage errors need only the exceptions

    left = iter(rows)
    while page := await asyncio.to_thread(lambda: list(islice(left, size))):
        yield page
