"""Planted stores: what another user or another program placed in the directory of a run is refused, not executed."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from rolecall.store.base import InvalidStoreError
from rolecall.store.run_lock import LOCK_FILE, RunLock
from rolecall.store.sqlite import sql
from rolecall.store.sqlite.database import SqliteDatabase
from tests.support.store import import_rows
from tests.unit.store.values import RUN, row

OTHER = 54_321
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")

PLANTED = {
    "trigger": "CREATE TRIGGER more AFTER INSERT ON pair BEGIN UPDATE pair SET user_id = 'victim'; END",
    "view": "CREATE VIEW more AS SELECT * FROM pair",
    "table": "CREATE TABLE more (x)",
    "index": "CREATE UNIQUE INDEX more ON pair (line)",
    "column": "ALTER TABLE pair ADD COLUMN more TEXT DEFAULT 'x'",
    "missing index": "DROP INDEX pair_in_job_order",
    "missing table": "DROP TABLE pause",
    "view for a table": "DROP TABLE meta; CREATE VIEW meta AS SELECT 'workspace' AS name, 'x' AS value",
    "another index of a known name": "CREATE INDEX pair_by_user ON pair (user_id) WHERE 1",
}


@pytest.mark.parametrize("script", PLANTED.values(), ids=PLANTED.keys())
def test_another_schema_is_refused(path: Path, script: str) -> None:
    """A store with a trigger, a view or any other schema is neither opened for a run nor read, and is not changed."""
    SqliteDatabase(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.executescript(f"PRAGMA journal_mode = DELETE; {script}")
    before = path.read_bytes()
    for opener in (SqliteDatabase, SqliteDatabase.open_snapshot):
        with pytest.raises(InvalidStoreError, match="another schema") as refusal:
            opener(path)
        assert str(path) in str(refusal.value)
        assert "\n" not in str(refusal.value)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_an_index_that_a_check_created_is_no_other_schema(path: Path) -> None:
    """The index that is created when it is first needed belongs to a store."""
    with closing(SqliteDatabase(path)) as database:
        import_rows(database, RUN, [row(2)])
        assert len(database.pairs_by_user(("", ""), 9)) == 1
    with closing(SqliteDatabase(path)) as database:
        assert database.identity() == RUN


@pytest.mark.parametrize("opener", [SqliteDatabase, SqliteDatabase.open_snapshot])
def test_a_schema_is_not_trusted(path: Path, opener: type[SqliteDatabase]) -> None:
    """Every connection has `trusted_schema` off."""
    SqliteDatabase(path).close()
    with closing(opener(path)) as database:
        assert database._db.execute("PRAGMA trusted_schema").fetchone() == (0,)


@as_root
@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal"])
def test_a_store_of_another_user_is_refused(path: Path, end: str) -> None:
    """The store and SQLite's helper files beside it must be ours or root's: their content becomes the store."""
    SqliteDatabase(path).close()
    file = path.with_name(path.name + end)
    file.touch()
    os.chown(file, OTHER, OTHER)
    with pytest.raises(InvalidStoreError, match="belongs to another user"):
        SqliteDatabase(path)


@as_root
def test_an_active_run_of_another_user_is_read_without_a_change(path: Path) -> None:
    """Root reads the active run of another user, read-only: no byte and no owner changes."""
    with closing(SqliteDatabase(path)) as database:
        import_rows(database, RUN, [row(2), row(3)])
        for file in path.parent.iterdir():
            os.chown(file, OTHER, OTHER)
        before = {file.name: (file.read_bytes(), file.stat().st_uid) for file in path.parent.iterdir()}
        before.pop(f"{path.name}-shm")  # the run, which is in this very process, lends it to the reader
        with closing(SqliteDatabase.open_snapshot(path)) as snapshot:
            assert snapshot.identity() == RUN
            assert sum(count.rows for count in snapshot.counts()) == 2
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                snapshot._db.execute(sql.CLEAR_GROUPS)
        after = {file.name: (file.read_bytes(), file.stat().st_uid) for file in path.parent.iterdir()}
        assert {name: after[name] for name in before} == before


@as_root
def test_no_helper_file_is_created_beside_the_store_of_another_user(path: Path) -> None:
    """A write-ahead log without its shared memory was planted: the store is not read, and nothing appears."""
    SqliteDatabase(path).close()
    path.with_name(f"{path.name}-wal").touch()
    for file in path.parent.iterdir():
        os.chown(file, OTHER, OTHER)
    before = sorted(file.name for file in path.parent.iterdir())
    with pytest.raises(InvalidStoreError, match="cannot be read"):
        SqliteDatabase.open_snapshot(path)
    assert sorted(file.name for file in path.parent.iterdir()) == before


LEAVING = """
import os, sys
from pathlib import Path
from rolecall.store.sqlite.database import SqliteDatabase
from tests.support.store import import_rows
from tests.unit.store.values import RUN, row
import_rows(SqliteDatabase(Path(sys.argv[1])), RUN, [row(2)])
os._exit(9)
"""


@as_root
def test_a_killed_run_of_another_user_is_read_without_a_change(path: Path) -> None:
    """Reading a run that was killed does not move its write-ahead log into the store of another user."""
    subprocess.run([sys.executable, "-c", LEAVING, str(path)], check=False)
    for file in path.parent.iterdir():
        os.chown(file, OTHER, OTHER)
    before = {file.name: file.stat().st_uid for file in path.parent.iterdir()}
    content = path.read_bytes()
    with closing(SqliteDatabase.open_snapshot(path)) as snapshot:
        assert snapshot.identity() == RUN
    assert {file.name: file.stat().st_uid for file in path.parent.iterdir()} == before
    assert path.read_bytes() == content


@as_root
@pytest.mark.parametrize("place", ["directory", "lock"])
def test_a_directory_or_lock_of_another_user_is_refused(tmp_path: Path, place: str) -> None:
    """In the directory of another user nothing is locked or created, nor is the lock file of another user used."""
    if place == "lock":
        (tmp_path / LOCK_FILE).touch()
    os.chown(tmp_path / LOCK_FILE if place == "lock" else tmp_path, OTHER, OTHER)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InvalidStoreError, match="belongs to another user"), RunLock(tmp_path):
        pass
    assert sorted(tmp_path.iterdir()) == before
    os.chown(tmp_path, 0, 0)
