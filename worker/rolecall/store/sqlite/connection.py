"""One connection to the file of a store: its opening and creation, the checks of its schema, transactions.

The schema is compared with the one that Rolecall creates, because a trigger could change the rows. WAL mode; each
commit is on disk before it returns. One thread at a time may use a connection.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Self

from rolecall.file_access import DirectoryFile, Target, in_open_directory, unfit_file_system
from rolecall.models import Advice
from rolecall.store.base import (
    DEFAULT_LOCK_WAIT,
    MIN_LOCK_WAIT,
    InvalidStoreError,
    LockWait,
    StoreError,
    StoreLoss,
    StoreLostError,
)
from rolecall.store.sqlite import schema, sql
from rolecall.store.sqlite.store_file import (
    JOURNAL,
    SHM,
    WAL,
    StorePlacement,
    format_reason,
    is_foreign_store,
    is_store_file,
    remove_helpers,
    require_own_store,
)
from rolecall.text import format_duration

MIN_SQLITE = (3, 38, 0)  # the first with `->>`, and so with all that the statements use
LOCK_SLICE = 1.0
"""Seconds that SQLite itself waits for a lock, before the wait is reported and goes on."""
_FOREIGN = "mode=ro&readonly_shm=1"
"""How the store of another user's active run is opened: SQLite neither writes nor creates a helper file."""
_READ_SCHEMA = "SELECT type, name, tbl_name, ifnull(sql, '') FROM sqlite_schema"


class SqliteConnection:
    """A connection to a store file. Raises StoreError where SQLite fails."""

    def __init__(self, path: Path, db: sqlite3.Connection, lock_wait: LockWait = DEFAULT_LOCK_WAIT) -> None:
        """Use `open` or `open_snapshot` instead."""
        self.path = path
        self.db = db
        """Executes statements, within `errors` or `transaction`."""
        self._lock_wait = lock_wait
        self._placement: StorePlacement | None = None
        """Where the files are; None where the directory is not open as long as the connection."""

    @classmethod
    def open(cls, target: Target, lock_wait: LockWait = DEFAULT_LOCK_WAIT) -> Self:
        """Open a store file, or create it. Raises InvalidStoreError for any file that is not a store.

        In the open directory of a run its files are watched: each commit checks that they are still there.
        """
        if sqlite3.sqlite_version_info < MIN_SQLITE:
            raise InvalidStoreError(f"This Python's SQLite is {sqlite3.sqlite_version}; Rolecall needs 3.38 or newer.")
        with _in_directory(target) as file:
            require_own_store(file)
            if not is_store_file(file):
                remove_helpers(file)
                _create(file)
            placement = StorePlacement(file)
            missing = placement.missing_helpers()
            db = _connect(file.path, "mode=rw")
            try:
                _prepare(db, file.path, placement)
            except InvalidStoreError:
                for helper in missing:
                    helper.unlink(missing_ok=True)
                raise
            connection = cls(file.path, db, lock_wait)
        if isinstance(target, DirectoryFile):
            connection._placement = placement
        return connection

    @classmethod
    def open_snapshot(cls, target: Target, lock_wait: LockWait = DEFAULT_LOCK_WAIT) -> Self:
        """Open a store file as it is now, read-only, while its run may be active. Raises InvalidStoreError.

        Nothing is left behind: without an active run the file is read without SQLite's helper files, which would have
        to be created. An active run has them; the reader shares them and never blocks the run. When the run ends
        meanwhile, the reader is the last to close and removes them; in the directory of another user it writes nothing.
        """
        with _in_directory(target) as file:
            if not is_store_file(file):
                raise InvalidStoreError(f"{file} is empty.")
            is_active = file.beside(file.name + WAL).status() is not None
            mode = (_FOREIGN if is_foreign_store(file) else "mode=rw") if is_active else "mode=ro&immutable=1"
            path = file.path
        db = _connect(path, mode)
        _prepare(db, path, None)
        return cls(path, db, lock_wait)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise StoreError for every error of SQLite, and for values that it cannot store."""
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"The run store {self.path} failed: {format_reason(error, self.path)}.") from None
        except (OverflowError, UnicodeEncodeError, OSError) as error:
            raise StoreError(f"The run store {self.path} failed: {error}.") from None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Apply a change completely or not at all."""
        with self.errors():
            self.begin()
            try:
                yield
                self.commit()
            finally:
                self._rollback()

    def begin(self) -> None:
        """Begin a transaction; `commit` or `abort` must follow. Raises sqlite3.Error."""
        self._wait_to_begin()

    def count_groups(self) -> None:
        """Count the rows again, within a transaction that has changed any number of them. Raises sqlite3.Error."""
        self.db.execute(sql.CLEAR_GROUPS)
        self.db.execute(sql.COUNT_GROUPS)

    def commit(self) -> None:
        """Commit the transaction that has begun. Raises sqlite3.Error.

        Raises StoreLostError where the files are not any more where the next command looks for them.
        """
        self.db.execute("COMMIT")
        if self._placement is None:
            return
        try:
            self._placement.require_in_place()
        except StoreLostError as failure:
            if failure.loss is StoreLoss.HELPER:
                self._move_into_store()
            raise

    def abort(self) -> None:
        """Undo a transaction that is still open; never raises an error of SQLite."""
        with suppress(sqlite3.Error):
            self._rollback()

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    def _wait_to_begin(self) -> None:
        """Begin a transaction that writes, once no other program has locked the store."""
        wait, started, is_reported = self._lock_wait, time.monotonic(), False
        while True:
            try:
                self.db.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                if not _is_busy(error):
                    raise
            else:
                return
            waited = time.monotonic() - started
            if waited >= wait.seconds or (waited >= MIN_LOCK_WAIT and wait.is_stopping()):
                by = f"locked by another program for {format_duration(waited)}"
                raise StoreError(f"The run store {self.path} was {by}.")
            if not is_reported:
                wait.on_wait(self.path, wait.seconds - waited)
                is_reported = True

    def _move_into_store(self) -> None:
        """Write the write-ahead log into the store file: the log has no name any more. Raises StoreLostError."""
        with suppress(sqlite3.Error):
            busy, pages, written = self.db.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
            if not busy and pages == written:
                return
        text = f"A helper file of {self.path} was deleted during the run, and what it had could not be saved."
        raise StoreLostError(text, StoreLoss.STORE) from None

    def _rollback(self) -> None:
        """Undo a transaction that is still open."""
        if self.db.in_transaction:
            self.db.execute("ROLLBACK")


