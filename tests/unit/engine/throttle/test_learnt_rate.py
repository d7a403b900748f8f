"""The rate of a limiter without headers, decision by decision."""

import math
from itertools import pairwise

import pytest

from rolecall.engine.throttle.rate_limiter import (
    BELOW,
    CLOSE,
    FIRST_PATIENCE,
    MAX_CUTS,
    RECENT,
    STEP,
    TRIAL,
    LearntLimit,
    LearntRate,
)


def accepted(rate: LearntRate, *moments: float) -> None:
    """Record accepted calls that are answered at once."""
    for moment in moments:
        rate.record_acceptance(moment, moment)


def interval(rate: LearntRate, own: float | None = 50.0) -> float:
    """Return the seconds between two calls now: those of the learnt rate or those of the own one, which are longer."""
    rate.limiter.reserve(1e6)
    slot = rate.limiter.assign_slot(1e6)
    return max(rate.limiter.next_slot(1e6) - slot, 1 / own if own else 0.0)


def busy(per_second: float | None = 50.0) -> LearntRate:
    """Return one that has seen ten accepted calls, the last at 0.2."""
    rate = LearntRate(per_second)
    accepted(rate, *(0.02 * number for number in range(1, 11)))
    return rate


def test_a_refusal_without_any_success_is_no_limiter() -> None:
    """Without calls that pass, or long after them, a refusal is an outage's and cuts nothing."""
    rate = LearntRate(50.0)
    assert not rate.record_refusal(0.0, 0.1)
    accepted(rate, 0.2)
    assert not rate.record_refusal(0.2 + RECENT, 0.3 + RECENT)
    assert interval(rate) == pytest.approx(0.02, rel=0.01)


def test_one_accepted_call_shows_a_limiter() -> None:
    """With a burst of nought the second call is refused; the rate is halved at once."""
    rate = LearntRate(50.0)
    accepted(rate, 0.0)
    assert rate.record_refusal(0.02, 0.03)
    assert interval(rate) == pytest.approx(0.04, rel=0.01)


def test_a_refusal_halves_the_rate_and_calls_in_flight_beside_it_do_not() -> None:
    """Calls that left before the cut show nothing new."""
    rate = busy()
    assert rate.record_refusal(0.22, 0.25)
    assert interval(rate) == pytest.approx(0.04, rel=0.01)
    assert rate.record_refusal(0.24, 0.26)
    assert interval(rate) == pytest.approx(0.04, rel=0.01)


def test_a_refusal_long_after_the_last_accepted_call_shows_a_lower_rate() -> None:
    """A call that is refused 0.06 s after the last accepted one shows that 1/0.06 a second are too many."""
    rate = busy()
    rate.record_refusal(0.22, 0.25)
    rate.record_refusal(0.26, 0.27)
    assert interval(rate) == pytest.approx(2 * 0.06, rel=0.01)


def test_a_refusal_after_a_break_halves_the_rate_at_most() -> None:
    """Calls that are not made at this rate may have come between, such as those of other clients."""
    rate = busy()
    rate.record_refusal(2.22, 2.25)
    assert interval(rate) == pytest.approx(2 / 25.0, rel=0.01)


def test_a_third_refusal_in_a_row_is_an_outage() -> None:
    """The own rate is back; a refusal soon after an outage that was none is a limiter's after all."""
    rate = busy()
    assert [rate.record_refusal(moment, moment) for moment in (0.22, 0.26, 0.40)] == [True, True, False]
    assert interval(rate) == pytest.approx(0.02, rel=0.01)
    accepted(rate, 0.5)
    assert all(rate.record_refusal(moment, moment) for moment in (0.52, 0.56, 0.66, 0.78))
    assert interval(rate) > 0.1


def test_the_search_ends_close_below_the_limit() -> None:
    """Against ten calls a second without a burst the rate is found with few refusals, and no outage is seen."""
    rate = LearntRate(50.0)
    now, last, refusals = 0.0, -math.inf, 0
    for _ in range(60):
        if now - last >= 0.1:
            last = now
            rate.record_acceptance(now, now)
        else:
            refusals += 1
            assert rate.record_refusal(now, now)
        now += interval(rate)
    assert refusals <= 6
    assert 0.1 <= interval(rate) <= 0.1 * CLOSE / BELOW


