"""A stop before the first row: the work is cancelled, and the caller gets the reason."""

import asyncio

import pytest

from rolecall.app.connection import run_reading, until_stopped
from rolecall.app.errors import RunStopped
from rolecall.engine.stop_signal import StopReason, StopSignal, stop_hint


async def test_work_is_cancelled_when_the_stop_is_requested() -> None:
    """Whatever it waits for, it ends at once, and RunStopped has the reason and the detail."""
    stop, started, cancelled = StopSignal(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    task = asyncio.ensure_future(until_stopped(work(), stop))
    await started.wait()
    stop.request(StopReason.INTERRUPTED, "by a signal")
    with pytest.raises(RunStopped, match="by a signal") as stopped:
        await task
    assert stopped.value.reason is StopReason.INTERRUPTED
    assert cancelled.is_set()


async def test_reading_returns_whether_it_reached_its_end() -> None:
    """A stop ends it with False; a cancellation requests the stop as well, and is raised."""

    async def nothing() -> None:
        return None

    started = asyncio.Event()

    async def endless() -> None:
        started.set()
        await asyncio.Event().wait()

    assert await run_reading(nothing(), StopSignal()) is True
    stopped = StopSignal()
    stopped.request(StopReason.OUTAGE)
    assert await run_reading(endless(), stopped) is False
    started.clear()
    stop = StopSignal()
    task = asyncio.ensure_future(run_reading(endless(), stop))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stop.reason is StopReason.INTERRUPTED


@pytest.mark.parametrize(
    ("reason", "what", "then", "hint"),
    [
        (StopReason.INTERRUPTED, "run", "go on", "the run was interrupted; go on"),
        (StopReason.INTERRUPTED, "check", "", "the check was interrupted"),
        (
            StopReason.STORE,
            "run",
            "go on",
            "the run store could not be written (disk full, deleted, or locked?); correct that, then go on",
        ),
    ],
)
def test_a_hint_is_made_of_values(reason: StopReason, what: str, then: str, hint: str) -> None:
    """What was stopped and what comes then are parts of the sentence, not replaced in it."""
    assert stop_hint(reason, what, then) == hint
