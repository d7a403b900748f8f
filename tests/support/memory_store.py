"""A run store in memory, for tests: complete, and without a disk. A crash keeps only what was committed."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from types import MappingProxyType

from rolecall.models import BadRow, DueRow, FoundName, NameKey, Outcome, Result, Row, is_due
from rolecall.store.base import StoreError
from rolecall.store.records import Batch, Count, Identity, Pair, Pause, PresetOutcome, RoomCount, Session
from tests.support.memory_contents import Contents, Entry, JobImport, apply_batch, require_text

RESULTS_PER_PAGE = 1000

CommitHook = Callable[[Batch], Awaitable[None]]


class MemoryStore:
    """A RunStore on dicts. Each call lets other tasks run first, as a call on a thread does."""

    before_commit: CommitHook | None = None
    """Awaited before a batch is durable: it may take time, crash the store, or raise StoreError for a failing disk."""
    after_commit: CommitHook | None = None
    """Awaited when the batch is durable, before its commit returns."""

    def __init__(self, contents: Contents | None = None) -> None:
        """Open the contents of a store that has crashed or been closed; without them, a new store."""
        self._contents = contents or Contents()
        self._busy = asyncio.Lock()
        self._job: JobImport | None = None
        """The import that has begun."""
        self._is_closed = False
        """True when no call may begin."""
        self._is_gone = False
        """True when no call may be completed either."""

    @property
    def contents(self) -> Contents:
        """What is on the disk at this moment."""
        return self._contents

    def crash(self) -> "MemoryStore":
        """Return the store as the next process finds it. This one raises StoreError from now on, also in open calls."""
        self._is_closed = self._is_gone = True
        return MemoryStore(self._contents)

    async def close(self) -> None:
        """Close the store after the calls that have begun; undo an import that waits for rows. Idempotent."""
        self._is_closed = True
        if self._job is None:
            async with self._busy:
                pass
        self._is_gone = True

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[Contents]:
        """Return the contents after the calls that came before. Raises StoreError once the store is closed."""
        _refuse_if(self._is_closed)
        async with self._busy:
            await asyncio.sleep(0)
            _refuse_if(self._is_gone)
            yield self._contents

    async def _open(self) -> Contents:
        """Return the contents for a call that needs no other task any more."""
        async with self._call() as contents:
            return contents

    async def identity(self) -> Identity | None:
        """Return which run this is; None for a new store."""
        meta = (await self._open()).meta
        return Identity(*(meta[name] for name in Identity._fields)) if "job_digest" in meta else None

    async def extra_columns(self) -> Sequence[str]:
        """Return the names of the job's further columns, in the order of their first appearance."""
        names: list[str] = json.loads((await self._open()).meta.get("extra_columns", "[]"))
        return names

    async def import_rows(
        self,
        identity: Identity,
        pages: AsyncIterator[Sequence[Row | BadRow]],
        preset: Iterable[PresetOutcome] = (),
        meta: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Make the rows of a job the store's; what `pages` raises undoes it."""
        async with self._call() as old:
            job = self._job = JobImport(old)
            try:
                async for page in pages:
                    _refuse_if(self._is_gone)
                    for row in page:
                        job.add(row)
                contents = job.finish(identity, preset, meta)
                _refuse_if(self._is_gone)
                self._contents = contents
            finally:
                self._job = None

    async def find_names(self, keys: Collection[NameKey]) -> list[FoundName]:
        """Return what is stored of these names; also while a job is imported."""
        _refuse_if(self._is_closed)
        await asyncio.sleep(0)
        names = self._contents.names if self._job is None else self._job.names
        return [names[key] for key in dict.fromkeys(keys) if key in names]

    async def add_name(self, found: FoundName) -> None:
        """Store what was found by a name, as a part of the import that has begun."""
        _refuse_if(self._is_closed)
        if self._job is None:
            raise StoreError("The run store in memory takes names only while a job is imported.")
        self._job.names.setdefault(found.key, found)

    async def delete_names(self) -> None:
        """Delete what was found by names."""
        (await self._open()).names.clear()

    async def fetch_due(self, after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        """Return the next due rows in job order, each with its place, beyond the place `after`."""
        return self._due(await self._open(), after, count, retry_failed=retry_failed)

    async def due_in_room(
        self, room_id: str, after: int, count: int, *, retry_failed: bool
    ) -> list[tuple[int, DueRow]]:
        """Return the next due rows of one room in job order, each with its place, beyond the place `after`."""
        contents = await self._open()
        return self._due(contents, after, count, lambda entry: entry.room_id == room_id, retry_failed=retry_failed)

    async def due_of_user(
        self, user_id: str, after: int, count: int, *, retry_failed: bool
    ) -> list[tuple[int, DueRow]]:
        """Return the next due rows of one user in job order, each with its place, beyond the place `after`."""
        contents = await self._open()
        return self._due(contents, after, count, lambda entry: entry.user_id == user_id, retry_failed=retry_failed)

    @staticmethod
    def _due(
        contents: Contents,
        after: int,
        count: int,
        is_wanted: Callable[[Entry], bool] = lambda _: True,
        *,
        retry_failed: bool,
    ) -> list[tuple[int, DueRow]]:
        due = (
            (entry.place, entry.to_due_row(len(contents.sessions)))
            for entry in contents.job_entries(after)
            if entry.place is not None and is_wanted(entry) and is_due(entry.outcome, retry_failed=retry_failed)
        )
        return list(islice(due, count))

    async def count_due(self, *, retry_failed: bool) -> tuple[int, int]:
        """Return the number of due rows, and of the rooms that they are in."""
        entries = (await self._open()).job_entries()
        rooms = [entry.room_id for entry in entries if is_due(entry.outcome, retry_failed=retry_failed)]
        return len(rooms), len(set(rooms))

    async def count_removed_in_doubt(self) -> int:
        """Return the number of pairs in doubt or `unknown` that the present job file no longer has."""
        removed = [entry for entry in (await self._open()).entries.values() if entry.place is None]
        return sum(entry.outcome is Outcome.UNKNOWN or (not entry.outcome and entry.in_doubt) for entry in removed)

    async def count_due_users(self, *, retry_failed: bool) -> int:
        """Return the number of users with due rows."""
        entries = (await self._open()).job_entries()
        return len({entry.user_id for entry in entries if is_due(entry.outcome, retry_failed=retry_failed)})

    async def pairs_by_room(self, after: tuple[str, str], count: int) -> list[Pair]:
        """Return the next pairs beyond a room and a user, in this order."""
        contents = await self._open()
        beyond = sorted(pair for pair in contents.keys if pair > after)
        return [contents.entries[contents.keys[pair]].to_pair() for pair in beyond[:count]]

    async def pairs_by_user(self, after: tuple[str, str], count: int) -> list[Pair]:
        """Return the next pairs beyond a user and a room, in this order."""
        contents = await self._open()
        beyond = sorted((user, room) for room, user in contents.keys if (user, room) > after)
        return [contents.entries[contents.keys[room, user]].to_pair() for user, room in beyond[:count]]

    async def count_rooms_and_users(self, outcomes: Collection[Outcome], reason: str | None = None) -> tuple[int, int]:
        """Return the number of rooms and of users of the pairs with one of these outcomes and this reason."""
        pairs = [entry.to_pair() for entry in (await self._open()).entries.values()]
        wanted = [pair for pair in pairs if pair.outcome in outcomes and reason in (None, pair.reason)]
        return len({pair.room_id for pair in wanted}), len({pair.user_id for pair in wanted})

    async def rooms_by_pairs(self, outcomes: Collection[Outcome], reason: str | None, count: int) -> list[RoomCount]:
        """Return the rooms with the most pairs with one of these outcomes and this reason, at most `count`."""
        rooms: dict[str, RoomCount] = {}
        for entry in sorted((await self._open()).entries.values(), key=lambda entry: entry.key):
            pair = entry.to_pair()
            if pair.outcome in outcomes and reason in (None, pair.reason):
                known = rooms.get(pair.room_id, RoomCount(pair.room_id, "", 0))
                rooms[pair.room_id] = RoomCount(pair.room_id, max(known.room_name, pair.room_name), known.rows + 1)
        return sorted(rooms.values(), key=lambda room: -room.rows)[:count]

    async def delete_removed_pairs(self) -> None:
        """Delete the pairs that the present job file no longer has, with their outcomes."""
        contents = await self._open()
        entries = {key: entry for key, entry in contents.entries.items() if entry.place is not None}
        self._contents = contents.with_entries(entries)

    async def reset_outcomes(self) -> None:
        """Delete the outcomes and doubts of all pairs."""
        contents = await self._open()
        entries = {
            key: entry._replace(recorded=None, former=None, in_doubt=False) for key, entry in contents.entries.items()
        }
        self._contents = contents.with_entries(entries)

    async def commit(self, batch: Batch) -> None:
        """Make a batch durable, unless a hook or a crash prevents it."""
        async with self._call() as contents:
            if self.before_commit is not None:
                await self.before_commit(batch)
            _refuse_if(self._is_gone)
            apply_batch(contents, batch)
            if self.after_commit is not None:
                await self.after_commit(batch)
            _refuse_if(self._is_gone)

    async def open_session(self, account: str, at: int) -> None:
        """Record that the command has started."""
        (await self._open()).sessions.append(Session(at, None, "", account))

    async def close_session(self, stop: str, at: int) -> None:
        """Record that the session has ended, with the stop reason where it ended early."""
        contents = await self._open()
        sessions = contents.sessions
        if sessions:
            sessions[-1] = sessions[-1]._replace(stop=stop, ended_at=at)
        for number, (session, pause) in enumerate(contents.pauses):
            if session == len(sessions) and pause.ended_at is None and pause.until is None:
                contents.pauses[number] = (session, pause._replace(ended_at=at))

    async def sessions(self) -> list[Session]:
        """Return the sessions of this run, the first one first."""
        return list((await self._open()).sessions)

    async def pauses(self, after: int, count: int) -> list[tuple[int, Pause]]:
        """Return the next pauses of all sessions in their order, each with its number, beyond the number `after`."""
        numbered = enumerate((await self._open()).pauses, start=1)
        return [(number, pause) for number, (_, pause) in numbered if number > after][:count]

    async def open_pauses(self, at: int) -> list[Pause]:
        """Return the pauses of the latest session that last at the moment `at` (UTC, milliseconds since the epoch)."""
        contents = await self._open()
        latest = [pause for session, pause in contents.pauses if session == len(contents.sessions)]
        return [pause for pause in latest if pause.ended_at is None and (pause.until is None or pause.until > at)]

    async def results(self) -> AsyncGenerator[Sequence[Result], None]:
        """Return all rows in job order, page by page; then rows with an attempt or outcome that left the job."""
        contents = await self._open()
        rows = list(contents.results())
        for start in range(0, len(rows), RESULTS_PER_PAGE):
            yield rows[start : start + RESULTS_PER_PAGE]
            await self._open()

    async def results_by_key(self, keys: Sequence[int]) -> list[Result]:
        """Return single rows by their keys, in job order; unknown keys are left out."""
        contents = await self._open()
        entries = [contents.entries[key] for key in set(keys) if key in contents.entries]
        entries.sort(key=lambda entry: entry.place or 0)
        return [entry.to_result(contents.last_stop) for entry in entries]

    async def counts(self) -> list[Count]:
        """Return the number of rows by outcome and reason, the most frequent first within an outcome."""
        contents = await self._open()
        rows = Counter((result.outcome, result.reason) for _, result in contents.unsent)
        for (outcome, reason, in_doubt, _), number in contents.groups.items():
            without = (Outcome.UNKNOWN, "killed_in_flight") if in_doubt else (Outcome.NOT_ATTEMPTED, contents.last_stop)
            rows[without if outcome is None else (outcome, reason)] += number
        counts = [Count(outcome, reason, number) for (outcome, reason), number in rows.items() if number]
        order = list(Outcome)
        return sorted(counts, key=lambda count: (order.index(count.outcome), -count.rows, count.reason))

    async def evidence_counts(self) -> Counter[tuple[Outcome, str]]:
        """Return the number of rows by recorded outcome and evidence."""
        proven: Counter[tuple[Outcome, str]] = Counter()
        for (outcome, _, _, evidence), number in (await self._open()).groups.items():
            if outcome is not None and number:
                proven[outcome, evidence] += number
        return proven

    async def count_settled(self, since: int) -> int:
        """Return the number of rows with an outcome from `since` (UTC, milliseconds since the epoch) on."""
        entries = (await self._open()).entries.values()
        return sum(entry.recorded is not None and entry.recorded.finished_at >= since for entry in entries)

    async def set_meta(self, **values: str) -> None:
        """Store facts about the run by name; other facts stay."""
        contents = await self._open()
        require_text(values)
        contents.meta.update(values)

    async def get_meta(self) -> Mapping[str, str]:
        """Return the facts about the run: those that were stored, and the fields of its identity."""
        return dict((await self._open()).meta)


def _refuse_if(closed: bool) -> None:
    if closed:
        raise StoreError("The run store in memory is closed.")
