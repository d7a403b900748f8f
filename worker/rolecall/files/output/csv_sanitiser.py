"""What may stand in a report's cell: nothing that a spreadsheet runs, a terminal obeys or a row breaks on."""

import re
from typing import Any

import orjson

from rolecall.models import Json
from rolecall.text import REPLACEMENT, sanitise

_FORMULA = "[\\s\ufeff\u200b-\u200f\u2060]*[=+\\-@\uff1d\uff0b\uff0d\uff20]"
"""The ASCII and the full-width characters that start a formula, after blanks seen and unseen."""
_begins_formula = re.compile(rf"[\t\r]|{_FORMULA}").match
_begins_guarded = re.compile(rf"'+{_FORMULA}").match
LONGEST_ID = 300
"""Characters of an id that are shown."""
_DEL_AND_BEYOND = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def text_cell(value: Json, *, limit: int | None = None, keep: str = "") -> str:
    """Give a value as a harmless CSV cell: null empty, other JSON values as JSON, formulas behind an apostrophe.

    Unsafe characters that are not in `keep` become U+FFFD; a text is cut at `limit` characters.
    """
    if value is None or value == "":  # most cells of most rows
        return ""
    text = sanitise(_text_of(value), limit=limit, keep=keep)
    return f"'{text}" if _begins_formula(text) else text


def id_cell(text: str) -> str:
    """Give an id as a harmless CSV cell from which `unguarded` gets it back.

    What is no usable id stays none: a cut one stays too long, and U+FFFD is refused when the cell is read.
    """
    if text.isalnum() and text.isascii() and len(text) <= LONGEST_ID:  # as Rocket.Chat's own are
        return text
    text = sanitise(text, limit=LONGEST_ID)
    return f"'{text}" if _begins_formula(text) or _begins_guarded(text) else text


def unguarded(cell: str) -> str:
    """Take away the apostrophe that `id_cell` put before a formula character."""
    return cell[1:] if _begins_guarded(cell) else cell


def json_text(value: Any, *, indent: bool = False) -> str:
    """Write a value as JSON with exactly its text, but whatever a terminal obeys as an escape."""
    options = orjson.OPT_INDENT_2 if indent else 0
    text = orjson.dumps(value, option=options).decode()
    return _DEL_AND_BEYOND.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def scrubbed(text: str) -> str:
    """Replace what not even JSON can carry: lone surrogates, which only a broken sender can have made."""
    return text if text.isascii() else re.sub("[\ud800-\udfff]", REPLACEMENT, text)


def _text_of(value: Json) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
