"""How long a run will take, before it starts."""

from typing import NamedTuple

from rolecall.rocketchat.rate_limit_headers import Limits
from rolecall.text import format_estimate

USUAL_WINDOW = 60.0
"""Seconds of Rocket.Chat's window unless an administrator has changed it."""


class Estimate(NamedTuple):
    """What the slower of both limits makes of a number of rows."""

    seconds: float
    per_minute: float
    by_server: bool
    """True where the workspace's window is the slower one."""

    def __str__(self) -> str:
        whose = "the server's" if self.by_server else "your own"
        return f"about {format_estimate(self.seconds)} at {whose} {self.per_minute:,.0f} a minute"


def estimate_duration(
    rows: int, rate: float | None, limits: Limits | None, server_date: float | None
) -> Estimate | None:
    """Estimate from the own rate and the window that the preflight told of; None where nothing limits."""
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
