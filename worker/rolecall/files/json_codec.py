"""JSON text: format values without characters that act on a terminal, and parse objects."""

import re
from typing import Any

import orjson

from rolecall.models import Json
from rolecall.text import REPLACEMENT, UNSAFE

_SURROGATE = re.compile("[\ud800-\udfff]")


def format_json(value: Any, *, indent: bool = False) -> str:
    """Return `value` as JSON text; control and direction characters are escaped.

    Raises TypeError for a value that JSON cannot represent.
    """
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0).decode()
    return text if text.isprintable() else UNSAFE.sub(_escape, text)


def parse_json_object(text: str | bytes) -> dict[str, Json] | None:
    """Return the JSON object in `text`; None if `text` is anything else or is not JSON."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def replace_surrogates(text: str) -> str:
    """Return `text` with each lone surrogate replaced by U+FFFD: JSON cannot represent them."""
    return text if text.isascii() else _SURROGATE.sub(REPLACEMENT, text)


def _escape(match: re.Match[str]) -> str:
    # A line break is part of the indentation (orjson escapes those inside texts); U+FFFD is harmless.
    return match[0] if match[0] in ("\n", REPLACEMENT) else f"\\u{ord(match[0]):04x}"
