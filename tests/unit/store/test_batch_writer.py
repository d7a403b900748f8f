"""Group commit: what is durable before what, in which order, and what a failing disk does. The database is a fake."""

import asyncio
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from rolecall.models import DueRow, Outcome, Prior, PriorState
from rolecall.store.base import FencedError, RunStoppedElsewhere, StoreError
from rolecall.store.batch_writer import BatchWriter
from rolecall.store.records import Batch, Intent, IntentRollback, PriorRecord
from rolecall.store.sqlite.database import SqliteDatabase
from tests.support.store import as_store, import_rows
from tests.unit.engine.virtual import turns
from tests.unit.store.values import RUN, row, settled


class Disk:
    """Replaces the database: accepts a batch when the test allows it, and records batches and threads."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.threads: set[str] = set()
        self.entered = threading.Semaphore(0)
        self.free = threading.Event()
        self.free.set()
        self.failure: Exception | None = None

    def commit(self, batch: Batch) -> None:
        """Record a batch once the disk is free, or fail."""
        self.threads.add(threading.current_thread().name)
        self.entered.release()
        assert self.free.wait(30)
        if self.failure is not None:
            raise self.failure
        self.batches.append(batch)

    def fetch_due(self, after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        """Return one row that shows the arguments."""
        self.threads.add(threading.current_thread().name)
        return [(after, DueRow(count, 0, "R", "u", int(retry_failed), False))]

    async def busy(self) -> None:
        """Return once a batch has reached the disk."""
        assert await asyncio.to_thread(self.entered.acquire, timeout=30)


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Return a disk; calls that still wait for it at the end continue."""
    disk = Disk()
    yield disk
    disk.free.set()


def writer_on(disk: Disk) -> BatchWriter:
    """Return a batch writer on the fake database."""
    return BatchWriter(as_store(disk))


def intent(key: int, attempt: int = 1) -> Intent:
    """Return an intent."""
    return Intent(key, attempt, 1000 + key)


def keys(batch: Batch) -> tuple[list[int], list[int], list[int]]:
    """Return the keys of a batch's outcomes, rollbacks and intents."""
    outcomes, rollbacks, intents, *_ = batch
    return [each.key for each in outcomes], [each.key for each in rollbacks], [each.key for each in intents]


async def started(calls: Iterable[Intent], writer: BatchWriter) -> list[asyncio.Task[None]]:
    """Begin to write each intent, and let the tasks run as far as they can."""
    tasks = [asyncio.create_task(writer.write_intent(each)) for each in calls]
    await turns()
    return tasks


async def test_write_intent_returns_only_after_the_commit(disk: Disk) -> None:
    """A request may be sent when its intent is durable, and not while the commit is in progress."""
    disk.free.clear()
    async with writer_on(disk) as writer:
        (task,) = await started([intent(1)], writer)
        await disk.busy()
        await turns()
        assert not task.done()
        disk.free.set()
        await task
        assert [keys(batch) for batch in disk.batches] == [([], [], [1])]


async def test_entries_during_a_commit_share_the_next_one(disk: Disk) -> None:
    """Everything that is handed over while one batch waits for the disk goes into the next, in its order."""
    disk.free.clear()
    async with writer_on(disk) as writer:
        first = await started([intent(1)], writer)
        await disk.busy()
        writer.write_outcome(settled(7))
        writer.rollback_intent(IntentRollback(8, 0, False))
        writer.write_outcome(settled(9))
        rest = await started([intent(3), intent(2), intent(4)], writer)
        assert not any(task.done() for task in (*first, *rest))
        disk.free.set()
        await asyncio.gather(*first, *rest)
        assert [keys(batch) for batch in disk.batches] == [([], [], [1]), ([7, 9], [8], [3, 2, 4])]


