"""How long a run takes: an estimate before it starts, and of the rows that are left while it goes on."""

import math
from typing import NamedTuple

from rolecall.models import RateLimitPause, RateLimitStatus
from rolecall.rocketchat.rate_limit_headers import Limits
from rolecall.text import format_estimate

USUAL_WINDOW = 60.0
"""Seconds of Rocket.Chat's rate limit window unless an administrator has changed it."""


class Estimate(NamedTuple):
    """Expected duration of a number of rows, at the lower of both rates."""

    seconds: float
    per_minute: float
    by_server: bool
    """True where the workspace's limit is the lower one."""

    def __str__(self) -> str:
        whose = "the server's" if self.by_server else "your own"
        return f"about {format_estimate(self.seconds)} at {whose} {self.per_minute:,.0f} a minute"


def estimate_duration(
    rows: int, rate: float | None, limits: Limits | None, server_date: float | None
) -> Estimate | None:
    """Return the estimate from the own rate and the rate limit headers of the preflight; None without any limit."""
    window = None
    if limits is not None:
        length = USUAL_WINDOW
        if server_date is not None and limits.remaining == limits.limit - 1:
            length = max(1.0, round(limits.reset_at - server_date))
        window = limits.limit / length
    rates = [known for known in (rate, window) if known is not None]
    if not rates:
        return None
    slowest = min(rates)
    return Estimate(rows / slowest, slowest * 60, by_server=slowest == window)


def estimate_remaining(
    rows: int, *, speed: float | None, allowance: RateLimitStatus | None, pause: RateLimitPause | None
) -> float | None:
    """Return the seconds until the last of `rows` is finished; None where that cannot be estimated.

    `speed`: rows a second without a rate limit pause; None is unlimited. Where the server's window is the lower
    limit, the number of windows decides: the rest of this one, then full ones, each sent at once.
    """
    if rows <= 0:
        return 0.0
    wait = pause.seconds if pause is not None else 0.0
    sending = rows / speed if speed else 0.0
    if allowance is None:
        return wait + sending if speed else None
    left = 0 if pause is not None else allowance.left
    if rows <= left:
        return sending
    length = allowance.seconds or USUAL_WINDOW
    windows = math.ceil((rows - left) / allowance.limit)
    in_last = rows - left - (windows - 1) * allowance.limit
    last_opens = max(wait, allowance.ends_in) + (windows - 1) * length
    return max(wait + sending, last_opens + (in_last / speed if speed else 0.0))
