"""The wish to end the run."""

import asyncio

from rolecall.engine.clock import Clock
from rolecall.engine.stop_signal import STOP_HINTS, StopReason, StopSignal
from tests.unit.engine.virtual import turns


async def test_the_first_reason_stands_and_wakes_who_waits() -> None:
    """Later reasons change nothing; who waits for the end is woken by the first."""
    stop = StopSignal()
    requested = asyncio.create_task(stop.wait())
    await turns()
    assert not requested.done()
    stop.request(StopReason.OUTAGE, "away")
    stop.request(StopReason.INTERRUPTED, "Ctrl-C")
    await requested
    assert (stop.reason, stop.detail) == (StopReason.OUTAGE, "away")


def test_every_reason_has_a_hint() -> None:
    """What a person can do is said for each reason."""
    assert set(STOP_HINTS) == set(StopReason)
    assert all(STOP_HINTS.values())


def test_the_wall_clock_in_milliseconds() -> None:
    """The times of the store are whole milliseconds."""
    assert Clock(now=lambda: 0.0, wall=lambda: 1_700_000_000.1239).wall_ms() == 1_700_000_000_123
