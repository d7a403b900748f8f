"""Pacing where `Date` comes from another clock than the resets, and where clocks are set: simulated call by call."""

import math
from random import Random

import pytest

from rolecall.engine.throttle.server_clock import ServerClock
from tests.unit.engine.throttle.fixed_window import (
    BEGINNING,
    EPOCH,
    Callers,
    Course,
    Server,
    ServerTime,
    route_schedule,
    simulate,
    steady,
    stepped,
)

LIMIT, WINDOWS = 10, 8
SEEDS = range(10)
PROMPT = (0.001, 0.004)
"""One-way delays of a near server, in seconds."""


def shifted(clock: ServerTime, seconds: float) -> ServerTime:
    """Return a clock that is so many seconds before another."""
    return lambda now: clock(now) + seconds


def run(server: Server, seed: int, *, concurrency: int = 8, rate: float | None = None, own: bool = False) -> Course:
    """Simulate; `own`: the own wall clock is right."""
    schedule = route_schedule(rate, own_offset=(lambda: EPOCH - BEGINNING) if own else None)
    return simulate(LIMIT * WINDOWS, schedule, server, Callers(concurrency, PROMPT), Random(seed))


def ideal(length: float) -> float:
    """Return the seconds of all windows but the last."""
    return (WINDOWS - 1) * length


def after_first(course: Course, length: float) -> float:
    """Return the seconds from the second window's beginning on, as a part of the ideal."""
    second = next(moment for moment in course.sent[LIMIT:] if moment > length * 0.9)
    return (course.ended - second) / ((WINDOWS - 2) * length)


@pytest.mark.parametrize("length", [10.0, 60.0])
@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("ahead", [5.0, 3.0, -8.0, 15.0, 70.0, -70.0, 3600.0, -3600.0])
def test_a_date_of_another_clock_costs_two_calls_at_most(ahead: float, concurrency: int, length: float) -> None:
    """A `Date` that is ahead of the resets or behind causes two refusals at most, and is not used any more."""
    for seed in SEEDS:
        clock = steady(Random(seed).uniform(-0.5, 0.5))
        course = run(Server(LIMIT, length, clock, date_clock=shifted(clock, ahead)), seed, concurrency=concurrency)
        assert len(course.refused) <= 2
        assert after_first(course, length) <= 1.05


def test_a_date_ahead_at_a_rate_of_ones_own() -> None:
    """3 s ahead, at 10 calls a second and 10 calls in 5 s."""
    course = run(Server(LIMIT, 5.0, date_clock=shifted(steady(), 3.0)), 1, rate=10.0)
    assert len(course.refused) <= 2
    assert course.ended <= 1.05 * ideal(5.0) + 1.0 + 1.0


@pytest.mark.parametrize("ahead", [-5.0, -10.0, -20.0, -50.0])
def test_the_own_clock_shows_that_windows_end_earlier(ahead: float) -> None:
    """Where the length by `Date` is a usual one too, a usual one by the own clock is worth one refused call."""
    course = run(Server(LIMIT, 10.0, date_clock=shifted(steady(), ahead)), 1, own=True)
    assert len(course.refused) <= 2
    assert course.ended <= 1.05 * ideal(10.0)


@pytest.mark.parametrize("length", [1.0, 2.0, 5.0, 10.0, 60.0, 600.0])
def test_a_wrong_own_clock_costs_nothing(length: float) -> None:
    """Where our own clock is wrong by minutes, and `Date` is right, nothing is refused."""
    for ahead in (-313.37, -7.7, -3.3, 3.3, 7.7, 313.37):
        course = run(Server(LIMIT, length, steady(ahead)), 1, own=True)
        assert course.refused == []
        assert course.ended <= 1.05 * ideal(length)


@pytest.mark.parametrize("ahead", [0.7, -0.7, 0.3, -0.3])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_date_that_is_less_than_a_second_wrong(ahead: float, concurrency: int) -> None:
    """Within the second that a `Date` is cut to, the error shows later; it costs two calls and a second a window."""
    for seed in SEEDS:
        clock = steady(Random(seed).uniform(-0.5, 0.5))
        course = run(Server(LIMIT, 60.0, clock, date_clock=shifted(clock, ahead)), seed, concurrency=concurrency)
        assert len(course.refused) <= 2
        assert course.ended <= 1.05 * ideal(60.0)


@pytest.mark.parametrize("length", [2.0, 10.0, 60.0])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_resets_in_whole_seconds(concurrency: int, length: float) -> None:
    """A reset that is cut down to the second lies before the window's end: two calls are refused at most."""
    for seed in SEEDS:
        clock = steady(Random(seed).uniform(-0.5, 0.5))
        course = run(Server(LIMIT, length, clock, whole_seconds=True), seed, concurrency=concurrency)
        assert len(course.refused) <= 2
        assert after_first(course, length) <= 1.05


