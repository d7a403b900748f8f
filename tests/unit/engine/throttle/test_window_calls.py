"""How the window counts calls: those that are lost, that end in another window, and that others sent."""

import math

import pytest

from rolecall.engine.throttle.server_window import NOW, ROUND_TRIPS, SCOUT_TIMEOUT, FixedWindowTracker
from rolecall.models import NoReply, Reply
from tests.unit.engine.answers import GOOD, LOST, NO_CONNECTION, SERVER_ERROR, TOO_MANY, reply, windowed
from tests.unit.engine.throttle.trackers import SERVER, answer, exchange, tracker_with, without


def left_in(tracker: FixedWindowTracker, now: float) -> int:
    """Return what the fullest window still accepts."""
    status = tracker.status(now)
    assert status is not None
    return status.left


# Calls without an answer


@pytest.mark.parametrize(("lost", "left"), [(LOST, 8), (NO_CONNECTION, 9)])
def test_a_lost_call_is_counted_where_the_server_may_have_got_it(lost: NoReply, left: int) -> None:
    """In every known window, for it may have reached any instance; a call that did not arrive is not counted."""
    tracker = tracker_with(answer(9, 10.5, 0.5))
    tracker.record_request(1.0)
    tracker.record_response(lost)
    assert left_in(tracker, 1.5) == left
    exchange(tracker, answer(4, 14.25, 2.25))  # of another instance
    for _ in range(4):
        tracker.record_request(3.0)
        tracker.record_response(lost)
    assert left_in(tracker, 3.5) == (0 if lost.maybe_sent else 4)
    assert tracker.in_flight == 0


def test_a_call_after_a_slow_one_waits_for_two_round_trips() -> None:
    """A response that takes longer than a second is not overdue after a second."""
    tracker = tracker_with(answer(0, 10.5, 1.5)._replace(sent_at=0.0))
    tracker.record_request(20.0)
    assert tracker.opens_at(20.0) == 20.0 + ROUND_TRIPS * 1.5 > 20.0 + SCOUT_TIMEOUT


def test_a_first_window_that_ended_before_its_response_came_is_no_window() -> None:
    """Nothing is known but the limit: the next call goes alone, and another one follows it once it is overdue."""
    tracker = tracker_with(answer(5, 9.5, 10.25)._replace(sent_at=9.0))
    assert not tracker.is_known
    tracker.record_request(21.0)
    assert tracker.opens_at(21.0) == 21.0 + ROUND_TRIPS * 1.25


# Windows


def test_a_later_response_with_an_earlier_reset_shortens_no_window() -> None:
    """Each response computes the reset anew: the latest one counts."""
    tracker = tracker_with(answer(1, 10.55, 0.55), answer(0, 10.5, 1.0))
    assert 10.55 <= tracker.opens_at(1.0) < 11.0


def test_of_several_full_windows_the_first_end_is_waited_for() -> None:
    """Then the next one: a pause is never longer than it must be."""
    tracker = tracker_with(answer(9, 10.5, 0.5), answer(0, 10.5, 1.0), answer(0, 14.25, 4.25))
    assert 10.5 <= tracker.opens_at(5.0) <= 11.0
    assert 14.25 <= tracker.opens_at(11.0) <= 14.75
    assert tracker.opens_at(15.0) == NOW


def test_a_window_that_is_limited_no_more_is_forgotten() -> None:
    """Where the account is limited again, only its new window counts."""
    tracker = tracker_with(answer(9, 10.5, 0.5))
    for _ in range(2):
        tracker.record_request(1.0)
    tracker.record_response(answer(0, 10.5, 1.1))
    tracker.record_response(reply(200, GOOD, at=1.2))
    assert (tracker.limits_nothing, tracker.is_known, tracker.status(1.2)) == (True, False, None)
    exchange(tracker, answer(5, 12.0, 2.0))
    assert (tracker.limits_nothing, tracker.is_known, tracker.opens_at(2.0)) == (False, True, NOW)


def test_a_first_response_that_refuses_shows_an_account_without_a_limit_too() -> None:
    """Rocket.Chat's own error without the headers shows it, as long as no limit is known."""
    error = b'{"success":false,"error":"No. [error-user-not-leader]"}'
    assert tracker_with(reply(400, error, at=1.0)).limits_nothing
    assert not tracker_with(answer(9, 10.5, 0.5), reply(400, error, at=1.0)).limits_nothing


