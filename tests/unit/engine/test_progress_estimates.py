"""How long a run will take."""

import pytest

from rolecall.engine.progress import Estimate, estimate_duration, estimate_remaining
from rolecall.models import RateLimitPause, RateLimitStatus
from rolecall.rocketchat.rate_limit_headers import Limits

T = 1_700_000_000.0


def upper_bound(seconds: float, per_minute: float) -> Estimate:
    """Return the estimate from the server's limit."""
    return Estimate(seconds, per_minute, by_server=True, is_upper_bound=True)


@pytest.mark.parametrize(
    ("rows", "rate", "limits", "date", "expected"),
    [
        (100, 10.0, None, None, Estimate(10.0, 600.0, by_server=False)),
        (420, 10.0, Limits(10, 9, T + 60.2), T, upper_bound(41 * 60 + 1.0, 10.0)),
        (420, None, Limits(10, 9, T + 60.0), T, upper_bound(41 * 60.0, 10.0)),
        (421, None, Limits(10, 9, T + 60.0), T, upper_bound(42 * 60.0, 10.0)),
        (300, 10.0, Limits(10, 9, T + 6.7), T, upper_bound(29 * 6 + 1.0, 100.0)),
        (6, 10.0, Limits(10, 9, T + 60.0), T, Estimate(0.6, 600.0, by_server=False)),
        (10, 10.0, Limits(10, 9, T + 60.0), T, Estimate(1.0, 600.0, by_server=False)),
        (11, 10.0, Limits(10, 9, T + 60.0), T, upper_bound(60.1, 10.0)),
        (6, None, Limits(10, 9, T + 60.0), T, None),
        (100, 10.0, Limits(10, 9, T + 1.1), T, Estimate(10.0, 600.0, by_server=False)),
        (100, 1.0, Limits(10, 9, T + 1.0), T, Estimate(100.0, 60.0, by_server=False)),
        (100, 10.0, Limits(10, 3, T + 20.0), T, upper_bound(541.0, 10.0)),
        (100, 10.0, Limits(10, 3, T + 300.0), T, upper_bound(2701.0, 2.0)),
        (100, 10.0, Limits(10, 9, T + 20.0), None, upper_bound(541.0, 10.0)),
        (100, None, Limits(10, 9, T + 0.2), T, upper_bound(9.0, 600.0)),
        (0, 10.0, None, None, Estimate(0.0, 600.0, by_server=False)),
        (0, 10.0, Limits(10, 9, T + 60.0), T, Estimate(0.0, 600.0, by_server=False)),
        (100, None, None, T, None),
    ],
)
def test_the_slower_limit_decides(
    rows: int, rate: float | None, limits: Limits | None, date: float | None, expected: Estimate | None
) -> None:
    """The own rate or the server's windows after the first, whichever is slower; a fresh window shows their length."""
    assert estimate_duration(rows, rate, limits, date) == (expected and pytest.approx(expected))


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (Estimate(2520.0, 10.0, by_server=True), "about 42 minutes at the server's 10 a minute"),
        (upper_bound(2520.0, 10.0), "at most about 42 minutes at the server's 10 a minute"),
        (Estimate(10.0, 1200.0, by_server=False), "about 10 seconds at your own 1,200 a minute"),
    ],
)
def test_an_estimate_reads_as_a_person_says_it(estimate: Estimate, words: str) -> None:
    """The words name the time, whose limit it is and the pace."""
    assert str(estimate) == words


def window(left: int, ends_in: float, *, limit: int = 10, seconds: float | None = 60.0) -> RateLimitStatus:
    """Give the workspace's limit."""
    return RateLimitStatus(limit, seconds, left, ends_in)


@pytest.mark.parametrize(
    ("rows", "speed", "allowance", "pause", "seconds"),
    [
        (0, None, None, None, 0.0),
        (0, 10.0, window(0, 30), RateLimitPause(30, refused=False), 0.0),
        (580, 10.0, None, None, 58.0),
        (580, None, None, None, None),
        (100, 10.0, None, RateLimitPause(7, refused=True), 17.0),
        (5, None, window(10, 60), None, 0.0),
        (5, 10.0, window(10, 60), None, 0.5),
        (10, None, window(0, 30), RateLimitPause(30, refused=False), 30.0),
        (11, None, window(0, 30), RateLimitPause(30, refused=False), 90.0),
        (30, None, window(0, 30), RateLimitPause(30, refused=False), 150.0),
        (30, 10.0, window(0, 30), RateLimitPause(30, refused=False), 151.0),
        (25, None, window(4, 12), None, 12 + 120.0),
        (24, None, window(4, 12), None, 12 + 60.0),
        (1000, 10.0, window(7, 42), None, 42 + 99 * 60 + 0.3),
        (1000, 2.0, window(600, 60, limit=600), None, 500.0),
        (20, None, window(0, 30, seconds=None), RateLimitPause(30, refused=False), 90.0),
        (15, None, window(10, 30), RateLimitPause(45, refused=True), 45 + 60.0),
    ],
)
def test_the_slower_limit_tells(
    rows: int,
    speed: float | None,
    allowance: RateLimitStatus | None,
    pause: RateLimitPause | None,
    seconds: float | None,
) -> None:
    """The rest of this window, then whole windows, the last one as far as it is needed; never faster than the speed."""
    found = estimate_remaining(rows, speed=speed, allowance=allowance, pause=pause)
    assert found == (seconds if seconds is None else pytest.approx(seconds))
