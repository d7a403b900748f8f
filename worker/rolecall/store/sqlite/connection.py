"""Connections of SQLite: open or create a store file, and check that it is the one that was meant."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from rolecall.file_access import DirectoryFile, Target, in_open_directory, unfit_file_system
from rolecall.models import Advice
from rolecall.store.base import InvalidStoreError
from rolecall.store.sqlite import sql
from rolecall.store.sqlite.file_header import is_store_file
from rolecall.store.sqlite.placement import JOURNAL, WAL, StorePlacement, is_foreign_store, require_own_store
from rolecall.store.sqlite.schema_check import require_schema

MIN_SQLITE = (3, 38, 0)  # the first with `->>`, and so with all that the statements use
LOCK_SLICE = 1.0
"""Seconds that SQLite itself waits for a lock, before the wait is reported and goes on."""
_PRIMARY_CODE = 0xFF
"""Mask of the primary code in an extended error code of SQLite."""
_UNFIT = {
    "IOERR_SHM": "shared memory",
    "IOERR_LOCK": "file locks",
    "IOERR_RDLOCK": "file locks",
    "IOERR_UNLOCK": "file locks",
    "IOERR_CHECKRESERVEDLOCK": "file locks",
    "SQLITE_PROTOCOL": "file locks",
}
"""By a part of the name of an SQLite error, what the file system does not support."""
SqliteError = sqlite3.Error


def open_connection(file: DirectoryFile) -> tuple[sqlite3.Connection, StorePlacement]:
    """Open a store for a run, or create it. Raises InvalidStoreError for any file that is not a store of ours."""
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        raise InvalidStoreError(f"This Python's SQLite is {sqlite3.sqlite_version}; Rolecall needs 3.38 or newer.")
    require_own_store(file)
    if not is_store_file(file):
        _create(file)
    placement = StorePlacement(file)
    missing = placement.missing_helpers()
    database = sqlite3.connect(file.path, timeout=LOCK_SLICE, isolation_level=None, check_same_thread=False)
    try:
        _prepare(database, file.path, placement)
    except InvalidStoreError:
        for helper in missing:
            helper.unlink(missing_ok=True)
        raise
    return database, placement


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open a snapshot of a store, see `SqliteDatabase.open_snapshot`. Raises InvalidStoreError."""
    with in_directory(path) as file:
        if not is_store_file(file):
            raise InvalidStoreError(f"{path} is empty.")
        is_active = file.beside(file.name + WAL).status() is not None
        mode = ("mode=ro" if is_foreign_store(file) else "mode=rw") if is_active else "mode=ro&immutable=1"
    try:
        uri = f"{path.absolute().as_uri()}?{mode}"
        database = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise InvalidStoreError(f"{path} cannot be read: {format_reason(error, path)}.") from None
    _prepare(database, path, None)
    return database


def is_busy(error: SqliteError) -> bool:
    """Return whether another program has locked the database."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE == sqlite3.SQLITE_BUSY


@contextmanager
def in_directory(target: Target) -> Iterator[DirectoryFile]:
    """Return a store file in its open directory. Raises InvalidStoreError where that cannot be opened."""
    with ExitStack() as opened:
        try:
            file = opened.enter_context(in_open_directory(target))
        except OSError as error:
            raise InvalidStoreError(f"{target} cannot be opened: {error.strerror}.") from None
        yield file


def _prepare(database: sqlite3.Connection, path: Path, placement: StorePlacement | None) -> None:
    """Check which files were opened, and the schema; then apply the settings of a run.

    Without a placement it is a snapshot. Raises InvalidStoreError, with the file closed.
    """
    try:
        if placement is not None:
            placement.record_opened(with_helpers=False)
        with closing(sqlite3.connect(":memory:")) as empty:
            require_schema(database, empty, path)
        if placement is None:
            database.executescript(sql.SNAPSHOT)
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
    database.executescript(sql.SETTINGS)
    if _journal_mode(database) != "wal":
        raise InvalidStoreError(f"{path}: {unfit_file_system(path, 'shared memory')}.", Advice.OTHER_DIRECTORY)
    database.execute("SELECT count(*) FROM meta").fetchone()  # opens the helper files
    placement.record_opened(with_helpers=True)


def _journal_mode(database: sqlite3.Connection) -> str:
    return str(database.execute("PRAGMA journal_mode").fetchone()[0])


def format_reason(error: SqliteError, path: Path) -> str:
    """Format an error of SQLite; one that a file system without locks or shared memory causes names that."""
    name = getattr(error, "sqlite_errorname", "") or ""
    what = next((what for part, what in _UNFIT.items() if part in name), None)
    return f"{error}; {unfit_file_system(path, what)}" if what else str(error)


def _create(file: DirectoryFile) -> None:
    """Create an empty store that only its owner can read; it gets its name once it is complete."""
    new = file.beside(f".{file.name}.new")
    try:
        for left_over in (new, new.beside(f"{new.name}{JOURNAL}")):
            left_over.unlink(missing_ok=True)
        os.close(new.open(os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        database = sqlite3.connect(new.path)
        try:
            StorePlacement(new).record_opened(with_helpers=False)
            database.executescript(f"BEGIN; {sql.SCHEMA} COMMIT;")
        finally:
            database.close()
        new.rename(file.name)
    except (OSError, sqlite3.Error) as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        why = error.strerror if isinstance(error, OSError) else format_reason(error, file.path)
        raise InvalidStoreError(f"{file} cannot be created: {why}.") from None
