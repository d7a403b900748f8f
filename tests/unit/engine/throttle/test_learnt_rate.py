"""The rate of a limiter without headers, decision by decision."""

import pytest

from rolecall.engine.throttle.rate_limiter import MIN_ACCEPTED, RECENT, LearntRate, PacedRateLimiter


def accepted(rate: LearntRate, *moments: float) -> None:
    """Record accepted calls."""
    for moment in moments:
        rate.record_acceptance(moment)


def interval(rate: LearntRate) -> float:
    """Return the seconds between two calls now."""
    rate.limiter.reserve(1e6)
    slot = rate.limiter.assign_slot(1e6)
    return rate.limiter.next_slot(1e6) - slot


def busy(per_second: float = 50.0) -> LearntRate:
    """Return one that has seen ten accepted calls, the last at 0.2."""
    rate = LearntRate(PacedRateLimiter(per_second))
    accepted(rate, *(0.02 * number for number in range(1, 11)))
    return rate


def test_a_refusal_without_any_success_is_no_limiter() -> None:
    """Without calls that pass, or long after them, a refusal is an outage's and cuts nothing."""
    rate = LearntRate(PacedRateLimiter(50.0))
    assert not rate.record_refusal(0.0, 0.1)
    accepted(rate, *(0.1 * number for number in range(MIN_ACCEPTED)))
    assert not rate.record_refusal(RECENT + 1.0, RECENT + 1.1)
    assert interval(rate) == pytest.approx(0.02, rel=0.01)


def test_a_refusal_halves_the_rate_and_calls_in_flight_beside_it_do_not() -> None:
    """Calls that left before the cut say nothing new."""
    rate = busy()
    assert rate.record_refusal(0.20, 0.25)
    halved = interval(rate)
    assert halved == pytest.approx(2 / (4 / 0.13), rel=0.01), "four calls in 0.13 s were measured"
    assert rate.record_refusal(0.21, 0.26)
    assert rate.record_refusal(0.26, 0.27)
    assert interval(rate) == halved, "no call has passed since"


def test_what_passes_between_two_refusals_is_the_rate() -> None:
    """Twenty calls in two seconds are ten a second; a measurement cuts the rate by a quarter at most."""
    rate = busy(20.0)
    rate.record_refusal(0.2, 0.25)
    accepted(rate, *(0.25 + 0.1 * number for number in range(1, 21)))
    rate.record_refusal(2.25, 2.3)
    assert interval(rate) == pytest.approx(0.088, rel=0.02)
    accepted(rate, *(2.3 + 0.1 * number for number in range(1, 21)))
    rate.record_refusal(4.3, 4.31)
    assert interval(rate) == pytest.approx(0.1, rel=0.05)


def test_the_rate_recovers_slowly_and_then_fully() -> None:
    """Within a minute without a refusal the own rate is reached, and never passed."""
    rate = busy()
    rate.record_refusal(0.2, 0.25)
    before = interval(rate)
    accepted(rate, 1.0)
    assert 0.7 * before < interval(rate) < before
    accepted(rate, 60.0)
    assert interval(rate) == pytest.approx(0.02, rel=0.01)
    accepted(rate, 61.0)
    assert interval(rate) == pytest.approx(0.02, rel=0.01)
