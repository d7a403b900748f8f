"""The run store in SQLite: an async facade over one database, which it calls on one thread of its own."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, ParamSpec, Self, TypeVar

from rolecall.file_access import OpenDirectory, Target
from rolecall.models import BadRow, DueRow, FoundName, NameKey, Outcome, Result, Row
from rolecall.store.base import DEFAULT_LOCK_WAIT, LockWait, StoreError
from rolecall.store.completion import complete
from rolecall.store.records import Batch, Count, Identity, Pair, Pause, PresetOutcome, RoomCount, Session
from rolecall.store.run_lock import RunLock
from rolecall.store.sqlite.database import CopiedTable, SqliteDatabase

P = ParamSpec("P")
T = TypeVar("T")

FILE_NAME = "ledger.sqlite"
"""The store's file in the directory of a run."""
RESULTS_PER_PAGE = 1000


class SqliteStore:
    """A RunStore in one file. Use `open_store` or `open_snapshot`, or the async context of `open`."""

    def __init__(self, database: SqliteDatabase, thread: ThreadPoolExecutor) -> None:
        self._database = database
        self._thread = thread
        self._importing = asyncio.Lock()
        """Locked while a job is imported: its transaction spans several calls on the thread."""
        self._closing: asyncio.Future[None] | None = None

    @classmethod
    async def open(cls, file: Target, lock_wait: LockWait = DEFAULT_LOCK_WAIT) -> Self:
        """Open a store; create it where there is none. Raises InvalidStoreError."""
        return await cls._open(lambda: SqliteDatabase(file, lock_wait))

    @classmethod
    async def open_snapshot(cls, path: Path) -> Self:
        """Open the store at `path` as it is now, read-only. Raises InvalidStoreError."""
        return await cls._open(lambda: SqliteDatabase.open_snapshot(path))

    @classmethod
    async def _open(cls, opener: Callable[[], SqliteDatabase]) -> Self:
        thread = ThreadPoolExecutor(1, thread_name_prefix="run store")
        opening = asyncio.get_running_loop().run_in_executor(thread, opener)
        try:
            return cls(await complete(opening), thread)
        except BaseException:
            if opening.exception() is None:  # cancelled meanwhile
                thread.submit(opening.result().close)
            thread.shutdown(wait=False)
            raise

    async def close(self) -> None:
        """Close the file after every call that has begun, and end the thread. Idempotent.

        A cancellation is raised once the file is closed. An import that still waits for rows is undone.
        """
        if self._closing is None:
            self._closing = self._submit(self._database.close)
            self._thread.shutdown(wait=False)  # the thread ends by itself after its last call
        await complete(self._closing)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def identity(self) -> Identity | None:
        """Return which run this is; None for a new store."""
        return await self._call(self._database.identity)

    async def extra_columns(self) -> Sequence[str]:
        """Return the names of the job's further columns, in the order of their first appearance."""
        return await self._call(self._database.extra_columns)

    async def import_rows(
        self,
        identity: Identity,
        pages: AsyncIterator[Sequence[Row | BadRow]],
        preset: Iterable[PresetOutcome] = (),
        meta: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Make the rows of a job the store's, in one transaction; what `pages` raises undoes it."""
        async with self._importing:
            try:
                job = await self._submit(self._database.begin_import)
                async for page in pages:
                    await self._submit(job.add, page)
                await self._submit(job.finish, identity, preset, meta)
            except BaseException:
                if self._closing is None:
                    await complete(self._submit(self._database.abort_import))
                raise

    async def find_names(self, keys: Collection[NameKey]) -> list[FoundName]:
        """Return what is stored of these names; also while a job is imported."""
        return await self._submit(self._database.find_names, keys)

    async def add_name(self, found: FoundName) -> None:
        """Store what was found by a name, as a part of the import that has begun."""
        await self._submit(self._database.add_name, found)

    async def delete_names(self) -> None:
        """Delete what was found by names."""
        await self._call(self._database.delete_names)

    async def fetch_due(self, after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        """Return the next due rows in job order, each with its place, beyond the place `after`."""
        return await self._call(self._database.fetch_due, after, count, retry_failed=retry_failed)

    async def due_in_room(
        self, room_id: str, after: int, count: int, *, retry_failed: bool
    ) -> list[tuple[int, DueRow]]:
        """Return the next due rows of one room in job order, each with its place, beyond the place `after`."""
        return await self._call(self._database.due_in_room, room_id, after, count, retry_failed=retry_failed)

    async def due_of_user(
        self, user_id: str, after: int, count: int, *, retry_failed: bool
    ) -> list[tuple[int, DueRow]]:
        """Return the next due rows of one user in job order, each with its place, beyond the place `after`."""
        return await self._call(self._database.due_of_user, user_id, after, count, retry_failed=retry_failed)

    async def count_due_users(self, *, retry_failed: bool) -> int:
        """Return the number of users with due rows."""
        return await self._call(self._database.count_due_users, retry_failed=retry_failed)

    async def count_removed_in_doubt(self) -> int:
        """Return the number of pairs in doubt or `unknown` that the present job file no longer has."""
        return await self._call(self._database.count_removed_in_doubt)

    async def count_due(self, *, retry_failed: bool) -> tuple[int, int]:
        """Return the number of due rows, and of the rooms that they are in."""
        return await self._call(self._database.count_due, retry_failed=retry_failed)

    async def pairs_by_room(self, after: tuple[str, str], count: int) -> list[Pair]:
        """Return the next pairs beyond a room and a user, in this order."""
        return await self._call(self._database.pairs_by_room, after, count)

    async def pairs_by_user(self, after: tuple[str, str], count: int) -> list[Pair]:
        """Return the next pairs beyond a user and a room, in this order."""
        return await self._call(self._database.pairs_by_user, after, count)

    async def count_rooms_and_users(self, outcomes: Collection[Outcome], reason: str | None = None) -> tuple[int, int]:
        """Return the number of rooms and of users of the pairs with one of these outcomes and this reason."""
        return await self._call(self._database.count_rooms_and_users, outcomes, reason)

    async def rooms_by_pairs(self, outcomes: Collection[Outcome], reason: str | None, count: int) -> list[RoomCount]:
        """Return the rooms with the most pairs with one of these outcomes and this reason, at most `count`."""
        return await self._call(self._database.rooms_by_pairs, outcomes, reason, count)

    async def delete_removed_pairs(self) -> None:
        """Delete the pairs that the present job file no longer has, with their outcomes."""
        await self._call(self._database.delete_removed_pairs)

    async def reset_outcomes(self) -> None:
        """Delete the outcomes and doubts of all pairs."""
        await self._call(self._database.reset_outcomes)

    async def commit(self, batch: Batch) -> None:
        """Make a batch durable: a power cut after the return loses nothing of it."""
        await self._call(self._database.commit, batch)

    async def open_session(self, account: str, at: int) -> None:
        """Record that the command has started."""
        await self._call(self._database.open_session, account, at)

    async def close_session(self, stop: str, at: int) -> None:
        """Record that the session has ended, with the stop reason where it ended early."""
        await self._call(self._database.close_session, stop, at)

    async def sessions(self) -> list[Session]:
        """Return the sessions of this run, the first one first."""
        return await self._call(self._database.sessions)

    async def pauses(self, after: int, count: int) -> list[tuple[int, Pause]]:
        """Return the next pauses of all sessions in their order, each with its number, beyond the number `after`."""
        return await self._call(self._database.pauses, after, count)

    async def open_pauses(self, at: int) -> list[Pause]:
        """Return the pauses of the latest session that last at the moment `at` (UTC, milliseconds since the epoch)."""
        return await self._call(self._database.open_pauses, at)

    async def copied_rows(self, table: CopiedTable, after: int, count: int) -> list[tuple[Any, ...]]:
        """Return the next rows of a table as they are stored, beyond the key `after`, which is their first value."""
        return await self._call(self._database.copied_rows, table, after, count)

    async def results(self) -> AsyncGenerator[Sequence[Result], None]:
        """Return all rows in job order, page by page; then rows with an attempt or outcome that left the job."""
        rows = self._database.results()
        try:
            while page := await self._call(lambda: list(islice(rows, RESULTS_PER_PAGE))):
                yield page
        finally:
            if self._closing is None:  # the query ends on the thread too: it waits for a commit in progress
                await complete(self._submit(rows.close))

    async def results_by_key(self, keys: Sequence[int]) -> list[Result]:
        """Return single rows by their keys, in job order; unknown keys are left out."""
        return await self._call(self._database.results_by_key, keys)

    async def counts(self) -> list[Count]:
        """Return the number of rows by outcome and reason, the most frequent first within an outcome."""
        return await self._call(self._database.counts)

    async def evidence_counts(self) -> Counter[tuple[Outcome, str]]:
        """Return the number of pairs by recorded outcome and evidence, which is empty for a pair that was not sent."""
        return await self._call(self._database.evidence_counts)

    async def count_settled(self, since: int) -> int:
        """Return the number of rows with an outcome from `since` (UTC, milliseconds since the epoch) on."""
        return await self._call(self._database.count_settled, since)

    async def set_meta(self, **values: str) -> None:
        """Store facts about the run by name; other facts stay."""
        await self._call(self._database.set_meta, **values)

    async def get_meta(self) -> Mapping[str, str]:
        """Return the facts about the run."""
        return await self._call(self._database.get_meta)

    async def _call(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the database on the thread, after an import in progress."""
        async with self._importing:
            future = self._submit(method, *args, **kwargs)
        return await future

    def _submit(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Add a call to the queue of the thread. Once begun it runs to its end, even if its caller is cancelled."""
        if self._closing is not None:
            raise StoreError(f"The run store {self._database.path} is closed.")
        return asyncio.get_running_loop().run_in_executor(self._thread, lambda: method(*args, **kwargs))


@asynccontextmanager
async def open_store(
    directory: Path, lock_wait: LockWait = DEFAULT_LOCK_WAIT
) -> AsyncIterator[tuple[OpenDirectory, SqliteStore]]:
    """Lock the run in a directory and open its store. Raises RunLockedError, InvalidStoreError and OSError."""
    lock = RunLock(directory)
    try:
        await complete(asyncio.ensure_future(asyncio.to_thread(lock.acquire)))
        async with await SqliteStore.open(lock.directory / FILE_NAME, lock_wait) as store:
            yield lock.directory, store
    finally:
        lock.release()


@asynccontextmanager
async def open_snapshot(directory: Path) -> AsyncIterator[SqliteStore]:
    """Open the store of the run in a directory as it is now, read-only and without a lock. Raises InvalidStoreError."""
    async with await SqliteStore.open_snapshot(directory / FILE_NAME) as store:
        yield store
