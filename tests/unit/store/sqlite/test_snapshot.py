"""Snapshots: a store is read beside its run, correctly, without leaving files and without blocking the run."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from rolecall.models import Outcome
from rolecall.store.base import InvalidStoreError, StoreError
from rolecall.store.run_lock import RunLock, is_locked
from rolecall.store.sqlite.database import SqliteDatabase
from tests.support.store import import_rows
from tests.unit.store.values import RUN, intents, outcomes, row, settled


def files(directory: Path) -> dict[str, bytes]:
    """Return every file of a directory with its content."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def begun_run(path: Path) -> SqliteDatabase:
    """Return an open store with two rows: one is removed, the other in flight."""
    database = SqliteDatabase(path)
    import_rows(database, RUN, [row(2), row(3)])
    database.commit(intents(1, 2))
    database.commit(outcomes(settled(1)))
    return database


def read_snapshot(path: Path) -> tuple[dict[Outcome, int], int, int]:
    """Return the counts, and the number of rows settled since two moments."""
    with closing(SqliteDatabase.open_snapshot(path)) as database:
        assert database.identity() == RUN
        counts = {count.outcome: count.rows for count in database.counts()}
        return counts, database.count_settled(2001), database.count_settled(2002)


def test_a_store_in_use_is_read_as_it_is_now(path: Path) -> None:
    """A snapshot beside a run shows what was committed and creates no file."""
    with closing(begun_run(path)) as database:
        before = {entry.name for entry in path.parent.iterdir()}
        assert read_snapshot(path) == ({Outcome.REMOVED: 1, Outcome.UNKNOWN: 1}, 1, 0)
        database.commit(outcomes(settled(2)))
        assert read_snapshot(path) == ({Outcome.REMOVED: 2}, 2, 1)
        assert {entry.name for entry in path.parent.iterdir()} == before


def test_a_store_of_a_finished_run_is_not_changed(path: Path) -> None:
    """The directory of a finished run has the same files and bytes during and after a snapshot."""
    begun_run(path).close()
    before = files(path.parent)
    with closing(SqliteDatabase.open_snapshot(path)) as database:
        assert database.counts()
        assert files(path.parent) == before
    assert files(path.parent) == before


def test_a_run_that_ends_meanwhile_leaves_nothing_behind(path: Path) -> None:
    """The reader is then the last to close, and removes SQLite's helper files."""
    database = begun_run(path)
    with closing(SqliteDatabase.open_snapshot(path)) as reader:
        reader.counts()
        database.close()
    assert set(files(path.parent)) == {path.name}
    assert read_snapshot(path)[0] == {Outcome.REMOVED: 1, Outcome.UNKNOWN: 1}


def test_a_reader_does_not_block_the_run(path: Path) -> None:
    """The run commits while a snapshot is open; the snapshot does not change."""
    with closing(begun_run(path)) as database, closing(SqliteDatabase.open_snapshot(path)) as reader:
        first = reader.counts()
        database.commit(outcomes(settled(2)))
        assert reader.counts() == first
        assert {count.outcome for count in database.counts()} == {Outcome.REMOVED}


def test_a_reader_can_change_nothing(path: Path) -> None:
    """Every write through a snapshot raises StoreError."""
    with closing(begun_run(path)), closing(SqliteDatabase.open_snapshot(path)) as reader:
        with pytest.raises(StoreError):
            reader.set_meta(name="value")
        with pytest.raises(StoreError):
            reader.open_session("account", 1)


@pytest.mark.parametrize("content", [None, b"", b"not a store", b"SQLite format 3\x00" + b"\x00" * 100])
def test_any_other_file_is_refused_and_not_changed(path: Path, content: bytes | None) -> None:
    """A missing file is not created, and a foreign one is not changed."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidStoreError):
        SqliteDatabase.open_snapshot(path)
    assert files(path.parent) == ({} if content is None else {path.name: content})


def test_a_damaged_store_is_a_store_error(path: Path) -> None:
    """A damaged file raises an error of the store, not one of SQLite."""
    begun_run(path).close()
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 8192)
    with pytest.raises((InvalidStoreError, StoreError)), closing(SqliteDatabase.open_snapshot(path)) as database:
        database.counts()


def test_whether_a_run_is_locked(tmp_path: Path) -> None:
    """A run is locked only while a process has its lock, also where the lock file exists; nothing is created."""
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with RunLock(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_a_query_of_the_lock_refuses_no_start(tmp_path: Path) -> None:
    """However often other threads query the lock, each start acquires it."""
    with RunLock(tmp_path):
        pass
    ended = threading.Event()

    def query() -> None:
        while not ended.wait(0.0001):  # without a pause a loaded machine may suspend the thread that has the lock
            is_locked(tmp_path)

    queries = [threading.Thread(target=query) for _ in range(2)]
    for thread in queries:
        thread.start()
    try:
        for _ in range(300):
            with RunLock(tmp_path):
                assert is_locked(tmp_path)
    finally:
        ended.set()
        for thread in queries:
            thread.join()


def test_a_path_is_not_a_query_string(tmp_path: Path) -> None:
    """Characters with a meaning in a URI are part of the path."""
    directory = tmp_path / "a?b#c %20&mode=rwc"
    directory.mkdir()
    begun_run(directory / "ledger.sqlite").close()
    assert read_snapshot(directory / "ledger.sqlite")[0][Outcome.REMOVED] == 1
    with closing(sqlite3.connect(directory / "ledger.sqlite")) as whole:
        assert whole.execute("PRAGMA integrity_check").fetchone() == ("ok",)
