"""The ledger in one SQLite file: WAL mode, each commit on disk before it returns."""

import os
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Self

import orjson

from rolecall.models import BadRow, DueRow, Outcome, Result, Row
from rolecall.store.base import Batch, Count, Identity, InvalidStoreError, Pair, PresetOutcome, Session, StoreError
from rolecall.store.sqlite import sql as sql
from rolecall.store.sqlite.encoding import batch_json, json_text, whole_text
from rolecall.store.sqlite.file_header import is_store_file
from rolecall.store.sqlite.rows import Group, reported_outcome, to_pair, to_result

OLDEST_SQLITE = (3, 38, 0)  # the first with `->>`, and so with all that the statements use


class SqliteStore:
    """One run's ledger; one thread at a time may call it. Raises StoreError where SQLite fails."""

    _has_tally = True
    """False once it is known that the tally is empty."""

    def __init__(self, path: Path) -> None:
        """Open the ledger at `path`, or make it; raises InvalidStoreError for anything that is not one of ours."""
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise InvalidStoreError(f"This Python's SQLite is {sqlite3.sqlite_version}; Rolecall needs 3.38 or newer.")
        self.path = path
        _recognise_or_make(path)
        beside = [path.with_name(path.name + end) for end in ("-wal", "-shm")]
        missing = [file for file in beside if not file.exists()]
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._db.executescript(sql.SETTINGS)
        except sqlite3.Error as error:
            self._db.close()
            for file in missing:
                file.unlink(missing_ok=True)
            raise InvalidStoreError(f"{path} cannot be used as a ledger: {error}; name another --out.") from None

    @classmethod
    def for_reading(cls, path: Path) -> Self:
        """Open the ledger at `path` as it is now, whether its run goes on or not. Raises InvalidStoreError.

        Nothing is left behind: a ledger at rest is read without SQLite's helper files, which would have to be made.
        One that is in use has them, and a reader beside the run, which it never keeps waiting, then shares in their
        care: when the run ends meanwhile, the reader is the last to go and clears them away.
        """
        if not is_store_file(path):
            raise InvalidStoreError(f"{path} holds nothing yet.")
        at_rest = not path.with_name(f"{path.name}-wal").exists()
        ledger = cls.__new__(cls)
        ledger.path = path
        how = "mode=ro&immutable=1" if at_rest else "mode=rw"
        try:
            ledger._db = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None)
            ledger._db.executescript(sql.SNAPSHOT)
        except sqlite3.Error as error:
            raise InvalidStoreError(f"{path} cannot be read: {error}.") from None
        return ledger

    def identity(self) -> Identity | None:
        """Tell which run this is; None for a new ledger."""
        notes = self.notes()
        try:
            return Identity(notes["workspace"], notes["operation"], notes["job_digest"])
        except KeyError:
            return None

    def extra_columns(self) -> Sequence[str]:
        """Name the job's further columns, in the order of their first appearance."""
        return [str(name) for name in orjson.loads(self.notes().get("extra_columns", "[]"))]

    def import_rows(
        self,
        identity: Identity,
        rows: Iterable[Row | BadRow],
        known: Iterable[PresetOutcome] = (),
        notes: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Make the job's rows the ledger's, in one transaction; whatever the reading raises undoes it."""
        columns: dict[str, None] = {}
        with self._transaction():
            self._db.execute(sql.FORGET_PLACES)
            self._db.execute(sql.FORGET_UNSENT)
            for place, row in enumerate(rows, start=1):
                if row.extra:
                    columns.update(dict.fromkeys(row.extra))
                self._take_in_row(place, row)
            self._db.execute(sql.DROP_UNTOUCHED)
            self._db.executemany(sql.KNOW, known)
            self.note(**identity._asdict(), **notes, extra_columns=json_text(list(columns)))

    def _take_in_row(self, place: int, row: Row | BadRow) -> None:
        extra = json_text(row.extra) if row.extra else None
        if isinstance(row, BadRow):
            self._take_in_unsent(place, row, Outcome.INVALID, row.reason, row.message, extra)
            return
        taken = self._db.execute(sql.TAKE_IN, (row.room_id, row.user_id, place, row.line, extra)).rowcount
        if not taken:
            first = self._db.execute(sql.FIRST_LINE, (row.room_id, row.user_id)).fetchone()[0]
            message = f"the same pair stands in line {first}"
            self._take_in_unsent(place, row, Outcome.DUPLICATE, "duplicate_of", message, extra)

    def _take_in_unsent(
        self, place: int, row: Row | BadRow, outcome: Outcome, reason: str, message: str, extra: str | None
    ) -> None:
        values = (place, row.line, whole_text(row.room_id), whole_text(row.user_id), outcome, reason, message, extra)
        self._db.execute(sql.TAKE_IN_UNSENT, values)

    def due(self, after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        """Give the next rows to be done in job order, each with its place, beyond the place `after`."""
        with self._failures():
            found = self._db.execute(sql.DUE, {"after": after, "count": count, "retry_failed": retry_failed})
            return [
                (place, DueRow(key, line, room, user, attempts, bool(doubt)))
                for place, key, line, room, user, attempts, doubt in found
            ]

    def count_due(self, *, retry_failed: bool) -> tuple[int, int]:
        """Count the rows to be done, and the rooms they are in."""
        with self._failures():
            if not any(group.is_due(retry_failed=retry_failed) for group in self._groups()):
                return 0, 0
            rows, rooms = self._db.execute(sql.COUNT_DUE, {"after": 0, "retry_failed": retry_failed}).fetchone()
            return int(rows), int(rooms)

    def pairs_by_room(self, after: tuple[str, str], count: int) -> list[Pair]:
        """Give the next pairs beyond a room and a user, in the order of these."""
        with self._failures():
            return [to_pair(row) for row in self._db.execute(sql.PAIRS_BY_ROOM, (*after, count))]

    def pairs_by_user(self, after: tuple[str, str], count: int) -> list[Pair]:
        """Give the next pairs beyond a user and a room, in the order of these."""
        with self._failures():
            self._db.execute(sql.INDEX_BY_USER)
            return [to_pair(row) for row in self._db.execute(sql.PAIRS_BY_USER, (*after, count))]

    def count_rooms_and_users(self, outcomes: Collection[Outcome], reason: str | None = None) -> tuple[int, int]:
        """Count the rooms and the users of the pairs that have one of these outcomes, and this reason."""
        with self._failures():
            words = orjson.dumps(sorted(outcomes)).decode()
            rooms, users = self._db.execute(sql.COUNT_ROOMS_AND_USERS, (words, reason)).fetchone()
            return int(rooms), int(users)

    def delete_removed_pairs(self) -> None:
        """Drop the pairs that the present job file no longer has, and what came of them."""
        with self._transaction():
            self._db.execute(sql.DROP_FORMER)

    def reset_outcomes(self) -> None:
        """Forget what came of every pair."""
        with self._transaction():
            self._db.execute(sql.FORGET_OUTCOMES)

    def commit(self, batch: Batch) -> None:
        """Make a batch durable: a power cut after the return loses nothing of it."""
        with self._transaction():
            for statement, part in (
                (sql.SETTLE, batch.settled),
                (sql.WITHDRAW, batch.rollbacks),
                (sql.INTEND, batch.intents),
            ):
                if part:
                    self._db.execute(statement, (batch_json(part),))

    def open_session(self, account: str, at: int) -> None:
        """Note that the command has started."""
        with self._transaction():
            self._db.execute(sql.OPEN_SESSION, (account, at))

    def close_session(self, stop: str, at: int) -> None:
        """Note that the command ends, and why when it ends early."""
        with self._transaction():
            self._db.execute(sql.CLOSE_SESSION, (stop, at))
            self._db.execute(sql.KEEP_TALLY)
        self._has_tally = True

    def sessions(self) -> list[Session]:
        """List the starts of the command on this run."""
        with self._failures():
            return [Session(*row) for row in self._db.execute(sql.SESSIONS)]

    def results(self) -> Iterator[Result]:
        """Tell every row in job order; then the rows worked on that the present job file no longer has."""
        stop = self._last_stop()
        with self._failures():
            for statement in (sql.RESULTS, sql.FORMER_RESULTS):
                for row in self._db.execute(statement):
                    yield to_result(row, stop)

    def results_by_key(self, keys: Sequence[int]) -> list[Result]:
        """Tell single rows, known by their keys, in job order."""
        stop = self._last_stop()
        with self._failures():
            return [to_result(row, stop) for row in self._db.execute(sql.RESULTS_OF, (json_text(keys),))]

    def counts(self) -> list[Count]:
        """Count the rows by outcome and reason, the most frequent first within an outcome."""
        stop = self._last_stop()
        rows: Counter[tuple[Outcome, str]] = Counter()
        with self._failures():
            for group in self._groups():
                rows[reported_outcome(group.outcome, group.reason, group.doubt, stop)] += group.rows
        order = list(Outcome)
        found = [Count(*words, number) for words, number in rows.items()]
        return sorted(found, key=lambda count: (order.index(count.outcome), -count.rows, count.reason))

    def _groups(self) -> list[Group]:
        """Group the rows, at once where nothing has changed since a session closed."""
        kept = self._db.execute(sql.TALLY).fetchall()
        return [Group(*group) for group in kept or self._db.execute(sql.GROUPS)]

    def _last_stop(self) -> str:
        sessions = self.sessions()
        return sessions[-1].why if sessions else ""

    def count_settled(self, since: int) -> int:
        """Count the rows that came to their outcome at `since` (UTC, milliseconds since the epoch) or later."""
        with self._failures():
            return int(self._db.execute(sql.COUNT_SETTLED, (since,)).fetchone()[0])

    def note(self, **values: str) -> None:
        """Keep facts about the run by name."""
        with self._failures():
            self._db.executemany(sql.NOTE, values.items())

    def notes(self) -> Mapping[str, str]:
        """Give the facts about the run."""
        with self._failures():
            return dict(self._db.execute(sql.NOTES).fetchall())

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"The ledger {self.path} failed: {error}.") from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Make a change whole; the tally of what was before goes with it."""
        with self._failures():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                if self._has_tally:
                    self._db.execute(sql.FORGET_TALLY)
                yield
                self._db.execute("COMMIT")
                self._has_tally = False
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")


def _recognise_or_make(path: Path) -> None:
    """Make a ledger where there is nothing at all. Raises InvalidStoreError for anything that is not one of ours."""
    if not is_store_file(path):
        _make(path)


def _make(path: Path) -> None:
    """Make an empty ledger that only its owner can read; it takes its place once it is whole."""
    new = path.with_name(f".{path.name}.new")
    try:
        for left_over in (new, new.with_name(f"{new.name}-journal")):
            left_over.unlink(missing_ok=True)
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        database = sqlite3.connect(new)
        try:
            database.executescript(f"BEGIN; {sql.SCHEMA} COMMIT;")
        finally:
            database.close()
        new.replace(path)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        why = error.strerror if isinstance(error, OSError) else error
        raise InvalidStoreError(f"{path} cannot be made: {why}.") from None
