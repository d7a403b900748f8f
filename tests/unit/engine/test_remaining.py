"""How long the rest takes: at a speed, or window by window."""

import pytest

from rolecall.engine.remaining import estimate_remaining
from rolecall.models import RateLimitPause, RateLimitStatus


def window(left: int, ends_in: float, *, limit: int = 10, seconds: float | None = 60.0) -> RateLimitStatus:
    """Give the workspace's limit."""
    return RateLimitStatus(limit, seconds, left, ends_in)


@pytest.mark.parametrize(
    ("rows", "speed", "allowance", "hold", "seconds"),
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
    hold: RateLimitPause | None,
    seconds: float | None,
) -> None:
    """The rest of this window, then whole windows, the last one as far as it is needed; never faster than the speed."""
    found = estimate_remaining(rows, speed=speed, allowance=allowance, hold=hold)
    assert found == (seconds if seconds is None else pytest.approx(seconds))
