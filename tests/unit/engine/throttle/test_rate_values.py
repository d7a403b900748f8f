"""The rates to the last digit: each constant and each bound of the search for a hidden limiter."""

import math

import pytest

from rolecall.engine.throttle.rate_limiter import (
    BELOW,
    CLOSE,
    COARSE,
    ENOUGH,
    EXACT,
    FIRST_PATIENCE,
    IDLE_AFTER,
    MAX_CUT,
    MAX_CUTS,
    MAX_PATIENCE,
    RECENT,
    STEP,
    TRIAL,
    UNMEASURED_CUT,
    LearntLimit,
    LearntRate,
    PacedRateLimiter,
    _end_search,
    _longer,
    _search_higher,
    _search_lower,
)


def limit_of(rate: LearntRate) -> LearntLimit:
    """Return the limit, which is known."""
    assert rate._limit is not None
    return rate._limit


def accept(rate: LearntRate, *moments: float) -> None:
    """Record accepted calls that are answered at once."""
    for moment in moments:
        rate.record_acceptance(moment, moment)


def found(per_second: float, own: float | None = 50.0, since: float = 0.0) -> LearntRate:
    """Return a rate that was found; one call was accepted at 0."""
    rate = LearntRate(own)
    accept(rate, 0.0)
    rate._set(LearntLimit(per_second, since, per_second, per_second * CLOSE, is_found=True))
    return rate


# The own rate


def test_a_slower_rate_moves_the_next_slot() -> None:
    """The next slot is one of the new intervals after the last slot, and comes back with the own rate."""
    limiter = PacedRateLimiter(10.0)
    limiter.reserve(1000.0)
    slot = limiter.assign_slot(1000.0)
    own = (1 + EXACT.headroom) / 10
    for per_second, interval in ((5.0, 0.2), (2.0, 0.5), (20.0, own), (math.inf, own)):
        limiter.slow_down(per_second)
        assert limiter.next_slot(1000.0) == pytest.approx(slot + interval, abs=1e-9)


def test_a_slowed_rate_makes_up_for_nothing() -> None:
    """The own rate may make up for some milliseconds of lateness; a hidden limiter would refuse such a call."""
    limiter = PacedRateLimiter(100.0)
    for slowed, late in ((math.inf, COARSE.catch_up), (5.0, 0.0)):
        limiter.slow_down(slowed)
        limiter._next = 1000.0 - IDLE_AFTER / 2
        limiter.reserve(1000.0)
        assert limiter.assign_slot(1000.1) == pytest.approx(1000.1 - late)


def test_an_unused_slot_is_lost_after_ten_milliseconds() -> None:
    """A slot that passed a little earlier counts still; with calls that are being prepared none is lost."""
    for passed, slot in ((IDLE_AFTER / 2, 1000.0 - IDLE_AFTER / 2), (2 * IDLE_AFTER, 1000.0)):
        limiter = PacedRateLimiter(10.0)
        limiter._next = 1000.0 - passed
        limiter.reserve(1000.0)
        assert limiter._next == slot
        limiter.reserve(1000.0 + 1.0)
        assert limiter._next == slot


def test_a_call_that_another_limiter_delays_moves_the_next_slot() -> None:
    """The next slot is one interval after the later slot, never earlier than it was."""
    limiter = PacedRateLimiter(10.0)
    limiter.reserve(1000.0)
    slot = limiter.assign_slot(1000.0)
    own = (1 + EXACT.headroom) / 10
    limiter.defer(slot - 1.0)
    assert limiter.next_slot(1000.0) == pytest.approx(slot + own, abs=1e-9)
    limiter.defer(slot + 0.05)
    assert limiter.next_slot(1000.0) == pytest.approx(slot + 0.05 + own, abs=1e-9)


def test_the_lead_is_that_of_rfc_6298() -> None:
    """The first preparation counts with half of it as the deviation; later ones by an eighth and a quarter."""
    limiter = PacedRateLimiter(10.0)
    assert limiter.lead == 0.0
    limiter.record_preparation(0.010)
    assert limiter.lead == pytest.approx(0.010 + 4 * 0.005)
    limiter.record_preparation(0.020)
    assert limiter.lead == pytest.approx(0.01125 + 4 * 0.00625)


def test_a_cancelled_reservation_is_none() -> None:
    """After it the next slot is the one that was free before."""
    limiter = PacedRateLimiter(10.0)
    limiter.reserve(1000.0)
    limiter.reserve(1000.0)
    limiter.cancel_reservation()
    limiter.cancel_reservation()
    assert limiter.next_slot(1000.0) == 1000.0


