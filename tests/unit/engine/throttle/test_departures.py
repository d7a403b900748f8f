"""Calls leave at the run's own rate however unevenly their intents come to disk: simulated in virtual time."""

import asyncio
import math
from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import NamedTuple

import pytest

from rolecall.engine.throttle.rate_limiter import LearntRate, PacedRateLimiter
from rolecall.engine.throttle.route_limiter import RouteLimiter
from rolecall.engine.throttle.route_schedule import RouteSchedule
from tests.unit.engine.answers import OK
from tests.unit.engine.throttle.fixed_window import route_schedule
from tests.unit.engine.virtual import run_virtual, virtual_clock

Jitter = Callable[[Random], float]
"""Draws the seconds that a call takes to be made ready."""


class Departures(NamedTuple):
    """When the calls left, and for how long each was ready before."""

    moments: list[float]
    idle: list[float]

    @property
    def rate(self) -> float:
        """Calls a second from the first to the last."""
        return (len(self.moments) - 1) / (self.moments[-1] - self.moments[0])

    @property
    def worst_second(self) -> int:
        """The most calls in a second, wherever it begins."""
        return max(bisect_left(self.moments, start + 1.0) - place for place, start in enumerate(self.moments))


def work(
    per_second: float, calls: int, jitter: Jitter, *, workers: int = 64, late: float = 0.0, asking: int = 0
) -> Departures:
    """Let workers make calls as fast as the rate lets them; the first `asking` calls go through a route of their own.

    `late`: seconds by which a call may reach the wire after it was let through.
    """
    random = Random(7)

    async def main() -> Departures:
        loop = asyncio.get_running_loop()
        rate, learnt = PacedRateLimiter(per_second), LearntRate(per_second)
        moments, idle, numbers = list[float](), list[float](), iter(range(calls))

        def route() -> RouteLimiter:
            return RouteLimiter(RouteSchedule(rate, learnt), virtual_clock(), lambda _: None)

        async def work(limiter: RouteLimiter, left: int) -> None:
            for _, _ in zip(range(left), numbers, strict=False):
                ready_at = 0.0

                async def ready() -> None:
                    nonlocal ready_at
                    await asyncio.sleep(jitter(random))
                    ready_at = loop.time()

                await limiter.acquire(ready)
                idle.append(loop.time() - ready_at)
                await asyncio.sleep(random.uniform(0, late))
                moments.append(loop.time())
                await asyncio.sleep(random.uniform(0.005, 0.02))
                limiter.record_response(OK._replace(sent_at=loop.time(), received_at=loop.time()), refused=False)

        async def ask(limiter: RouteLimiter) -> None:
            for _ in range(asking):
                await limiter.acquire()
                moments.append(loop.time())
                limiter.record_response(OK._replace(sent_at=loop.time(), received_at=loop.time()), refused=False)

        rows = route()
        await asyncio.gather(ask(route()), *(work(rows, calls) for _ in range(workers)))
        return Departures(sorted(moments), idle)

    return run_virtual(main())


def steady(random: Random) -> float:
    """Commit as a good disk does."""
    return random.uniform(0.001, 0.006)


def uneven(random: Random) -> float:
    """Commit now at once and now after many milliseconds, as a disk does that others use too."""
    return random.choice((0.001, 0.002, 0.002, 0.030))


def slow(random: Random) -> float:
    """Commit as a slow disk does."""
    return random.uniform(0.030, 0.080)


def stalling(random: Random) -> float:
    """Commit well, but stand still for a second now and then."""
    return 1.0 if random.random() < 0.01 else 0.002


RATES = pytest.mark.parametrize("per_second", [1.0, 3.0, 10.0, 50.0, 200.0, 1000.0])


def most(per_second: float) -> int:
    """Return the calls that a second may have: the rate, and a fiftieth more where that is a whole call."""
    return int(per_second * 1.02)


@RATES
@pytest.mark.parametrize("jitter", [steady, uneven, slow, stalling])
def test_no_second_holds_too_many(per_second: float, jitter: Jitter) -> None:
    """However unevenly intents come to disk, and with 4 ms of lateness on the way, no second has a call too many."""
    departures = work(per_second, max(60, int(per_second * 6)), jitter, late=0.004)
    assert departures.worst_second <= most(per_second)


@RATES
@pytest.mark.parametrize("jitter", [steady, slow])
def test_the_rate_is_reached(per_second: float, jitter: Jitter) -> None:
    """A disk that is steadily fast or slow costs less than a hundredth of the rate."""
    calls = max(60, int(per_second * 10))
    assert 0.99 <= work(per_second, calls, jitter, workers=200).rate / per_second <= 1.0


