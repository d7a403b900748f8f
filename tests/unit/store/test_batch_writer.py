"""Group commit: what is durable before whom, in which order, and what a failing disk does. The ledger is a double."""

import asyncio
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from rolecall.models import DueRow, Outcome
from rolecall.store.base import Batch, Intent, IntentRollback, StoreError
from rolecall.store.batch_writer import BatchWriter
from rolecall.store.sqlite.database import SqliteDatabase, import_rows
from tests.support.store import as_store
from tests.unit.store.values import RUN, row, settled


class Disk:
    """Stands in for the ledger: takes a batch when it is let, records what it took and on which thread."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.threads: set[str] = set()
        self.entered = threading.Semaphore(0)
        self.free = threading.Event()
        self.free.set()
        self.failure: Exception | None = None

    def commit(self, batch: Batch) -> None:
        """Take a batch once the disk is free, or fail."""
        self.threads.add(threading.current_thread().name)
        self.entered.release()
        assert self.free.wait(30)
        if self.failure is not None:
            raise self.failure
        self.batches.append(batch)

    def fetch_due(self, after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        """Give one row that shows what was asked for."""
        self.threads.add(threading.current_thread().name)
        return [(after, DueRow(count, 0, "R", "u", int(retry_failed), False))]

    async def busy(self) -> None:
        """Return once a batch has reached the disk."""
        assert await asyncio.to_thread(self.entered.acquire, timeout=30)


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Return a disk; whatever still waits for it at the end is let go."""
    disk = Disk()
    yield disk
    disk.free.set()


def journal_of(disk: Disk) -> BatchWriter:
    """Make a journal on the double."""
    return BatchWriter(as_store(disk))


def intent(key: int, attempt: int = 1) -> Intent:
    """Make an intent."""
    return Intent(key, attempt, 1000 + key)


def keys(batch: Batch) -> tuple[list[int], list[int], list[int]]:
    """Return the keys of a batch's outcomes, rollbacks and intents."""
    outcomes, rollbacks, intents, _ = batch
    return [each.key for each in outcomes], [each.key for each in rollbacks], [each.key for each in intents]


async def turns(number: int = 20) -> None:
    """Let everything that is ready go on."""
    for _ in range(number):
        await asyncio.sleep(0)


async def started(calls: Iterable[Intent], journal: BatchWriter) -> list[asyncio.Task[None]]:
    """Begin to write_intent each, and let them get as far as they can."""
    tasks = [asyncio.create_task(journal.write_intent(each)) for each in calls]
    await turns()
    return tasks


async def test_intend_returns_only_after_the_commit(disk: Disk) -> None:
    """A request may leave when its intent is on disk, and not while the disk is still at it."""
    disk.free.clear()
    async with journal_of(disk) as journal:
        (task,) = await started([intent(1)], journal)
        await disk.busy()
        await turns()
        assert not task.done()
        disk.free.set()
        await task
        assert [keys(batch) for batch in disk.batches] == [([], [], [1])]


async def test_what_gathers_meanwhile_shares_a_commit(disk: Disk) -> None:
    """While one batch waits for the disk all that comes gathers, in its order, and goes into the next."""
    disk.free.clear()
    async with journal_of(disk) as journal:
        first = await started([intent(1)], journal)
        await disk.busy()
        journal.write_outcome(settled(7))
        journal.rollback_intent(IntentRollback(8, 0, False))
        journal.write_outcome(settled(9))
        rest = await started([intent(3), intent(2), intent(4)], journal)
        assert not any(task.done() for task in (*first, *rest))
        disk.free.set()
        await asyncio.gather(*first, *rest)
        assert [keys(batch) for batch in disk.batches] == [([], [], [1]), ([7, 9], [8], [3, 2, 4])]


async def test_those_who_are_ready_together_share_a_commit(disk: Disk) -> None:
    """Intents of one turn of the loop cost one wait for the disk."""
    async with journal_of(disk) as journal:
        await asyncio.gather(*(journal.write_intent(intent(key)) for key in range(50)))
        assert [keys(batch)[2] for batch in disk.batches] == [list(range(50))]


async def test_an_outcome_is_on_disk_with_the_next_intent(disk: Disk) -> None:
    """What was handed over before an intent is durable when the intent is."""
    async with journal_of(disk) as journal:
        journal.write_outcome(settled(1))
        journal.rollback_intent(IntentRollback(2, 0, False))
        await journal.write_intent(intent(3))
        assert [keys(batch) for batch in disk.batches] == [([1], [2], [3])]