# The first cut


def test_an_unlimited_rate_is_cut_to_what_the_last_calls_measured() -> None:
    """The last eight calls count, from the first of them to the refusal, and a tenth of a second at least."""
    rate = LearntRate(None)
    accept(rate, *(0.001 * number for number in range(50)), *(1.0 + 0.1 * number for number in range(ENOUGH)))
    assert rate.record_refusal(1.701, 1.9)
    assert limit_of(rate).rate == pytest.approx(ENOUGH / 0.9)
    quick = LearntRate(None)
    accept(quick, 1.0)
    assert quick.record_refusal(1.0, 1.01)
    assert limit_of(quick).rate == pytest.approx(1 / 0.1)


@pytest.mark.parametrize("gap", [0.001, 0.0, -0.5])
def test_the_first_cut_is_to_half_of_the_own_rate(gap: float) -> None:
    """However soon after the last accepted call the refused one left, and in whichever order."""
    rate = LearntRate(50.0)
    accept(rate, 1.0)
    assert rate.record_refusal(1.0 + gap, 1.1)
    assert limit_of(rate) == LearntLimit(25.0, 1.1, 0.0, 50.0, patience=2 * FIRST_PATIENCE)


def test_a_refusal_counts_until_five_seconds_after_the_last_accepted_call() -> None:
    """Later it is an outage."""
    for seconds, passes in ((RECENT, True), (RECENT + 0.001, False)):
        rate = LearntRate(50.0)
        accept(rate, 1.0)
        assert rate.record_refusal(1.0 + seconds, 1.0 + seconds) is passes


# A found rate


def test_a_found_rate_is_cut_to_a_little_less_than_what_was_accepted() -> None:
    """Twenty calls were accepted in 2.01 s between two refusals."""
    rate = found(11.0)
    assert rate.record_refusal(0.05, 0.05)
    assert limit_of(rate).rate == pytest.approx(UNMEASURED_CUT * 11.0)
    accept(rate, *(0.05 + 0.1 * number for number in range(1, 21)))
    assert rate.record_refusal(2.06, 2.06)
    assert limit_of(rate).rate == pytest.approx(BELOW * 20 / 2.01)


@pytest.mark.parametrize(("calls", "is_measured"), [(ENOUGH - 1, False), (ENOUGH, True)])
def test_eight_calls_are_a_measurement(calls: int, is_measured: bool) -> None:
    """With fewer the rate is cut by a twentieth."""
    rate = found(11.0)
    rate.record_refusal(0.05, 0.05)
    before = limit_of(rate).rate
    accept(rate, *(0.05 + 0.1 * number for number in range(1, calls + 1)))
    rate.record_refusal(0.05 + 0.1 * calls, 0.05 + 0.1 * calls)
    assert limit_of(rate).rate == pytest.approx(BELOW * 10 if is_measured else UNMEASURED_CUT * before)


def test_a_single_cut_is_a_tenth_at_most_and_a_fiftieth_at_least() -> None:
    """Whatever was measured."""
    for spacing, factor in ((0.5, MAX_CUT), (0.001, BELOW)):
        rate = found(10.0)
        rate.record_refusal(0.05, 0.05)
        before = limit_of(rate).rate
        accept(rate, *(0.05 + spacing * number for number in range(1, 11)))
        rate.record_refusal(9.0, 0.05 + spacing * 10)
        assert limit_of(rate).rate == pytest.approx(factor * before)


def test_a_call_that_left_before_the_cut_cuts_nothing() -> None:
    """One that left at the very moment does."""
    rate = found(10.0)
    rate.record_refusal(1.0, 2.0)
    cut = limit_of(rate)
    assert cut.since == 2.0
    assert rate.record_refusal(1.999, 2.5)
    assert limit_of(rate) == cut
    assert rate.record_refusal(2.0, 2.5)
    assert limit_of(rate).rate < cut.rate


def test_three_calls_that_left_since_the_cut_raise_the_rate() -> None:
    """Those that left before it show nothing; one that left at the very moment counts."""
    rate = LearntRate(50.0)
    accept(rate, 1.0)
    rate.record_refusal(1.0, 1.1)
    for sent_at in (1.05, 1.09, *[1.1] * (TRIAL - 1)):
        rate.record_acceptance(sent_at, 1.2)
    assert limit_of(rate).rate == 25.0
    rate.record_acceptance(1.1, 1.3)
    assert limit_of(rate) == LearntLimit(math.sqrt(25.0 * 50.0), 1.3, 25.0, 50.0, patience=FIRST_PATIENCE)


