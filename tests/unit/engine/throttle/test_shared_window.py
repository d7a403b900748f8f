"""Clients behind one address that share a window: one call at a time, and each answer is believed."""

import pytest

from rolecall.engine.throttle.window_signs import SharedWindowDetector
from tests.bench.shared_window import FULL_WINDOWS, Window, divided, ideal, simulate


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("clients", "refused"), [(1, 0.0), (2, 0.10), (4, 0.25), (8, 0.40)])
def test_few_calls_are_refused_and_no_window_is_left_unused(clients: int, refused: float, seed: int) -> None:
    """On a window of 10 calls: at most these parts of all calls, at 1.01 of the time of one client alone."""
    window, rows = Window(10, 60.0), FULL_WINDOWS * 10
    outcome = simulate(divided(rows, clients), window, seed=seed)
    assert outcome.refused / outcome.calls <= refused
    assert outcome.seconds <= 1.01 * ideal(rows, window)


@pytest.mark.parametrize("clients", [2, 4, 8])
def test_a_large_window_is_shared_without_going_one_by_one(clients: int) -> None:
    """On a window of 600 calls, hardly a call is refused and the windows are filled."""
    window, rows = Window(600, 60.0), FULL_WINDOWS * 600
    outcome = simulate(divided(rows, clients), window)
    assert outcome.refused / outcome.calls <= 0.02
    assert outcome.seconds <= 1.01 * ideal(rows, window)


def test_more_calls_counted_than_sent_are_anothers() -> None:
    """The suspicion lasts for a window beyond the one in which it arose; a window without a sign ends it."""
    detector = SharedWindowDetector()
    earlier = detector.record_window(1, 1, is_only=True)
    detector.record_count(1 - earlier, 1)
    signs = [detector.is_shared]
    detector.record_count(4, 2)
    signs.append(detector.is_shared)
    detector.record_end()
    signs.append(detector.is_shared)
    assert signs == [False, True, True]
    assert detector.record_window(1, 1, is_only=True) == 0
    for count in (1, 2, 3):
        detector.record_count(count, count)
    detector.record_end()
    assert not detector.is_shared


def test_a_first_window_that_had_begun_is_suspected_while_it_lasts() -> None:
    """Its earlier calls may be those of an earlier run."""
    detector = SharedWindowDetector()
    assert detector.record_window(4, 1, is_only=True) == 3
    detector.record_count(1, 1)
    signs = [detector.is_shared]
    detector.record_end()
    assert [*signs, detector.is_shared] == [True, False]


def test_another_instance_is_no_sign() -> None:
    """A window beside a known one is another instance's; what it has counted so far says nothing of others."""
    detector = SharedWindowDetector()
    detector.record_window(1, 1, is_only=True)
    assert detector.record_window(5, 2, is_only=False) == 3
    assert not detector.is_shared


@pytest.mark.parametrize(("left", "in_flight"), [(0, 1), (1, 1), (31, 1), (32, 2), (600, 37)])
def test_calls_in_flight_in_a_shared_window(left: int, in_flight: int) -> None:
    """A sixteenth of what is left, and at least one."""
    assert SharedWindowDetector().max_in_flight(left) == in_flight
