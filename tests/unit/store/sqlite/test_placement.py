"""The place of a store: files that are deleted, moved, swapped or locked, and file systems that cannot have a run."""

import errno
import fcntl
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rolecall.file_access import OpenDirectory
from rolecall.store.base import InvalidStoreError, LockWait, StoreError, StoreLoss, StoreLostError
from rolecall.store.run_lock import RunLock, is_locked
from rolecall.store.sqlite import connection, schema, store_file
from rolecall.store.sqlite.database import SqliteDatabase
from rolecall.store.sqlite.store import FILE_NAME
from rolecall.store.sqlite.store_file import FIRST_RELEASE, format_reason
from tests.support.store import import_rows
from tests.unit.store.values import RUN, intents, row


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the directory of a run."""
    (tmp_path / "o").mkdir()
    return tmp_path / "o"


@pytest.fixture
def watched(folder: Path) -> Iterator[SqliteDatabase]:
    """Return a store with two rows, opened in its directory as a run does it."""
    with RunLock(folder) as lock, closing(SqliteDatabase(lock.directory / FILE_NAME)) as database:
        import_rows(database, RUN, [row(2), row(3)])
        yield database


def delete(name: str) -> Callable[[Path], object]:
    """Return a function that deletes a file of a directory."""
    return lambda folder: (folder / name).unlink()


def replace_store(folder: Path) -> None:
    """Put a copy in the place of the store."""
    shutil.copy(folder / FILE_NAME, folder / "copy")
    (folder / "copy").replace(folder / FILE_NAME)


def swap_for_link(folder: Path) -> None:
    """Put a symbolic link to another directory in the place of the directory."""
    folder.rename(folder.with_name("away"))
    folder.with_name("other").mkdir()
    folder.symlink_to(folder.with_name("other"))


@pytest.mark.parametrize(
    ("change", "loss", "named"),
    [
        (delete("ledger.sqlite"), StoreLoss.STORE, "ledger.sqlite was deleted"),
        (replace_store, StoreLoss.STORE, "ledger.sqlite was deleted or replaced"),
        (delete("ledger.sqlite-wal"), StoreLoss.HELPER, "ledger.sqlite-wal was deleted"),
        (delete("ledger.sqlite-shm"), StoreLoss.HELPER, "ledger.sqlite-shm was deleted"),
        (delete("run.lock"), StoreLoss.HELPER, "run.lock was deleted"),
        (lambda folder: folder.rename(folder.with_name("away")), StoreLoss.DIRECTORY, "o was moved"),
        (shutil.rmtree, StoreLoss.STORE, "ledger.sqlite was deleted"),
        (swap_for_link, StoreLoss.DIRECTORY, "o was moved or replaced"),
    ],
    ids=[
        "store deleted",
        "store replaced",
        "wal deleted",
        "shm deleted",
        "lock deleted",
        "moved",
        "all deleted",
        "link",
    ],
)
def test_the_next_commit_notices_a_loss(
    watched: SqliteDatabase, folder: Path, change: Callable[[Path], object], loss: StoreLoss, named: str
) -> None:
    """A commit into files that the next command will not find raises, with what was lost and its name."""
    change(folder)
    with pytest.raises(StoreLostError, match=named) as lost:
        watched.commit(intents(1))
    assert lost.value.loss is loss
    assert [due.attempts for _, due in watched.fetch_due(0, 9, retry_failed=False)] == [1, 0]


@pytest.mark.parametrize("name", ["ledger.sqlite-wal", "ledger.sqlite-shm"])
def test_what_was_recorded_survives_a_deleted_helper_file(watched: SqliteDatabase, folder: Path, name: str) -> None:
    """What is only in a deleted write-ahead log is moved into the store before the loss is reported."""
    (folder / name).unlink()
    with pytest.raises(StoreLostError):
        watched.commit(intents(1))
    (folder / "ledger.sqlite-wal").unlink(missing_ok=True)
    shutil.copy(folder / FILE_NAME, folder / "copy.sqlite")
    with closing(SqliteDatabase(folder / "copy.sqlite")) as again:
        assert [due.attempts for _, due in again.fetch_due(0, 9, retry_failed=False)] == [1, 0]


def test_a_moved_store_goes_on_at_its_new_place(folder: Path) -> None:
    """Closing a store whose directory was moved loses nothing of it."""
    with OpenDirectory(folder) as directory, closing(SqliteDatabase(directory / FILE_NAME)) as database:
        import_rows(database, RUN, [row(2), row(3)])
        folder.rename(folder.with_name("away"))
        with pytest.raises(StoreLostError):
            database.commit(intents(1))
    with closing(SqliteDatabase(folder.with_name("away") / FILE_NAME)) as again:
        assert [due.attempts for _, due in again.fetch_due(0, 9, retry_failed=False)] == [1, 0]


def content(folder: Path) -> dict[str, bytes]:
    """Return all files of a directory."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("swaps_back", [True, False])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_directory_that_is_swapped_while_the_store_is_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, swaps_back: bool, is_new: bool
) -> None:
    """SQLite opens by path: where that leads to another run for a moment, that run is not changed."""
    if not is_new:
        SqliteDatabase(folder / FILE_NAME).close()
    other = folder.with_name("other")
    other.mkdir()
    with closing(SqliteDatabase(other / FILE_NAME)) as database:
        import_rows(database, RUN, [row(9)])
    for name in ("", ".new"):  # the file that a creation opens first, too
        if name:
            shutil.copy(other / FILE_NAME, other / f".{FILE_NAME}{name}")
    before = content(other)
    connect = sqlite3.connect

    def swapped(path: object, *args: object, **values: object) -> sqlite3.Connection:
        if path == ":memory:":
            return connect(":memory:")
        if not folder.is_symlink():
            folder.rename(folder.with_name("away"))
            folder.symlink_to(other)
        opened: sqlite3.Connection = connect(path, *args, **values)  # type: ignore[call-overload] # passed on unchanged
        opened.execute("PRAGMA schema_version").fetchone()
        if swaps_back:
            folder.unlink()
            folder.with_name("away").rename(folder)
        return opened

    with OpenDirectory(folder) as directory:
        monkeypatch.setattr(sqlite3, "connect", swapped)
        with pytest.raises(InvalidStoreError, match=r"replaced while it was opened"):
            SqliteDatabase(directory / FILE_NAME)
    assert content(other) == before