@pytest.mark.parametrize("answer_without_window", [TOO_MANY, SERVER_ERROR, reply(502, GOOD), reply(201, GOOD)])
def test_only_a_success_shows_that_a_known_limit_is_gone(answer_without_window: Reply) -> None:
    """Refused and failed calls have no headers either; as a first response only those below 429 show something."""
    assert not tracker_with(answer(9, 10.5, 0.5), answer_without_window).limits_nothing
    assert tracker_with(answer_without_window).limits_nothing is (answer_without_window.status < 429)


def test_a_new_window_begins_with_the_calls_in_flight() -> None:
    """A call that left before the end and is answered in the new window is one of its calls: others are noticed."""
    tracker = tracker_with(answer(9, 10.5, 0.5), *(answer(9 - number, 10.5, 0.5 + number) for number in range(1, 5)))
    tracker.record_request(9.9)
    tracker.record_response(answer(9, 21.25, 11.25)._replace(sent_at=9.9))
    exchange(tracker, answer(6, 21.25, 11.5))  # four calls were counted there, of which two are ours
    tracker.record_request(12.0)
    assert tracker.opens_at(12.0) == math.inf


def test_a_shared_window_admits_by_the_instance_that_has_the_least_room() -> None:
    """A sixteenth of it may be in flight."""
    answers = [windowed(100, left, SERVER + 60.5, SERVER + at, at=at) for left, at in ((99, 0.5), (95, 1.0))]
    tracker = tracker_with(*answers, windowed(100, 33, SERVER + 70.25, SERVER + 2.0, at=2.0))
    admitted = [tracker.opens_at(3.0)]
    for _ in range(2):
        tracker.record_request(3.0)
        admitted.append(tracker.opens_at(3.0))
    assert admitted == [NOW, NOW, math.inf]


def test_the_first_call_into_a_shared_window_is_waited_for() -> None:
    """Where others use up the windows too, no call follows it before its answer, however late that is."""
    tracker = tracker_with(answer(9, 10.5, 0.5), answer(5, 10.5, 1.0))
    tracker.record_request(20.0)
    assert tracker.opens_at(20.0) == math.inf
    assert tracker.opens_at(60.0) == math.inf


def test_others_are_noticed_by_the_first_response_of_a_window() -> None:
    """A window that follows another one was begun by no earlier run."""
    tracker = tracker_with(answer(9, 10.5, 0.5), answer(6, 21.25, 11.25))
    tracker.record_request(11.5)
    assert tracker.opens_at(11.5) == math.inf


def test_calls_of_an_earlier_run_are_a_sign_only_while_their_window_lasts() -> None:
    """In the next window calls leave together again."""
    tracker = tracker_with(answer(5, 10.5, 0.5))
    tracker.record_request(1.0)
    assert tracker.opens_at(1.0) == math.inf
    tracker.record_response(answer(4, 10.5, 1.25))
    exchange(tracker, answer(9, 21.25, 11.25))
    tracker.record_request(11.5)
    assert tracker.opens_at(11.5) == NOW


def test_the_end_of_one_instances_window_leaves_the_count_of_another_as_it_is() -> None:
    """Calls count from when no window was known: ours are not taken for another client's."""
    calls = [answer(9, 10.5, 0.5), *(answer(9 - number, 14.25, 4.25 + number / 10) for number in range(4))]
    tracker = tracker_with(*calls, answer(5, 14.25, 12.0))
    tracker.record_request(12.5)
    assert tracker.opens_at(12.5) == NOW


def test_a_refusal_in_a_window_that_should_have_ended_is_no_sign_of_others() -> None:
    """The server's clock was set back: the calls that it counts are ours."""
    tracker = tracker_with(*(answer(9 - number, 10.5, 0.5 + number / 10) for number in range(10)))
    assert tracker.opens_at(11.75) == NOW
    exchange(tracker, answer(0, 10.5, 11.75, 429)._replace(sent_at=11.7))
    exchange(tracker, answer(9, 41.25, 31.25))
    tracker.record_request(31.5)
    assert tracker.opens_at(31.5) == NOW