async def test_outcomes_are_committed_without_an_intent(disk: Disk) -> None:
    """An outcome does not wait for somebody's next intent."""
    async with journal_of(disk) as journal:
        journal.write_outcome(settled(1))
        await disk.busy()
    assert [keys(batch) for batch in disk.batches] == [([1], [], [])]


async def test_a_withdrawal_removes_an_intent_that_is_not_committed(disk: Disk) -> None:
    """An intent taken back before its batch left is not written; its waiter is let go, the others' stay."""
    disk.free.clear()
    async with journal_of(disk) as journal:
        first = await started([intent(1)], journal)
        await disk.busy()
        rest = await started([intent(2), intent(3)], journal)
        journal.rollback_intent(IntentRollback(2, 0, False))
        disk.free.set()
        await asyncio.gather(*first, *rest)
        assert [keys(batch) for batch in disk.batches] == [([], [], [1]), ([], [2], [3])]


async def test_a_withdrawal_of_a_committed_intent_follows_it(disk: Disk) -> None:
    """An intent whose batch is on its way to the disk is taken back by the next one."""
    disk.free.clear()
    async with journal_of(disk) as journal:
        first = await started([intent(1)], journal)
        await disk.busy()
        journal.rollback_intent(IntentRollback(1, 0, False))
        disk.free.set()
        await asyncio.gather(*first)
    assert [keys(batch) for batch in disk.batches] == [([], [], [1]), ([], [1], [])]


async def test_an_intent_after_its_withdrawal_stands(disk: Disk) -> None:
    """A row taken back and meant again in one batch is meant."""
    disk.free.clear()
    async with journal_of(disk) as journal:
        first = await started([intent(9)], journal)
        await disk.busy()
        gone = await started([intent(1)], journal)
        journal.rollback_intent(IntentRollback(1, 0, False))
        again = await started([intent(1, attempt=2)], journal)
        disk.free.set()
        await asyncio.gather(*first, *gone, *again)
    assert disk.batches[1] == Batch([], [IntentRollback(1, 0, False)], [intent(1, attempt=2)], [])


async def test_a_failure_reaches_every_waiter(disk: Disk) -> None:
    """Those of the failed batch, those gathered behind it, and all later ones are told; nothing more is written."""
    disk.free.clear()
    disk.failure = StoreError("full")
    with pytest.raises(StoreError, match="full"):  # noqa: PT012 # the journal tells it when it is left
        async with journal_of(disk) as journal:
            tasks = await started([intent(1), intent(2)], journal)
            await disk.busy()
            tasks += await started([intent(3), intent(4)], journal)
            disk.free.set()
            told = await asyncio.gather(*tasks, return_exceptions=True)
            assert [str(each) for each in told] == ["full"] * 4
            disk.failure = None
            with pytest.raises(StoreError, match="full"):
                await journal.write_intent(intent(5))
            journal.write_outcome(settled(6))
            journal.rollback_intent(IntentRollback(7, 0, False))
            await turns()
    assert disk.batches == []


async def test_a_failure_without_a_waiter_is_told_at_the_end(disk: Disk) -> None:
    """An outcome that could not be written is not passed over in silence."""
    disk.failure = StoreError("full")
    with pytest.raises(StoreError, match="full"):
        async with journal_of(disk) as journal:
            journal.write_outcome(settled(1))


@pytest.mark.parametrize("fault", [TypeError("no JSON"), MemoryError(), UnicodeEncodeError("utf-8", "x", 0, 1, "y")])
async def test_an_unforeseen_fault_leaves_nobody_waiting(disk: Disk, fault: Exception) -> None:
    """Whatever a commit raises, those who wait for it, and those who come later, are told so instead of hanging."""
    disk.failure = fault
    with pytest.raises((type(fault), StoreError)):  # noqa: PT012 # the journal tells it when it is left
        async with journal_of(disk) as journal:
            async with asyncio.timeout(2):
                first = await asyncio.gather(journal.write_intent(intent(1)), return_exceptions=True)
                second = await asyncio.gather(journal.write_intent(intent(2)), return_exceptions=True)
            for error in (*first, *second):
                assert isinstance(error, type(fault) | StoreError), error


