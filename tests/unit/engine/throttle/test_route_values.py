"""The pauses of one route to the last digit, and what its queue reports."""

import asyncio
import math

import pytest

from rolecall.engine.throttle.rate_limiter import EXACT, LearntRate, PacedRateLimiter
from rolecall.engine.throttle.rate_slots import LeasedSlots
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


def test_the_refusals_of_a_hidden_limiter_cut_the_rate_and_pause_for_a_moment_only() -> None:
    """The slower rate is the pause; a third refusal in a row is an outage's, and pauses for a second."""
    schedule = RouteSchedule(PacedRateLimiter(50.0), learnt := LearntRate(50.0))
    schedule.window.record_request(1.0)
    schedule.record_response(reply(200, at=1.0), refused=False)
    pauses = list[float]()
    for at in (1.5, 2.0, 2.5):
        schedule.window.record_request(at)
        schedule.record_response(reply(429, b"", at=at, took=0.25), refused=True)
        delay = schedule.server_delay(at)
        assert delay is not None
        pauses.append(delay.until - at)
        if len(pauses) == 1:
            assert learnt._limit is not None
            assert (learnt._limit.rate, learnt._limit.since) == (12.5, 1.5)
            assert not schedule.is_open(3.0)
    assert pauses == pytest.approx([0.05, 0.1, 1.0])


def test_a_refusal_in_the_last_moment_of_a_pause_lengthens_it() -> None:
    """By 50 ms from then on, as a first one does."""
    schedule = route_schedule(None)
    schedule.window.record_request(1.0)
    schedule.record_response(reply(503, b"", {"Retry-After": "1"}, at=1.0), refused=False)
    assert refuse(schedule, 1.99, {"Retry-After": "0"}) == pytest.approx(0.05)


class RecordingLimiter(PacedRateLimiter):
    """An unlimited rate that records what it is called with."""

    def __init__(self) -> None:
        super().__init__(None)
        self.calls: list[tuple[str, float]] = []

    def reserve(self, now: float) -> None:
        self.calls.append(("reserve", now))
        super().reserve(now)

    def assign_slot(self, now: float) -> float:
        self.calls.append(("assign", now))
        return super().assign_slot(now)

    def record_departure(self, now: float) -> None:
        self.calls.append(("departure", now))


def test_both_rates_count_each_step_of_a_call() -> None:
    """Its admission, its slot, another slot where that one passed, and when it left."""
    own, learnt = RecordingLimiter(), LearntRate(None)
    learnt.limiter = hidden = RecordingLimiter()
    schedule = RouteSchedule(own, learnt)
    assert schedule.reserve(1.0) is None
    assert schedule.assign_slot(1.5) <= 1.5
    assert schedule.renew_slot(2.0) <= 2.0
    schedule.record_departure(2.5)
    expected = [("reserve", 1.0), ("assign", 1.5), ("reserve", 2.0), ("assign", 2.0), ("departure", 2.5)]
    assert own.calls == hidden.calls == expected


def test_a_call_without_a_leased_slot_puts_off_no_other_call() -> None:
    """The slots of a learnt rate go on for calls that have one."""
    leased, learnt = LeasedSlots(lambda: None), LearntRate(None)
    leased.set_rate(10.0)
    learnt.limiter.slow_down(5.0)
    leased.add([1.0])
    schedule = RouteSchedule(leased, learnt)
    assert schedule.reserve(1.0) is None
    assert schedule.first_slot(1.0) == 1.0
    learnt.limiter.defer(1.2)
    assert schedule.first_slot(1.0) == pytest.approx(1.4)
    assert schedule.first_slot(2.0) == math.inf
    assert schedule.assign_slot(2.0) == math.inf
    assert learnt.limiter.next_slot(2.0) == pytest.approx(2.2)


def test_a_route_is_not_open_while_a_rate_is_learnt() -> None:
    """Though neither an own rate nor a window limits it."""
    learnt = LearntRate(None)
    schedule = RouteSchedule(PacedRateLimiter(None), learnt)
    schedule.window.record_request(0.0)
    schedule.record_response(OK, refused=False)
    assert schedule.is_open(1.0)
    learnt.limiter.slow_down(5.0)
    assert not schedule.is_open(1.0)
