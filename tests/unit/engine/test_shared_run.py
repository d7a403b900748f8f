"""A run that several processes share: a stop or a fence in the answer of a commit, and slots that are leased."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rolecall.engine.stop_signal import ShutdownRequested, StopReason, StopSignal
from rolecall.engine.throttle.admission import AdmissionController, CallKind
from rolecall.engine.throttle.rate_slots import LeasedSlots
from rolecall.store.base import FencedError, RunStoppedElsewhere
from rolecall.store.records import Batch
from tests.unit.engine.runs import PLAIN, Run, Start, on_disk
from tests.unit.engine.virtual import BEGINNING, virtual_clock


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts runs."""
    starter = Start(tmp_path / "ledger.sqlite")
    yield starter
    starter.done()


def stop_elsewhere_after(run: Run, intents: int, stop: str = "credentials") -> list[Batch]:
    """Let another process stop the run after so many intents; return the batches that come after that."""
    written, later, commit = Counter[str](), list[Batch](), run.ledger.commit

    def commit_unless_stopped(batch: Batch) -> None:
        if written["intents"] < intents:
            written["intents"] += len(batch.intents)
            commit(batch)
            return
        later.append(batch)
        commit(batch._replace(intents=()))
        if batch.intents:
            raise RunStoppedElsewhere(stop, "the token was revoked")

    run.ledger.commit = commit_unless_stopped  # type: ignore[method-assign]
    return later


async def test_a_stop_by_another_process_is_in_the_answer_of_the_next_commit(start: Start) -> None:
    """After it no further call leaves, calls in flight are recorded, and all other rows are as they were."""
    run = start([f"u{number}" for number in range(40)], {}, replace(PLAIN, concurrency=4))
    stop_elsewhere_after(run, 8)
    await run.go()
    sent = {user for user, _ in run.client.calls}
    assert 8 <= len(sent) <= 8 + 4
    assert (run.stop.reason, run.stop.detail) == (StopReason.CREDENTIALS, "the token was revoked")
    assert on_disk(run.path) == {
        f"u{number}": (0, 1, "removed") if f"u{number}" in sent else (0, 0, None) for number in range(40)
    }


async def test_a_reason_that_this_version_does_not_know_is_an_interruption(start: Start) -> None:
    """A newer version may stop the run for another reason: the run stops all the same."""
    run = start([f"u{number}" for number in range(20)], {}, replace(PLAIN, concurrency=4))
    stop_elsewhere_after(run, 4, "some_later_reason")
    await run.go()
    assert run.stop.reason is StopReason.INTERRUPTED


async def test_a_fenced_session_writes_nothing_more_and_sends_nothing_more(start: Start) -> None:
    """Once another process has taken over, no batch is handed to the store, and the fence is raised."""
    run = start([f"u{number}" for number in range(40)], {}, replace(PLAIN, concurrency=4))
    commits, commit = Counter[str](), run.ledger.commit

    def commit_until_fenced(batch: Batch) -> None:
        commits["all"] += 1
        if commits["all"] > 3:
            raise FencedError("another worker has taken over")
        commit(batch)

    run.ledger.commit = commit_until_fenced  # type: ignore[method-assign]
    with pytest.raises(FencedError):
        await run.go()
    assert commits["all"] == 4
    calls = len(run.client.calls)
    await asyncio.sleep(10)
    assert len(run.client.calls) == calls
    assert run.stop.reason is None


class LeaseStop(StopSignal):
    """A stop signal that looks at a lease before each call."""

    is_valid = True

    def raise_if_requested(self) -> None:
        """Request the stop where the lease is old."""
        if not self.is_valid:
            self.request(StopReason.INTERRUPTED)
        super().raise_if_requested()


