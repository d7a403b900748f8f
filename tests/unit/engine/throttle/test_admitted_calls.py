"""Admitted calls that wait for their slots: what is prepared, and what a failure or a lost slot leaves behind."""

import asyncio
import math

import pytest

from rolecall.engine.throttle.rate_limiter import LearntRate, PacedRateLimiter
from rolecall.engine.throttle.rate_slots import LeasedSlots
from rolecall.engine.throttle.route_limiter import RouteLimiter
from rolecall.engine.throttle.route_schedule import RouteSchedule
from tests.unit.engine.answers import OK
from tests.unit.engine.throttle.fixed_window import route_schedule
from tests.unit.engine.virtual import BEGINNING, turns, virtual_clock


async def open_limiter(rate: PacedRateLimiter, learnt: LearntRate) -> RouteLimiter:
    """Return the limiter of a route that the server does not limit, as a first call has shown."""
    limiter = RouteLimiter(RouteSchedule(rate, learnt), virtual_clock(), lambda _: None)
    await limiter.acquire()
    limiter.record_response(OK, refused=False)
    return limiter


class Preparation:
    """Preparations that take a moment, slow down the learnt rate, and fail from a number of them on."""

    def __init__(self, learnt: LearntRate, fails_at: float = math.inf, took: float = 0.01, rate: float = 0.1) -> None:
        self.learnt = learnt
        self.rate = rate
        self.took = took
        self.fails_at = fails_at
        self.done = 0
        self.withdrawn = 0

    async def prepare(self) -> None:
        """Prepare a call."""
        await asyncio.sleep(self.took)
        self.learnt.limiter.slow_down(self.rate)
        self.done += 1
        if self.done >= self.fails_at:
            raise OSError("disk full")

    def withdraw(self) -> None:
        """Count one."""
        self.withdrawn += 1


async def test_a_call_that_cannot_be_prepared_anew_takes_no_place() -> None:
    """It was withdrawn as its slot was far away; where it then fails, it is in flight no more, and others leave."""
    limiter = await open_limiter(PacedRateLimiter(None), learnt := LearntRate(None))
    preparation = Preparation(learnt, fails_at=2)
    with pytest.raises(OSError, match="disk full"):
        await limiter.acquire(preparation.prepare, preparation.withdraw)
    assert (preparation.done, preparation.withdrawn, limiter.in_flight, limiter.calls) == (2, 1, 0, 1)
    await limiter.acquire()
    assert limiter.in_flight == 1


