"""Text for people: replace unsafe characters, count things, format durations, suggest a similar word."""

import re
from collections.abc import Iterable
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

is_address = re.compile(r"[^@\s:]+@[^@\s:]+\.[^@\s:.]{2,}").fullmatch
"""Match an e-mail address; a federated username has a colon."""

COMMAND_LINES = ("Next: ", "Undo: ")
"""How lines with a command begin."""

_MIN_TIME, _MAX_TIME = -30_610_224_000_000, 253_402_300_799_999
"""The years 1000 to 9999, in milliseconds since the epoch."""
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
"""Units of time with their seconds, the largest first."""


def sanitise(text: str, *, limit: int | None = None, keep: str = "") -> str:
    """Return `text` with each unsafe character replaced by U+FFFD, except those in `keep`.

    A text longer than `limit` characters is cut and ends in an ellipsis.
    """
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    return UNSAFE.sub(lambda match: match[0] if match[0] in keep else REPLACEMENT, text)


def format_room(room_id: str, name: str) -> str:
    """Format a room for people: `#name`, or its id where the name is not known."""
    return f"#{name}" if name else room_id


def format_user(user_id: str, username: str) -> str:
    """Format a user for people: `@name`, or the id where the name is not known; federated names have their `@`."""
    return f"@{username.removeprefix('@')}" if username else user_id


def rfc3339(milliseconds: int | None) -> str | None:
    """Format a UTC time in milliseconds since the epoch, such as `2026-03-01T09:30:00.250Z`; None stays None.

    A time before the year 1000 or after 9999, which only a wrong clock or an edited file can have, becomes the nearest.
    """
    if milliseconds is None:
        return None
    milliseconds = min(max(milliseconds, _MIN_TIME), _MAX_TIME)
    return _format_seconds(milliseconds // 1000) + _format_milliseconds(milliseconds % 1000)


@lru_cache(maxsize=1024)
def _format_seconds(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=1000)
def _format_milliseconds(milliseconds: int) -> str:
    return f".{milliseconds:03}Z"


def wrap_words(line: str, width: int) -> str:
    """Break a line at blanks, so that no part but a single long word is wider than `width` columns.

    A line with a command to be copied stays as it is.
    """
    if len(line) <= width or line.startswith(COMMAND_LINES):
        return line
    import textwrap  # here: few lines are too long for the terminal

    return textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)


def plural(number: int, noun: str, several: str = "") -> str:
    """Format a count with its noun: `1 row`, `1,200 rows`; `several` is the plural of an irregular noun."""
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"


def format_duration(seconds: float, *, whole_seconds: bool = False) -> str:
    """Format an elapsed time by its two largest units: `25 ms`, `3.2 s`, `1 min 40 s`, `2 h 5 min`, `1 d`.

    With `whole_seconds` the units are seconds to hours, and a second unit of zero is shown: `0 s`, `25 h 0 min`.
    """
    if not whole_seconds and seconds < 1:
        return f"{seconds * 1_000:.0f} ms"
    if not whole_seconds and seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    rest = max(0, round(seconds))
    units = _UNITS[1:] if whole_seconds else _UNITS
    first = next((place for place, (size, _) in enumerate(units) if rest >= size), len(units) - 1)
    parts: list[str] = []
    for size, unit in units[first : first + 2]:
        number, rest = divmod(rest, size)
        if number or whole_seconds:
            parts.append(f"{number} {unit}")
    return " ".join(parts)


def format_countdown(seconds: float) -> str:
    """Format a time that is left, rounded up to seconds: `42 s`, `13 min 48 s`, `26 min`, `3 h 05 min`, `2 d 7 h`.

    Seconds are shown below 20 minutes, days from 48 hours.
    """
    whole = -int(-seconds // 1)
    if whole < 100:
        return f"{whole} s"
    if whole < 1_200:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 3_600:
        return f"{round(whole / 60)} min"
    if whole < 172_800:
        return f"{whole // 3_600} h {whole % 3_600 // 60:02} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600} h"


def format_estimate(seconds: float) -> str:
    """Format an estimated duration by one unit: `8 seconds`, `42 minutes`, `3.5 hours`."""
    if seconds < 90:
        return plural(max(1, round(seconds)), "second")
    if seconds < 5_400:
        return plural(round(seconds / 60), "minute")
    return f"{seconds / 3_600:.1f} hours"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean 'run'?` with the most similar known word; empty if none is similar."""
    from difflib import get_close_matches

    words = {each.lower(): each for each in known}
    near = get_close_matches(word.lower(), list(words), n=1)
    return f"did you mean {words[near[0]]!r}?" if near else ""


def or_all(word: str, known: Iterable[str]) -> str:
    """Return the most similar known word as a question; all known words if none is similar."""
    words = sorted(known)
    return did_you_mean(word, words) or (f"known are {', '.join(words)}." if words else "there are none.")
