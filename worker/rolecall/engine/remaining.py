"""How long the rows that are left will take."""

import math

from rolecall.engine.eta import USUAL_WINDOW
from rolecall.models import RateLimitPause, RateLimitStatus


def estimate_remaining(
    rows: int, *, speed: float | None, allowance: RateLimitStatus | None, hold: RateLimitPause | None
) -> float | None:
    """Tell in how many seconds the last of `rows` is settled; None where nothing can be said.

    `speed`: rows a second while nothing holds them; None is as fast as can be. Where the workspace's window is the
    slower one, what counts is how many windows it takes: the rest of this one, then full ones, each sent at once.
    """
    if rows <= 0:
        return 0.0
    wait = hold.seconds if hold is not None else 0.0
    sending = rows / speed if speed else 0.0
    if allowance is None:
        return wait + sending if speed else None
    left = 0 if hold is not None else allowance.left
    if rows <= left:
        return sending
    length = allowance.seconds or USUAL_WINDOW
    windows = math.ceil((rows - left) / allowance.limit)
    in_last = rows - left - (windows - 1) * allowance.limit
    last_opens = max(wait, allowance.ends_in) + (windows - 1) * length
    return max(wait + sending, last_opens + (in_last / speed if speed else 0.0))
