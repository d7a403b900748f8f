"""Real SQLite files for the tests of this folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rolecall.store.sqlite.database import SqliteDatabase
from rolecall.store.sqlite.store import FILE_NAME

Reopen = Callable[[], SqliteDatabase]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a store file that does not exist yet."""
    return tmp_path / FILE_NAME


@pytest.fixture
def reopen(path: Path) -> Iterator[Reopen]:
    """Return a function that opens the file as a new process does; all are closed at the end."""
    opened: list[SqliteDatabase] = []

    def reopen() -> SqliteDatabase:
        opened.append(SqliteDatabase(path))
        return opened[-1]

    yield reopen
    for database in opened:
        database.close()


@pytest.fixture
def database(reopen: Reopen) -> SqliteDatabase:
    """Return a new store file, open."""
    return reopen()
