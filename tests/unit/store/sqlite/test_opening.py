"""Opening a store file: who may read it, which files are refused and not changed, and what a failed start leaves."""

import hashlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from rolecall.file_access import DirectoryFile
from rolecall.store.base import InvalidStoreError, StoreError
from rolecall.store.sqlite import schema
from rolecall.store.sqlite.database import SqliteDatabase
from tests.support.store import import_rows
from tests.unit.store.sqlite.conftest import Reopen
from tests.unit.store.values import RUN, full_disk, intents, row


def everything(directory: Path) -> dict[str, str]:
    """Return the digest of each file in a directory."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


def foreign(path: Path) -> None:
    """Create a database of another program."""
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE pair (key INTEGER PRIMARY KEY, room_id TEXT)")
    database.close()


def with_header(name: str, value: int) -> Callable[[Path], None]:
    """Return a function that creates a store file with another value in its header."""

    def make(path: Path) -> None:
        SqliteDatabase(path).close()
        database = sqlite3.connect(path)
        database.execute(f"PRAGMA {name} = {value}")
        database.close()

    return make


def truncated(path: Path) -> None:
    """Create a store with rows, and cut its file in the middle of a page."""
    database = SqliteDatabase(path)
    import_rows(database, RUN, [row(line) for line in range(500)])
    database.close()
    os.truncate(path, 300)


def scribbled(path: Path) -> None:
    """Create a store and overwrite the middle of its header."""
    SqliteDatabase(path).close()
    with path.open("r+b") as file:
        file.seek(16)
        file.write(b"\xff" * 40)


UNUSABLE: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("roomId,userId\n" * 100),
    "one byte": lambda path: path.write_bytes(b"S"),
    "zeros": lambda path: path.write_bytes(b"\x00" * 8192),
    "a header and garbage": lambda path: path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 8000),
    "database of another program": foreign,
    "another application": with_header("application_id", 0x12345678),
    "no application": with_header("application_id", 0),
    "a newer version": with_header("user_version", schema.SCHEMA_VERSION + 1),
    "an older version": with_header("user_version", schema.SCHEMA_VERSION - 1),
    "cut off": truncated,
    "scribbled over": scribbled,
}


@pytest.mark.parametrize("make", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_any_other_file_is_refused_and_not_changed(path: Path, make: Callable[[Path], object]) -> None:
    """Any file except a store of this version is refused by name, in one line, and not a byte of it changes."""
    make(path)
    before = everything(path.parent)
    with pytest.raises(InvalidStoreError) as refusal:
        SqliteDatabase(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert everything(path.parent) == before


@pytest.mark.parametrize("make", [foreign, with_header("user_version", schema.SCHEMA_VERSION + 1)])
def test_a_foreign_database_after_a_crash_is_not_changed(path: Path, make: Callable[[Path], object]) -> None:
    """A refused database keeps its write-ahead log too: its own program recovers from it."""
    inside = path.with_name("running.sqlite")
    make(inside)
    running = sqlite3.connect(inside, isolation_level=None)
    running.execute("PRAGMA journal_mode = WAL")
    running.execute("CREATE TABLE more (x)")
    for end in ("", "-wal"):
        shutil.copy(f"{inside}{end}", f"{path}{end}")
    running.close()
    inside.unlink()
    names = (path.name, f"{path.name}-wal")
    before = [everything(path.parent)[name] for name in names]
    with pytest.raises(InvalidStoreError):
        SqliteDatabase(path)
    after = everything(path.parent)
    assert [after.get(name) for name in names] == before


def test_a_refused_file_is_closed(path: Path) -> None:
    """A refusal leaves no file open, even while the exception is referenced."""
    path.write_text("no database " * 1000)
    with pytest.raises(InvalidStoreError) as refusal:
        SqliteDatabase(path)
    open_files = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    assert str(path) not in open_files, refusal.value


@pytest.mark.parametrize("kind", ["to a store", "to nothing", "to elsewhere"])
def test_a_symbolic_link_is_refused(path: Path, tmp_path: Path, kind: str) -> None:
    """A link in the place of the store is not followed: its target is neither created nor changed."""
    target = tmp_path / "target"
    if kind == "to a store":
        SqliteDatabase(target).close()
    elif kind == "to elsewhere":
        target.write_bytes(b"")
    before = everything(tmp_path)
    path.symlink_to(target)
    with pytest.raises(InvalidStoreError, match="not a regular file"):
        SqliteDatabase(path)
    path.unlink()
    assert everything(tmp_path) == before


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directory", "pipe"])
def test_a_directory_or_pipe_is_refused(path: Path, make: Callable[[Path], object]) -> None:
    """A directory or a pipe in the place of the store is refused without waiting."""
    make(path)
    with pytest.raises(InvalidStoreError, match="not a regular file"):
        SqliteDatabase(path)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """The error contains the reason of the operating system."""
    with pytest.raises(InvalidStoreError, match="No such file"):
        SqliteDatabase(tmp_path / "away" / "ledger.sqlite")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_the_store(path: Path, umask: int) -> None:
    """The file and the files that SQLite creates beside it have mode 0600 for any umask."""
    old = os.umask(umask)
    try:
        database = SqliteDatabase(path)
        import_rows(database, RUN, [row(2)])
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
        database.close()
    finally:
        os.umask(old)
    assert set(modes) == {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"}
    assert set(modes.values()) == {0o600}


def test_each_commit_waits_for_the_disk(path: Path, reopen: Reopen) -> None:
    """A copy of the files after a commit, as after a power cut, contains the commit."""
    database = reopen()
    import_rows(database, RUN, [row(2)])
    ((_, due),) = database.fetch_due(0, 9, retry_failed=False)
    database.commit(intents(due.key))
    crashed = path.parent / "crashed"
    crashed.mkdir()
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", crashed / f"ledger.sqlite{end}")
    survivor = SqliteDatabase(crashed / "ledger.sqlite")
    ((_, again),) = survivor.fetch_due(0, 9, retry_failed=False)
    survivor.close()
    assert (again.attempts, again.in_doubt) == (1, True)


@pytest.mark.parametrize("statement", ["journal_mode=wal", "synchronous=2"])
def test_every_connection_has_the_durable_settings(path: Path, statement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection, to a new store and to an existing one, has the settings that survive a power cut."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def record(*args: object, **values: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **values)  # type: ignore[call-overload] # passed on unchanged
        if args == (f"{path.as_uri()}?mode=rw",):
            opened.append(connection)
        return connection

    monkeypatch.setattr(sqlite3, "connect", record)
    name, _, value = statement.partition("=")
    for _ in range(2):
        database = SqliteDatabase(path)
        assert str(opened[-1].execute(f"PRAGMA {name}").fetchone()[0]) == value
        database.close()


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    """An empty file, as left by a crash directly after its creation, becomes a store."""
    path.touch(0o600)
    database = SqliteDatabase(path)
    import_rows(database, RUN, [row(2)])
    assert database.identity() == RUN
    database.close()


def test_a_crash_during_the_creation_is_no_obstacle(path: Path) -> None:
    """A store gets its name only when it is complete; the rest of an interrupted creation is replaced."""
    for end in ("", "-journal", "-wal", "-shm"):
        path.with_name(f".{path.name}.new{end}").write_bytes(b"SQLite format 3")
    database = SqliteDatabase(path)
    import_rows(database, RUN, [row(2)])
    database.close()
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_new_store_is_complete_when_it_gets_its_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tables and the mode of the write-ahead log are in the file, without a helper file, before it is renamed."""
    seen, rename = list[object](), DirectoryFile.rename

    def inspected(file: DirectoryFile, name: str) -> None:
        seen.append([each.name for each in path.parent.iterdir()])
        with closing(sqlite3.connect(f"{file.path.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            seen.append(database.execute("SELECT count(*) FROM pair").fetchone())
        seen.append(file.path.read_bytes()[18:20])  # the versions of the format to write and to read
        rename(file, name)

    monkeypatch.setattr(DirectoryFile, "rename", inspected)
    SqliteDatabase(path).close()
    assert seen == [[f".{path.name}.new"], (0,), b"\2\2"]


@pytest.mark.parametrize("size", [0, 1000, 4096, 8192, 12_000, 20_000, 30_000, 32_768, 40_000, 50_000, 70_000])
def test_a_disk_that_was_full_at_the_start_is_no_obstacle(path: Path, size: int) -> None:
    """Where the store could not be created on a full disk, the same command with room creates it."""
    with full_disk(size):
        try:
            SqliteDatabase(path).close()
        except (InvalidStoreError, StoreError):
            is_created = False
        else:
            is_created = True
    again = SqliteDatabase(path)
    import_rows(again, RUN, [row(2)])
    assert again.identity() == RUN
    again.close()
    assert is_created or size < 100_000


def test_an_old_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an SQLite that is too old, the error names the required version and nothing is created."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 37, 2))
    with pytest.raises(InvalidStoreError, match=r"3\.38"):
        SqliteDatabase(path)
    assert not path.exists()
