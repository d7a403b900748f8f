"""Text for people: the characters that may not be shown, nor stand in an id; and counting things."""

import re

REPLACEMENT = "\ufffd"

UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # the control characters (Cc): line breaks, escape sequences
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional controls: text that reads otherwise than it is
    "\u2028\u2029"  # line and paragraph separators
    "\ud800-\udfff"  # lone surrogates: no text at all
    "\ufffd"  # what is left where a character was lost
    "]"
)
"""One character that is refused in an id and replaced in any text that is shown."""


def sanitise(text: str, *, limit: int | None = None, keep: str = "") -> str:
    """Give `text` with each unsafe character replaced by U+FFFD, except those in `keep`.

    A text longer than `limit` characters is cut and ends in an ellipsis.
    """
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isprintable():
        return text
    return UNSAFE.sub(lambda found: found[0] if found[0] in keep else REPLACEMENT, text)


def plural(number: int, noun: str) -> str:
    """Count something: `1 row`, `1,200 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
