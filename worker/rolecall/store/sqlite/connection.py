"""One connection to the file of a store: the checks of the file before it is trusted, its creation, transactions.

The first bytes are read without SQLite, because opening a foreign database would already change it. The schema is
compared with the one that Rolecall creates, because a trigger could change the rows. WAL mode; each commit is on disk
before it returns. One thread at a time may use a connection.
"""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Self

from rolecall.models import Advice, is_foreign
from rolecall.store.base import InvalidStoreError, StoreError
from rolecall.store.sqlite import sql

MIN_SQLITE = (3, 38, 0)  # the first with `->>`, and so with all that the statements use
SIDE_FILES = ("-wal", "-shm", "-journal")
"""Endings of the names of SQLite's helper files; their content becomes part of the store when it is opened."""
_READ_SCHEMA = "SELECT type, name, tbl_name, ifnull(sql, '') FROM sqlite_schema"
Entry = tuple[str, ...]
"""One table, index, view or trigger: type, name, name of its table, statement."""


class SqliteConnection:
    """A connection to a store file. Raises StoreError where SQLite fails."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        """Use `open` or `open_snapshot` instead."""
        self.path = path
        self.db = db
        """Executes statements, within `errors` or `transaction`."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the file at `path`, or create it. Raises InvalidStoreError for any file that is not a store."""
        if sqlite3.sqlite_version_info < MIN_SQLITE:
            raise InvalidStoreError(f"This Python's SQLite is {sqlite3.sqlite_version}; Rolecall needs 3.38 or newer.")
        if _is_foreign_store(path):  # its owner could change it at any time
            raise InvalidStoreError(f"{path} belongs to another user; it is left as it is.", Advice.OTHER_DIRECTORY)
        if not _is_store_file(path):
            _create(path)
        beside = [path.with_name(path.name + end) for end in ("-wal", "-shm")]
        missing = [file for file in beside if not file.exists()]
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            _prepare(db, path, sql.SETTINGS, "used as a run store")
        except InvalidStoreError:
            for file in missing:
                file.unlink(missing_ok=True)
            raise
        return cls(path, db)

    @classmethod
    def open_snapshot(cls, path: Path) -> Self:
        """Open the file at `path` as it is now, read-only, while its run may be active. Raises InvalidStoreError.

        Nothing is left behind: without an active run the file is read without SQLite's helper files, which would have
        to be created. An active run has them; the reader shares them and never blocks the run. When the run ends
        meanwhile, the reader is the last to close and removes them; in the directory of another user it writes nothing.
        """
        if not _is_store_file(path):
            raise InvalidStoreError(f"{path} is empty.")
        is_active = path.with_name(f"{path.name}-wal").exists()
        mode = ("mode=ro" if _is_foreign_store(path) else "mode=rw") if is_active else "mode=ro&immutable=1"
        try:
            uri = f"{path.absolute().as_uri()}?{mode}"
            db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise InvalidStoreError(f"{path} cannot be read: {error}.") from None
        _prepare(db, path, sql.SNAPSHOT, "read")
        return cls(path, db)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise StoreError for every error of SQLite, and for values that it cannot store."""
        try:
            yield
        except (sqlite3.Error, OverflowError, UnicodeEncodeError) as error:
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
        self.db.execute("BEGIN IMMEDIATE")

    def count_groups(self) -> None:
        """Count the rows again, within a transaction that has changed any number of them. Raises sqlite3.Error."""
        self.db.execute(sql.CLEAR_GROUPS)
        self.db.execute(sql.COUNT_GROUPS)

    def commit(self) -> None:
        """Commit the transaction that has begun. Raises sqlite3.Error."""
        self.db.execute("COMMIT")

    def abort(self) -> None:
        """Undo a transaction that is still open; never raises an error of SQLite."""
        with suppress(sqlite3.Error):
            self._rollback()

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    def _rollback(self) -> None:
        if self.db.in_transaction:
            self.db.execute("ROLLBACK")


def _is_foreign_store(path: Path) -> bool:
    """Return whether the file, or one of SQLite's helper files beside it, belongs to another user."""
    for file in (path, *(path.with_name(path.name + end) for end in SIDE_FILES)):
        try:
            if is_foreign(file.lstat()):
                return True
        except OSError:  # not there, or refused when it is opened
            continue
    return False


def _is_store_file(path: Path) -> bool:
    """Return True for a store of this version, False where there is nothing. Raises InvalidStoreError otherwise."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError as error:
        why = "not a regular file" if path.is_symlink() else f"not readable: {error.strerror}"
        raise InvalidStoreError(f"{path} is {why}; it is left as it is.", Advice.OTHER_DIRECTORY) from None
    try:
        is_regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        header = os.read(descriptor, 100) if is_regular else b""
    finally:
        os.close(descriptor)
    if not is_regular:
        raise InvalidStoreError(f"{path} is not a regular file; it is left as it is.", Advice.OTHER_DIRECTORY)
    if not header:
        return False
    # The SQLite file format: magic at 0, user_version at 60, application_id at 68, both big-endian.
    version, application = int.from_bytes(header[60:64], "big"), int.from_bytes(header[68:72], "big")
    if not header.startswith(b"SQLite format 3\x00") or application != sql.APPLICATION_ID:
        raise InvalidStoreError(f"{path} is not a run store of Rolecall; it is left as it is.", Advice.OTHER_DIRECTORY)
    if version != sql.SCHEMA_VERSION:
        raise InvalidStoreError(
            f"{path} was written by another version of Rolecall (store version {version}, this one writes "
            f"{sql.SCHEMA_VERSION}); finish the run with that version.",
            Advice.OTHER_DIRECTORY,
        )
    return True


def _prepare(db: sqlite3.Connection, path: Path, settings: str, use: str) -> None:
    """Check the schema of an opened file, then apply settings. Raises InvalidStoreError, with the file closed."""
    try:
        _require_schema(db, path)
        db.executescript(settings)
    except sqlite3.Error as error:
        db.close()
        raise InvalidStoreError(f"{path} cannot be {use}: {error}.", Advice.OTHER_DIRECTORY) from None
    except InvalidStoreError:
        db.close()
        raise


def _require_schema(db: sqlite3.Connection, path: Path) -> None:
    """Raise InvalidStoreError for a file whose schema is not exactly the one that SCHEMA creates.

    From the first statement on the file's schema is not trusted: it can call no function with side effects. An index
    that is created when it is first needed may be there or not.
    """
    db.execute("PRAGMA trusted_schema = OFF")
    entries = _read_schema(db)
    with closing(sqlite3.connect(":memory:")) as empty:
        empty.executescript(sql.SCHEMA)
        required = _read_schema(empty)
        empty.execute(sql.INDEX_BY_USER)
        allowed = _read_schema(empty)
    for type_, name, *_ in sorted(entries - allowed) + sorted(required - entries):
        raise InvalidStoreError(
            f"{path} has another schema than a run store of this version ({type_} {name}); it is left as it is.",
            Advice.OTHER_DIRECTORY,
        )


def _read_schema(db: sqlite3.Connection) -> set[Entry]:
    """Return all entries; a difference of white space is none."""
    return {tuple(" ".join(str(text).split()) for text in entry) for entry in db.execute(_READ_SCHEMA)}


def _create(path: Path) -> None:
    """Create an empty store that only its owner can read; it gets its name once it is complete."""
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
        raise InvalidStoreError(f"{path} cannot be created: {why}.") from None