def test_a_file_system_without_shared_memory_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SQLite cannot share memory, as on a network drive, the line names that and the file system."""
    connect = sqlite3.connect

    def without(path: object, **values: object) -> sqlite3.Connection:
        if path == ":memory:":
            return connect(":memory:")
        return connect(f"{path}&vfs=unix-dotfile", **values)  # type: ignore[call-overload,no-any-return] # passed on unchanged

    monkeypatch.setattr(sqlite3, "connect", without)
    with pytest.raises(InvalidStoreError, match=r"its file system \(\w+\) does not support shared memory"):
        SqliteDatabase(folder / FILE_NAME)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("SQLITE_IOERR_SHMMAP", "shared memory"),
        ("SQLITE_IOERR_SHMOPEN", "shared memory"),
        ("SQLITE_IOERR_LOCK", "file locks"),
        ("SQLITE_PROTOCOL", "file locks"),
        ("SQLITE_FULL", None),
    ],
)
def test_an_error_of_an_unfit_file_system_is_explained(folder: Path, name: str, what: str | None) -> None:
    """SQLite's own words, such as 'disk I/O error', are followed by what the file system does not support."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = name
    text = format_reason(error, folder)
    assert text.startswith("disk I/O error")
    assert (f"does not support {what}" in text) is (what is not None)


