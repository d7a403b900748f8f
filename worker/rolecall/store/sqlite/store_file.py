"""The files of a store, looked at without SQLite, which opens them by path and would already change a foreign one.

They are opened in the open directory of the run, and compared with the files that SQLite has opened.
"""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from rolecall.file_access import (
    DirectoryFile,
    FileId,
    OpenDirectory,
    is_disk_full,
    is_foreign,
    open_file_ids,
    unfit_file_system,
)
from rolecall.models import Advice
from rolecall.store.base import InvalidStoreError, StoreLoss, StoreLostError
from rolecall.store.run_lock import LOCK_FILE
from rolecall.store.sqlite import schema

WAL, SHM, JOURNAL = "-wal", "-shm", "-journal"
"""Endings of the names of SQLite's helper files; their content becomes part of the store when it is opened."""
FIRST_RELEASE = {5: "0.1.0"}
"""For each store version the first release of Rolecall that writes it. Older ones were never released."""
_UNFIT = {
    "IOERR_SHM": "shared memory",
    "IOERR_LOCK": "file locks",
    "IOERR_RDLOCK": "file locks",
    "IOERR_UNLOCK": "file locks",
    "IOERR_CHECKRESERVEDLOCK": "file locks",
    "SQLITE_PROTOCOL": "file locks",
}
"""By a part of the name of an SQLite error, what the file system does not support."""


class StorePlacement:
    """The store file and SQLite's helper files beside it: which files they are, and whether they still are there."""

    def __init__(self, file: DirectoryFile) -> None:
        self._file = file
        self._files = {end: file.beside(file.name + end) for end in ("", WAL, SHM)}
        self._lock = file.beside(LOCK_FILE)
        self._opened: dict[DirectoryFile, FileId] = {}

    def missing_helpers(self) -> list[DirectoryFile]:
        """Return the helper files that do not exist."""
        return [file for end, file in self._files.items() if end and file.status() is None]

    def record_opened(self, *, with_helpers: bool) -> None:
        """Record which files SQLite has opened.

        Raises InvalidStoreError where they are not those of the directory: a path was swapped meanwhile.
        """
        opened = open_file_ids()
        for file in self._files.values() if with_helpers else [self._file]:
            known = file.file_id()
            if known is None or (opened is not None and known not in opened) or not self._is_at_path():
                raise InvalidStoreError(
                    f"{file} was replaced while it was opened; it is left as it is.", Advice.OTHER_DIRECTORY
                )
            self._opened[file] = known
        if (locked := self._lock.file_id()) is not None:
            self._opened[self._lock] = locked

    def require_in_place(self) -> None:
        """Raise StoreLostError where a file was deleted or replaced, or the directory moved, since it was opened."""
        for file, known in self._opened.items():
            if file.file_id() != known:
                loss = StoreLoss.STORE if file == self._file else StoreLoss.HELPER
                raise StoreLostError(f"{file} was deleted or replaced during the run.", loss)
        if not self._is_at_path():
            text = f"The directory {self._file.directory.path} was moved or replaced during the run."
            raise StoreLostError(text, StoreLoss.DIRECTORY)

    def _is_at_path(self) -> bool:
        return self._file.directory.is_at_path()


def is_foreign_store(file: DirectoryFile) -> bool:
    """Return whether the file, or one of SQLite's helper files beside it, belongs to another user."""
    beside = (file.beside(file.name + end).status() for end in ("", WAL, SHM, JOURNAL))
    return any(status is not None and is_foreign(status) for status in beside)


class RestingState(NamedTuple):
    """What a store file is while no process writes it: equal before and after a reading, nothing was written."""

    device: int
    inode: int
    size: int
    modified_at: int
    """Nanoseconds, as the next one."""
    changed_at: int


def resting_state(path: Path) -> RestingState | None:
    """Return the state of a store without SQLite's helper files; None where it has one, or belongs to another user.

    A process that has opened the store to write it, or was killed meanwhile, leaves a helper file. Raises OSError.
    """
    with OpenDirectory(path.parent) as directory:
        file = directory / path.name
        if any(file.beside(file.name + end).status() is not None for end in (WAL, SHM, JOURNAL)):
            return None
        status = file.status()
    if status is None or not stat.S_ISREG(status.st_mode) or is_foreign(status):
        return None
    return RestingState(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def require_own_store(file: DirectoryFile) -> None:
    """Raise InvalidStoreError for the store of another user, who could change it, and for odd helper files."""
    if is_foreign_store(file):
        raise InvalidStoreError(f"{file} belongs to another user; it is left as it is.", Advice.OTHER_DIRECTORY)
    for helper in (file.beside(file.name + end) for end in (WAL, SHM, JOURNAL)):
        if helper.status() is not None and not helper.is_file():
            text = f"{helper} is not a regular file; it is left as it is."
            raise InvalidStoreError(text, Advice.OTHER_DIRECTORY)


def remove_helpers(file: DirectoryFile) -> None:
    """Remove the helper files that are left of another store of this name: SQLite would add them to a new one.

    Raises InvalidStoreError where they have content, which may be all that is known of a run.
    """
    for end in (WAL, JOURNAL, SHM):
        helper = file.beside(file.name + end)
        status = helper.status()
        if status is not None and status.st_size and end != SHM:
            raise InvalidStoreError(
                f"{file} was deleted, but {helper.name} is left of its run: restore both, or move it away.",
                Advice.OTHER_DIRECTORY,
            )
        helper.unlink(missing_ok=True)


def is_store_file(file: DirectoryFile) -> bool:
    """Return True for a store of this version, False where there is nothing. Raises InvalidStoreError otherwise."""
    try:
        descriptor = file.open(os.O_RDONLY, any_owner=True)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InvalidStoreError(
            f"{file} cannot be used: {error.strerror}; it is left as it is.", Advice.OTHER_DIRECTORY
        ) from None
    try:
        header = os.read(descriptor, 100)
    finally:
        os.close(descriptor)
    if not header:
        return False
    # The SQLite file format: magic at 0, user_version at 60, application_id at 68, both big-endian.
    version, application = int.from_bytes(header[60:64], "big"), int.from_bytes(header[68:72], "big")
    if not header.startswith(b"SQLite format 3\x00") or application != schema.APPLICATION_ID:
        raise InvalidStoreError(f"{file} is not a run store of Rolecall; it is left as it is.", Advice.OTHER_DIRECTORY)
    if version != schema.SCHEMA_VERSION:
        raise InvalidStoreError(
            f"{file} was written by {_writer(version)} (store version {version}, this one writes "
            f"{schema.SCHEMA_VERSION}); finish the run with that version.",
            Advice.OTHER_DIRECTORY,
        )
    return True


def _writer(version: int) -> str:
    """Format which version of Rolecall writes a version of the store."""
    if version in FIRST_RELEASE:
        return f"Rolecall {FIRST_RELEASE[version]}"
    if version > schema.SCHEMA_VERSION:
        return "a newer version of Rolecall"
    return f"a version of Rolecall before {FIRST_RELEASE[min(FIRST_RELEASE)]}"


def format_reason(error: Exception, path: Path) -> str:
    """Format an error of SQLite; one that a file system without locks or shared memory causes names that.

    On a full disk there is no place for the shared memory either, and that is the cause.
    """
    name = getattr(error, "sqlite_errorname", "") or ""
    if "IOERR" in name and is_disk_full(path.parent):
        return f"{error}; the disk is full"
    what = next((what for part, what in _UNFIT.items() if part in name), None)
    return f"{error}; {unfit_file_system(path, what)}" if what else str(error)
