"""The async store over a SQLite file: its one thread, the lock of the run, cancellation while it opens and closes."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rolecall.models import Result
from rolecall.store.base import InvalidStoreError, StoreError
from rolecall.store.run_lock import RunLock, RunLockedError, is_locked
from rolecall.store.sqlite import store as store_module
from rolecall.store.sqlite.database import SqliteDatabase
from rolecall.store.sqlite.store import FILE_NAME, SqliteStore, open_snapshot, open_store
from tests.unit.store.contract.jobs import all_results, import_lines, in_pages
from tests.unit.store.values import RUN, intents, outcomes, row, settled


def store_threads() -> list[threading.Thread]:
    """Return the threads of open stores."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("run store")]


async def no_thread_is_left() -> bool:
    """Return True once every thread of a store has ended."""
    threads = store_threads()
    for thread in threads:
        await asyncio.to_thread(thread.join, 30)
    return not any(thread.is_alive() for thread in threads)


class SlowCall:
    """Makes a method, which a store calls on its thread, wait until the test lets it continue."""

    def __init__(self, owner: type, name: str) -> None:
        self._begun = threading.Event()
        self.release = threading.Event()
        self.has_ended = False
        method = getattr(owner, name)

        def call(*args: object) -> object:
            self._begun.set()
            assert self.release.wait(30)
            result = method(*args)
            self.has_ended = True
            return result

        setattr(owner, name, call)

    async def begun(self) -> None:
        """Return when the call has begun."""
        assert await asyncio.to_thread(self._begun.wait, 30)


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> type[SqliteDatabase]:
    """Return the class that stores open, for this test alone."""

    class Database(SqliteDatabase):
        """A database whose methods a test may replace."""

    monkeypatch.setattr(store_module, "SqliteDatabase", Database)
    return Database


async def test_all_calls_are_made_on_one_thread(tmp_path: Path, database: type[SqliteDatabase]) -> None:
    """Opening, reading, writing, importing and closing happen on the store's own thread, which ends with the close."""
    used: set[str] = set()

    def record(method: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            used.add(threading.current_thread().name)
            return method(*args)

        return call

    for name in ("__init__", "begin_import", "commit", "counts", "results_by_key", "close"):
        setattr(database, name, record(getattr(database, name)))
    async with await SqliteStore.open(tmp_path / FILE_NAME) as store:
        (key,) = await import_lines(store, 2)
        await store.commit(intents(key))
        await asyncio.gather(store.counts(), store.results_by_key([key]))
    assert len(used) == 1
    assert threading.current_thread().name not in used
    assert await no_thread_is_left()


async def test_a_store_that_cannot_be_opened_leaves_no_thread(tmp_path: Path) -> None:
    """After InvalidStoreError the thread has ended and the run is not locked."""
    (tmp_path / FILE_NAME).write_text("no database " * 100)
    with pytest.raises(InvalidStoreError):
        async with open_store(tmp_path):
            pytest.fail("opened")
    with pytest.raises(InvalidStoreError):
        async with open_snapshot(tmp_path):
            pytest.fail("opened")
    assert await no_thread_is_left()
    assert not is_locked(tmp_path)


async def test_a_cancelled_opening_leaves_nothing(tmp_path: Path, database: type[SqliteDatabase]) -> None:
    """A cancellation while the file is opened is raised when it is open; the file is closed and the run unlocked."""
    opening, closing = SlowCall(database, "__init__"), SlowCall(database, "close")
    closing.release.set()

    async def start() -> None:
        async with open_store(tmp_path):
            pytest.fail("opened")

    task = asyncio.create_task(start())
    await opening.begun()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    opening.release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await no_thread_is_left()
    assert closing.has_ended
    assert not is_locked(tmp_path)


async def test_a_cancelled_locking_leaves_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancellation while the run is locked on a thread does not leave it locked."""
    monkeypatch.setattr(RunLock, "acquire", RunLock.acquire)  # restored at the end
    locking = SlowCall(RunLock, "acquire")

    async def start() -> None:
        async with open_store(tmp_path):
            pytest.fail("opened")

    task = asyncio.create_task(start())
    await locking.begun()
    task.cancel()
    await asyncio.sleep(0)
    locking.release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert locking.has_ended
    assert not is_locked(tmp_path)


async def test_a_run_is_locked_while_its_store_is_open(tmp_path: Path) -> None:
    """A second store of the same run is refused; a snapshot is not; afterwards the run is free."""
    async with open_store(tmp_path) as (_, store):
        (key,) = await import_lines(store, 2)
        with pytest.raises(RunLockedError):
            async with open_store(tmp_path):
                pytest.fail("opened twice")
        async with open_snapshot(tmp_path) as snapshot:
            await store.commit(outcomes(settled(key)))
            assert [result.attempts for result in await all_results(snapshot)] == [0]
            with pytest.raises(StoreError):
                await snapshot.set_meta(name="value")
    async with open_store(tmp_path) as (_, again):
        assert await again.identity() == RUN
    assert await no_thread_is_left()


async def test_a_cancelled_close_waits_for_the_commit_in_progress(
    tmp_path: Path, database: type[SqliteDatabase]
) -> None:
    """A close that is cancelled, also twice, ends only after the commit before it and the close of the file."""
    store = await SqliteStore.open(tmp_path / FILE_NAME)
    (key,) = await import_lines(store, 2)
    slow = SlowCall(database, "commit")
    committing = asyncio.create_task(store.commit(outcomes(settled(key))))
    await slow.begun()
    closing = asyncio.create_task(store.close())
    for _ in range(3):
        await asyncio.sleep(0)
        closing.cancel()
    await asyncio.sleep(0)
    assert not closing.done()
    slow.release.set()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await committing
    assert slow.has_ended
    assert await no_thread_is_left()
    async with await SqliteStore.open(tmp_path / FILE_NAME) as again:
        assert await again.count_settled(0) == 1


async def test_an_import_that_is_cancelled_while_it_begins_is_undone(
    tmp_path: Path, database: type[SqliteDatabase]
) -> None:
    """The transaction that was just begun on the thread does not stay open: the next commit works."""
    async with await SqliteStore.open(tmp_path / FILE_NAME) as store:
        (key,) = await import_lines(store, 2)
        slow = SlowCall(database, "begin_import")
        importing = asyncio.create_task(store.import_rows(RUN, in_pages([row(9)])))
        await slow.begun()
        importing.cancel()
        await asyncio.sleep(0)
        importing.cancel()
        slow.release.set()
        with pytest.raises(asyncio.CancelledError):
            await importing
        await store.commit(outcomes(settled(key)))
        assert [result.line for result in await all_results(store)] == [2]


async def test_a_query_of_results_ends_on_the_thread(
    tmp_path: Path, database: type[SqliteDatabase], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The query of results that are not read to their end is closed on the thread; the loop would wait for commits."""
    ended_on: list[str] = []

    def results(self: SqliteDatabase) -> Iterator[Result]:
        try:
            yield from SqliteDatabase.results(self)
        finally:
            ended_on.append(threading.current_thread().name)

    monkeypatch.setattr(database, "results", results)
    async with await SqliteStore.open(tmp_path / FILE_NAME) as store:
        await import_lines(store, *range(2, 2002))
        pages = store.results()
        await anext(pages)
        await pages.aclose()
        assert ended_on[0].startswith("run store")