async def test_no_call_leaves_once_the_stop_signal_refuses(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at when the call has its slot: an intent that was on disk by then is rolled back."""
    monkeypatch.setattr("rolecall.engine.throttle.rate_limiter.PacedRateLimiter.lead", 0.5)
    run = start(["u0", "u1", "u2"], {}, replace(PLAIN, rate=1.0))
    run.stop = stop = LeaseStop()

    async def lose_the_lease() -> None:
        await asyncio.sleep(1.007 - 0.25)
        assert [doubt for doubt, _, _ in on_disk(run.path).values()] == [0, 1, 0]
        stop.is_valid = False

    await asyncio.gather(run.go(), lose_the_lease())
    assert [user for user, _ in run.client.calls] == ["u0"]
    assert list(on_disk(run.path).values()) == [(0, 1, "removed"), (0, 0, None), (0, 0, None)]


def test_a_stop_signal_that_was_requested_raises() -> None:
    """Without a lease it is as before."""
    stop = StopSignal()
    stop.raise_if_requested()
    stop.request(StopReason.OUTAGE)
    with pytest.raises(ShutdownRequested):
        stop.raise_if_requested()


class Pace:
    """The shared schedule of a rate: hands out slots to several processes, each after some seconds."""

    def __init__(self, seconds: float = 0.002) -> None:
        self.next = 0.0
        self.seconds = seconds
        self.leases = 0

    async def lease(self, count: int, interval: float) -> list[float]:
        """Return the moments of so many slots."""
        await asyncio.sleep(self.seconds)
        self.leases += 1
        first = max(self.next, asyncio.get_running_loop().time() - 0.003)
        self.next = first + count * interval
        return [first + number * interval for number in range(count)]


async def serve(slots: LeasedSlots, wanted: asyncio.Event, pace: Pace) -> None:
    """Lease slots whenever some are wanted, as a process does."""
    while True:
        await wanted.wait()
        wanted.clear()
        if slots.wanted:
            slots.add(await pace.lease(slots.wanted, slots.interval))


async def go_with_leases(runs: list[Run], rate: float, pace: Pace) -> list[float]:
    """Process the rows of each run in a process of its own; return when all calls left."""
    leasing: list[asyncio.Task[None]] = []

    async def one(run: Run) -> None:
        wanted = asyncio.Event()
        slots = LeasedSlots(wanted.set)
        slots.set_rate(rate)
        leasing.append(asyncio.create_task(serve(slots, wanted, pace)))
        rates = {CallKind.CHANGE: slots}
        await run.go(AdmissionController.build(run.settings, virtual_clock(), rates=rates))

    await asyncio.gather(*map(one, runs))
    for task in leasing:
        task.cancel()
    return sorted(moment - BEGINNING for run in runs for _, moment in run.client.calls)


def worst_second(moments: list[float]) -> int:
    """Return the most calls that left within one second."""
    return max(sum(begin <= moment < begin + 1 for moment in moments) for begin in moments)


@pytest.mark.parametrize(("processes", "rate", "rows"), [(1, 10.0, 60), (4, 10.0, 30), (4, 50.0, 100), (2, 200.0, 400)])
async def test_processes_that_lease_slots_keep_to_one_rate_together(
    tmp_path: Path, processes: int, rate: float, rows: int
) -> None:
    """The rate is met to one percent, and no second has more than a twentieth above it."""
    starters = [Start(tmp_path / f"{number}.sqlite") for number in range(processes)]
    settings = replace(PLAIN, concurrency=32)
    runs = [starter([f"u{number}" for number in range(rows)], {}, settings) for starter in starters]
    moments = await go_with_leases(runs, rate, Pace())
    assert len(moments) == processes * rows
    # Each process waits for the first answer of the server; in the end some have no more rows.
    middle = moments[len(moments) // 5 : len(moments) * 4 // 5]
    assert (len(middle) - 1) / (middle[-1] - middle[0]) == pytest.approx(rate, rel=0.01)
    assert worst_second(moments) <= rate * 1.05
    for starter in starters:
        starter.done()


async def test_without_a_lease_no_call_leaves(start: Start) -> None:
    """While the shared schedule does not respond, calls wait; they leave at the rate when it does."""
    run = start([f"u{number}" for number in range(10)], {}, PLAIN)
    moments = await go_with_leases([run], 10.0, Pace(seconds=3.0))
    assert moments[0] >= 3.0
    assert worst_second(moments) <= 10
