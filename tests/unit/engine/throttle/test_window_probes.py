"""Calls beyond the limit: the probe of an exempt account, and the question whether `Date` is right."""

import pytest

from rolecall.engine.throttle.server_window import NOW, FixedWindowTracker
from rolecall.engine.throttle.window_signs import Exemption
from tests.unit.engine.answers import LOST
from tests.unit.engine.throttle.trackers import answer, exchange, tracker_with


def full(exemption: Exemption) -> FixedWindowTracker:
    """Return a tracker whose window is full, of an account that may be exempt."""
    return tracker_with(answer(9, 10.5, 0.5), answer(0, 10.5, 1.0), exemption=exemption)


def test_responses_of_one_route_end_no_probe_of_another() -> None:
    """Only the route that probes ends its probe."""
    exemption = Exemption(is_possible=True)
    probing = full(exemption)
    assert probing.opens_at(2.0) == NOW
    probing.record_request(2.0)
    other = tracker_with(answer(9, 10.5, 0.5), exemption=exemption)
    assert not exemption.may_probe
    probing.record_response(LOST)
    exchange(other, answer(0, 10.5, 2.5))
    other.record_request(3.0)
    for _ in range(2):
        exchange(probing, answer(0, 10.5, 3.5)._replace(sent_at=0.5))
        assert not exemption.may_probe


def test_calls_that_are_answered_late_hide_no_proof() -> None:
    """The window was full from the first `Remaining: 0` on, though a call before it is answered after it."""
    exemption = Exemption(is_possible=True)
    tracker = tracker_with(answer(9, 10.5, 0.5), exemption=exemption)
    for _ in range(2):
        tracker.record_request(1.0)
    for left, at in ((0, 1.25), (1, 1.5)):
        tracker.record_response(answer(left, 10.5, at)._replace(sent_at=1.0))
    exchange(tracker, answer(0, 10.5, 2.0))
    assert exemption.is_proven


@pytest.mark.parametrize("end", ["lost", "cancelled", "answered in a new window"])
def test_a_probe_without_a_result_may_be_repeated(end: str) -> None:
    """Where it was not answered, did not leave, or came into a window that had room."""
    exemption = Exemption(is_possible=True)
    tracker = full(exemption)
    tracker.record_request(2.0)
    assert not exemption.may_probe
    if end == "cancelled":
        tracker.cancel_request()
    else:
        tracker.record_response(LOST if end == "lost" else answer(9, 21.75, 11.75)._replace(sent_at=2.0))
    assert exemption.may_probe


def test_a_call_beyond_the_limit_of_one_instance_is_a_probe() -> None:
    """It may reach that instance, though another one has room."""
    exemption = Exemption(is_possible=True)
    tracker = full(exemption)
    tracker.record_request(2.0)
    tracker.record_response(answer(5, 14.25, 4.25))
    assert tracker.opens_at(4.5) == NOW
    tracker.record_request(4.5)
    assert not exemption.may_probe


def test_a_call_beside_another_one_is_no_probe() -> None:
    """Its answer would not show which of the two was beyond the limit."""
    exemption = Exemption(is_possible=True)
    tracker = tracker_with(answer(9, 10.5, 0.5), exemption=exemption)
    for _ in range(2):
        tracker.record_request(1.0)
    tracker.record_response(answer(0, 10.5, 1.2))
    tracker.record_request(1.3)
    assert exemption.may_probe


def test_an_answer_is_no_refusal() -> None:
    """It leaves the exemption as possible as it was."""
    exemption = Exemption(is_possible=True)
    tracker_with(answer(9, 10.5, 0.5), exemption=exemption)
    assert exemption.may_probe


def test_a_proven_exemption_shows_no_window() -> None:
    """Its headers limit nothing, though a limit is known."""
    exemption = Exemption(is_possible=True)
    tracker = full(exemption)
    assert tracker.status(1.5) is not None
    exchange(tracker, answer(0, 10.5, 2.0))
    assert exemption.is_proven
    assert (tracker.status(2.0), tracker.opens_at(2.0)) == (None, NOW)


def test_an_unusual_length_is_questioned_by_one_call() -> None:
    """Where that call is lost, the next one waits for the end of the window."""
    tracker = tracker_with(answer(9, 18.5, 0.5), answer(0, 18.5, 1.0))
    assert tracker.opens_at(2.0) == NOW
    tracker.record_request(2.0)
    tracker.record_response(LOST)
    assert 18.5 <= tracker.opens_at(3.0) < 19.6