@RATES
def test_intents_do_not_lie_about(per_second: float) -> None:
    """Between an intent's commit and its call pass some milliseconds, hardly more: a crash then would be a doubt."""
    calls = max(60, int(per_second * 6))
    assert max(work(per_second, calls, steady).idle) <= 0.013
    idle = sorted(work(per_second, calls, stalling).idle)
    assert idle[len(idle) * 9 // 10] <= 0.1
    assert idle[-1] <= 0.2


def test_another_route_has_its_turns() -> None:
    """Calls that need no making ready share the rate with those that do, and are not put off until the others end."""
    departures = work(10.0, 100, steady, asking=20)
    assert departures.worst_second <= 10
    assert len(departures.moments) == 120


def test_a_call_that_cannot_be_made_ready_takes_nothing_with_it() -> None:
    """What making ready raises is raised, and the next call has the turn."""

    async def main() -> float:
        limiter = RouteLimiter(route_schedule(1.0), virtual_clock(), lambda _: None)

        async def full() -> None:
            raise OSError("disk full")

        for _ in range(5):
            with pytest.raises(OSError, match="disk full"):
                await limiter.acquire(full)
        began = asyncio.get_running_loop().time()
        await limiter.acquire()
        return asyncio.get_running_loop().time() - began

    assert run_virtual(main()) == 0.0


@pytest.mark.parametrize("after", [0.0005, 0.003, 0.5], ids=["being made ready", "ready", "before its turn"])
def test_a_cancelled_call_takes_nothing_with_it(after: float) -> None:
    """Cancelled while it waits, is made ready or waits for its slot, a call costs the others one slot at most."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        limiter = RouteLimiter(schedule := route_schedule(1.0), virtual_clock(), lambda _: None)
        schedule.reserve(loop.time())
        schedule.assign_slot(loop.time(), prepared_in=0.1)
        schedule.record_response(OK, refused=False)

        async def ready() -> None:
            await asyncio.sleep(0.002)

        admitted = loop.time() + 1.007 - 0.025
        doomed = asyncio.create_task(limiter.acquire(ready))
        loop.call_at(admitted + after if after < 0.1 else admitted - after, doomed.cancel)
        with pytest.raises(asyncio.CancelledError):
            await doomed
        await limiter.acquire(ready)
        return loop.time()

    assert run_virtual(main()) <= 1000.0 + 2 * 1.007 + 0.001


@pytest.mark.parametrize("slowed", [4.0, 8.0, 9.0, 9.5])
def test_no_second_holds_too_many_after_a_rate_was_learnt(slowed: float) -> None:
    """A call that leaves later than its own slot, because a hidden limiter was seen, gives the next ones no more."""
    rate, learnt = PacedRateLimiter(10.0), LearntRate(10.0)
    schedule, now, left = RouteSchedule(rate, learnt), 1000.0, list[float]()
    for number in range(60):
        is_slowed = number % 20 > 16
        learnt.limiter.slow_down(slowed if is_slowed else math.inf)
        while (delay := schedule.reserve(now)) is not None:
            now = delay.until
        took = 0.002 if is_slowed else 0.03  # so the call is prepared long before its slot
        now = max(now + took, schedule.assign_slot(now + took, took))
        schedule.record_departure(now)
        left.append(now)
        schedule.record_response(OK._replace(sent_at=now, received_at=now), refused=False)
    assert max(bisect_left(left, start + 0.999) - place for place, start in enumerate(left)) <= 10


def test_calls_that_waited_while_the_process_was_suspended_leave_one_by_one() -> None:
    """Three calls wait for their slots, and all slots pass while the process is suspended: no two leave at once."""

    async def main() -> list[float]:
        loop, suspended, left = asyncio.get_running_loop(), [0.0], list[float]()
        clock = virtual_clock()._replace(now=lambda: loop.time() + suspended[0])
        limiter = RouteLimiter(schedule := route_schedule(10.0), clock, lambda _: None)
        schedule.reserve(loop.time())
        schedule.assign_slot(loop.time(), prepared_in=1.0)  # so calls are admitted long before their slots
        schedule.record_response(OK, refused=False)

        async def ready() -> None:
            await asyncio.sleep(0)

        async def call() -> None:
            await limiter.acquire(ready)
            left.append(clock.now())

        calls = [asyncio.create_task(call()) for _ in range(4)]
        await asyncio.sleep(0.05)  # two of them have their slots
        suspended[0] = 200.0
        await asyncio.gather(*calls)
        return left

    left = run_virtual(main())
    assert [later - first for first, later in pairwise(left)] == pytest.approx([0.1] * 3, abs=0.005)
