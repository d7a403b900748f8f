"""How long a run takes: an estimate before it starts, and of the rows that are left while it goes on."""

import math
from typing import NamedTuple

from rolecall.models import RateLimitPause, RateLimitStatus
from rolecall.rocketchat.rate_limit_headers import Limits
from rolecall.text import format_estimate

USUAL_WINDOW = 60.0
"""Seconds of Rocket.Chat's rate limit window unless an administrator has changed it."""

ROUNDING = 0.001
"""Seconds by which a reset in milliseconds may be rounded."""


class Estimate(NamedTuple):
    """Expected duration of a number of rows, at the lower of both rates."""

    seconds: float
    per_minute: float
    by_server: bool
    """True where the workspace's limit is the lower one."""
    is_upper_bound: bool = False
    """True while no header has shown the limit of these rows: it may be higher, or not enforced."""

    def __str__(self) -> str:
        whose = "the server's" if self.by_server else "your own"
        about = "at most about" if self.is_upper_bound else "about"
        return f"{about} {format_estimate(self.seconds)} at {whose} {self.per_minute:,.0f} a minute"


def estimate_duration(
    rows: int, rate: float | None, limits: Limits | None, server_date: float | None
) -> Estimate | None:
    """Return the estimate from the own rate and the rate limit headers of the preflight; None without any limit.

    The first window is free, so rows that fit into it take the own rate alone. The headers are those of another route,
    and an account may be exempt from them: what they limit is an upper bound.
    """
    own = Estimate(rows / rate, rate * 60, by_server=False) if rate is not None else None
    if limits is None:
        return own
    length = _window_length(limits, server_date)
    windows = max(0, math.ceil(rows / limits.limit) - 1)
    in_last = rows - windows * limits.limit
    seconds = windows * length + (in_last / rate if rate is not None else 0.0)
    if own is not None and own.seconds >= seconds:
        return own
    if not windows:
        return None  # nothing delays the rows
    return Estimate(seconds, limits.limit / length * 60, by_server=True, is_upper_bound=True)


def _window_length(limits: Limits, server_date: float | None) -> float:
    """Return the seconds of a window: exact from the response that opened it, else the usual ones, or more if seen."""
    if server_date is None:
        return USUAL_WINDOW
    shown = max(1.0, math.floor(limits.reset_at - server_date + ROUNDING))  # `Date` is cut down to the second
    return shown if limits.remaining == limits.limit - 1 else max(shown, USUAL_WINDOW)


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
