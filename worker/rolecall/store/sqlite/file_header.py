"""The first bytes of a store file, read without SQLite: opening a foreign database would already change it."""

import os
import stat
from pathlib import Path

from rolecall.models import Advice
from rolecall.ownership import is_foreign
from rolecall.store.base import InvalidStoreError
from rolecall.store.sqlite import sql

SIDE_FILES = ("-wal", "-shm", "-journal")
"""Endings of the names of SQLite's helper files; their content becomes part of the store when it is opened."""


def is_foreign_store(path: Path) -> bool:
    """Return whether the file, or one of SQLite's helper files beside it, belongs to another user."""
    for file in (path, *(path.with_name(path.name + end) for end in SIDE_FILES)):
        try:
            if is_foreign(file.lstat()):
                return True
        except OSError:  # not there, or refused when it is opened
            continue
    return False


def require_own_store(path: Path) -> None:
    """Raise InvalidStoreError for the store of another user, who could change it at any time."""
    if is_foreign_store(path):
        raise InvalidStoreError(f"{path} belongs to another user; it is left as it is.", Advice.OTHER_DIRECTORY)


def is_store_file(path: Path) -> bool:
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
