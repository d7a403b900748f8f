"""The run store in PostgreSQL: one run, or one shard of it under a lease, over one connection."""

import asyncio
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import Any, NamedTuple, Self, TypeVar

import orjson

from rolecall.models import BadRow, DueRow, FoundName, NameKey, NameKind, Outcome, Result, Row, RowOutcome
from rolecall.store.base import RunStoppedElsewhere, StoreError
from rolecall.store.completion import complete
from rolecall.store.postgres import sql
from rolecall.store.postgres.connection import Connection, DatabaseConfig, database_errors
from rolecall.store.postgres.job_import import JobImport
from rolecall.store.postgres.schema_version import connect_current
from rolecall.store.records import (
    Batch,
    Count,
    Identity,
    Intent,
    IntentRollback,
    Pair,
    Pause,
    PauseKind,
    PresetOutcome,
    PriorRecord,
    RoomCount,
    Session,
)
from rolecall.store.rows import (
    Group,
    batch_json,
    counts_of,
    evidence_counts_of,
    intent_values,
    keyed_json,
    prior_values,
    removed_in_doubt_of,
    stop_reason_of,
    to_due_row,
    to_pair,
    to_result,
    to_text,
)

T = TypeVar("T")
E = TypeVar("E", RowOutcome, IntentRollback, Intent, PriorRecord)
Values = tuple[Any, ...]

RESULTS_PER_PAGE = 1000
SHARD_ROWS = 200
"""Rows of a shard, about."""


class ShardLease(NamedTuple):
    """What entitles a worker to write the rows of a shard, as long as no newer token has been given."""

    shard_id: int
    token_job: int
    token_attempt: int
    worker: str = ""
    """For the sessions: who it was."""


