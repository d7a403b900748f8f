"""Looking at a ledger from outside: true, without a trace, and without getting into anybody's way."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from rolecall.models import Outcome
from rolecall.store.base import InvalidStoreError, StoreError
from rolecall.store.run_lock import RunLock, is_locked
from rolecall.store.sqlite.database import SqliteDatabase, import_rows
from tests.unit.store.values import RUN, intents, outcomes, row, settled


def files(folder: Path) -> dict[str, bytes]:
    """Give every file of a folder with its content."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def begun(path: Path) -> SqliteDatabase:
    """Give a ledger with two rows of which one is removed and the other under way."""
    ledger = SqliteDatabase(path)
    import_rows(ledger, RUN, [row(2), row(3)])
    ledger.commit(intents(1, 2))
    ledger.commit(outcomes(settled(1)))
    return ledger


def look(path: Path) -> tuple[dict[Outcome, int], int, int]:
    """Read counts, and how many rows were settled since two moments."""
    with closing(SqliteDatabase.open_snapshot(path)) as ledger:
        assert ledger.identity() == RUN
        counts = {count.outcome: count.rows for count in ledger.counts()}
        return counts, ledger.count_settled(2001), ledger.count_settled(2002)


def test_a_ledger_in_use_is_read_as_it_is_now(path: Path) -> None:
    """What the run has committed is seen, beside the run and without a file more."""
    with closing(begun(path)) as ledger:
        before = {entry.name for entry in path.parent.iterdir()}
        assert look(path) == ({Outcome.REMOVED: 1, Outcome.UNKNOWN: 1}, 1, 0)
        ledger.commit(outcomes(settled(2)))
        assert look(path) == ({Outcome.REMOVED: 2}, 2, 1)
        assert {entry.name for entry in path.parent.iterdir()} == before


def test_a_ledger_at_rest_is_left_as_it_is(path: Path) -> None:
    """A finished run's folder has the same files with the same bytes afterwards, and none more in between."""
    begun(path).close()
    before = files(path.parent)
    with closing(SqliteDatabase.open_snapshot(path)) as ledger:
        assert ledger.counts()
        assert files(path.parent) == before
    assert files(path.parent) == before


def test_a_run_that_ends_meanwhile_leaves_nothing_behind(path: Path) -> None:
    """The reader is then the last to go, and SQLite's helper files go with it."""
    ledger = begun(path)
    with closing(SqliteDatabase.open_snapshot(path)) as reader:
        reader.counts()
        ledger.close()
    assert set(files(path.parent)) == {path.name}
    assert look(path)[0] == {Outcome.REMOVED: 1, Outcome.UNKNOWN: 1}


def test_a_reader_does_not_hold_the_run_up(path: Path) -> None:
    """While a reader is in the middle of a snapshot the run commits, and the reader keeps its moment."""
    with closing(begun(path)) as ledger, closing(SqliteDatabase.open_snapshot(path)) as reader:
        first = reader.counts()
        ledger.commit(outcomes(settled(2)))
        assert reader.counts() == first
        assert {count.outcome for count in ledger.counts()} == {Outcome.REMOVED}


def test_a_reader_can_change_nothing(path: Path) -> None:
    """Whatever is asked of it, a ledger that was opened for reading is not written."""
    with closing(begun(path)), closing(SqliteDatabase.open_snapshot(path)) as reader:
        with pytest.raises(StoreError):
            reader.set_meta(name="value")
        with pytest.raises(StoreError):
            reader.open_session("account", 1)


@pytest.mark.parametrize("content", [None, b"", b"not a ledger", b"SQLite format 3\x00" + b"\x00" * 100])
def test_what_is_no_ledger_is_refused_and_left(path: Path, content: bytes | None) -> None:
    """Nothing is made of a missing file, and nothing of a foreign one."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidStoreError):
        SqliteDatabase.open_snapshot(path)
    assert files(path.parent) == ({} if content is None else {path.name: content})


def test_a_ledger_that_breaks_says_so(path: Path) -> None:
    """A damaged file ends in one line, not in SQLite's exception."""
    begun(path).close()
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 8192)
    with pytest.raises((InvalidStoreError, StoreError)), closing(SqliteDatabase.open_snapshot(path)) as ledger:
        ledger.counts()


def test_who_holds_a_run_is_told(tmp_path: Path) -> None:
    """Without a lock file, with one that nobody holds, while it is held, and afterwards."""
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with RunLock(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_a_start_is_not_refused_by_somebody_who_looks(tmp_path: Path) -> None:
    """However often others ask whether the run is held, each start takes the lock."""
    with RunLock(tmp_path):
        pass
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            is_locked(tmp_path)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(300):
            with RunLock(tmp_path):
                assert is_locked(tmp_path)
    finally:
        ended.set()
        for thread in asking:
            thread.join()


def test_a_path_is_no_query(tmp_path: Path) -> None:
    """Characters that mean something in a URI are part of the name."""
    folder = tmp_path / "a?b#c %20&mode=rwc"
    folder.mkdir()
    begun(folder / "ledger.sqlite").close()
    assert look(folder / "ledger.sqlite")[0][Outcome.REMOVED] == 1
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as whole:
        assert whole.execute("PRAGMA integrity_check").fetchone() == ("ok",)
