"""The run's own rate."""

import math
from bisect import bisect_left
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.rate import LATENESS, BadRate, EvenRate, parse_rate


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
    """Every documented form is read as calls a second, whatever its case and spaces."""
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
    with pytest.raises(BadRate) as refusal:
        parse_rate(text)
    assert repr(text) in str(refusal.value)
    assert "10/s" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def sent_under_demand(per_second: float, calls: int, lateness: float, seed: int) -> list[float]:
    """Return when calls leave that are always due, from timers that fire up to `lateness` seconds late."""
    rate, random, now = EvenRate(per_second), Random(seed), 100.0
    sent: list[float] = []
    while len(sent) < calls:
        if rate.slot() > now:
            now = rate.slot() + random.uniform(0, lateness)
        rate.take(now)
        sent.append(now)
    return sent


def most_in_a_second(sent: list[float]) -> int:
    """Return the most calls that any second, wherever it begins, holds."""
    return max(bisect_left(sent, start + 1.0) - place for place, start in enumerate(sent))


RATES = pytest.mark.parametrize("per_second", [1.0, 10.0, 200.0, 1000.0])


@RATES
@given(seed=st.integers(0, 2**32))
def test_constant_demand_gets_the_rate_and_not_more(per_second: float, seed: int) -> None:
    """Timers that fire up to 5 ms late cost less than a hundredth of the rate, and never give more than it."""
    sent = sent_under_demand(per_second, max(200, int(per_second * 2)), 0.005, seed)
    achieved = (len(sent) - 1) / (sent[-1] - sent[0])
    assert 0.99 <= achieved / per_second <= 1.0


@RATES
@given(seed=st.integers(0, 2**32))
def test_no_second_holds_more_than_the_rate(per_second: float, seed: int) -> None:
    """With timers less than 3 ms late, no second wherever it begins holds a call too many."""
    sent = sent_under_demand(per_second, max(30, int(per_second * 3)), 0.0029, seed)
    assert most_in_a_second(sent) <= math.ceil(per_second)


@RATES
@given(idle=st.floats(min_value=0.011, max_value=1e6))
def test_idle_time_is_not_saved_up(per_second: float, idle: float) -> None:
    """However long nothing was sent, the calls after it are again one interval apart."""
    rate, now = EvenRate(per_second), 100.0
    rate.take(now)
    now = rate.slot() + idle
    rate.take(now)
    assert rate.slot() - now >= (1 / per_second) * 0.9999


def test_a_call_that_leaves_late_does_not_move_the_next_slots() -> None:
    """Lateness of some milliseconds is made up for; a longer one is lost."""
    rate = EvenRate(100.0)
    rate.take(1.0)
    first = rate.slot()
    rate.take(first + LATENESS / 2)
    second = rate.slot()
    assert second - first == pytest.approx(first - 1.0)
    rate.take(second + LATENESS * 2)
    assert rate.slot() - second == pytest.approx(first - 1.0 + LATENESS * 2)


def test_the_first_call_leaves_at_once() -> None:
    """Before any call there is nothing to wait for."""
    assert EvenRate(0.001).slot() == -math.inf


def test_unlimited_never_waits() -> None:
    """Without a rate every slot is now, also many times in one moment."""
    rate = EvenRate(None)
    for now in (5.0, 5.0, 5.0, 6.0):
        assert rate.slot() <= now
        rate.take(now)
