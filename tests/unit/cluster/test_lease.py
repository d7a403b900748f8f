"""Leases: how old a heartbeat may be, which token is newer, and when a leased slot is by our own clock."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.cluster.database.lease import (
    CLOCK_STEP,
    FRESH,
    HEARTBEAT,
    MARGIN,
    RECENT_OFFSETS,
    STALLED,
    DatabaseClock,
    HeartbeatLease,
    Token,
    boot_time,
    lease_moments,
)


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the present moment."""
        return self.now


def test_without_a_heartbeat_nothing_may_be_sent_or_begun() -> None:
    """The lease begins with the first heartbeat that the database has received."""
    lease = HeartbeatLease(Time())
    assert (lease.is_valid, lease.is_fresh, lease.is_lost) == (False, False, True)
    assert lease.age == math.inf


def test_a_heartbeat_counts_from_when_it_was_sent() -> None:
    """A response that comes late renews the lease for the time that is left."""
    ours = Time()
    lease = HeartbeatLease(ours)
    sent_at = lease.start()
    ours.now += 4.0
    lease.renew(sent_at)
    assert lease.age == 4.0
    lease.renew(sent_at - 2.0)
    assert lease.age == 4.0


@given(st.floats(0, 60))
def test_calls_end_before_others_take_over(age: float) -> None:
    """A call leaves only while the lease has MARGIN left, and what is begun has more."""
    ours = Time()
    lease = HeartbeatLease(ours)
    lease.renew(ours.now - age)
    assert lease.is_valid is (ours.now - (ours.now - age) < STALLED - MARGIN)
    assert not (lease.is_valid and lease.is_lost)
    assert lease.is_valid or not lease.is_fresh
    assert HEARTBEAT < FRESH < STALLED - MARGIN


@pytest.mark.parametrize(
    ("age", "is_valid", "is_fresh", "is_lost"),
    [
        (FRESH, True, False, False),
        (FRESH - 0.5, True, True, False),
        (STALLED - MARGIN, False, False, False),
        (STALLED - 0.5, False, False, False),
        (STALLED, False, False, True),
    ],
)
def test_the_last_moment_of_a_lease_belongs_to_others(
    age: float, is_valid: bool, is_fresh: bool, is_lost: bool
) -> None:
    """At the very moment at which others may take over, nothing of ours is valid any more."""
    ours = Time()
    lease = HeartbeatLease(ours)
    lease.renew(ours.now - age)
    assert (lease.is_valid, lease.is_fresh, lease.is_lost) == (is_valid, is_fresh, is_lost)


@pytest.mark.parametrize("has_boot_time", [True, False])
def test_the_clock_counts_the_time_of_a_suspended_machine(monkeypatch: pytest.MonkeyPatch, has_boot_time: bool) -> None:
    """It is the clock that goes on meanwhile; where the system has none, the monotonic one."""
    assert boot_time() <= boot_time()
    monkeypatch.setattr(time, "clock_gettime", float)
    monkeypatch.setattr(time, "CLOCK_BOOTTIME", 77, raising=False)
    if not has_boot_time:
        monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    assert boot_time() == (77 if has_boot_time else time.CLOCK_MONOTONIC)


def test_an_old_quick_response_does_not_count_for_ever() -> None:
    """Two clocks drift apart: only the last measurements show the database's clock."""
    clock = DatabaseClock()
    clock.record(1000.0, 1000.001)
    for number in range(RECENT_OFFSETS):
        clock.record(1001.0 + number, 1001.0 + number + 0.1)
    assert clock.to_local(2000.0) == pytest.approx(2000.1)


def test_a_response_later_than_the_quickest_by_more_than_a_step_is_a_step() -> None:
    """Slow responses before it make no step of the clock smaller."""
    clock = DatabaseClock()
    for late in (0.0, 0.9, 1.5):
        clock.record(1000.0, 1000.0 + late)
    assert clock.to_local(2000.0) == 2001.5


def test_the_database_clock_has_our_clock() -> None:
    """Moments of leased slots are compared with it."""
    ours = Time()
    assert DatabaseClock(ours).now() == ours.now


@given(st.tuples(st.integers(1), st.integers(0)), st.tuples(st.integers(1), st.integers(0)))
def test_a_later_job_or_attempt_has_the_greater_token(one: tuple[int, int], other: tuple[int, int]) -> None:
    """Tokens are compared by job, then by attempt: as the database compares its two columns."""
    first, second = Token(*one), Token(*other)
    assert (first < second) is (one[0] < other[0] or (one[0] == other[0] and one[1] < other[1]))


@given(st.floats(-1e6, 1e6), st.lists(st.floats(0.0, CLOCK_STEP), min_size=1, max_size=200))
def test_the_quickest_of_the_last_responses_shows_the_databases_clock(offset: float, delays: list[float]) -> None:
    """A moment of the database's is late by the shortest of the last delays, and never early."""
    clock = DatabaseClock()
    for number, delay in enumerate(delays):
        sent = 1000.0 + number
        clock.record(sent + offset, sent + delay)
    shortest = min(delays[-RECENT_OFFSETS:])
    assert clock.to_local(2000.0 + offset) == pytest.approx(2000.0 + shortest, abs=1e-6)
    assert clock.wall(2000.0) == pytest.approx(2000.0 + offset - shortest, abs=1e-6)


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_step_of_the_databases_clock_is_followed_at_once(step: float) -> None:
    """After it, slots are by the new clock, whichever way it was set."""
    clock = DatabaseClock()
    for now in range(100):
        clock.record(5000.0 + now, now + 0.001)
    clock.record(5100.0 + step, 100.001)
    assert clock.to_local(5101.0 + step) == pytest.approx(101.001)


def test_the_clock_is_our_own_before_the_first_response() -> None:
    """Nothing is recorded by it: a shard is begun after the first heartbeat."""
    assert DatabaseClock().wall(0.0) > 1_700_000_000


@given(st.floats(0, 1e9), st.integers(1, 50), st.floats(0.001, 10))
def test_slots_of_a_lease_are_one_interval_apart(first: float, count: int, interval: float) -> None:
    """The first is where the database put it, by our clock."""
    clock = DatabaseClock()
    clock.record(100.0, 50.0)
    moments = lease_moments(first, count, interval, clock)
    assert moments[0] == first - 50.0
    assert moments == pytest.approx([first - 50.0 + number * interval for number in range(count)])
