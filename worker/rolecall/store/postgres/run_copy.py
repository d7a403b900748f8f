"""A run of one machine as a run of the database: every table of its store, as it is, in one transaction."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from rolecall.store.postgres import import_sql, sql
from rolecall.store.postgres.connection import Connection
from rolecall.store.records import Identity

Values = tuple[Any, ...]
IN_DOUBT = 5
"""The place of `in_doubt` among the values of a pair behind its key."""


class RunCopy:
    """The tables of a run on their way into the database. Raises psycopg.Error."""

    def __init__(self, connection: Connection, run_id: int, shard_rows: int) -> None:
        """Use a connection with an open transaction."""
        self._connection = connection
        self._values = {"run": run_id, "shard_rows": shard_rows}

    async def begin(self) -> None:
        """Prepare the transaction."""
        await self._execute(import_sql.CREATE_ARRIVALS)
        await self._execute(sql.CREATE_COPIES)

    async def add_sessions(self, pages: AsyncIterator[Sequence[Values]]) -> None:
        """Copy the sessions; pauses and prior states name them by their numbers in the other store."""
        await self._copy(sql.COPY_SESSIONS, pages)
        await self._execute(sql.INSERT_COPIED_SESSIONS)

    async def add_pauses(self, pages: AsyncIterator[Sequence[Values]]) -> None:
        """Copy the pauses of the sessions that were copied."""
        await self._copy(sql.COPY_PAUSES, pages)
        await self._execute(sql.INSERT_COPIED_PAUSES)

    async def add_pairs(self, pages: AsyncIterator[Sequence[Values]]) -> None:
        """Copy the pairs with all that is known of them, and pack their rooms into shards."""
        await self._copy(sql.COPY_PAIRS, (list(map(_pair, page)) async for page in pages))
        await self._execute(sql.ARRIVE_COPIED_PAIRS)
        await self._execute(import_sql.ANALYSE_ARRIVALS)
        await self._execute(import_sql.PACK_ROOMS)
        await self._execute(import_sql.ANALYSE_ROOMS)
        await self._execute(sql.INSERT_COPIED_PAIRS)

    async def add_rows(self, statement: str, pages: AsyncIterator[Sequence[Values]], *, with_key: bool) -> None:
        """Copy rows that only get the run's number; without `with_key` their first value is left out."""
        run, start = self._values["run"], 0 if with_key else 1
        await self._copy(statement, ([(run, *row[start:]) for row in page] async for page in pages))

    async def finish(self, identity: Identity, meta: Mapping[str, str], *, is_finished: bool, at: int) -> None:
        """Record what the run is, and how it ended: one with rows that are due is stopped until it is resumed."""
        values = {"operation": identity.operation, "job_digest": identity.job_digest}
        await self._execute(import_sql.SET_IDENTITY, **values)
        for name, value in {**meta, **identity._asdict()}.items():
            await self._execute(sql.SET_META, name=name, value=value)
        await self._execute(sql.COUNT_GROUPS)
        await self._execute(sql.END_COPIED_SHARDS)
        await self._execute(sql.END_COPIED_RUN, ended_at=at if is_finished else None, is_finished=is_finished)

    async def _execute(self, statement: str, **values: object) -> None:
        await self._connection.execute(statement.encode(), {**self._values, **values})

    async def _copy(self, statement: str, pages: AsyncIterator[Iterable[Values]]) -> None:
        async with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            async for page in pages:
                for row in page:
                    await copy.write_row(row)


def _pair(row: Values) -> Values:
    """Return a pair with a truth value where SQLite has a number."""
    return (*row[: IN_DOUBT + 1], bool(row[IN_DOUBT + 1]), *row[IN_DOUBT + 2 :])
