"""Opening a ledger: who may read it, what is refused and left as it is, and what a failed start leaves behind."""

import hashlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from rolecall.store.base import InvalidStoreError, StoreError
from rolecall.store.sqlite import sql
from rolecall.store.sqlite.database import SqliteDatabase, import_rows
from tests.unit.store.sqlite.conftest import Reopen
from tests.unit.store.values import RUN, full_disk, intents, row


def everything(folder: Path) -> dict[str, str]:
    """Give the digest of each file in a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def foreign(path: Path) -> None:
    """Make a database of somebody else."""
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE pair (key INTEGER PRIMARY KEY, room_id TEXT)")
    database.close()


def with_header(name: str, value: int) -> Callable[[Path], None]:
    """Make a ledger whose header says something else."""

    def make(path: Path) -> None:
        SqliteDatabase(path).close()
        database = sqlite3.connect(path)
        database.execute(f"PRAGMA {name} = {value}")
        database.close()

    return make


def truncated(path: Path) -> None:
    """Make a ledger with rows, and cut its file in the middle of a page."""
    ledger = SqliteDatabase(path)
    import_rows(ledger, RUN, [row(line) for line in range(500)])
    ledger.close()
    os.truncate(path, 300)


def scribbled(path: Path) -> None:
    """Make a ledger and overwrite its header's middle."""
    SqliteDatabase(path).close()
    with path.open("r+b") as file:
        file.seek(16)
        file.write(b"\xff" * 40)


UNUSABLE: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("roomId,userId\n" * 100),
    "one byte": lambda path: path.write_bytes(b"S"),
    "zeros": lambda path: path.write_bytes(b"\x00" * 8192),
    "a header and garbage": lambda path: path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 8000),
    "another's database": foreign,
    "another application": with_header("application_id", 0x12345678),
    "no application": with_header("application_id", 0),
    "a newer version": with_header("user_version", sql.SCHEMA_VERSION + 1),
    "an older version": with_header("user_version", sql.SCHEMA_VERSION - 1),
    "cut off": truncated,
    "scribbled over": scribbled,
}


@pytest.mark.parametrize("make", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_is_no_ledger_of_ours_is_left_as_it_is(path: Path, make: Callable[[Path], object]) -> None:
    """Anything but our own ledger of this version is refused by name, in one line, and not a byte of it changes."""
    make(path)
    before = everything(path.parent)
    with pytest.raises(InvalidStoreError) as refusal:
        SqliteDatabase(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert everything(path.parent) == before


@pytest.mark.parametrize("make", [foreign, with_header("user_version", sql.SCHEMA_VERSION + 1)])
def test_a_foreign_database_after_a_crash_is_left_as_it_is(path: Path, make: Callable[[Path], object]) -> None:
    """What is refused keeps its write-ahead log too: it is what its own program recovers from."""
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


def test_what_is_refused_is_let_go_of(path: Path) -> None:
    """A refusal keeps no file open, even while the refusal itself is kept."""
    path.write_text("no database " * 1000)
    with pytest.raises(InvalidStoreError) as refusal:
        SqliteDatabase(path)
    held = [str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    assert str(path) not in held, refusal.value


@pytest.mark.parametrize("kind", ["to a ledger", "to nothing", "to elsewhere"])
def test_a_symbolic_link_is_refused(path: Path, tmp_path: Path, kind: str) -> None:
    """A link in the ledger's place is not followed: what it points at is neither made nor touched."""
    target = tmp_path / "target"
    if kind == "to a ledger":
        SqliteDatabase(target).close()
    elif kind == "to elsewhere":
        target.write_bytes(b"")
    before = everything(tmp_path)
    path.symlink_to(target)
    with pytest.raises(InvalidStoreError, match="not a regular file"):
        SqliteDatabase(path)
    path.unlink()
    assert everything(tmp_path) == before


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_file_is_refused(path: Path, make: Callable[[Path], object]) -> None:
    """A folder or a pipe in the ledger's place is refused without waiting for anybody."""
    make(path)
    with pytest.raises(InvalidStoreError, match="not a regular file"):
        SqliteDatabase(path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The reason of the system stands in the refusal."""
    with pytest.raises(InvalidStoreError, match="No such file"):
        SqliteDatabase(tmp_path / "away" / "ledger.sqlite")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_the_ledger(path: Path, umask: int) -> None:
    """The file and all that SQLite puts beside it have mode 0600, whatever the umask allows."""
    old = os.umask(umask)
    try:
        ledger = SqliteDatabase(path)
        import_rows(ledger, RUN, [row(2)])
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
        ledger.close()
    finally:
        os.umask(old)
    assert set(modes) == {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"}
    assert set(modes.values()) == {0o600}


def test_each_commit_waits_for_the_disk(path: Path, reopen: Reopen) -> None:
    """A ledger is kept in WAL mode; a copy of its files taken after a commit, as after a power cut, has it."""
    ledger = reopen()
    import_rows(ledger, RUN, [row(2)])
    ((_, pending),) = ledger.fetch_due(0, 9, retry_failed=False)
    ledger.commit(intents(pending.key))
    crashed = path.parent / "crashed"
    crashed.mkdir()
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", crashed / f"ledger.sqlite{end}")
    survivor = SqliteDatabase(crashed / "ledger.sqlite")
    ((_, again),) = survivor.fetch_due(0, 9, retry_failed=False)
    survivor.close()
    assert (again.attempts, again.in_doubt) == (1, True)


@pytest.mark.parametrize("statement", ["journal_mode=wal", "synchronous=2"])
def test_the_settings_hold_for_new_and_old(path: Path, statement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection, to a new ledger and to an old one, works with the settings that a power cut needs."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def remember(*args: object, **values: object) -> sqlite3.Connection:
        opened.append(connect(*args, **values))  # type: ignore[call-overload] # handed on as they came
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", remember)
    name, _, value = statement.partition("=")
    for _ in range(2):
        ledger = SqliteDatabase(path)
        assert str(opened[-1].execute(f"PRAGMA {name}").fetchone()[0]) == value
        ledger.close()


def test_an_empty_file_becomes_a_ledger(path: Path) -> None:
    """An empty file, such as a crash right after its making leaves, is no obstacle."""
    path.touch(0o600)
    ledger = SqliteDatabase(path)
    import_rows(ledger, RUN, [row(2)])
    assert ledger.identity() == RUN
    ledger.close()


def test_a_crash_while_it_was_made_is_no_obstacle(path: Path) -> None:
    """A ledger takes its place only when it is whole; what a killed process left of a new one is made anew."""
    path.with_name(f".{path.name}.new").write_bytes(b"SQLite format 3")
    ledger = SqliteDatabase(path)
    import_rows(ledger, RUN, [row(2)])
    ledger.close()
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("size", [0, 1000, 4096, 8192, 12_000, 20_000, 30_000, 32_768, 40_000, 50_000, 70_000])
def test_a_disk_that_was_full_at_the_start_is_no_obstacle(path: Path, size: int) -> None:
    """Where the ledger could not be made for want of room, the same command with room makes it."""
    with full_disk(size):
        try:
            SqliteDatabase(path).close()
        except (InvalidStoreError, StoreError):
            made = False
        else:
            made = True
    again = SqliteDatabase(path)
    import_rows(again, RUN, [row(2)])
    assert again.identity() == RUN
    again.close()
    assert made or size < 100_000


def test_an_old_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python with a SQLite that lacks what the statements use is told so, and nothing is made."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 37, 2))
    with pytest.raises(InvalidStoreError, match=r"3\.38"):
        SqliteDatabase(path)
    assert not path.exists()
