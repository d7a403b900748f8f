"""The statements on one store file, as methods, synchronously. One thread at a time may call them."""

from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import orjson

from rolecall.file_access import Target
from rolecall.models import DueRow, FoundName, NameKey, NameKind, Outcome, Result
from rolecall.store.base import DEFAULT_LOCK_WAIT, LockWait, StoreError
from rolecall.store.records import Batch, Count, Identity, Pair, Pause, PauseEnd, PauseKind, RoomCount, Session
from rolecall.store.rows import (
    Group,
    batch_json,
    counts_of,
    evidence_counts_of,
    intent_values,
    json_text,
    prior_values,
    removed_in_doubt_of,
    stop_reason_of,
    to_due_row,
    to_pair,
    to_result,
    to_text,
)
from rolecall.store.sqlite import sql
from rolecall.store.sqlite.connection import SqliteConnection
from rolecall.store.sqlite.job_import import JobImport


class CopiedTable(StrEnum):
    """A table that a copy of the store has, too."""

    PAIRS = "pair"
    UNSENT = "unsent"
    SESSIONS = "session"
    PAUSES = "pause"
    NAMES = "name"


COPIED = MappingProxyType(
    {
        CopiedTable.PAIRS: sql.COPIED_PAIRS,
        CopiedTable.UNSENT: sql.COPIED_UNSENT,
        CopiedTable.SESSIONS: sql.COPIED_SESSIONS,
        CopiedTable.PAUSES: sql.COPIED_PAUSES,
        CopiedTable.NAMES: sql.COPIED_NAMES,
    }
)
"""The statement of each table."""


