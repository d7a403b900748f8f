"""Parsers for rate limit headers. Pure functions.

Rocket.Chat sends `X-RateLimit-Limit`, `-Remaining` and `-Reset` (epoch milliseconds of the server's own clock;
a few proxies send seconds) with every response of a limited route, and none of them to an account that is not
limited. Proxies may send `Retry-After`, as seconds or as an HTTP date.
"""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple

from rolecall.models import Reply

EPOCH_IN_MILLISECONDS = 1e11
"""A reset above this is in milliseconds (as seconds it would be in the year 5138)."""
MAX_EPOCH = 253_370_764_800.0
"""Seconds: the year 9999. A date from there on, or before 1970, is invalid, and no time zone makes it impossible."""
MAX_RETRY_AFTER = 999_999_999.0
"""Seconds: what nine digits can say. A longer delay is cut."""
MAX_NUMBER_LENGTH = 16
"""Digits of a number in a header; longer numbers are invalid."""
MAX_WINDOW = 86_400.0
"""Seconds; headers with a reset further in the future are ignored."""

_WAIT = re.compile(rb"must wait (\d{1,6}) seconds")


class Limits(NamedTuple):
    """The state of the server's window, from the headers of one response."""

    limit: int
    """Calls in a window."""
    remaining: int
    """Calls left in this window when the server responded."""
    reset_at: float
    """The end of the window: epoch seconds of the server's clock."""


def parse_limits(headers: Mapping[str, str], max_past: float = 1.0) -> Limits | None:
    """Parse the rate limit headers; None if they are missing or invalid.

    `max_past`: seconds by which the reset may lie before `Date`, which a proxy may have taken from another clock.
    """
    if "X-RateLimit-Limit" not in headers:  # fast path for an account that is not limited
        return None
    try:
        limit, remaining, reset = (_number(headers[f"X-RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset"))
    except (KeyError, ValueError):
        return None
    if limit < 1 or remaining < 0 or reset <= 0:
        return None
    reset_at = reset / 1000 if reset > EPOCH_IN_MILLISECONDS else float(reset)
    if reset_at >= MAX_EPOCH:
        return None
    date = server_date(headers)
    if date is not None and not -max_past <= reset_at - date <= MAX_WINDOW:
        return None
    return Limits(limit, min(remaining, limit), reset_at)


def _number(text: str) -> int:
    """Parse a whole number of limited length. Raises ValueError."""
    if len(text) > MAX_NUMBER_LENGTH:
        raise ValueError(text)
    return int(text)


def server_date(headers: Mapping[str, str]) -> float | None:
    """Parse the `Date` header: epoch seconds of the server's clock, rounded down to a whole second."""
    value = headers.get("Date")
    return None if value is None else _epoch(value)


@lru_cache(maxsize=8)
def _epoch(http_date: str) -> float | None:
    """Parse an HTTP date; cached, because all responses of one second have the same date."""
    try:
        moment = parsedate_to_datetime(http_date)
        epoch = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    return epoch if 0 <= epoch < MAX_EPOCH else None


def cache_age(headers: Mapping[str, str]) -> int:
    """Return for how many seconds a cache has had the response, from `Age`; 0 for a fresh one."""
    value = headers.get("Age", "").strip()
    return int(value[:9]) if value.isdecimal() and value.isascii() else 0


def retry_after(reply: Reply) -> float | None:
    """Parse `Retry-After`, seconds or an HTTP date: seconds from the response on; None if it is missing or invalid."""
    value = reply.headers.get("Retry-After", "").strip()
    if value.isdecimal() and value.isascii():
        return float(value[:9])
    moment = _epoch(value) if value else None
    date = server_date(reply.headers)
    return None if moment is None or date is None else min(max(0.0, moment - date), MAX_RETRY_AFTER)


def stated_wait(reply: Reply) -> float | None:
    """Parse Rocket.Chat's sentence 'You must wait 42 seconds before trying this endpoint again'; None without it.

    The seconds are those of the limiter's own clock, rounded up.
    """
    sentence = _WAIT.search(reply.body)
    return float(sentence[1]) if sentence else None


def retry_delay(reply: Reply) -> float | None:
    """Return how many seconds to wait after 'too many requests'; None if the response does not say it.

    Sources in this order: Rocket.Chat's sentence, `Retry-After`, the end of the server's window by `Date`, which a
    proxy may have replaced.
    """
    if (wait := stated_wait(reply)) is not None:
        return wait
    if (after := retry_after(reply)) is not None:
        return after
    date = server_date(reply.headers)
    limits = parse_limits(reply.headers)
    if limits is not None and limits.remaining == 0 and date is not None:
        return max(0.0, limits.reset_at - date)
    return None
