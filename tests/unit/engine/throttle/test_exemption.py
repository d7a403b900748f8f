"""Accounts that the server counts and never refuses: one call beyond the limit proves it."""

import asyncio
from random import Random

import pytest

from rolecall.engine.settings import Settings
from rolecall.engine.throttle.admission import AdmissionController, CallKind
from rolecall.engine.throttle.route_schedule import RouteSchedule
from rolecall.engine.throttle.window_signs import Exemption
from rolecall.models import NoReply, Reply
from tests.unit.engine.answers import TOO_MANY, result_of, windowed
from tests.unit.engine.throttle.fixed_window import Callers, Course, Server, route_schedule, simulate
from tests.unit.engine.virtual import virtual_clock

ROWS = 300


def run(server: Server, *, is_possible: bool, concurrency: int = 8, callers: Callers | None = None) -> Course:
    """Simulate 300 rows."""
    schedule = route_schedule(None, exemption=Exemption(is_possible=is_possible))
    return simulate(ROWS, schedule, server, callers or Callers(concurrency), Random(1))


@pytest.mark.parametrize("instances", [1, 3])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_an_exempt_account_is_not_limited_by_its_headers(concurrency: int, instances: int) -> None:
    """300 rows at 10 calls in 2 s take no window's time, and none is refused."""
    course = run(Server(10, 2.0, exempt=True, instances=instances), is_possible=True, concurrency=concurrency)
    assert course.refused == []
    assert course.ended <= ROWS * 0.05 / concurrency


@pytest.mark.parametrize("concurrency", [1, 8])
def test_the_permission_is_no_proof(concurrency: int) -> None:
    """An account whose roles have the permission, and which is limited all the same, is refused once."""
    course = run(Server(10, 2.0), is_possible=True, concurrency=concurrency)
    assert len(course.refused) == 1
    assert course.ended <= 1.05 * 29 * 2.0


def test_an_account_without_the_permission_probes_nothing() -> None:
    """It is never refused, and keeps to the headers even where nothing enforces them."""
    for exempt in (False, True):
        course = run(Server(10, 2.0, exempt=exempt), is_possible=False)
        assert course.refused == []
        assert course.ended >= 29 * 2.0


def test_a_refusal_ends_the_exemption() -> None:
    """Where the permission is taken away in mid-run, the calls in flight are refused once, and no more is probed."""
    server = Server(10, 2.0, exempt=True)

    def distort(number: int, reply: Reply) -> Reply | NoReply:
        server.exempt = number < 100
        return reply

    course = run(server, is_possible=True, callers=Callers(8, distort=distort))
    assert len(course.refused) <= 8
    assert course.refused[-1] - course.refused[0] <= 0.05


T = 1_700_000_000.5


def answered(schedule: RouteSchedule, remaining: int, reset: float, *, at: float) -> None:
    """Send a call and answer it."""
    assert schedule.reserve(at) is None
    schedule.record_response(windowed(3, remaining, reset, T + at, at=at + 0.1)._replace(sent_at=at), refused=False)


def is_free(schedule: RouteSchedule, at: float) -> bool:
    """Return whether ten calls may leave at once."""
    return all(schedule.reserve(at) is None for _ in range(10))


@pytest.mark.parametrize(
    ("remaining", "reset", "proves"),
    [
        (0, T + 60, True),
        (0, T + 60.09, True),
        (0, T + 59.91, True),
        (0, T + 60.2, False),
        (1, T + 60, False),
        (2, T + 61.2, False),
    ],
)
def test_what_proves_the_exemption(remaining: int, reset: float, proves: bool) -> None:
    """Only `Remaining: 0` again with the same reset, to a call sent after the first one came, proves it."""
    schedule = route_schedule(None, exemption=Exemption(is_possible=True))
    for left in (2, 1, 0):
        answered(schedule, left, T + 60, at=2.0 - left)
    answered(schedule, remaining, reset, at=3.0)
    assert is_free(schedule, 4.0) is proves


def test_calls_that_were_in_flight_prove_nothing() -> None:
    """The last call of a window that is answered after another with `Remaining: 0` is no proof."""
    schedule = route_schedule(None, exemption=Exemption(is_possible=True))
    answered(schedule, 2, T + 60, at=0.0)
    assert [schedule.reserve(1.0), schedule.reserve(1.0)] == [None, None]
    for _ in range(2):
        schedule.record_response(windowed(3, 0, T + 60, T + 1, at=1.2)._replace(sent_at=1.0), refused=False)
    assert schedule.reserve(1.3) is None, "the probe"
    assert schedule.reserve(1.3) is not None


def test_a_refusal_that_is_not_reported_as_one_proves_nothing() -> None:
    """The read beside a row is not retried when it is refused; its 429 ends the probing all the same."""
    exemption = Exemption(is_possible=True)
    schedule = route_schedule(None, exemption=exemption)
    for left in (2, 1, 0):
        answered(schedule, left, T + 60, at=2.0 - left)
    assert schedule.reserve(3.0) is None
    refusal = windowed(3, 0, T + 60, T + 3, at=3.1, status=429)._replace(sent_at=3.0)
    schedule.record_response(refusal, refused=False)
    assert not exemption.is_proven
    assert not exemption.may_probe


async def test_one_probe_is_shared_by_all_routes() -> None:
    """While a route's probe is in flight no other sends one; its refusal is true for all."""
    controller = AdmissionController.build(Settings(rate=None), virtual_clock(), may_be_exempt=True)
    routes = [controller.route(path, CallKind.CHANGE) for path in ("/one", "/two")]
    schedules = [route._limiter._schedule for route in routes]
    for schedule in schedules:
        for left in (2, 1, 0):
            answered(schedule, left, T + 60, at=2.0 - left)
    assert schedules[0].reserve(3.0) is None
    assert schedules[1].reserve(3.0) is not None
    schedules[0].record_response(TOO_MANY._replace(received_at=3.1), refused=True)
    assert schedules[1].reserve(3.2) is not None
    assert result_of(TOO_MANY).rule.reason == "rate_limited"


async def test_a_proof_on_one_route_ends_the_waiting_on_another() -> None:
    """A call that waits for the end of its window leaves as soon as another route has proven that none is enforced."""
    clock = virtual_clock()
    controller = AdmissionController.build(Settings(rate=None), clock, may_be_exempt=True)
    one, two = [controller.route(path, CallKind.CHANGE) for path in ("/one", "/two")]
    reset = T + clock.now() + 60
    for left in (2, 1, 0):
        for route in (one, two):
            answered(route._limiter._schedule, left, reset, at=clock.now())
        await asyncio.sleep(1.0)
    assert one._limiter._schedule.reserve(clock.now()) is None, "the probe"
    waiting = asyncio.create_task(two.acquire())
    await asyncio.sleep(0.2)
    assert not waiting.done()
    proof = windowed(3, 0, reset, T + clock.now(), at=clock.now())
    one._limiter.record_response(proof._replace(sent_at=clock.now() - 0.1), refused=False)
    await asyncio.wait_for(waiting, 1.0)