class SqliteDatabase:
    """The store of one run in one file. Raises StoreError where SQLite fails."""

    def __init__(self, file: Target, lock_wait: LockWait = DEFAULT_LOCK_WAIT, *, snapshot: bool = False) -> None:
        """Open a store file: create it where there is none, or (`snapshot`) read it as it is now.

        Raises InvalidStoreError for any file that is not a store.
        """
        opener = SqliteConnection.open_snapshot if snapshot else SqliteConnection.open
        self._connection = opener(file, lock_wait)
        self._db = self._connection.db
        self._errors, self._transaction = self._connection.errors, self._connection.transaction
        self.path = self._connection.path

    @classmethod
    def open_snapshot(cls, path: Path) -> Self:
        """Open the file at `path` as it is now, read-only, see `SqliteConnection.open_snapshot`."""
        return cls(path, snapshot=True)

    def identity(self) -> Identity | None:
        """Return which run this is; None for a new file."""
        meta = self.get_meta()
        try:
            return Identity(meta["workspace"], meta["operation"], meta["job_digest"])
        except KeyError:
            return None

    def extra_columns(self) -> Sequence[str]:
        """Return the names of the job's further columns, in the order of their first appearance."""
        return [str(name) for name in orjson.loads(self.get_meta().get("extra_columns", "[]"))]

    def begin_import(self) -> JobImport:
        """Begin the transaction that makes the rows of a job the store's; `finish` or `abort_import` must follow."""
        return JobImport(self._connection)

    def abort_import(self) -> None:
        """Undo the import that has begun, if there is one."""
        self._connection.abort()

    def find_names(self, keys: Collection[NameKey]) -> list[FoundName]:
        """Return what is stored of these names; unknown ones are left out."""
        with self._errors():
            rows = self._db.execute(sql.FIND_NAMES, (batch_json(keys),))
            return [FoundName(NameKey(NameKind(kind), name), *rest) for kind, name, *rest in rows]

    def add_name(self, found: FoundName) -> None:
        """Store what was found by a name, in the transaction of the import that has begun."""
        with self._errors():
            if not self._db.in_transaction:
                raise StoreError(f"The run store {self.path} takes names only while a job is imported.")
            self._db.execute(sql.ADD_NAME, tuple(map(to_text, (*found.key, *found[1:]))))

    def delete_names(self) -> None:
        """Delete what was found by names."""
        with self._transaction():
            self._db.execute(sql.DELETE_NAMES)

    def fetch_due(self, after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        """Return the next due rows in job order, each with its place, beyond the place `after`."""
        return self._due(sql.DUE, after, count, retry_failed=retry_failed)

    def due_in_room(self, room_id: str, after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        """Return the next due rows of one room in job order, each with its place, beyond the place `after`."""
        return self._due(sql.DUE_IN_ROOM, after, count, of=room_id, retry_failed=retry_failed)

    def due_of_user(self, user_id: str, after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        """Return the next due rows of one user in job order, each with its place, beyond the place `after`."""
        self._index_by_user()
        return self._due(sql.DUE_OF_USER, after, count, of=user_id, retry_failed=retry_failed)

    def _due(
        self, statement: str, after: int, count: int, *, of: str = "", retry_failed: bool
    ) -> list[tuple[int, DueRow]]:
        values = {"id": of, "after": after, "count": count, "retry_failed": retry_failed}
        with self._errors():
            (rows,) = self._db.execute(statement, values).fetchone()
        return sorted(map(to_due_row, orjson.loads(rows)))

    def _index_by_user(self) -> None:
        """Create the index that reading by user needs, which most runs do not."""
        with self._transaction():
            self._db.execute(sql.INDEX_BY_USER)

    def count_due(self, *, retry_failed: bool) -> tuple[int, int]:
        """Return the number of due rows, and of the rooms that they are in."""
        with self._errors():
            if not any(group.is_due(retry_failed=retry_failed) for group in self._groups()):
                return 0, 0
            rows, rooms = self._db.execute(sql.COUNT_DUE, {"after": 0, "retry_failed": retry_failed}).fetchone()
            return int(rows), int(rooms)

    def count_removed_in_doubt(self) -> int:
        """Return the number of pairs in doubt or `unknown` that the present job file no longer has."""
        with self._errors():
            return removed_in_doubt_of(self._groups())

    def groups(self) -> list[Group]:
        """Return all rows in groups, by one statement."""
        with self._errors():
            return self._groups()

    def count_due_users(self, *, retry_failed: bool) -> int:
        """Return the number of users with due rows."""
        with self._errors():
            values = {"after": 0, "retry_failed": retry_failed}
            return int(self._db.execute(sql.COUNT_DUE_USERS, values).fetchone()[0])

    def pairs_by_room(self, after: tuple[str, str], count: int) -> list[Pair]:
        """Return the next pairs beyond a room and a user, in this order."""
        with self._errors():
            return [to_pair(row) for row in self._db.execute(sql.PAIRS_BY_ROOM, (*after, count))]

    def pairs_by_user(self, after: tuple[str, str], count: int) -> list[Pair]:
        """Return the next pairs beyond a user and a room, in this order."""
        self._index_by_user()
        with self._errors():
            return [to_pair(row) for row in self._db.execute(sql.PAIRS_BY_USER, (*after, count))]

    def count_rooms_and_users(self, outcomes: Collection[Outcome], reason: str | None = None) -> tuple[int, int]:
        """Return the number of rooms and of users of the pairs with one of these outcomes and this reason."""
        with self._errors():
            words = orjson.dumps(sorted(outcomes)).decode()
            rooms, users = self._db.execute(sql.COUNT_ROOMS_AND_USERS, (words, reason)).fetchone()
            return int(rooms), int(users)

    def rooms_by_pairs(self, outcomes: Collection[Outcome], reason: str | None, count: int) -> list[RoomCount]:
        """Return the rooms with the most pairs with one of these outcomes and this reason, at most `count`."""
        with self._errors():
            words = orjson.dumps(sorted(outcomes)).decode()
            rooms = self._db.execute(sql.ROOMS_BY_PAIRS, (words, reason, count))
            return [RoomCount(room_id, name or "", rows) for room_id, name, rows in rooms]

    def delete_removed_pairs(self) -> None:
        """Delete the pairs that the present job file no longer has, with their outcomes."""
        with self._transaction():
            self._db.execute(sql.DELETE_REMOVED)
            self._connection.count_groups()

    def reset_outcomes(self) -> None:
        """Delete the outcomes and doubts of all pairs."""
        with self._transaction():
            self._db.execute(sql.RESET_OUTCOMES)
            self._connection.count_groups()

    def commit(self, batch: Batch) -> None:
        """Make a batch durable: a power cut after the return loses nothing of it."""
        keys = [entry.key for part in (batch.outcomes, batch.rollbacks, batch.intents) for entry in part]
        with self._transaction(), self._shifted_groups(keys):
            for statement, part in (
                (sql.WRITE_OUTCOME, batch.outcomes),
                (sql.ROLLBACK_INTENT, batch.rollbacks),
                (sql.WRITE_PRIOR, list(map(prior_values, batch.priors))),
                (sql.WRITE_INTENT, list(map(intent_values, batch.intents))),
            ):
                if part:
                    self._db.execute(statement, (batch_json(part),))
            for pause in batch.pauses:
                self._db.execute(sql.END_PAUSE if isinstance(pause, PauseEnd) else sql.START_PAUSE, pause)

    @contextmanager
    def _shifted_groups(self, keys: Sequence[int]) -> Iterator[None]:
        """Count the pairs with these keys in the groups to which the change makes them belong."""
        if not keys:
            yield
            return
        text = json_text(keys)
        self._db.execute(sql.SHIFT_GROUPS, {"keys": text, "sign": -1})
        yield
        self._db.execute(sql.SHIFT_GROUPS, {"keys": text, "sign": 1})
        self._db.execute(sql.DELETE_EMPTY_GROUPS)

    def open_session(self, account: str, at: int) -> None:
        """Record that the command has started."""
        with self._transaction():
            self._db.execute(sql.OPEN_SESSION, (account, at))

    def close_session(self, stop: str, at: int) -> None:
        """Record that the session has ended, with the stop reason where it ended early."""
        with self._transaction():
            self._db.execute(sql.CLOSE_SESSION, (stop, at))
            self._db.execute(sql.END_PAUSES, (at,))

    def sessions(self) -> list[Session]:
        """Return the sessions of this run, the first one first."""
        with self._errors():
            return [Session(*row) for row in self._db.execute(sql.SESSIONS)]

    def pauses(self, after: int, count: int) -> list[tuple[int, Pause]]:
        """Return the next pauses in their order, each with its number, beyond the number `after`."""
        with self._errors():
            rows = self._db.execute(sql.PAUSES, (after, count))
            return [(number, Pause(PauseKind(kind), *rest)) for number, kind, *rest in rows]

    def open_pauses(self, at: int) -> list[Pause]:
        """Return the pauses of the latest session that last at the moment `at` (UTC, milliseconds since the epoch)."""
        with self._errors():
            rows = self._db.execute(sql.OPEN_PAUSES, (at,))
            return [Pause(PauseKind(kind), *rest) for kind, *rest in rows]

    def copied_rows(self, table: CopiedTable, after: int, count: int) -> list[tuple[Any, ...]]:
        """Return the next rows of a table as they are stored, beyond the key `after`, which is their first value."""
        with self._errors():
            return self._db.execute(COPIED[table], (after, count)).fetchall()

    def results(self) -> Generator[Result, None, None]:
        """Return all rows in job order; then rows with an attempt or an outcome that the job file no longer has."""
        stop = self._last_stop()
        with self._errors():
            for statement in (sql.RESULTS, sql.REMOVED_RESULTS):
                for row in self._db.execute(statement):
                    yield to_result(row, stop)

    def results_by_key(self, keys: Sequence[int]) -> list[Result]:
        """Return single rows by their keys, in job order."""
        stop = self._last_stop()
        with self._errors():
            return [to_result(row, stop) for row in self._db.execute(sql.RESULTS_BY_KEY, (json_text(keys),))]

    def counts(self) -> list[Count]:
        """Return the number of rows by outcome and reason, the most frequent first within an outcome."""
        stop = self._last_stop()
        with self._errors():
            return counts_of(self._groups(), stop)

    def _groups(self) -> list[Group]:
        return [Group(*group) for group in self._db.execute(sql.GROUPS)]

    def _last_stop(self) -> str:
        return stop_reason_of(self.sessions())

    def evidence_counts(self) -> Counter[tuple[Outcome, str]]:
        """Return the number of pairs by recorded outcome and evidence."""
        with self._errors():
            return evidence_counts_of(self._groups())

    def count_settled(self, since: int) -> int:
        """Return the number of rows with an outcome from `since` (UTC, milliseconds since the epoch) on."""
        with self._errors():
            return int(self._db.execute(sql.COUNT_SETTLED, (since,)).fetchone()[0])

    def set_meta(self, **values: str) -> None:
        """Store facts about the run by name."""
        with self._transaction():
            self._db.executemany(sql.SET_META, values.items())

    def get_meta(self) -> Mapping[str, str]:
        """Return the facts about the run."""
        with self._errors():
            return dict(self._db.execute(sql.GET_META).fetchall())

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