def test_a_new_window_ends_one_whose_end_is_not_known() -> None:
    """Without a `Date` the other reset is the only sign of it."""
    calls = [(2, 60.5, 0.5), (1, 60.5, 1.0), (0, 60.5, 1.5), (2, 121.25, 61.25)]
    answers = [windowed(3, left, SERVER + ends, SERVER + at, at=at) for left, ends, at in calls]
    tracker = tracker_with(*(without(each, "Date") for each in answers))
    tracker.record_request(61.5)
    assert tracker.opens_at(61.5) == NOW


# The clock


def test_the_date_of_a_response_without_a_window_counts_once_a_limit_is_known() -> None:
    """A schema error has no rate limit headers, and shows the server's clock all the same: the wait is shorter."""
    schema_error = without(answer(0, 0.0, 2.0, 400), "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
    tracker = tracker_with(answer(0, 10.0, 1.75))
    before = tracker.opens_at(2.0)
    exchange(tracker, schema_error)
    assert before == pytest.approx(10.75, abs=0.01)
    assert tracker.opens_at(2.0) == pytest.approx(10.0, abs=0.01)


def test_the_date_of_a_foreign_response_before_the_first_window_is_left_aside() -> None:
    """A captive portal has a clock of its own: the server's stays beyond doubt."""
    portal = without(answer(0, 0.0, 100.0), "X-RateLimit-Limit")._replace(body=b"<html>", sent_at=0.0, received_at=0.0)
    tracker = tracker_with(portal, answer(9, 10.5, 0.5), answer(0, 10.5, 1.0))
    assert 10.5 <= tracker.opens_at(1.0) <= 11.0


def test_the_status_shows_the_length_of_a_window_whose_end_is_not_known() -> None:
    """After the clock was set only the length is known: the next window begins in that time at the latest."""
    tracker = tracker_with(answer(9, 10.5, 0.5), answer(9, 21.75, 11.75))
    tracker._clock.record_wrong_end(30.0, 30.1)
    exchange(tracker, without(answer(4, 42.0, 31.0), "Date"))
    status = tracker.status(31.0)
    assert status is not None
    assert (status.seconds, status.left, status.ends_in) == (10, 4, 10)


def test_a_window_that_an_earlier_run_filled_contradicts_no_length() -> None:
    """A first call that is refused was no question: the length of the next window is learnt."""
    tracker = tracker_with(answer(0, 10.5, 4.5, 429)._replace(body=b"You must wait 7 seconds"))
    exchange(tracker, answer(9, 21.75, 11.75))
    exchange(tracker, answer(9, 33.25, 23.25))
    status = tracker.status(23.5)
    assert status is not None
    assert status.seconds == 10


def test_refusals_in_a_window_that_should_have_ended_are_counted_one_by_one() -> None:
    """The first of a confirmed length means that a clock was set; another one, sent later, that `Date` is wrong."""
    tracker = tracker_with(answer(9, 10.5, 0.5), answer(9, 21.75, 11.75))
    for at in (22.0, 23.0, 24.0):
        tracker._last_ended = tracker._last_ended or tracker._windows[0]
        tracker.opens_at(at)
        exchange(tracker, answer(0, 21.75, at, 429)._replace(body=b"You must wait 0 seconds", sent_at=at - 0.1))
    assert tracker._clock._wrong_ends == 3


@pytest.mark.parametrize(("later", "ends"), [(0.0, 41.004), (0.0625, 41.0665)])
def test_a_window_ends_its_length_after_its_first_response_at_the_latest(later: float, ends: float) -> None:
    """And as much later as its reset has become later meanwhile: a little drift, and a little safety."""
    tracker = tracker_with(answer(9, 10.5, 0.5), answer(9, 21.75, 11.75))
    tracker._clock.record_wrong_end(30.0, 30.1)
    for left, at, reset in ((4, 31.0, 42.0), (3, 31.5, 42.0 + later)):
        exchange(tracker, without(answer(left, reset, at), "Date"))
    for at, is_known in ((ends - 0.001, True), (ends + 0.001, False)):
        tracker.opens_at(at)
        assert tracker.is_known is is_known