async def test_intents_of_one_loop_iteration_share_a_commit(disk: Disk) -> None:
    """Intents of one iteration of the loop wait once for the disk."""
    async with writer_on(disk) as writer:
        await asyncio.gather(*(writer.write_intent(intent(key)) for key in range(50)))
        assert [keys(batch)[2] for batch in disk.batches] == [list(range(50))]


async def test_an_outcome_is_durable_with_the_next_intent(disk: Disk) -> None:
    """Entries that were handed over before an intent are durable when the intent is."""
    async with writer_on(disk) as writer:
        writer.write_outcome(settled(1))
        writer.rollback_intent(IntentRollback(2, 0, False))
        await writer.write_intent(intent(3))
        assert [keys(batch) for batch in disk.batches] == [([1], [2], [3])]


async def test_outcomes_are_committed_without_an_intent(disk: Disk) -> None:
    """An outcome does not wait for the next intent."""
    async with writer_on(disk) as writer:
        writer.write_outcome(settled(1))
        await disk.busy()
    assert [keys(batch) for batch in disk.batches] == [([1], [], [])]


async def test_a_rollback_removes_an_intent_that_is_not_committed(disk: Disk) -> None:
    """An intent that is rolled back before its batch is committed is not written; its task continues."""
    disk.free.clear()
    async with writer_on(disk) as writer:
        first = await started([intent(1)], writer)
        await disk.busy()
        rest = await started([intent(2), intent(3)], writer)
        writer.rollback_intent(IntentRollback(2, 0, False))
        disk.free.set()
        await asyncio.gather(*first, *rest)
        assert [keys(batch) for batch in disk.batches] == [([], [], [1]), ([], [2], [3])]


async def test_a_rollback_of_a_committed_intent_follows_it(disk: Disk) -> None:
    """An intent whose batch is being committed is rolled back by the next batch."""
    disk.free.clear()
    async with writer_on(disk) as writer:
        first = await started([intent(1)], writer)
        await disk.busy()
        writer.rollback_intent(IntentRollback(1, 0, False))
        disk.free.set()
        await asyncio.gather(*first)
    assert [keys(batch) for batch in disk.batches] == [([], [], [1]), ([], [1], [])]


async def test_an_intent_after_its_rollback_stands(disk: Disk) -> None:
    """A row with a rollback and a later intent in one batch has the intent."""
    disk.free.clear()
    async with writer_on(disk) as writer:
        first = await started([intent(9)], writer)
        await disk.busy()
        gone = await started([intent(1)], writer)
        writer.rollback_intent(IntentRollback(1, 0, False))
        again = await started([intent(1, attempt=2)], writer)
        disk.free.set()
        await asyncio.gather(*first, *gone, *again)
    assert disk.batches[1] == Batch([], [IntentRollback(1, 0, False)], [intent(1, attempt=2)], [], [])


async def test_prior_states_are_written_with_the_next_batch(disk: Disk) -> None:
    """A prior state that is handed over is durable once a later flush returns, in the order of the readings."""
    read = [PriorRecord(key, Prior(PriorState.HAS_ROLE, key)) for key in (3, 1, 2)]
    async with writer_on(disk) as writer:
        for record in read:
            writer.write_prior(record)
        await writer.flush()
        assert [record for batch in disk.batches for record in batch.priors] == read
        await writer.flush()
    assert len(disk.batches) == 1


async def test_a_failure_reaches_every_waiter(disk: Disk) -> None:
    """Tasks of the failed batch, of the next one, and later ones all receive the error; nothing more is written."""
    disk.free.clear()
    disk.failure = StoreError("full")
    with pytest.raises(StoreError, match="full"):  # noqa: PT012 # raised when the context ends
        async with writer_on(disk) as writer:
            tasks = await started([intent(1), intent(2)], writer)
            await disk.busy()
            tasks += await started([intent(3), intent(4)], writer)
            disk.free.set()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert [str(each) for each in ended] == ["full"] * 4
            disk.failure = None
            with pytest.raises(StoreError, match="full"):
                await writer.write_intent(intent(5))
            writer.write_outcome(settled(6))
            writer.rollback_intent(IntentRollback(7, 0, False))
            await turns()
    assert disk.batches == []