class PostgresStore:
    """A RunStore in a database. Use `open_store`, or the async context of the constructor with a connection.

    Calls wait for each other; a call that has begun runs to its end, even if its caller is cancelled.
    """

    def __init__(
        self,
        connection: Connection,
        config: DatabaseConfig,
        run_id: int,
        lease: ShardLease | None = None,
        *,
        shard_rows: int = SHARD_ROWS,
        on_stop: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        """Use an open connection, which is closed with the store.

        `on_stop` receives the stop of the run and its detail when a commit without intents meets it.
        """
        self.connection = connection
        """Over it all is read and written; another user of it waits for the calls of the store by itself."""
        self._config = config
        self.run_id = run_id
        self._shard_rows = shard_rows
        self._on_stop = on_stop
        shard = lease or ShardLease(0, 0, 0)
        self._is_shard = lease is not None
        self._values: Mapping[str, object] = MappingProxyType(
            {
                "run": run_id,
                "shard": shard.shard_id if lease else None,
                "job": shard.token_job,
                "attempt": shard.token_attempt,
                "worker": shard.worker,
            }
        )
        self._calls = asyncio.Lock()
        """Locked during each call, and during all of an import."""
        self._statements = asyncio.Lock()
        """Locked while the connection works; between the pages of an import it is free."""
        self._is_importing = False
        self._is_closed = False
        self._closing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection after the calls that have begun; undo an import that waits for rows. Idempotent.

        A cancellation is raised once the connection is closed.
        """
        if self._closing is None:
            self._is_closed = True
            self._closing = asyncio.ensure_future(self._close())
        await complete(self._closing)

    async def _close(self) -> None:
        async with self._statements if self._is_importing else self._calls:
            await self.connection.close()

    async def identity(self) -> Identity | None:
        """Return which run this is; None for a new store."""
        meta = await self.get_meta()
        try:
            return Identity(meta["workspace"], meta["operation"], meta["job_digest"])
        except KeyError:
            return None

    async def extra_columns(self) -> Sequence[str]:
        """Return the names of the job's further columns, in the order of their first appearance."""
        return [str(name) for name in orjson.loads((await self.get_meta()).get("extra_columns", "[]"))]

    async def import_rows(
        self,
        identity: Identity,
        pages: AsyncIterator[Sequence[Row | BadRow]],
        preset: Iterable[PresetOutcome] = (),
        meta: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Make the rows of a job the store's, in one transaction; what `pages` raises undoes it."""
        self._require_open()
        async with self._calls:
            self._require_open()
            self._is_importing = True
            try:
                await self._import(identity, pages, preset, meta)
            finally:
                self._is_importing = False

    async def _import(
        self,
        identity: Identity,
        pages: AsyncIterator[Sequence[Row | BadRow]],
        preset: Iterable[PresetOutcome],
        meta: Mapping[str, str],
    ) -> None:
        job = JobImport(self.connection, self.run_id, self._shard_rows)
        try:
            await self._work(self.connection.execute, b"BEGIN")
            await self._work(job.begin)
            async for page in pages:
                await self._work(job.add, page)
            await self._work(job.finish, identity, preset, meta)
            await self._work(self.connection.execute, b"COMMIT")
        except BaseException:
            if not self.connection.closed:
                with suppress(StoreError):
                    await self._work(self.connection.rollback)
            raise

    async def find_names(self, keys: Collection[NameKey]) -> list[FoundName]:
        """Return what is stored of these names; also while a job is imported."""
        self._require_open()
        rows = await self._work(self._fetch, sql.FIND_NAMES, {"keys": batch_json(keys)})
        return [FoundName(NameKey(NameKind(kind), name), *rest) for kind, name, *rest in rows]

    async def add_name(self, found: FoundName) -> None:
        """Store what was found by a name, as a part of the import that has begun."""
        self._require_open()
        if not self._is_importing:
            raise StoreError(f"The database {self._config.place} takes names only while a job is imported.")
        await self._work(self._fetch, sql.ADD_NAME, {"found": batch_json([(*found.key, *found[1:])])})

    async def delete_names(self) -> None:
        """Delete what was found by names."""
        await self._read(sql.DELETE_NAMES)

    async def fetch_due(self, after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        """Return the next due rows in job order, each with its place, beyond the place `after`."""
        return await self._due(sql.DUE, after, count, retry_failed=retry_failed)

    async def due_in_room(
        self, room_id: str, after: int, count: int, *, retry_failed: bool
    ) -> list[tuple[int, DueRow]]:
        """Return the next due rows of one room in job order, each with its place, beyond the place `after`."""
        return await self._due(sql.DUE_IN_ROOM, after, count, of=room_id, retry_failed=retry_failed)

    async def due_of_user(
        self, user_id: str, after: int, count: int, *, retry_failed: bool
    ) -> list[tuple[int, DueRow]]:
        """Return the next due rows of one user in job order, each with its place, beyond the place `after`."""
        return await self._due(sql.DUE_OF_USER, after, count, of=user_id, retry_failed=retry_failed)

    async def _due(
        self, statement: str, after: int, count: int, *, of: str = "", retry_failed: bool
    ) -> list[tuple[int, DueRow]]:
        rows = await self._read(statement, id=of, after=after, count=count, retry_failed=retry_failed)
        return list(map(to_due_row, rows))

    async def count_due(self, *, retry_failed: bool) -> tuple[int, int]:
        """Return the number of due rows, and of the rooms that they are in."""
        if not any(group.is_due(retry_failed=retry_failed) for group in await self._groups()):
            return 0, 0
        ((rows, rooms),) = await self._read(sql.COUNT_DUE, after=0, retry_failed=retry_failed)
        return rows, rooms

    async def count_removed_in_doubt(self) -> int:
        """Return the number of pairs in doubt or `unknown` that the present job file no longer has."""
        return removed_in_doubt_of(await self._groups())

    async def count_due_users(self, *, retry_failed: bool) -> int:
        """Return the number of users with due rows."""
        ((users,),) = await self._read(sql.COUNT_DUE_USERS, after=0, retry_failed=retry_failed)
        return int(users)

    async def pairs_by_room(self, after: tuple[str, str], count: int) -> list[Pair]:
        """Return the next pairs beyond a room and a user, in this order."""
        rows = await self._read(sql.PAIRS_BY_ROOM, one=after[0], other=after[1], count=count)
        return list(map(to_pair, rows))

    async def pairs_by_user(self, after: tuple[str, str], count: int) -> list[Pair]:
        """Return the next pairs beyond a user and a room, in this order."""
        rows = await self._read(sql.PAIRS_BY_USER, one=after[0], other=after[1], count=count)
        return list(map(to_pair, rows))

    async def count_rooms_and_users(self, outcomes: Collection[Outcome], reason: str | None = None) -> tuple[int, int]:
        """Return the number of rooms and of users of the pairs with one of these outcomes and this reason."""
        words = [outcome.value for outcome in outcomes]
        ((rooms, users),) = await self._read(sql.COUNT_ROOMS_AND_USERS, outcomes=words, reason=reason)
        return rooms, users

    async def rooms_by_pairs(self, outcomes: Collection[Outcome], reason: str | None, count: int) -> list[RoomCount]:
        """Return the rooms with the most pairs with one of these outcomes and this reason, at most `count`."""
        words = [outcome.value for outcome in outcomes]
        rows = await self._read(sql.ROOMS_BY_PAIRS, outcomes=words, reason=reason, count=count)
        return [RoomCount(room_id, name or "", number) for room_id, name, number in rows]

    async def delete_removed_pairs(self) -> None:
        """Delete the pairs that the present job file no longer has, with their outcomes."""
        await self._change(sql.DELETE_REMOVED, sql.COUNT_GROUPS)

    async def reset_outcomes(self) -> None:
        """Delete the outcomes and doubts of all pairs."""
        await self._change(sql.RESET_OUTCOMES, sql.COUNT_GROUPS)

    async def commit(self, batch: Batch) -> None:
        """Make a batch durable: a power cut after the return loses nothing of it.

        Raises FencedError where another worker has taken the shard, and RunStoppedElsewhere where the run is stopped
        and the batch has intents: they alone are then not written.
        """
        outcomes, rollbacks = _last_of_each_row(batch.outcomes), _last_of_each_row(batch.rollbacks)
        intents, priors = _last_of_each_row(batch.intents), _last_of_each_row(batch.priors)
        rows = await self._read(
            sql.COMMIT_BATCH,
            keys=list({*outcomes, *rollbacks, *intents}),
            outcomes=keyed_json(outcomes.values()) if outcomes else None,
            rollbacks=keyed_json(rollbacks.values()) if rollbacks else None,
            priors=keyed_json(map(prior_values, priors.values())) if priors else None,
            intents=keyed_json(map(intent_values, intents.values())) if intents else None,
            pauses=batch_json(batch.pauses) if batch.pauses else None,
        )
        ((stop, detail),) = rows
        if stop and batch.intents:
            raise RunStoppedElsewhere(stop, detail)
        if stop:
            self._on_stop(stop, detail)

    async def open_session(self, account: str, at: int) -> None:
        """Record that the command has started."""
        await self._read(sql.OPEN_SESSION, account=to_text(account), at=at)

    async def close_session(self, stop: str, at: int) -> None:
        """Record that the session has ended, with the stop reason where it ended early."""
        await self._change(sql.CLOSE_SESSION, sql.END_PAUSES, stop=stop, at=at)

    async def sessions(self) -> list[Session]:
        """Return the sessions of this run, the first one first."""
        return [Session(*row) for row in await self._read(sql.SESSIONS)]

    async def pauses(self, after: int, count: int) -> list[tuple[int, Pause]]:
        """Return the next pauses of all sessions in their order, each with its number, beyond the number `after`."""
        rows = await self._read(sql.PAUSES, after=after, count=count)
        return [(number, Pause(PauseKind(kind), *rest)) for number, kind, *rest in rows]

    async def open_pauses(self, at: int) -> list[Pause]:
        """Return the pauses of the latest session that last at the moment `at` (UTC, milliseconds since the epoch)."""
        return [Pause(PauseKind(kind), *rest) for kind, *rest in await self._read(sql.OPEN_PAUSES, at=at)]

    async def results(self) -> AsyncGenerator[Sequence[Result], None]:
        """Return all rows in job order, page by page; then rows with an attempt or outcome that left the job.

        A page shows its rows at the time when it is read.
        """
        stop = await self._last_stop()
        after = 0
        while rows := await self._read(sql.RESULTS, after=after, count=RESULTS_PER_PAGE):
            yield [to_result(row, stop) for row in rows]
            after = rows[-1][0]
        after = 0
        while rows := await self._read(sql.REMOVED_RESULTS, after=after, count=RESULTS_PER_PAGE):
            yield [to_result(row[1:], stop) for row in rows]
            after = rows[-1][0]

    async def results_by_key(self, keys: Sequence[int]) -> list[Result]:
        """Return single rows by their keys, in job order; unknown keys are left out."""
        stop = await self._last_stop()
        return [to_result(row, stop) for row in await self._read(sql.RESULTS_BY_KEY, keys=list(keys))]

    async def counts(self) -> list[Count]:
        """Return the number of rows by outcome and reason, the most frequent first within an outcome."""
        return counts_of(await self._groups(), await self._last_stop())

    async def evidence_counts(self) -> Counter[tuple[Outcome, str]]:
        """Return the number of pairs by recorded outcome and evidence, which is empty for a pair that was not sent."""
        return evidence_counts_of(await self._groups())

    async def count_settled(self, since: int) -> int:
        """Return the number of rows with an outcome from `since` (UTC, milliseconds since the epoch) on."""
        ((rows,),) = await self._read(sql.COUNT_SETTLED, since=since)
        return int(rows)

    async def set_meta(self, **values: str) -> None:
        """Store facts about the run by name; other facts stay."""

        async def write() -> None:
            async with self.connection.transaction():
                for name, value in values.items():
                    await self._fetch(sql.SET_META, {"name": name, "value": value})

        await self._call(write)

    async def get_meta(self) -> Mapping[str, str]:
        """Return the facts about the run."""
        return dict(await self._read(sql.GET_META))

    async def _groups(self) -> list[Group]:
        return [Group(*row) for row in await self._read(sql.GROUPS)]

    async def _last_stop(self) -> str:
        """Return why rows were not attempted: the stop of the run, else that of its latest session."""
        ((stop,),) = await self._read(sql.RUN_STOP) or [("",)]
        return stop or stop_reason_of(await self.sessions())

    def _require_open(self) -> None:
        if self._is_closed:
            raise StoreError(f"The run store in the database {self._config.place} is closed.")

    async def _read(self, statement: str, **values: object) -> list[Values]:
        return await self._call(self._fetch, statement, values)

    async def _change(self, *statements: str, **values: object) -> None:
        """Execute statements in one transaction."""

        async def change() -> None:
            async with self.connection.transaction():
                for statement in statements:
                    await self._fetch(statement, values)

        await self._call(change)

    async def _fetch(self, statement: str, values: Mapping[str, object]) -> list[Values]:
        query = sql.in_scope(statement, is_shard=self._is_shard)
        cursor = await self.connection.execute(query, {**self._values, **values})
        return await cursor.fetchall() if cursor.description else []

    async def _call(self, method: Callable[..., Awaitable[T]], *args: object) -> T:
        """Call a method that uses the connection, after the calls that came before."""
        self._require_open()
        async with self._calls:
            self._require_open()
            return await self._work(method, *args)

    async def _work(self, method: Callable[..., Awaitable[T]], *args: object) -> T:
        """Call a method that uses the connection; once begun it runs to its end, even if its caller is cancelled."""

        async def work() -> T:
            async with self._statements:
                if self.connection.closed:
                    self._require_open()
                with database_errors(self._config):
                    return await method(*args)

        return await complete(asyncio.ensure_future(work()))


def _last_of_each_row(part: Sequence[E]) -> dict[int, E]:
    """Return the entries by key: one statement can change a row only once."""
    return {entry.key: entry for entry in part}


@asynccontextmanager
async def open_store(
    config: DatabaseConfig, run_id: int, lease: ShardLease | None = None, *, shard_rows: int = SHARD_ROWS
) -> AsyncIterator[PostgresStore]:
    """Open the store of a run, or of one shard of it. Raises DatabaseError and InvalidDatabaseError."""
    async with PostgresStore(await connect_current(config), config, run_id, lease, shard_rows=shard_rows) as store:
        yield store