@pytest.mark.parametrize("length", [2.0, 10.0])
def test_a_server_that_is_set_forward_by_an_hour(length: float) -> None:
    """When all the server's clocks jump, one window is lost at most and nothing is refused."""
    for seed in SEEDS:
        at = Random(seed).uniform(length, 5 * length)
        course = run(Server(LIMIT, length, stepped(at, 3600.0)), seed)
        assert course.refused == []
        assert course.ended <= ideal(length) + length + 1.0


@pytest.mark.parametrize("by", [3600.0, -3600.0, 5.0, -8.0])
def test_a_date_that_is_set(by: float) -> None:
    """When only the clock of `Date` jumps, one window is lost at most."""
    for seed in SEEDS:
        at = Random(seed).uniform(10.0, 50.0)
        course = run(Server(LIMIT, 10.0, date_clock=stepped(at, by)), seed)
        assert len(course.refused) <= 2
        assert course.ended <= ideal(10.0) + 10.0 + 1.0


@pytest.mark.parametrize("ahead", [3.0, -8.0])
@pytest.mark.parametrize("by", [3600.0, 42.0])
def test_a_server_that_is_set_forward_behind_a_date_of_another_clock(by: float, ahead: float) -> None:
    """Also where `Date` is not used any more, a jump of the limiter's clock costs one window at most."""
    for seed in SEEDS:
        clock = stepped(Random(seed).uniform(25.0, 55.0), by)
        course = run(Server(LIMIT, 10.0, clock, date_clock=shifted(clock, ahead)), seed)
        assert len(course.refused) <= 2
        assert course.ended <= ideal(10.0) + 2 * 10.0 + 1.0


@pytest.mark.parametrize("seconds", [3.0, 42.0, 3600.0])
def test_a_suspended_machine_loses_one_window(seconds: float) -> None:
    """Our monotonic clock stands still while the server's goes on: afterwards the pace is as before."""
    for seed in SEEDS:
        at = Random(seed).uniform(10.0, 50.0)
        course = run(Server(LIMIT, 10.0, stepped(at, seconds)), seed)
        assert course.refused == []
        assert course.ended <= ideal(10.0) + 10.0 + 1.0


@pytest.mark.parametrize("by", [-0.3, -1.0, -3.0, -8.0, -60.0, -600.0, -3600.0])
@pytest.mark.parametrize("concurrency", [1, 4, 8])
@pytest.mark.parametrize("length", [2.0, 10.0, 60.0])
def test_a_server_that_is_set_back_refuses_two_calls(length: float, concurrency: int, by: float) -> None:
    """Set back, the server keeps its window open for longer; two calls are refused, however many may be in flight."""
    for seed in SEEDS:
        at = Random(seed).uniform(1.2 * length, 5 * length)
        schedule = route_schedule(None, max_wait=7200.0)
        callers = Callers(concurrency, PROMPT, patience=7200.0)
        course = simulate(LIMIT * WINDOWS, schedule, Server(LIMIT, length, stepped(at, by)), callers, Random(seed))
        assert len(course.refused) <= 2
        assert course.ended <= ideal(length) - by + 5.0


def test_a_server_that_is_set_back_while_calls_are_in_flight() -> None:
    """Whenever within a window's round trips the clock is set back by a minute, two calls are refused at most."""
    for step in range(60):
        at = 20.0 + step * 0.002
        course = run(Server(LIMIT, 10.0, stepped(at, -60.0)), step)
        assert len(course.refused) <= 2


def test_an_unusual_length_costs_one_call() -> None:
    """A window of 18 s by a right `Date` is questioned by one call, and loses less than a second a window."""
    course = run(Server(LIMIT, 18.0, steady(0.3)), 1)
    assert len(course.refused) == 1
    assert course.ended <= ideal(18.0) + WINDOWS * 1.05
    assert math.isclose(course.refused[0], 0.0, abs_tol=0.1)


def test_wait_0_seconds_shows_no_clock() -> None:
    """A refusal that says 'wait 0 seconds' makes neither `Date` wrong nor the window one of another length."""
    clock = ServerClock()
    for began in (0.07, 10.17):  # `Date` is cut to the second: 0 and 10
        clock.record_date(EPOCH + began // 1, began, began + 0.05)
        clock.record_date(EPOCH + began // 1 + 1.0, began + 0.9, began + 0.95)
        clock.record_window_start(EPOCH + began + 10.0, began - 0.02, began + 0.02)
    end = clock.to_local(EPOCH + 20.17, 10.2)
    assert not clock.record_refusal(EPOCH + 10.75, 0.0, 10.51, 10.56)
    assert clock.window_length == 10
    assert clock.to_local(EPOCH + 20.17, 10.2) == end