async def test_a_failure_without_a_waiter_is_raised_at_the_end(disk: Disk) -> None:
    """An outcome that could not be written is an error when the context ends."""
    disk.failure = StoreError("full")
    with pytest.raises(StoreError, match="full"):
        async with writer_on(disk) as writer:
            writer.write_outcome(settled(1))


@pytest.mark.parametrize("fault", [TypeError("no JSON"), MemoryError(), UnicodeEncodeError("utf-8", "x", 0, 1, "y")])
async def test_an_unexpected_error_leaves_no_task_waiting(disk: Disk, fault: Exception) -> None:
    """For any error of a commit, tasks that wait for it, and later ones, receive an error instead of hanging."""
    disk.failure = fault
    with pytest.raises((type(fault), StoreError)):  # noqa: PT012 # raised when the context ends
        async with writer_on(disk) as writer:
            async with asyncio.timeout(2):
                first = await asyncio.gather(writer.write_intent(intent(1)), return_exceptions=True)
                second = await asyncio.gather(writer.write_intent(intent(2)), return_exceptions=True)
            for error in (*first, *second):
                assert isinstance(error, type(fault) | StoreError), error


async def test_everything_handed_over_is_committed_at_the_end(disk: Disk) -> None:
    """The end of the context waits for the batch in progress and for everything handed over after it."""
    disk.free.clear()
    async with writer_on(disk) as writer:
        first = await started([intent(1)], writer)
        await disk.busy()
        writer.write_outcome(settled(2))
        writer.rollback_intent(IntentRollback(3, 0, False))
        disk.free.set()
    assert [keys(batch) for batch in disk.batches] == [([], [], [1]), ([2], [3], [])]
    assert all(task.done() for task in first)


async def test_everything_is_committed_after_an_error_too(disk: Disk) -> None:
    """An exception in the run does not lose outcomes that were handed over."""
    with pytest.raises(ValueError, match="in the run"):  # noqa: PT012 # the run is the block
        async with writer_on(disk) as writer:
            writer.write_outcome(settled(1))
            raise ValueError("in the run")
    assert [keys(batch) for batch in disk.batches] == [([1], [], [])]


async def test_an_idle_writer_ends_at_once(disk: Disk) -> None:
    """Without entries nothing is written."""
    async with writer_on(disk):
        pass
    assert disk.batches == []


async def test_cancelling_one_waiter_does_not_disturb_the_others(disk: Disk) -> None:
    """Only the cancelled task is cancelled; its intent is written (its row must roll it back), the others continue."""
    disk.free.clear()
    async with writer_on(disk) as writer:
        tasks = await started([intent(1), intent(2), intent(3)], writer)
        await disk.busy()
        later = await started([intent(4), intent(5)], writer)
        tasks[1].cancel()
        later[0].cancel()
        disk.free.set()
        ended = await asyncio.gather(*tasks, *later, return_exceptions=True)
        await writer.write_intent(intent(6))
    assert [type(each) for each in ended] == [
        type(None), asyncio.CancelledError, type(None), asyncio.CancelledError, type(None)
    ]  # fmt: skip
    assert [key for batch in disk.batches for key in keys(batch)[2]] == [1, 2, 3, 4, 5, 6]


async def test_cancelling_the_end_loses_no_outcome(disk: Disk) -> None:
    """Outcomes become durable even if the end of the context is cancelled."""
    disk.free.clear()
    ending = asyncio.Event()

    async def run() -> None:
        async with writer_on(disk) as writer:
            writer.write_outcome(settled(1))
            await disk.busy()
            writer.write_outcome(settled(2))
            ending.set()

    task = asyncio.create_task(run())
    async with asyncio.timeout(30):
        await ending.wait()
    await turns()
    task.cancel()
    disk.free.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [key for batch in disk.batches for key in keys(batch)[0]] == [1, 2]


