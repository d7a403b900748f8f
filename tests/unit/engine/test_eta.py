"""How long a run will take."""

import pytest

from rolecall.engine.eta import Estimate, estimate_duration
from rolecall.rocketchat.rate_limit_headers import Limits

T = 1_700_000_000.0


@pytest.mark.parametrize(
    ("rows", "rate", "limits", "date", "expected"),
    [
        (100, 10.0, None, None, Estimate(10.0, 600.0, by_server=False)),
        (420, 10.0, Limits(10, 9, T + 60.2), T, Estimate(2520.0, 10.0, by_server=True)),
        (420, None, Limits(10, 9, T + 60.0), T, Estimate(2520.0, 10.0, by_server=True)),
        (100, 10.0, Limits(10, 9, T + 1.1), T, Estimate(10.0, 600.0, by_server=True)),
        (100, 1.0, Limits(10, 9, T + 1.0), T, Estimate(100.0, 60.0, by_server=False)),
        (100, 10.0, Limits(10, 3, T + 20.0), T, Estimate(600.0, 10.0, by_server=True)),
        (100, 10.0, Limits(10, 9, T + 20.0), None, Estimate(600.0, 10.0, by_server=True)),
        (100, None, Limits(10, 9, T + 0.2), T, Estimate(10.0, 600.0, by_server=True)),
        (0, 10.0, None, None, Estimate(0.0, 600.0, by_server=False)),
        (100, None, None, T, None),
    ],
)
def test_the_slower_limit_decides(
    rows: int, rate: float | None, limits: Limits | None, date: float | None, expected: Estimate | None
) -> None:
    """The own rate or the server's window, whichever is slower; the window's length only from a fresh window."""
    assert estimate_duration(rows, rate, limits, date) == (expected and pytest.approx(expected))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (Estimate(2520.0, 10.0, by_server=True), "about 42 minutes at the server's 10 a minute"),
        (Estimate(10.0, 1200.0, by_server=False), "about 10 seconds at your own 1,200 a minute"),
    ],
)
def test_an_estimate_reads_as_a_person_says_it(told: Estimate, words: str) -> None:
    """The words name the time, whose limit it is and the pace."""
    assert str(told) == words
