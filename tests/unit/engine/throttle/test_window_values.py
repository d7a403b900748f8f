"""The server's clock and its windows to the last digit."""

import pytest

from rolecall.engine.throttle.server_clock import ServerClock
from rolecall.engine.throttle.server_window import FixedWindowTracker
from rolecall.engine.throttle.window_signs import Exemption, SharedWindowDetector
from rolecall.models import RateLimitStatus
from tests.unit.engine.throttle.trackers import SERVER, answer, tracker_with, without


def clock_of(length: float, *openings: float) -> ServerClock:
    """Return a clock that has seen windows of so many seconds begin at these moments; both clocks agree."""
    clock = ServerClock()
    for began in openings:
        clock.record_date(SERVER + began // 1, began, began)
        clock.record_reset(SERVER + began + length, began, began)
        clock.record_window_start(SERVER + began + length, began, began)
    return clock


# What displays show


def test_the_status_is_that_of_the_fullest_window() -> None:
    """Calls in flight count, none are left below nought, and its end is that of our clock."""
    tracker = tracker_with(answer(9, 10.5, 0.5))
    assert tracker.status(2.0) == pytest.approx((10, 10, 9, 8.5), abs=0.01)
    tracker.record_request(2.0)
    assert tracker.status(2.0) == pytest.approx((10, 10, 8, 8.5), abs=0.01)
    tracker.record_response(answer(0, 14.25, 4.25))  # of another instance
    tracker.record_request(5.0)
    assert tracker.status(5.0) == pytest.approx((10, 10, 0, 9.25), abs=0.01)
    assert tracker.status(20.0) == RateLimitStatus(10, 10, 9, 10.0)


def test_the_status_without_a_known_end() -> None:
    """Without a `Date` neither the length nor the end is known."""
    tracker = tracker_with(without(answer(4, 10.5, 0.5), "Date"), max_wait=50.0)
    assert tracker.status(2.0) == RateLimitStatus(10, None, 4, 0.0)
    assert tracker.status(60.0) == RateLimitStatus(10, None, 10, 0.0)
    for _ in range(12):
        tracker.record_request(60.0)
    assert tracker.status(60.0) == RateLimitStatus(10, None, 0, 0.0)
    assert FixedWindowTracker().status(0.0) is None


@pytest.mark.parametrize("wait", [5.0, 6.03, 6.5, 7.0, 7.02, 7.5, 9.0])
def test_the_end_of_a_refusing_window(wait: float) -> None:
    """The clock's own end counts where the sentence, which is rounded up, agrees: within 50 ms."""
    tracker = tracker_with(answer(9, 10.5, 0.5))
    seconds = tracker.ends_after(answer(0, 10.5, 4.5, 429), wait)
    agrees = wait in (6.03, 6.5, 7.0, 7.02)
    assert seconds == pytest.approx(6.0, abs=0.01) if agrees else seconds == wait


# What refusals show of the clock


def test_a_refusal_bounds_the_clock() -> None:
    """Rounded up, the wait leaves a second; a second refusal narrows it, and shows nothing new."""
    clock = ServerClock()
    clock.record_reset(SERVER + 10.5, 7.0, 7.2)
    assert clock.record_refusal(SERVER + 10.5, 3.0, 7.0, 7.2)
    assert clock._offset == pytest.approx((SERVER + 0.3, SERVER + 1.5, 7.2), abs=1e-6)
    clock.record_wrong_end(7.1, 7.3)
    assert clock._wrong_ends == 0, "it was in flight beside the first one"
    assert not clock.record_refusal(SERVER + 10.5, 1.0, 9.4, 9.5)
    assert clock._refused == pytest.approx((SERVER + 0.3, SERVER + 1.1, 9.5), abs=1e-3)
    assert clock._wrong_end_at == 7.2


def test_a_refusal_with_a_reset_in_whole_seconds_leaves_one_second_more() -> None:
    """The reset is cut down too, and so may be those of the openings before."""
    clock = ServerClock()
    clock.record_date(SERVER, 0.0, 0.1)
    clock.record_window_start(SERVER + 10.0, 0.0, 0.1)
    assert clock.record_refusal(SERVER + 10.0, 3.0, 7.0, 7.2)
    assert clock._refused == pytest.approx((SERVER - 0.2, SERVER + 2.0, 7.2), abs=1e-6)
    assert clock._offset_and_length == pytest.approx((SERVER + 9.9, SERVER + 11.0, 0.1), abs=1e-6)


def test_a_refusal_that_contradicts_date_ends_its_use() -> None:
    """The offset is then that of the refusals, and the length is guessed anew."""
    clock = clock_of(10.0, 0.5)
    assert clock.record_refusal(SERVER + 10.5, 2.0, 3.0, 3.0)
    assert not clock._uses_date
    assert clock._offset == clock._refused
    assert clock._offset == pytest.approx((SERVER + 5.5, SERVER + 6.5, 3.0), abs=1e-6)
    assert clock.window_length == 4
    assert (clock._may_guess, clock._is_length_confirmed) == (True, False)


# Windows that did not end when they should have


def test_the_first_wrong_end_of_a_confirmed_length_means_that_a_clock_was_set() -> None:
    """What was known of the clock is dropped, not the length; the next one drops the guess."""
    clock = clock_of(10.0, 0.5, 11.25)
    assert clock._is_length_confirmed
    clock.record_wrong_end(30.0, 30.1)
    assert (clock._offset, clock._offset_and_length, clock._is_length_confirmed) == (None, None, False)
    assert (clock.window_length, clock._may_guess, clock._wrong_ends) == (10, True, 1)
    clock.record_wrong_end(30.05, 30.2)
    assert clock._wrong_ends == 1, "it left before the first one was known"
    clock.record_wrong_end(30.1, 30.3)
    assert (clock._wrong_ends, clock._may_guess, clock._uses_date) == (2, False, True)


def test_the_second_wrong_end_ends_the_use_of_date_where_refusals_show_the_clock() -> None:
    """The first one of a length that is not confirmed drops the guess."""
    clock = clock_of(10.0, 0.5)
    assert not clock.record_refusal(SERVER + 10.5, 7.0, 4.0, 4.0)
    clock.record_wrong_end(11.0, 11.1)
    assert (clock._may_guess, clock._uses_date) == (False, True)
    clock.record_wrong_end(12.0, 12.1)
    assert (clock._may_guess, clock._uses_date) == (True, False)
    assert clock._offset == clock._refused


# When `Date` is questioned


def test_an_unusual_length_is_questioned_once() -> None:
    """A usual one and a confirmed one are not, nor one that is not guessed any more."""
    clock = clock_of(18.0, 0.5)
    assert clock.is_date_doubtful(None)
    clock.record_question()
    assert not clock.is_date_doubtful(None)
    assert not clock_of(18.0, 0.5, 20.25).is_date_doubtful(None)
    assert not clock_of(10.0, 0.5).is_date_doubtful(None)
    assert not ServerClock().is_date_doubtful(SERVER)
    dropped = clock_of(18.0, 0.5)
    dropped.drop_guess()
    assert not dropped.is_date_doubtful(None)


@pytest.mark.parametrize(
    ("ahead", "is_doubtful"), [(5.0, True), (5.09, True), (4.91, True), (5.2, False), (4.8, False), (3.0, False)]
)
def test_the_own_clock_makes_the_length_a_usual_one(ahead: float, is_doubtful: bool) -> None:
    """Within a tenth of a second, and only where it is ahead of `Date` by more than one."""
    assert clock_of(10.0, 0.5).is_date_doubtful(SERVER + ahead) is is_doubtful


def test_an_own_clock_that_is_hardly_ahead_shows_nothing() -> None:
    """`Date` is cut to the second: a window of 6 s is none of 5 s because of less than a second more."""
    clock = clock_of(6.0, 0.5)  # by `Date` the offset is half a second more at most
    assert not clock.is_date_doubtful(SERVER + 1.0)
    assert clock_of(10.0, 0.5).is_date_doubtful(SERVER + 2.0)


def test_a_date_that_was_set_back_is_questioned() -> None:
    """Until a refusal has contradicted nothing; the next one is a wrong end."""
    clock = clock_of(10.0, 0.5)
    clock.record_date(SERVER - 8.0, 2.0, 2.0)
    assert clock.is_date_doubtful(None)
    clock.record_right_date(3.0, 3.1)
    assert (clock._was_date_set_back, clock._wrong_ends) == (False, 0)
    clock.record_right_date(4.0, 4.1)
    assert (clock._wrong_ends, clock._wrong_end_at) == (1, 4.1)


def test_the_last_second_of_a_window_is_shown() -> None:
    """Less than a second is left, not a whole one."""
    status = tracker_with(answer(9, 10.5, 0.5)).status(10.25)
    assert status is not None
    assert status.ends_in == pytest.approx(0.25, abs=0.01)


# Other clients, and accounts that are exempt


def test_a_probe_that_ends_without_news_may_be_repeated() -> None:
    """The exemption is as possible as before."""
    exemption = Exemption(is_possible=True)
    exemption.start_probe()
    assert not exemption.may_probe
    exemption.end_probe()
    assert exemption.may_probe


def test_two_responses_without_a_sign_end_the_suspicion() -> None:
    """One alone shows nothing; the suspicion of a first window ends with it in any case."""
    for responses, is_shared in ((1, True), (2, False)):
        detector = SharedWindowDetector()
        detector.record_window(0, 0, is_only=True)
        detector.record_count(5, 1)
        detector.record_end()
        assert detector.is_shared
        for _ in range(responses):
            detector.record_count(1, 1)
        detector.record_end()
        assert detector.is_shared is is_shared


def test_the_first_window_is_suspected_only_while_it_lasts() -> None:
    """An earlier run may have begun it; what others do later is a suspicion of its own."""
    detector = SharedWindowDetector()
    seen = [detector.record_window(5, 1, is_only=True), detector.is_shared]
    detector.record_end()
    seen.append(detector.is_shared)
    detector.record_window(0, 0, is_only=True)
    detector.record_count(5, 1)
    detector.record_end()
    detector.record_count(1, 1)
    detector.record_end()
    seen.append(detector.is_shared)  # one response is no sign
    assert seen == [4, True, False, True]