async def test_the_database_has_its_own_thread(disk: Disk) -> None:
    """Reads and writes share one thread that is not the loop's; a read returns the rows of the database."""
    async with writer_on(disk) as writer:
        await writer.write_intent(intent(1))
        found = await writer.fetch_due(3, 5, retry_failed=True)
        await writer.write_intent(intent(2))
    assert found == [(3, DueRow(5, 0, "R", "u", 1, False))]
    assert len(disk.threads) == 1
    assert threading.current_thread().name not in disk.threads


async def test_a_failing_read_is_raised_to_its_reader(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing read is an error for its caller and does not stop writing."""

    def fail(after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        raise StoreError("unreadable")

    monkeypatch.setattr(disk, "fetch_due", fail)
    async with writer_on(disk) as writer:
        with pytest.raises(StoreError, match="unreadable"):
            await writer.fetch_due(0, 1, retry_failed=False)
        await writer.write_intent(intent(1))
    assert len(disk.batches) == 1


async def test_the_writer_on_a_real_store(tmp_path: Path) -> None:
    """In SQLite another connection sees rows with an intent as in doubt, and outcomes as outcomes."""
    database, other = SqliteDatabase(tmp_path / "ledger.sqlite"), None
    try:
        import_rows(database, RUN, [row(line) for line in range(1, 101)])
        other = SqliteDatabase(tmp_path / "ledger.sqlite")
        async with BatchWriter(as_store(database)) as writer:
            rows = [due for _, due in await writer.fetch_due(0, 1000, retry_failed=False)]
            await asyncio.gather(*(writer.write_intent(intent(due.key)) for due in rows))
            assert {result.outcome for result in other.results()} == {Outcome.UNKNOWN}
            for due in rows:
                writer.write_outcome(settled(due.key))
        assert {result.outcome for result in other.results()} == {Outcome.REMOVED}
    finally:
        database.close()
        if other is not None:
            other.close()


class Stopped:
    """Replaces the database of a run that another process has stopped: writes everything but intents."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def commit(self, batch: Batch) -> None:
        """Record what is written."""
        self.batches.append(batch._replace(intents=()))
        if batch.intents:
            raise RunStoppedElsewhere("interrupted", "by the operator")


async def test_a_run_that_was_stopped_elsewhere_refuses_intents_and_writes_all_else() -> None:
    """Who waits for an intent gets the stop; who waits for the rest does not, and outcomes are durable."""
    stopped, durable = Stopped(), list[int]()
    async with BatchWriter(as_store(stopped), lambda each: durable.extend(one.key for one in each)) as writer:
        writer.write_outcome(settled(1))
        intended = asyncio.create_task(writer.write_intent(intent(2)))
        flushed = asyncio.create_task(writer.flush())
        with pytest.raises(RunStoppedElsewhere) as raised:
            await intended
        await flushed
        assert (raised.value.stop, raised.value.detail) == ("interrupted", "by the operator")
        writer.write_outcome(settled(3))
    assert durable == [1, 3]
    assert [keys(batch)[2] for batch in stopped.batches] == [[], []]


async def test_after_a_fence_nothing_is_handed_to_the_store(disk: Disk) -> None:
    """The first refused commit is the last one: every later entry is dropped, and the fence is raised."""
    disk.failure = FencedError("another worker has taken over")
    writer = writer_on(disk)
    await writer.__aenter__()
    with pytest.raises(FencedError):
        await writer.write_intent(intent(1))
    disk.failure = None
    writer.write_outcome(settled(1))
    with pytest.raises(FencedError):
        await writer.flush()
    with pytest.raises(FencedError):
        await writer.__aexit__(None, None, None)
    assert disk.batches == []
