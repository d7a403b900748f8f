"""Calls that are prepared ahead: when they are, and when that is withdrawn."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from rolecall.engine.settings import Settings
from rolecall.engine.throttle.admission import AdmissionController, CallKind
from rolecall.engine.throttle.circuit_breaker import THRESHOLD
from rolecall.engine.throttle.rate_limiter import LearntRate, PacedRateLimiter
from rolecall.engine.throttle.route_limiter import MAX_AHEAD, RouteLimiter
from rolecall.engine.throttle.route_schedule import RouteSchedule
from rolecall.models import NoReply, Reply
from tests.unit.engine.answers import NO_CONNECTION, OK, SERVER_ERROR, TOO_MANY, reply, result_of, windowed
from tests.unit.engine.virtual import BEGINNING, EPOCH, turns, virtual_clock

PATH = "/api/v1/groups.removeLeader"
UNLIMITED = Settings(rate=None, concurrency=2, outage_timeout=60.0)


class Calls:
    """Calls of one route, and what was done to prepare them."""

    def __init__(self, settings: Settings = UNLIMITED) -> None:
        self.route = AdmissionController.build(settings, virtual_clock()).route(PATH, CallKind.CHANGE)
        self.concurrency = settings.concurrency
        self.events: list[str] = []
        self.tasks: list[asyncio.Task[bool]] = []

    async def prepare(self) -> None:
        """Prepare a call, which takes a moment."""
        await asyncio.sleep(0.01)
        self.events.append("prepare")

    def start(self) -> asyncio.Task[bool]:
        """Let a call wait until it may leave."""
        self.tasks.append(asyncio.create_task(self.route.acquire(self.prepare, lambda: self.events.append("withdraw"))))
        return self.tasks[-1]

    def answer(self, answer: Reply | NoReply = OK, request: object = 0) -> None:
        """Record the answer to a call that has left."""
        if isinstance(answer, Reply):
            answer = answer._replace(received_at=asyncio.get_running_loop().time())
        self.route.record_response(request, answer, result_of(answer), probing=False)

    async def fill(self, answer: Reply | NoReply = OK) -> None:
        """Learn from one answer what the server limits, and let as many further calls leave as may be in flight."""
        await self.start()
        self.answer(answer)
        await asyncio.gather(*(self.start() for _ in range(self.concurrency)))
        self.events.clear()


@pytest_asyncio.fixture
async def calls() -> AsyncIterator[Calls]:
    """Two calls in flight of a route that nothing else limits."""
    calls = Calls()
    await calls.fill()
    yield calls
    for task in calls.tasks:
        task.cancel()
    await asyncio.gather(*calls.tasks, return_exceptions=True)


async def test_a_call_is_prepared_while_others_are_in_flight(calls: Calls) -> None:
    """It leaves as soon as another one has its answer, and is not prepared again; half as many as in flight are."""
    third, fourth = calls.start(), calls.start()
    await asyncio.sleep(0.5)
    assert calls.events == ["prepare"]
    assert not third.done()
    calls.answer()
    await turns()
    assert third.done()
    await asyncio.sleep(0.5)
    assert calls.events == ["prepare", "prepare"]
    assert not fourth.done()


@pytest.mark.parametrize(
    "settings", [replace(UNLIMITED, rate=100.0), replace(UNLIMITED, concurrency=1)], ids=["rate", "concurrency 1"]
)
async def test_nothing_is_prepared_ahead_at_an_own_rate_or_one_call_at_a_time(settings: Settings) -> None:
    """Such a call is prepared once it may be in flight."""
    calls = Calls(settings)
    await calls.fill()
    waiting = calls.start()
    await asyncio.sleep(0.5)
    assert calls.events == []
    calls.answer()
    await waiting
    assert calls.events == ["prepare"]


async def test_nothing_is_prepared_ahead_in_a_window() -> None:
    """Where the server limits the calls, a call is prepared once it may be in flight, although the window has room."""
    calls = Calls()
    server = EPOCH + BEGINNING
    await calls.fill(windowed(50, 40, server + 60, server, at=BEGINNING))
    waiting = calls.start()
    await asyncio.sleep(0.5)
    assert calls.events == []
    calls.answer(windowed(50, 39, server + 60, server, at=BEGINNING))
    await waiting
    assert calls.events == ["prepare"]


async def test_a_call_that_has_waited_is_prepared_anew(calls: Calls) -> None:
    """What was prepared is withdrawn after a second of waiting, however long the wait goes on."""
    waiting = calls.start()
    await asyncio.sleep(0.01 + MAX_AHEAD - 0.005)
    assert calls.events == ["prepare"]
    await asyncio.sleep(0.01)
    assert calls.events == ["prepare", "withdraw"]
    await asyncio.sleep(30)
    calls.answer()
    await waiting
    assert calls.events == ["prepare", "withdraw", "prepare"]


@pytest.mark.parametrize(
    ("answer", "pause"), [(TOO_MANY, 0.9), (reply(503, b"", {"Retry-After": "20"}), 20.0)], ids=["429", "Retry-After"]
)
async def test_a_call_that_must_pause_is_prepared_anew(calls: Calls, answer: Reply, pause: float) -> None:
    """What was prepared is withdrawn where the server demands a pause meanwhile, and prepared anew after it."""
    waiting = calls.start()
    await asyncio.sleep(0.1)
    calls.answer(answer)
    await turns()
    assert calls.events == ["prepare", "withdraw"]
    await asyncio.sleep(pause - 0.2)
    assert calls.events == ["prepare", "withdraw"]
    await waiting
    assert calls.events == ["prepare", "withdraw", "prepare"]


async def test_a_call_is_prepared_anew_after_an_outage() -> None:
    """What was prepared is withdrawn when the circuit breaker opens; then each call is prepared as a probe."""
    calls = Calls(replace(UNLIMITED, concurrency=8))
    await calls.fill()
    for number in range(THRESHOLD - 1):
        calls.answer(NO_CONNECTION, number)
    waiting = calls.start()
    await asyncio.sleep(0.1)
    assert calls.events == ["prepare"]
    calls.answer(NO_CONNECTION, THRESHOLD)
    await turns()
    assert calls.events == ["prepare", "withdraw"]
    assert await waiting is True
    assert calls.events == ["prepare", "withdraw", "prepare"]


async def test_fewer_are_prepared_ahead_after_an_overload() -> None:
    """Where the calls in flight are halved, so are those that are prepared ahead."""
    calls = Calls(replace(UNLIMITED, concurrency=4))
    await calls.fill()
    for number in range(3):
        calls.answer(SERVER_ERROR, number)
    waiting = [calls.start() for _ in range(6)]
    await asyncio.sleep(0.5)
    assert [task.done() for task in waiting] == [True, *[False] * 5]  # beside the one that is still in flight
    assert calls.events == ["prepare", "prepare"]


async def test_a_call_that_is_cancelled_ahead_releases_its_place(calls: Calls) -> None:
    """However many calls are cancelled while they are prepared or wait for their place, others follow."""
    for wait in (0.005, 0.05, 2.0):
        waiting = calls.start()
        await asyncio.sleep(wait)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    calls.events.clear()
    waiting = calls.start()
    await asyncio.sleep(0.1)
    assert calls.events == ["prepare"]
    calls.answer()
    await waiting


async def test_what_cannot_be_prepared_releases_its_place(calls: Calls) -> None:
    """The exception of a preparation is raised, and the next call is prepared ahead."""

    async def fail() -> None:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - raised by the line above
        await calls.route.acquire(fail)
    calls.start()
    await asyncio.sleep(0.1)
    assert calls.events == ["prepare"]


async def test_a_call_whose_slot_moves_far_away_is_prepared_anew() -> None:
    """Where a rate is learnt while a call is prepared, and its slot is more than a second away, it is withdrawn."""
    loop, events = asyncio.get_running_loop(), list[tuple[str, float]]()
    rate, learnt = PacedRateLimiter(None), LearntRate(None)
    limiter = RouteLimiter(RouteSchedule(rate, learnt), virtual_clock(), lambda _: None)
    await limiter.acquire()
    limiter.record_response(OK, refused=False)

    def note(event: str) -> None:
        events.append((event, round(loop.time() - BEGINNING, 2)))

    async def prepare() -> None:
        await asyncio.sleep(0.01)
        note("prepare")

    call = asyncio.create_task(limiter.acquire(prepare, lambda: note("withdraw")))
    await turns()
    learnt.limiter.slow_down(0.1)
    await call
    assert [event for event, _ in events] == ["prepare", "withdraw", "prepare"]
    assert [at for _, at in events] == pytest.approx([0.01, 0.01, 10.0], abs=0.05)


@pytest.mark.parametrize(
    ("second", "left_at"), [(0.01, [10.0, 20.0]), (5.0, [15.0, 25.0])], ids=["a quick disk", "a slow disk"]
)
async def test_a_call_that_is_prepared_anew_leaves_no_closer_to_the_next_one(
    second: float, left_at: list[float]
) -> None:
    """However long the second preparation takes, the next call leaves an interval later."""
    loop = asyncio.get_running_loop()
    rate, learnt = PacedRateLimiter(None), LearntRate(None)
    limiter = RouteLimiter(RouteSchedule(rate, learnt), virtual_clock(), lambda _: None)
    await limiter.acquire()
    limiter.record_response(OK, refused=False)
    took = [0.01, second]

    async def leave(preparations: list[float]) -> float:
        async def prepare() -> None:
            await asyncio.sleep(preparations.pop(0))

        await limiter.acquire(prepare)
        return loop.time() - BEGINNING

    first = asyncio.create_task(leave(took))
    await turns()
    learnt.limiter.slow_down(0.1)
    await asyncio.sleep(1.0)
    assert [await first, await leave([0.0])] == pytest.approx(left_at, abs=0.2)