@contextmanager
def _in_directory(target: Target) -> Iterator[DirectoryFile]:
    """Return a store file in its open directory. Raises InvalidStoreError where that cannot be opened."""
    with ExitStack() as opened:
        try:
            file = opened.enter_context(in_open_directory(target))
        except OSError as error:
            raise InvalidStoreError(f"{target} cannot be opened: {error.strerror}.") from None
        yield file


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """Connect to a file that exists: SQLite creates none where the path leads elsewhere. Raises InvalidStoreError."""
    uri = f"{path.absolute().as_uri()}?{mode}"
    try:
        return sqlite3.connect(uri, uri=True, timeout=LOCK_SLICE, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise InvalidStoreError(f"{path} cannot be opened: {format_reason(error, path)}.") from None


def _prepare(database: sqlite3.Connection, path: Path, placement: StorePlacement | None) -> None:
    """Check which files were opened, and the schema; then apply the settings of a run.

    Without a placement it is a snapshot. Raises InvalidStoreError, with the file closed.
    """
    try:
        if placement is not None:
            placement.record_opened(with_helpers=False)
        _require_schema(database, path)
        if placement is None:
            database.executescript(schema.SNAPSHOT)
        else:
            _apply_settings(database, path, placement)
    except sqlite3.Error as error:
        database.close()
        text = f"{path} cannot be {'used as a run store' if placement else 'read'}: {format_reason(error, path)}."
        raise InvalidStoreError(text, Advice.OTHER_DIRECTORY) from None
    except InvalidStoreError:
        database.close()
        raise


def _apply_settings(database: sqlite3.Connection, path: Path, placement: StorePlacement) -> None:
    """Apply the settings of a run. Raises InvalidStoreError, also for a file system without shared memory."""
    if _journal_mode(database) == "wal":
        placement.record_opened(with_helpers=True)  # before anything is written
    database.executescript(schema.SETTINGS)
    if _journal_mode(database) != "wal":
        raise InvalidStoreError(f"{path}: {unfit_file_system(path, 'shared memory')}.", Advice.OTHER_DIRECTORY)
    database.execute("SELECT count(*) FROM meta").fetchone()  # opens the helper files
    placement.record_opened(with_helpers=True)


def _is_busy(error: sqlite3.Error) -> bool:
    """Return whether another program has locked the database."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY  # the primary code


def _journal_mode(database: sqlite3.Connection) -> str:
    return str(database.execute("PRAGMA journal_mode").fetchone()[0])


def _require_schema(db: sqlite3.Connection, path: Path) -> None:
    """Raise InvalidStoreError for a file whose schema is not exactly the one that SCHEMA creates.

    From the first statement on the file's schema is not trusted: it can call no function with side effects. An index
    that is created when it is first needed may be there or not.
    """
    db.execute("PRAGMA trusted_schema = OFF")
    entries = _read_schema(db)
    required, allowed = _own_schema()
    for type_, name, *_ in sorted(entries - allowed) + sorted(required - entries):
        raise InvalidStoreError(
            f"{path} has another schema than a run store of this version ({type_} {name}); it is left as it is.",
            Advice.OTHER_DIRECTORY,
        )


@cache
def _own_schema() -> tuple[frozenset[tuple[str, ...]], frozenset[tuple[str, ...]]]:
    """Return the entries that a store must have, and those that it may have."""
    with closing(sqlite3.connect(":memory:")) as empty:
        empty.executescript(schema.SCHEMA)
        required = _read_schema(empty)
        empty.execute(sql.INDEX_BY_USER)
        return required, _read_schema(empty)


def _read_schema(db: sqlite3.Connection) -> frozenset[tuple[str, ...]]:
    """Return type, name, table and statement of each entry; a difference of white space is none."""
    return frozenset(tuple(" ".join(str(text).split()) for text in entry) for entry in db.execute(_READ_SCHEMA))


def _create(file: DirectoryFile) -> None:
    """Create an empty store that only its owner can read; it gets its name once it is complete.

    Until then it needs no journal on disk: what a crash leaves is deleted by the next start.
    """
    new = file.beside(f".{file.name}.new")
    try:
        for end in ("", JOURNAL, WAL, SHM):
            new.beside(new.name + end).unlink(missing_ok=True)
        os.close(new.open(os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        database = _connect(new.path, "mode=rw")
        try:
            StorePlacement(new).record_opened(with_helpers=False)
            database.executescript(
                f"PRAGMA journal_mode = MEMORY; BEGIN; {schema.SCHEMA} COMMIT; PRAGMA journal_mode = WAL;"
            )
        finally:
            database.close()
        new.rename(file.name)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        why = error.strerror if isinstance(error, OSError) else format_reason(error, file.path)
        raise InvalidStoreError(f"{file} cannot be created: {why}.") from None