async def test_everything_handed_over_is_committed_at_the_end(disk: Disk) -> None:
    """Leaving waits for the batch on its way and for all that gathered behind it."""
    disk.free.clear()
    async with journal_of(disk) as journal:
        first = await started([intent(1)], journal)
        await disk.busy()
        journal.write_outcome(settled(2))
        journal.rollback_intent(IntentRollback(3, 0, False))
        disk.free.set()
    assert [keys(batch) for batch in disk.batches] == [([], [], [1]), ([2], [3], [])]
    assert all(task.done() for task in first)


async def test_everything_is_committed_after_an_error_too(disk: Disk) -> None:
    """An exception in the run does not lose the outcomes that were handed over."""
    with pytest.raises(ValueError, match="in the run"):  # noqa: PT012 # the run is the block
        async with journal_of(disk) as journal:
            journal.write_outcome(settled(1))
            raise ValueError("in the run")
    assert [keys(batch) for batch in disk.batches] == [([1], [], [])]


async def test_an_idle_journal_ends_at_once(disk: Disk) -> None:
    """Nothing handed over, nothing written, nobody waits."""
    async with journal_of(disk):
        pass
    assert disk.batches == []


async def test_cancelling_one_waiter_does_not_disturb_the_others(disk: Disk) -> None:
    """The cancelled one is cancelled; its intent is written (it is for its row to take it back), the others go on."""
    disk.free.clear()
    async with journal_of(disk) as journal:
        tasks = await started([intent(1), intent(2), intent(3)], journal)
        await disk.busy()
        later = await started([intent(4), intent(5)], journal)
        tasks[1].cancel()
        later[0].cancel()
        disk.free.set()
        told = await asyncio.gather(*tasks, *later, return_exceptions=True)
        await journal.write_intent(intent(6))
    assert [type(each) for each in told] == [
        type(None), asyncio.CancelledError, type(None), asyncio.CancelledError, type(None)
    ]  # fmt: skip
    assert [key for batch in disk.batches for key in keys(batch)[2]] == [1, 2, 3, 4, 5, 6]


async def test_cancelling_the_end_loses_no_outcome(disk: Disk) -> None:
    """Who cancels a run that is just ending gets its outcomes on disk all the same."""
    disk.free.clear()
    ending = asyncio.Event()

    async def run() -> None:
        async with journal_of(disk) as journal:
            journal.write_outcome(settled(1))
            await disk.busy()
            journal.write_outcome(settled(2))
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


async def test_the_disk_has_one_thread_of_its_own(disk: Disk) -> None:
    """Reads and writes share one thread that is not the loop's; reading gives what the ledger gave."""
    async with journal_of(disk) as journal:
        await journal.write_intent(intent(1))
        found = await journal.fetch_due(3, 5, retry_failed=True)
        await journal.write_intent(intent(2))
    assert found == [(3, DueRow(5, 0, "R", "u", 1, False))]
    assert len(disk.threads) == 1
    assert threading.current_thread().name not in disk.threads


async def test_a_failing_read_is_told_to_its_reader(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that cannot be read fails the reader, not the writing."""

    def fail(after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        raise StoreError("unreadable")

    monkeypatch.setattr(disk, "fetch_due", fail)
    async with journal_of(disk) as journal:
        with pytest.raises(StoreError, match="unreadable"):
            await journal.fetch_due(0, 1, retry_failed=False)
        await journal.write_intent(intent(1))
    assert len(disk.batches) == 1


async def test_the_journal_on_a_real_ledger(tmp_path: Path) -> None:
    """With SQLite behind it: intents are seen as doubts by another connection, outcomes as outcomes."""
    ledger, other = SqliteDatabase(tmp_path / "ledger.sqlite"), None
    try:
        import_rows(ledger, RUN, [row(line) for line in range(1, 101)])
        other = SqliteDatabase(tmp_path / "ledger.sqlite")
        async with BatchWriter(as_store(ledger)) as journal:
            rows = [pending for _, pending in await journal.fetch_due(0, 1000, retry_failed=False)]
            await asyncio.gather(*(journal.write_intent(intent(pending.key)) for pending in rows))
            assert {result.outcome for result in other.results()} == {Outcome.UNKNOWN}
            for pending in rows:
                journal.write_outcome(settled(pending.key))
        assert {result.outcome for result in other.results()} == {Outcome.REMOVED}
    finally:
        ledger.close()
        if other is not None:
            other.close()