def test_a_full_disk_is_named_before_the_file_system(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room for the shared memory SQLite has an I/O error of the same name: the disk is the cause."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR_SHMSIZE"
    assert "does not support shared memory" in format_reason(error, folder / FILE_NAME)
    full = os.statvfs_result((4096, 4096, 100, 3, 3, 100, 50, 50, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    assert format_reason(error, folder / FILE_NAME) == "disk I/O error; the disk is full"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Where a file cannot be locked, the error names that as the cause, for a run and for a reader."""

    def fail(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    with RunLock(folder):
        pass
    monkeypatch.setattr(fcntl, "flock", fail)
    for call in (RunLock(folder).acquire, lambda: is_locked(folder)):
        with pytest.raises(OSError, match=r"does not support file locks .*use a local disk.*run\.lock"):
            call()


def test_what_is_left_of_a_deleted_store_is_not_added_to_a_new_one(folder: Path) -> None:
    """A write-ahead log without its store is refused, by name; SQLite would mix it into a new store."""
    with OpenDirectory(folder) as directory, closing(SqliteDatabase(directory / FILE_NAME)) as database:
        import_rows(database, RUN, [row(2)])
        (folder / FILE_NAME).unlink()
    with pytest.raises(InvalidStoreError, match=r"was deleted, but ledger\.sqlite-wal is left of its run"):
        SqliteDatabase(folder / FILE_NAME)
    assert not (folder / FILE_NAME).exists()
    (folder / f"{FILE_NAME}-wal").write_bytes(b"")
    with closing(SqliteDatabase(folder / FILE_NAME)) as database:
        assert database.identity() is None


def test_every_store_version_has_its_release() -> None:
    """The version of the store that this version writes has a release that can finish it."""
    assert schema.SCHEMA_VERSION in FIRST_RELEASE
    assert max(FIRST_RELEASE) == schema.SCHEMA_VERSION
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", release) for release in FIRST_RELEASE.values())


@pytest.mark.parametrize(
    ("version", "writer"),
    [(3, "a version of Rolecall before 0.1.0"), (5, "Rolecall 0.7.2"), (7, "a newer version of Rolecall")],
)
def test_a_store_of_another_form_names_who_can_finish_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, version: int, writer: str
) -> None:
    """The line that refuses it names the version that wrote it."""
    SqliteDatabase(folder / FILE_NAME).close()
    with closing(sqlite3.connect(folder / FILE_NAME)) as database:
        database.execute(f"PRAGMA user_version = {version}")
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 6)
    monkeypatch.setattr(store_file, "FIRST_RELEASE", {4: "0.1.0", 5: "0.7.2", 6: "0.9.0"})
    with pytest.raises(InvalidStoreError, match=f"was written by {writer} .*finish the run with that version"):
        SqliteDatabase(folder / FILE_NAME)


def test_a_store_that_another_program_has_locked_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write waits until the other program is done, and reports once that it waits."""
    monkeypatch.setattr(connection, "LOCK_SLICE", 0.01)
    SqliteDatabase(folder / FILE_NAME).close()
    waits: list[tuple[Path, float]] = []
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as other:

        def on_wait(store: Path, seconds: float) -> None:
            waits.append((store, seconds))
            other.execute("ROLLBACK")

        with closing(SqliteDatabase(folder / FILE_NAME, LockWait(900.0, on_wait))) as database:
            import_rows(database, RUN, [row(2)])
            other.execute("BEGIN IMMEDIATE")
            database.commit(intents(1))
            assert [due.attempts for _, due in database.fetch_due(0, 9, retry_failed=False)] == [1]
    ((store, seconds),) = waits
    assert store == folder / FILE_NAME
    assert 0 < seconds < 900


def test_a_store_that_stays_locked_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that the run waits, the error says who had locked the store."""
    monkeypatch.setattr(connection, "LOCK_SLICE", 0.01)
    with closing(SqliteDatabase(folder / FILE_NAME, LockWait(0.0))) as database:
        with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match=r"ledger\.sqlite was locked by another program for"):
                database.set_meta(name="value")
        database.set_meta(name="value")