async def test_a_call_that_is_cancelled_before_its_slot_is_in_flight_no_more() -> None:
    """It was admitted and prepared; another call leaves in its place."""
    limiter = await open_limiter(PacedRateLimiter(None), learnt := LearntRate(None))
    preparation = Preparation(learnt, rate=2.0)
    call = asyncio.create_task(limiter.acquire(preparation.prepare, preparation.withdraw))
    await asyncio.sleep(0.25)
    assert (call.done(), limiter.in_flight, preparation.withdrawn) == (False, 1, 0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert (call.cancelled(), limiter.in_flight, limiter.calls) == (True, 0, 1)


async def test_a_call_that_cannot_be_prepared_lets_the_next_one_look_anew() -> None:
    """That one waited for the response to it, which will not come."""
    limiter = RouteLimiter(route_schedule(None), virtual_clock(), lambda _: None)
    preparation = Preparation(LearntRate(None), fails_at=1)
    first = asyncio.create_task(limiter.acquire(preparation.prepare))
    await turns()
    second = asyncio.create_task(limiter.acquire())
    await turns()
    assert limiter.queued == 1
    with pytest.raises(OSError, match="disk full"):
        await first
    await asyncio.wait_for(second, 1.0)
    assert (limiter.in_flight, limiter.queued) == (1, 0)


class Departures(RouteSchedule):
    """A schedule that keeps when calls left."""

    def __init__(self, learnt: LearntRate) -> None:
        super().__init__(PacedRateLimiter(None), learnt)
        self.moments: list[float] = []

    def record_departure(self, now: float) -> None:
        self.moments.append(now)
        super().record_departure(now)


async def test_the_schedule_gets_the_moment_at_which_a_call_leaves() -> None:
    """It is that of its slot, not that of its admission."""
    schedule, loop = Departures(learnt := LearntRate(None)), asyncio.get_running_loop()
    limiter = RouteLimiter(schedule, virtual_clock(), lambda _: None)
    for _ in range(2):
        await limiter.acquire(Preparation(learnt).prepare)
        assert schedule.moments[-1] == loop.time()
        limiter.record_response(OK, refused=False)
    assert len(schedule.moments) == 2


async def test_calls_without_a_preparation_leave_the_time_of_preparations_as_it_is() -> None:
    """Reading calls are no sign that intents are written faster."""
    rate = PacedRateLimiter(10.0)
    limiter = await open_limiter(rate, LearntRate(10.0))

    async def prepare() -> None:
        await asyncio.sleep(0.02)

    await limiter.acquire(prepare)
    lead = rate.lead
    for _ in range(5):
        await limiter.acquire()
    assert rate.lead == lead == pytest.approx(0.06)


async def test_a_call_that_loses_its_leased_slot_is_prepared_once() -> None:
    """Its slot passed during its preparation: it leaves in the next slot that is leased, and counts once."""
    requests, prepared = list[None](), list[float]()
    leased, loop = LeasedSlots(lambda: requests.append(None)), asyncio.get_running_loop()
    leased.set_rate(10.0)
    limiter = RouteLimiter(RouteSchedule(leased, LearntRate(None)), virtual_clock(), lambda _: None)
    leased.add_queue(limiter)
    leased.add([loop.time()])

    async def prepare() -> None:
        await asyncio.sleep(0.05)
        prepared.append(loop.time())

    call = asyncio.create_task(limiter.acquire(prepare, lambda: prepared.append(math.inf)))
    await asyncio.sleep(0.5)
    assert (call.done(), limiter.in_flight, limiter.queued) == (False, 0, 1)
    leased.add([loop.time() + 0.25])
    await call
    assert loop.time() == BEGINNING + 0.75
    assert prepared == [pytest.approx(BEGINNING + 0.05)]
    assert (limiter.in_flight, limiter.queued, limiter.calls) == (1, 0, 1)


@pytest.mark.parametrize("has_another_slot", [False, True])
async def test_a_call_that_is_cancelled_after_it_lost_its_slot_counts_no_more(has_another_slot: bool) -> None:
    """While it waits for another slot it has no place to give up, and once it has one it gives up that one."""
    leased, loop = LeasedSlots(lambda: None), asyncio.get_running_loop()
    leased.set_rate(10.0)
    limiter = RouteLimiter(RouteSchedule(leased, LearntRate(None)), virtual_clock(), lambda _: None)
    leased.add_queue(limiter)
    leased.add([loop.time()])
    await limiter.acquire()
    limiter.record_response(OK, refused=False)
    leased.add([loop.time()])
    call = asyncio.create_task(limiter.acquire(Preparation(LearntRate(None), took=0.05).prepare))
    await asyncio.sleep(0.5)
    assert (limiter.in_flight, limiter.queued, limiter.calls) == (0, 1, 1)
    if has_another_slot:
        leased.record_preparation(0.05)  # so a call is admitted 150 ms ahead of its slot
        leased.add([loop.time() + 0.1])
        await turns()
        assert (limiter.in_flight, limiter.queued, limiter.calls) == (1, 0, 2)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert (call.cancelled(), limiter.in_flight, limiter.queued, limiter.calls) == (True, 0, 0, 1)
    leased.add([loop.time() + 0.25])
    await limiter.acquire()
    assert (limiter.in_flight, limiter.calls) == (1, 2)
