"""Text for people: replace unsafe characters, count things, format durations."""

import re
from datetime import UTC, datetime
from functools import lru_cache

REPLACEMENT = "\ufffd"

UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters (Cc): line breaks, escape sequences
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls, which change the order of what is shown
    "\u2028\u2029"  # line and paragraph separators
    "\ud800-\udfff"  # lone surrogates, which cannot be encoded
    "\ufffd"  # the replacement character itself
    "]"
)
"""One character that is refused in an id and replaced in any text that is shown."""


def sanitise(text: str, *, limit: int | None = None, keep: str = "") -> str:
    """Return `text` with each unsafe character replaced by U+FFFD, except those in `keep`.

    A text longer than `limit` characters is cut and ends in an ellipsis.
    """
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    return UNSAFE.sub(lambda match: match[0] if match[0] in keep else REPLACEMENT, text)


def rfc3339(milliseconds: int | None) -> str | None:
    """Format a UTC time in milliseconds since the epoch, such as `2026-03-01T09:30:00.250Z`; None stays None."""
    if milliseconds is None:
        return None
    return f"{_format_seconds(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


@lru_cache(maxsize=1024)
def _format_seconds(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def plural(number: int, noun: str) -> str:
    """Format a count with its noun: `1 row`, `1,200 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
