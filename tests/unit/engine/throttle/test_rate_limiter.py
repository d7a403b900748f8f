"""The run's own rate."""

import math
from bisect import bisect_left
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.engine.throttle.rate_limiter import (
    COARSE,
    EXACT,
    MAX_LEAD,
    InvalidRateError,
    PacedRateLimiter,
    parse_rate,
)


@pytest.mark.parametrize(
    ("text", "per_second"),
    [
        ("10/s", 10.0),
        ("600/m", 10.0),
        ("3600/h", 1.0),
        ("90/h", 0.025),
        (" 10 / s ", 10.0),
        ("10/S", 10.0),
        ("0.5/s", 0.5),
        ("7.25/M", 7.25 / 60),
        ("999999999/s", 999_999_999.0),
        ("unlimited", None),
        (" Unlimited ", None),
    ],
)
def test_rates_are_read(text: str, per_second: float | None) -> None:
    """Every documented form is read as calls a second, in any case and with spaces."""
    assert parse_rate(text) == per_second


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "/s",
        "10/",
        "10/d",
        "10/ss",
        "10 s",
        "0/s",
        "0.0/m",
        "-1/s",
        "+1/s",
        "1e3/s",
        "1,5/s",
        ".5/s",
        "5./s",
        "nan/s",
        "inf/s",
        "10/s 10/s",
        "none",
        "1234567890/s",
        "0.1234567/s",
    ],
)
def test_other_texts_are_refused_in_one_line(text: str) -> None:
    """What is not a rate is refused with the text itself and the forms that would do."""
    with pytest.raises(InvalidRateError) as refusal:
        parse_rate(text)
    assert repr(text) in str(refusal.value)
    assert "10/s" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def leave(rate: PacedRateLimiter, now: float) -> float:
    """Admit a call that is ready at once; return when it leaves."""
    rate.reserve(now)
    return max(now, rate.assign_slot(now))


def sent_under_demand(per_second: float, calls: int, lateness: float, seed: int) -> list[float]:
    """Return when calls leave that are always due, from timers that fire up to `lateness` seconds late."""
    rate, random, now = PacedRateLimiter(per_second), Random(seed), 100.0
    sent: list[float] = []
    while len(sent) < calls:
        if rate.next_slot(now) > now:
            now = rate.next_slot(now) + random.uniform(0, lateness)
        sent.append(leave(rate, now))
    return sent


def most_in_a_second(sent: list[float]) -> int:
    """Return the most calls in any second, wherever it begins."""
    return max(bisect_left(sent, start + 1.0) - place for place, start in enumerate(sent))


RATES = pytest.mark.parametrize("per_second", [1.0, 10.0, 50.0, 200.0, 1000.0])


@RATES
@given(seed=st.integers(0, 2**32))
def test_constant_demand_gets_the_rate_and_not_more(per_second: float, seed: int) -> None:
    """Timers that fire up to 4 ms late cost less than a hundredth of the rate, and never give more than it."""
    sent = sent_under_demand(per_second, max(200, int(per_second * 2)), 0.004, seed)
    achieved = (len(sent) - 1) / (sent[-1] - sent[0])
    assert 0.99 <= achieved / per_second <= 1.0


@RATES
@given(seed=st.integers(0, 2**32))
def test_no_second_holds_more_than_the_rate(per_second: float, seed: int) -> None:
    """With timers less than 3 ms late, no second wherever it begins has a call too many; from many on, a fiftieth."""
    sent = sent_under_demand(per_second, max(30, int(per_second * 3)), 0.0029, seed)
    assert most_in_a_second(sent) <= int(per_second * 1.02)


@RATES
@given(idle=st.floats(min_value=0.011, max_value=1e6))
def test_idle_time_is_not_saved_up(per_second: float, idle: float) -> None:
    """However long nothing was sent, the calls after it are again one interval apart."""
    rate, now = PacedRateLimiter(per_second), 100.0
    leave(rate, now)
    now = rate.next_slot(now) + idle
    assert leave(rate, now) == now
    assert rate.next_slot(now) - now >= (1 / per_second) * 0.9999


@pytest.mark.parametrize(
    ("per_second", "late", "made_up_for"),
    [
        (10.0, 0.002, 0.002),
        (10.0, 0.003, 0.003),
        (10.0, 0.008, 0.003),
        (49.0, 0.008, 0.003),
        (50.0, 0.008, 0.008),
        (50.0, 0.500, 0.016),
        (1000.0, 0.009, 0.009),
        (1000.0, 0.500, 0.016),
    ],
)
def test_a_call_that_is_ready_late_moves_the_next_slots_a_little(
    per_second: float, late: float, made_up_for: float
) -> None:
    """Lateness is made up for as far as no second has a call too many."""
    rate, interval = PacedRateLimiter(per_second), (1.0 + (EXACT if per_second < 50 else COARSE).headroom) / per_second
    leave(rate, 1.0)
    slot = rate.next_slot(1.0)
    rate.reserve(slot)
    assert rate.assign_slot(slot + late) <= slot + late
    assert rate.next_slot(2.0) == pytest.approx(slot + late + interval - made_up_for)


def test_the_first_call_leaves_at_once() -> None:
    """Before any call there is nothing to wait for."""
    assert PacedRateLimiter(0.001).next_slot(5.0) == -math.inf


def test_unlimited_never_waits() -> None:
    """Without a rate every slot is now, also many times in one moment, and however many are being made ready."""
    rate = PacedRateLimiter(None)
    rate.reserve(5.0)
    for now in (5.0, 5.0, 5.0, 6.0):
        assert rate.next_slot(now) <= now
        assert leave(rate, now) == now


def test_calls_that_are_being_made_ready_have_their_slots() -> None:
    """A call behind others that are being prepared gets a slot behind theirs; one that gives up makes room."""
    rate = PacedRateLimiter(10.0)
    leave(rate, 1.0)
    first = rate.next_slot(1.0)
    rate.reserve(1.0)
    rate.reserve(1.0)
    interval = (1.0 + EXACT.headroom) / 10.0
    assert rate.next_slot(1.0) == pytest.approx(first + 2 * interval)
    late = rate.next_slot(first + 5.0)
    assert late == pytest.approx(first + 5.0 + 2 * interval - EXACT.catch_up), "they are late, and still come first"
    rate.cancel_reservation()
    assert rate.next_slot(1.0) == pytest.approx(first + interval)
    assert rate.assign_slot(1.0) == first, "ready early, a call waits for its slot"
    assert rate.next_slot(1.0) == pytest.approx(first + interval)


def test_the_lead_is_what_making_ready_takes() -> None:
    """It follows a disk that is slow for long, covers one that is uneven, and forgets a single stall soon."""
    rate, uneven = PacedRateLimiter(10.0), PacedRateLimiter(10.0)
    assert rate.lead == 0.0
    for _ in range(60):
        rate.record_preparation(0.004)
        uneven.record_preparation(0.002)
        uneven.record_preparation(0.010)
    assert rate.lead == pytest.approx(0.004, rel=0.01)
    assert 0.010 <= uneven.lead <= 0.030
    rate.record_preparation(60.0)
    assert rate.lead == MAX_LEAD
    for _ in range(100):
        rate.record_preparation(0.004)
    assert rate.lead < 0.02
