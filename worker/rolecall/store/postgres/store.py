"""The run store in PostgreSQL: one run, or one shard of it under a lease, over one connection."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import Self, TypeVar

from rolecall.models import BadRow, FoundName, NameKey, NameKind, Row, RowOutcome
from rolecall.store.base import RunStoppedElsewhere, StoreError
from rolecall.store.postgres import sql
from rolecall.store.postgres.connection import Connection, DatabaseConfig
from rolecall.store.postgres.job_import import JobImport
from rolecall.store.postgres.reading import ShardLease, StoreReader
from rolecall.store.postgres.schema_version import connect_current
from rolecall.store.records import Batch, Identity, Intent, IntentRollback, PresetOutcome, PriorRecord
from rolecall.store.rows import batch_json, intent_values, keyed_json, prior_values, to_text

E = TypeVar("E", RowOutcome, IntentRollback, Intent, PriorRecord)

SHARD_ROWS = 200
"""Rows of a shard, about."""


class PostgresStore(StoreReader):
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
        super().__init__(connection, config, run_id, lease)
        self._shard_rows = shard_rows
        self._on_stop = on_stop

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection after the calls that have begun; undo an import that waits for rows. Idempotent.

        A cancellation is raised once the connection is closed.
        """
        await self._serial.close()

    async def import_rows(
        self,
        identity: Identity,
        pages: AsyncIterator[Sequence[Row | BadRow]],
        preset: Iterable[PresetOutcome] = (),
        meta: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Make the rows of a job the store's, in one transaction; what `pages` raises undoes it."""
        async with self._serial.reserve():
            await self._import(identity, pages, preset, meta)

    async def _import(
        self,
        identity: Identity,
        pages: AsyncIterator[Sequence[Row | BadRow]],
        preset: Iterable[PresetOutcome],
        meta: Mapping[str, str],
    ) -> None:
        job = JobImport(self.connection, self.run_id, self._shard_rows)
        try:
            await self._serial.work(self.connection.execute, b"BEGIN")
            await self._serial.work(job.begin)
            async for page in pages:
                await self._serial.work(job.add, page)
            await self._serial.work(job.finish, identity, preset, meta)
            await self._serial.work(self.connection.execute, b"COMMIT")
        except BaseException:
            if not self.connection.closed:
                with suppress(StoreError):
                    await self._serial.work(self.connection.rollback)
            raise

    async def find_names(self, keys: Collection[NameKey]) -> list[FoundName]:
        """Return what is stored of these names; also while a job is imported."""
        self._serial.require_open()
        rows = await self._serial.work(self._fetch, sql.FIND_NAMES, {"keys": batch_json(keys)})
        return [FoundName(NameKey(NameKind(kind), name), *rest) for kind, name, *rest in rows]

    async def add_name(self, found: FoundName) -> None:
        """Store what was found by a name, as a part of the import that has begun."""
        self._serial.require_open()
        if not self._serial.is_reserved:
            raise StoreError(f"The database {self._serial.config.place} takes names only while a job is imported.")
        await self._serial.work(self._fetch, sql.ADD_NAME, {"found": batch_json([(*found.key, *found[1:])])})

    async def delete_names(self) -> None:
        """Delete what was found by names."""
        await self._read(sql.DELETE_NAMES)

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

    async def set_meta(self, **values: str) -> None:
        """Store facts about the run by name; other facts stay."""

        async def write() -> None:
            async with self.connection.transaction():
                for name, value in values.items():
                    await self._fetch(sql.SET_META, {"name": name, "value": value})

        await self._serial.call(write)

    async def _change(self, *statements: str, **values: object) -> None:
        """Execute statements in one transaction."""

        async def change() -> None:
            async with self.connection.transaction():
                for statement in statements:
                    await self._fetch(statement, values)

        await self._serial.call(change)


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
