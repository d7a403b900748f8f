"""The pauses of one route to the last digit, and what its queue reports."""

import asyncio
import math

import pytest

from rolecall.engine.throttle.rate_limiter import EXACT, LearntRate, PacedRateLimiter
from rolecall.engine.throttle.route_limiter import RouteLimiter
from rolecall.engine.throttle.route_schedule import Delay, DelayReason, RouteSchedule
from rolecall.engine.throttle.window_signs import Exemption
from rolecall.models import RateLimitPause, Reply
from tests.unit.engine.answers import BAD_GATEWAY, OK, SERVER_ERROR, reply, windowed
from tests.unit.engine.throttle.fixed_window import route_schedule
from tests.unit.engine.virtual import EPOCH, turns, virtual_clock


def refuse(schedule: RouteSchedule, at: float, headers: dict[str, str] | None = None) -> float:
    """Send a call that is refused; return the seconds that the next one must wait."""
    schedule.window.record_request(at)
    schedule.record_response(reply(429, b"", headers, at=at), refused=True)
    delay = schedule.server_delay(at)
    assert delay is not None
    assert delay.reason is DelayReason.REFUSED
    return delay.until - at


def test_refusals_that_name_no_wait_worth_it_pause_longer_each_time() -> None:
    """From 50 ms on, doubled seven times; calls beside the first one change nothing, and a success begins anew."""
    schedule, now, pauses = route_schedule(None), 1000.0, list[float]()
    for _ in range(10):
        pauses.append(refuse(schedule, now, {"Retry-After": "0"}))
        assert refuse(schedule, now + 0.001, {"Retry-After": "0"}) == pytest.approx(pauses[-1])
        now += pauses[-1] + 1.0
    assert pauses == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 6.4, 6.4])
    schedule.window.record_request(now)
    schedule.record_response(OK._replace(sent_at=now, received_at=now), refused=False)
    assert refuse(schedule, now, {"Retry-After": "0"}) == pytest.approx(0.05)


def test_a_wait_is_bounded_by_default() -> None:
    """By a quarter of an hour."""
    schedule = RouteSchedule(PacedRateLimiter(None), LearntRate(None))
    assert refuse(schedule, 1000.0, {"Retry-After": "3600"}) == 900.0


@pytest.mark.parametrize(("answer", "cuts"), [(reply(503), True), (SERVER_ERROR, False), (BAD_GATEWAY, False)])
def test_only_a_503_may_be_a_limiters(answer: Reply, cuts: bool) -> None:
    """Some proxies send it instead of a 429; other 5xx leave the rate as it is."""
    learnt = LearntRate(50.0)
    schedule = RouteSchedule(PacedRateLimiter(50.0), learnt)
    for moment, each in ((1.0, OK), (1.5, answer)):
        schedule.window.record_request(moment)
        schedule.record_response(each._replace(sent_at=moment, received_at=moment + 0.25), refused=False)
    assert (learnt._limit is not None) is cuts
    if learnt._limit is not None:
        assert (learnt._limit.rate, learnt._limit.since) == (12.5, 1.75)


def test_the_refusal_of_an_old_server_ends_the_exemption() -> None:
    """It is a 400: the headers of the window count from then on."""
    exemption = Exemption(is_possible=True)
    schedule = RouteSchedule(PacedRateLimiter(None), LearntRate(None), exemption=exemption)
    schedule.window.record_request(1.0)
    schedule.record_response(reply(400, at=1.0), refused=True)
    assert not exemption.may_probe


def test_a_call_is_admitted_before_its_slot_by_what_its_preparation_takes() -> None:
    """So it is prepared when its slot comes."""
    schedule = route_schedule(10.0)
    assert schedule.reserve(1000.0) is None
    slot = schedule.assign_slot(1000.0, 0.010)
    schedule.record_response(OK, refused=False)
    assert schedule.reserve(1000.0) == Delay(slot + (1 + EXACT.headroom) / 10 - 0.030, DelayReason.RATE)


def test_a_full_window_whose_end_is_not_known_waits_for_a_response() -> None:
    """Without a `Date` only the one call in flight can show that the window has ended."""
    schedule = route_schedule(None)
    answer = windowed(10, 0, EPOCH + 60, EPOCH, at=1.0)
    schedule.window.record_request(1.0)
    headers = {name: value for name, value in answer.headers.items() if name != "Date"}
    schedule.record_response(answer._replace(headers=headers), refused=False)
    assert schedule.server_delay(1.0) is None
    schedule.window.record_request(1.0)
    assert schedule.server_delay(1.0) == Delay(math.inf, DelayReason.ANSWER)


async def test_a_pause_is_reported_while_calls_wait_for_it() -> None:
    """With its seconds, and whether the server refused a call; none before and after, and none for a response."""
    limiter = RouteLimiter(schedule := route_schedule(None), virtual_clock(), lambda _: None)
    now = asyncio.get_running_loop().time()
    refuse(schedule, now, {"Retry-After": "5"})
    assert limiter.pause(now) is None
    waiting = [asyncio.create_task(limiter.acquire()) for _ in range(2)]
    await turns()
    assert limiter.pause(now + 1.0) == RateLimitPause(4.0, refused=True)
    await waiting[0]  # the other one waits for its response
    assert limiter.pause(asyncio.get_running_loop().time()) is None
    limiter.record_response(windowed(2, 0, EPOCH + now + 65, EPOCH + now + 5, at=now + 5), refused=False)
    await turns()
    pause = limiter.pause(now + 5)
    assert pause is not None
    assert not pause.refused
    assert 55 <= pause.seconds <= 62
    status = limiter.status(now + 5)
    assert status is not None
    assert (status.limit, status.left) == (2, 0)
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert limiter.pause(now + 5) is None
