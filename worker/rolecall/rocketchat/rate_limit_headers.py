"""What an answer's headers say about rate limits; pure functions over headers.

Rocket.Chat sends `X-RateLimit-Limit`, `-Remaining` and `-Reset` (epoch milliseconds of the server's own clock;
a few proxies send seconds) with every answer of a limited route, and nothing at all to an account that is not
limited. Proxies in front may send `Retry-After`, as seconds or as an HTTP date.
"""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple

from rolecall.models import Reply

EPOCH_IN_MILLISECONDS = 1e11
"""A reset above this is in milliseconds (as seconds it would lie in the year 5138)."""
LONGEST_NUMBER = 16
"""Digits of a number that a header can mean."""
LONGEST_WINDOW = 86_400.0
"""A reset further away than this many seconds is taken for nonsense and ignored."""


class Limits(NamedTuple):
    """The server's window, as one answer tells it."""

    limit: int
    """Calls in a window."""
    remaining: int
    """Calls left in this one when the server answered."""
    reset_at: float
    """When the window ends: epoch seconds of the server's clock."""


def parse_limits(headers: Mapping[str, str]) -> Limits | None:
    """Read the rate-limit headers; None where they are absent or make no sense."""
    if "X-RateLimit-Limit" not in headers:  # an account without a limit: the fast path of a run
        return None
    try:
        limit, remaining, reset = (_number(headers[f"X-RateLimit-{name}"]) for name in ("Limit", "Remaining", "Reset"))
    except (KeyError, ValueError):
        return None
    if limit < 1 or remaining < 0 or reset <= 0:
        return None
    reset_at = reset / 1000 if reset > EPOCH_IN_MILLISECONDS else float(reset)
    date = server_date(headers)
    if date is not None and not -1.0 <= reset_at - date <= LONGEST_WINDOW:
        return None
    return Limits(limit, min(remaining, limit), reset_at)


def _number(text: str) -> int:
    """Read a whole number of a size that a count or a time can have; raises ValueError."""
    if len(text) > LONGEST_NUMBER:
        raise ValueError(text)
    return int(text)


def server_date(headers: Mapping[str, str]) -> float | None:
    """Read the `Date` header as epoch seconds: the server's clock, cut down to the whole second."""
    value = headers.get("Date")
    return None if value is None else _epoch(value)


@lru_cache(maxsize=8)
def _epoch(http_date: str) -> float | None:
    """Parse an HTTP date; cached, because all answers of one second carry the same."""
    try:
        moment = parsedate_to_datetime(http_date)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def retry_after(reply: Reply) -> float | None:
    """Read `Retry-After`, seconds or an HTTP date, as seconds from the answer; None where it is absent."""
    value = reply.headers.get("Retry-After", "").strip()
    if value.isdecimal() and value.isascii():
        return float(value[:9])
    moment = _epoch(value) if value else None
    date = server_date(reply.headers)
    return None if moment is None or date is None else max(0.0, moment - date)


def retry_delay(reply: Reply) -> float | None:
    """Read how many seconds a 'too many requests' asks us to stay away; None where it does not say.

    In this order: the end of the server's window, `Retry-After`, Rocket.Chat's sentence
    'You must wait 42 seconds before trying this endpoint again'.
    """
    date = server_date(reply.headers)
    limits = parse_limits(reply.headers)
    if limits is not None and limits.remaining == 0 and date is not None:
        return max(0.0, limits.reset_at - date)
    if (after := retry_after(reply)) is not None:
        return after
    sentence = _WAIT.search(reply.body)
    return float(sentence[1]) if sentence else None


_WAIT = re.compile(rb"must wait (\d{1,6}) seconds")
