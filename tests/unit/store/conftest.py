"""What the tests of the ledger share: real SQLite files."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rolecall.store.sqlite.database import SqliteDatabase

Reopen = Callable[[], SqliteDatabase]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a ledger that is not there yet."""
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def reopen(path: Path) -> Iterator[Reopen]:
    """Open the ledger as a new process would; all are closed at the end."""
    opened: list[SqliteDatabase] = []

    def reopen() -> SqliteDatabase:
        opened.append(SqliteDatabase(path))
        return opened[-1]

    yield reopen
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(reopen: Reopen) -> SqliteDatabase:
    """Return a new ledger."""
    return reopen()
