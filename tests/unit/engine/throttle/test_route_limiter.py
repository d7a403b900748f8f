"""The queue before the calls, in virtual time."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.engine.throttle.rate_limiter import LearntRate, PacedRateLimiter
from rolecall.engine.throttle.route_limiter import RouteLimiter
from rolecall.engine.throttle.route_schedule import Delay, DelayReason, RouteSchedule
from tests.unit.engine.answers import OK, reply, windowed
from tests.unit.engine.throttle.fixed_window import route_schedule
from tests.unit.engine.virtual import BEGINNING, EPOCH, run_virtual, turns, virtual_clock


class CountingPacing(RouteSchedule):
    """Counts the decisions, and the calls that were admitted."""

    looks = 0
    let_through = 0

    def reserve(self, now: float) -> Delay | None:
        self.looks += 1
        wait = super().reserve(now)
        self.let_through += wait is None
        return wait


def unlimited(schedule: RouteSchedule) -> None:
    """Let a schedule know that the server has no limit."""
    schedule.reserve(0.0)
    schedule.assign_slot(0.0)
    schedule.record_response(OK, refused=False)


async def test_first_come_first_served() -> None:
    """Calls leave in the order in which they came, one interval apart."""
    schedule = route_schedule(2.0)
    unlimited(schedule)
    limiter = RouteLimiter(schedule, virtual_clock(), lambda _: None)
    left: list[tuple[int, float]] = []

    async def call(number: int) -> None:
        await limiter.acquire()
        left.append((number, asyncio.get_running_loop().time()))

    await asyncio.gather(*(call(number) for number in range(5)))
    assert [number for number, _ in left] == [0, 1, 2, 3, 4]
    assert [moment - BEGINNING for _, moment in left] == pytest.approx([0, 0.5, 1.0, 1.5, 2.0], rel=0.01)


async def test_nobody_overtakes_the_queue() -> None:
    """A call that comes when its slot is free waits behind those who came before."""
    limiter = RouteLimiter(schedule := route_schedule(None), virtual_clock(), lambda _: None)
    unlimited(schedule)
    now = asyncio.get_running_loop().time()
    schedule.reserve(now)
    schedule.record_response(reply(429, b"", {"Retry-After": "5"}, at=now), refused=True)
    left: list[int] = []

    async def call(number: int) -> None:
        await limiter.acquire()
        left.append(number)

    tasks = [asyncio.create_task(call(0)), asyncio.create_task(call(1))]
    await asyncio.sleep(4.9)
    loop = asyncio.get_running_loop()
    loop.call_later(0.1, lambda: tasks.append(asyncio.create_task(call(2))))
    await asyncio.sleep(1)
    await asyncio.gather(*tasks)
    assert left == [0, 1, 2]


async def test_only_the_first_watches_the_clock() -> None:
    """A thousand calls that wait cost no more looks than one for each that leaves."""
    schedule = CountingPacing(PacedRateLimiter(100.0), LearntRate(100.0))
    unlimited(schedule)
    limiter = RouteLimiter(schedule, virtual_clock(), lambda _: None)
    await asyncio.gather(*(limiter.acquire() for _ in range(1000)))
    assert schedule.looks <= 2.1 * 1000


async def test_a_hold_that_arrives_while_waiting_is_respected() -> None:
    """A call that waits for the own rate also waits for a 429 that arrives meanwhile."""
    schedule, reported = route_schedule(1.0), list[Delay]()
    loop = asyncio.get_running_loop()
    unlimited(schedule)
    limiter = RouteLimiter(schedule, virtual_clock(), reported.append)
    await limiter.acquire()
    second = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0.5)
    limiter.record_response(reply(429, b"", {"Retry-After": "30"}, at=loop.time()), refused=True)
    await second
    assert loop.time() == pytest.approx(BEGINNING + 30.5)
    assert [wait.reason for wait in reported] == [DelayReason.REFUSED], "delays of the own rate are not reported"


async def test_a_hold_that_is_lengthened_while_waiting_is_respected() -> None:
    """A second, longer pause is waited for too."""
    schedule = route_schedule(None)
    unlimited(schedule)
    loop = asyncio.get_running_loop()
    limiter = RouteLimiter(schedule, virtual_clock(), lambda _: None)
    await limiter.acquire()
    await limiter.acquire()
    limiter.record_response(reply(429, b"", {"Retry-After": "10"}, at=loop.time()), refused=True)
    waiting = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(5)
    limiter.record_response(reply(429, b"", {"Retry-After": "20"}, at=loop.time()), refused=True)
    await waiting
    assert loop.time() == pytest.approx(BEGINNING + 25)


async def test_an_answer_ends_the_wait_for_it() -> None:
    """The second call leaves in the moment in which the first one's answer shows that there is room."""
    loop = asyncio.get_running_loop()
    limiter = RouteLimiter(route_schedule(None), virtual_clock(), lambda _: None)
    await limiter.acquire()
    others = asyncio.gather(*(limiter.acquire() for _ in range(3)))
    await asyncio.sleep(3)
    assert not others.done()
    server = EPOCH + loop.time()
    limiter.record_response(windowed(4, 3, server + 60, server, at=loop.time()), refused=False)
    await others
    assert loop.time() == BEGINNING + 3


async def test_a_withdrawal_ends_the_wait_for_an_answer() -> None:
    """When the call that went alone did not leave, the next one goes instead."""
    limiter = RouteLimiter(route_schedule(None), virtual_clock(), lambda _: None)
    await limiter.acquire()
    second = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(1)
    assert not second.done()
    limiter.cancel()
    await second


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), min_size=1, max_size=25))
@settings(deadline=None)
def test_cancelled_calls_take_nothing_with_them(times: list[tuple[float, float]]) -> None:
    """Calls that are cancelled at any moment lose or leak no permit: all others leave at their slots."""

    async def scenario() -> None:
        schedule = CountingPacing(PacedRateLimiter(10.0), LearntRate(10.0))
        unlimited(schedule)
        limiter = RouteLimiter(schedule, virtual_clock(), lambda _: None)
        entered = 0

        async def call(start: float) -> None:
            nonlocal entered
            await asyncio.sleep(start)
            await limiter.acquire()
            entered += 1

        tasks = [asyncio.create_task(call(start)) for start, _ in times]
        loop = asyncio.get_running_loop()
        for task, (start, after) in zip(tasks, times, strict=True):
            if after < 1.5:
                loop.call_later(start + after, task.cancel)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(result is None for result in results) == entered == schedule.let_through - 1
        begun = loop.time()
        await asyncio.gather(limiter.acquire(), limiter.acquire())
        assert loop.time() - begun <= 0.21

    run_virtual(scenario())


async def test_a_cancelled_first_in_the_queue_lets_the_next_one_watch() -> None:
    """When the call that watches the clock is cancelled, the next one takes its place."""
    schedule = route_schedule(None)
    unlimited(schedule)
    loop = asyncio.get_running_loop()
    limiter = RouteLimiter(schedule, virtual_clock(), lambda _: None)
    await limiter.acquire()
    limiter.record_response(reply(429, b"", {"Retry-After": "10"}, at=loop.time()), refused=True)
    tasks = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
    await turns()
    tasks[0].cancel()
    tasks[1].cancel()
    await tasks[2]
    assert loop.time() == pytest.approx(BEGINNING + 10)