def test_an_outage_gives_the_limit_before_it_back() -> None:
    """Three refusals in a row are none of a limiter: the found rate counts again, from then on."""
    rate = found(10.0)
    moments = (1.0, 1.1, 1.2)
    assert [rate.record_refusal(moment, moment) for moment in moments] == [True] * MAX_CUTS + [False]
    assert limit_of(rate) == LearntLimit(10.0, 1.2, 10.0, 10.0 * CLOSE, is_found=True)


def test_refusals_soon_after_an_outage_are_a_limiters() -> None:
    """For five seconds after a call was accepted again."""
    for seconds, is_limiter in ((RECENT, True), (RECENT + 0.5, False)):
        rate = found(10.0)
        rate.record_refusal(0.5, 0.5)
        accept(rate, 1.0)
        rate._accepted_at.append(1.0 + seconds)
        at = 1.0 + seconds
        assert [rate.record_refusal(at, at) for _ in range(MAX_CUTS + 1)][-1] is is_limiter


def test_the_time_of_a_break_is_no_measurement() -> None:
    """After a suspension of the process a refusal lowers the rate to that of the calls since, not over the break."""
    rate = LearntRate(None)
    for at in (0.0, 0.1, 0.2, 4000.0, 4000.5):
        rate.record_acceptance(at, at)
    assert rate.record_refusal(4001.0, 4001.0)
    assert rate._limit is not None
    assert rate._limit.rate == pytest.approx(1.0)


def test_a_limit_that_is_not_below_the_own_rate_is_none() -> None:
    """Then the limiter counts as gone."""
    rate = LearntRate(50.0)
    for per_second, is_gone in ((49.9, False), (50.0, True)):
        rate._set(LearntLimit(per_second, 0.0))
        assert (rate._limit is None) is is_gone


# The search


@pytest.mark.parametrize("accepted", [10.0, 20.0])
def test_an_accepted_rate_that_is_refused_now_counts_no_more(accepted: float) -> None:
    """The search begins anew, at half of the refused rate."""
    limit = _search_lower(LearntLimit(30.0, 0.0, accepted, 60.0), 10.0, 7.0)
    assert limit == LearntLimit(5.0, 7.0, 0.0, 10.0, patience=2 * FIRST_PATIENCE)


def test_the_search_goes_on_between_the_accepted_and_the_refused_rate() -> None:
    """The trial is their geometric mean."""
    limit = _search_lower(LearntLimit(30.0, 0.0, 10.0, 60.0), 40.0, 7.0)
    assert limit == LearntLimit(20.0, 7.0, 10.0, 40.0, patience=2 * FIRST_PATIENCE)


def test_a_search_above_a_found_rate_keeps_its_patience() -> None:
    """It tries up to a quarter more; a search that goes on begins with the first patience again."""
    known = LearntLimit(10.0, 0.0, 10.0, 10.6, is_found=True, patience=64)
    tried = _search_higher(known, 7.0)
    assert tried == LearntLimit(math.sqrt(10.0 * 10.0 * STEP), 7.0, 10.0, 10.0 * STEP, patience=64)
    assert _search_higher(LearntLimit(10.0, 0.0, 5.0, math.inf, patience=64), 7.0) == tried._replace(
        patience=FIRST_PATIENCE
    )


def test_the_search_ends_where_both_rates_are_close() -> None:
    """The found rate is a little below the accepted one."""
    far = LearntLimit(103.0, 7.0, 100.0, 100.0 * CLOSE)
    assert _end_search(far) == far
    close = far._replace(refused_rate=105.9)
    assert _end_search(close) == close._replace(rate=98.0, is_found=True)


def test_the_patience_doubles_up_to_its_bound() -> None:
    """After a refusal a found rate is searched anew twice as late."""
    assert [_longer(patience) for patience in (16, 32, 200)] == [32, 64, MAX_PATIENCE]


def test_only_a_slowed_rate_counts_from_the_departure() -> None:
    """A hidden limiter may refuse a call that follows a late one too soon; the own rate makes up for the lateness."""
    for per_second, next_slot in ((math.inf, 1000.0 + (1 + EXACT.headroom) / 10), (5.0, 1000.002 + 0.2)):
        limiter = PacedRateLimiter(10.0)
        limiter.slow_down(per_second)
        limiter.reserve(1000.0)
        limiter._next = 1000.0
        limiter.assign_slot(1000.0)
        limiter.record_departure(1000.002)
        assert limiter.next_slot(1000.002) == pytest.approx(next_slot, abs=1e-9)
