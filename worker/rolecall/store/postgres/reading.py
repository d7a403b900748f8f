"""What is read of a run, or of one shard of it."""

from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from rolecall.models import DueRow, Outcome, Result
from rolecall.store.postgres import sql
from rolecall.store.postgres.connection import Connection, DatabaseConfig
from rolecall.store.postgres.serial_connection import SerialConnection
from rolecall.store.records import Count, Identity, Pair, Pause, PauseKind, RoomCount, Session
from rolecall.store.rows import (
    Group,
    counts_of,
    evidence_counts_of,
    removed_in_doubt_of,
    stop_reason_of,
    to_due_row,
    to_pair,
    to_result,
)

Values = tuple[Any, ...]

RESULTS_PER_PAGE = 1000


class ShardLease(NamedTuple):
    """What entitles a worker to write the rows of a shard, as long as no newer token has been given."""

    shard_id: int
    token_job: int
    token_attempt: int
    worker: str = ""
    """For the sessions: who it was."""


class StoreReader:
    """The reading half of a RunStore; with a lease it sees one shard only."""

    def __init__(
        self, connection: Connection, config: DatabaseConfig, run_id: int, lease: ShardLease | None = None
    ) -> None:
        self.run_id = run_id
        self._serial = SerialConnection(connection, config)
        self._is_shard = lease is not None
        shard = lease or ShardLease(0, 0, 0)
        self._values: Mapping[str, object] = MappingProxyType(
            {
                "run": run_id,
                "shard": shard.shard_id if lease else None,
                "job": shard.token_job,
                "attempt": shard.token_attempt,
                "worker": shard.worker,
            }
        )

    @property
    def connection(self) -> Connection:
        """Return the connection; another user of it waits for the calls of the store by itself."""
        return self._serial.connection

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

    async def get_meta(self) -> Mapping[str, str]:
        """Return the facts about the run."""
        return dict(await self._read(sql.GET_META))

    async def _groups(self) -> list[Group]:
        return [Group(*row) for row in await self._read(sql.GROUPS)]

    async def _last_stop(self) -> str:
        """Return why rows were not attempted: the stop of the run, else that of its latest session."""
        ((stop,),) = await self._read(sql.RUN_STOP) or [("",)]
        return stop or stop_reason_of(await self.sessions())

    async def _read(self, statement: str, **values: object) -> list[Values]:
        return await self._serial.call(self._fetch, statement, values)

    async def _fetch(self, statement: str, values: Mapping[str, object]) -> list[Values]:
        query = sql.in_scope(statement, is_shard=self._is_shard)
        cursor = await self._serial.connection.execute(query, {**self._values, **values})
        return await cursor.fetchall() if cursor.description else []
