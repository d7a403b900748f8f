"""Ids and names of rooms and users: what is removed around them, and why a row is unusable."""

import re
from typing import NamedTuple

from rolecall.models import MAX_ID_LENGTH, BadRow, JobRow, Json, NamedRow, Row
from rolecall.text import UNSAFE, is_address

INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\u2800\u3164"
    "\ufeff\uffa0"
)
"""Invisible characters, for a class of a regular expression: they come along when text is copied."""
WHITE_SPACE = "\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""What `\\s` matches, for such a class."""


def _characters_of(ranges: str) -> str:
    """Return the characters of a class; a search for them among all would take a tenth of the start."""
    pairs = re.findall("(.)-(.)", ranges, re.DOTALL)
    return ranges.replace("-", "") + "".join(chr(code) for a, b in pairs for code in range(ord(a), ord(b)))


_AROUND = _characters_of(WHITE_SPACE + INVISIBLE)
_VISIBLE = re.compile("[ -~]*").fullmatch

is_simple_id = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,255}").fullmatch
"""Match an id that needs no trimming and no further check, as nearly every id does. A fast path."""

_ROUNDED = r"[+-]?\d(?:[.,]\d+)?[eE]\+\d+"
"""Only other ids need this pattern and the next one: they are compiled when they are first used, not at every start."""
_SPREADSHEET_ERROR = r"#(?:N/A|NV|REF!|BEZUG!|VALUE!|WERT!|NAME\?|DIV/0!|NULL!|NUM!|ZAHL!|SPILL!|CALC!|#+)"

BAD_ROW_REASONS = {
    "missing_room_id": "The row has no room: fill in its id or its name, or delete the row.",
    "missing_user_id": "The row has no user: fill in the id or the username, or delete the row.",
    "not_text": "An id must be text in quotes: a JSON number may already have lost digits.",
    "room_id_too_long": "The roomId is longer than 256 characters: two cells have probably run together.",
    "user_id_too_long": "The userId is longer than 256 characters: two cells have probably run together.",
    "room_id_control_character": "The roomId contains a line break, a control, invisible or lost character: copy the "
    "id again.",
    "user_id_control_character": "The userId contains a line break, a control, invisible or lost character: copy the "
    "id again.",
    "spoiled_by_spreadsheet": "A spreadsheet has rounded the id or shows an error: format the column as text, then "
    "paste the ids again.",
    "two_room_ids": "The object has two different room ids: keep one of the keys.",
    "two_user_ids": "The object has two different user ids: keep one of the keys.",
    "repeated_key": "The object has one key twice: keep one of them.",
    "too_many_cells": "The row has more cells than the header: put quotes around a cell that contains the delimiter.",
    "bad_quotes": 'There is text after the closing quote of a cell: write a quote inside a quoted cell as "".',
    "not_json": "The line is not valid JSON: one object or pair on each line, text in double quotes.",
    "not_a_pair": "The array is not a pair: it must be [roomId, userId].",
    "several_of_both": "The object has several rooms and several users: write one object for each room.",
    "not_an_object": "The value is neither an object nor a [roomId, userId] pair.",
    "unreportable_value": "A further key has a value that a report cannot contain: a whole number beyond 64 bits, or "
    "lists nested hundreds deep, or a long text beside many users.",
}
"""Every `BadRow.reason`, with a hint for the person who fixes the row."""

_DECORATED_ADDRESS = r"(?i:mailto:|[^<>@]*<)([^@\s:<>]+@[^@\s:<>]+)>?"


class Words(NamedTuple):
    """The ids and names of one row as they are in the file; empty where there is none."""

    room: str
    user: str
    room_name: str = ""
    username: str = ""


def trim(text: str) -> str:
    """Return `text` without blanks and invisible characters at its ends."""
    text = text.strip()
    return text if _VISIBLE(text) else text.strip(_AROUND)


def make_row(line: int, words: Words, extra: dict[str, Json], given: Words | None = None) -> JobRow:
    """Return the row of these words. `given` are the ids as a report shows them, where they differ from `words`.

    A word that begins with `#` (room) or `@` (user) is a name, and so is an e-mail address of a user.
    """
    room_id, user_id, room_name, username = map(trim, words)
    room_id, room_name = _split_name(room_id, room_name, "#")
    user_id, username = _split_name(user_id, username, "@")
    for kind, text, name in (("room", room_id, room_name), ("user", user_id, username)):
        if reason := _find_problem(kind, text or name):
            room, user = (given or words)[:2]
            message = _describe(reason, text or name)
            return BadRow(line, room, user, reason, message, extra)
    if room_id and user_id:
        return Row(line, room_id, user_id, extra, room_name, username)
    return NamedRow(line, room_id, user_id, extra, room_name, username)


def _split_name(word: str, name: str, sign: str) -> tuple[str, str]:
    """Return the id and the name in the word of an id column and that of a name column, the sign removed."""
    if sign == "@":
        word, name = bare_address(word), bare_address(name)
    has_sign = word.startswith(sign) and len(word) > 1 and not _is_spreadsheet_error(word)
    if has_sign or (sign == "@" and is_address(word)):
        word, name = "", word
    return word, without_sign(name, sign)


def bare_address(word: str) -> str:
    """Return the address in a link (`mailto:`) or as mail programs write it (`Ada Lee <ada@b.org>`), else the word."""
    found = re.fullmatch(_DECORATED_ADDRESS, word) if "@" in word else None
    return found[1] if found is not None else word


def without_sign(name: str, sign: str) -> str:
    """Return the name of a room (`#`) or a user (`@`) without its sign.

    A user on another server keeps it, because it belongs to the name (`@alice:remote.example`).
    """
    if not name.startswith(sign) or _is_spreadsheet_error(name) or (sign == "@" and ":" in name):
        return name
    return name[1:]


def _find_problem(kind: str, text: str) -> str:
    """Return the reason (of BAD_ROW_REASONS) why a trimmed id or name is unusable; empty if it is usable.

    Ids are opaque: only what can be no id at all is rejected.
    """
    if is_simple_id(text):
        return ""
    if not text:
        return f"missing_{kind}_id"
    if len(text) > MAX_ID_LENGTH:
        return f"{kind}_id_too_long"
    if _find_unsafe(text):
        return f"{kind}_id_control_character"
    return "spoiled_by_spreadsheet" if re.fullmatch(_ROUNDED, text) or _is_spreadsheet_error(text) else ""


def _find_unsafe(text: str) -> re.Match[str] | None:
    """Find an unsafe or invisible character."""
    return UNSAFE.search(text) or re.search(f"[{INVISIBLE}]", text)


def _is_spreadsheet_error(text: str) -> bool:
    return re.fullmatch(_SPREADSHEET_ERROR, text) is not None


def _describe(reason: str, text: str) -> str:
    """Return the message of a reason, with the character or the value that is wrong."""
    hint = BAD_ROW_REASONS[reason]
    if reason.endswith("control_character") and (match := _find_unsafe(text)):
        return f"U+{ord(match[0]):04X} at character {match.start() + 1}. {hint}"
    return f"The value is {text[:40]}. {hint}" if reason == "spoiled_by_spreadsheet" else hint