def found(per_second: float) -> LearntRate:
    """Return one whose own rate is 50 and which has found a lower limit at 0."""
    rate = LearntRate(50.0)
    accepted(rate, 0.0)
    rate._set(LearntLimit(per_second, 0.0, per_second, per_second * CLOSE, is_found=True))
    return rate


def test_what_passes_between_two_refusals_is_the_rate() -> None:
    """Twenty calls in two seconds are ten a second."""
    rate = found(10.5)
    rate.record_refusal(0.05, 0.05)
    accepted(rate, *(0.05 + 0.1 * number for number in range(1, 21)))
    rate.record_refusal(2.06, 2.06)
    assert interval(rate) == pytest.approx(0.1 / BELOW, rel=0.02)


def test_one_refusal_cuts_a_found_rate_by_a_tenth_at_most() -> None:
    """Also where hardly a call was accepted in between."""
    rate = found(10.0)
    rate.record_refusal(0.05, 0.05)
    accepted(rate, *(0.5 * number for number in range(1, 11)))
    before = interval(rate)
    rate.record_refusal(5.06, 5.06)
    assert interval(rate) == pytest.approx(before / 0.9, rel=0.02)


def test_the_rate_recovers_slowly_and_then_fully() -> None:
    """A found rate stays for some calls; without a refusal the own rate is reached, and never passed."""
    rate, now, intervals = found(10.0), 0.0, []
    for _ in range(300):
        now += interval(rate)
        accepted(rate, now)
        intervals.append(interval(rate))
    assert intervals[: FIRST_PATIENCE - 1] == pytest.approx([0.1] * (FIRST_PATIENCE - 1))
    assert all(later <= earlier * STEP for earlier, later in pairwise(intervals))
    assert intervals[-1] == pytest.approx(0.02, rel=0.01)
    assert now <= 20.0


def test_each_search_that_is_refused_doubles_the_calls_before_the_next_one() -> None:
    """So the refusals that the searches cost become rare."""
    rate, now, last, refused = found(9.9), 0.0, -math.inf, list[int]()
    for number in range(600):
        if now - last >= 0.1:
            last = now
            accepted(rate, now)
        else:
            refused.append(number)
            rate.record_refusal(now, now)
        now += interval(rate)
    assert 2 <= len(refused) <= 12
    assert refused[-1] <= 450, "the next search is far away"


def test_an_unlimited_rate_recovers_too() -> None:
    """After hundreds of calls without a refusal the limiter counts as gone."""
    rate = busy(None)
    rate.record_refusal(0.201, 0.21)
    accepted(rate, *(0.21 + 0.2 * number for number in range(1, 1500)))
    assert interval(rate, None) == 0.0


def test_calls_are_spread_evenly_while_the_rate_is_learnt() -> None:
    """A late call makes the next one late as well: two that follow each other too soon would be refused."""
    rate = busy()
    rate.record_refusal(0.22, 0.25)
    slots = []
    for late in (0.0, 0.015, 0.0, 0.009, 0.0):
        rate.limiter.reserve(1.0)
        slot = max(1.0, rate.limiter.assign_slot(1.0)) + late
        rate.limiter.record_departure(slot)
        slots.append(slot)
    assert min(later - earlier for earlier, later in pairwise(slots)) >= 0.04 - 1e-9


def test_a_higher_rate_is_tried_after_a_few_calls() -> None:
    """The trial is the geometric mean of the accepted and the refused rate."""
    rate = busy()
    rate.record_refusal(0.22, 0.25)
    accepted(rate, *(0.3 + 0.04 * number for number in range(TRIAL)))
    assert interval(rate) == pytest.approx(1 / math.sqrt(25.0 * 50.0), rel=0.01)
    assert MAX_CUTS < TRIAL
