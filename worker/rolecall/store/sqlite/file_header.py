"""The first bytes of a store file, read without SQLite: opening a foreign database would already change it."""

import os

from rolecall.file_access import DirectoryFile
from rolecall.models import Advice
from rolecall.store.base import InvalidStoreError
from rolecall.store.sqlite import sql

FIRST_RELEASE = {4: "0.1.0"}
"""For each store version the first release of Rolecall that writes it. Older ones were never released."""


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
    if not header.startswith(b"SQLite format 3\x00") or application != sql.APPLICATION_ID:
        raise InvalidStoreError(f"{file} is not a run store of Rolecall; it is left as it is.", Advice.OTHER_DIRECTORY)
    if version != sql.SCHEMA_VERSION:
        raise InvalidStoreError(
            f"{file} was written by {_writer(version)} (store version {version}, this one writes {sql.SCHEMA_VERSION})"
            "; finish the run with that version.",
            Advice.OTHER_DIRECTORY,
        )
    return True


def _writer(version: int) -> str:
    """Format which version of Rolecall writes a version of the store."""
    if version in FIRST_RELEASE:
        return f"Rolecall {FIRST_RELEASE[version]}"
    if version > sql.SCHEMA_VERSION:
        return "a newer version of Rolecall"
    return f"a version of Rolecall before {FIRST_RELEASE[min(FIRST_RELEASE)]}"
