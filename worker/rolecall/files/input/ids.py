"""Ids and names of rooms and users: what is removed around them, and why one is unusable."""

import re
from typing import NamedTuple

from rolecall.files.input.problems import BAD_ROW_REASONS
from rolecall.models import MAX_ID_LENGTH, BadRow, JobRow, Json, NamedRow, Row
from rolecall.text import UNSAFE

INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\u2800\u3164"
    "\ufeff\uffa0"
)
"""Invisible characters, for a class of a regular expression: they come along when text is copied."""
find_invisible = re.compile(f"[{INVISIBLE}]").search
_AROUND = "".join(
    character for character in map(chr, range(0xFFFF)) if character.isspace() or find_invisible(character)
)
_VISIBLE = re.compile("[ -~]*").fullmatch

is_simple_id = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,255}").fullmatch
"""Match an id that needs no trimming and no further check, as nearly every id does. A fast path."""

_is_rounded = re.compile(r"[+-]?\d(?:[.,]\d+)?[eE]\+\d+").fullmatch
_is_spreadsheet_error = re.compile(
    r"#(?:N/A|NV|REF!|BEZUG!|VALUE!|WERT!|NAME\?|DIV/0!|NULL!|NUM!|ZAHL!|SPILL!|CALC!|#+)"
).fullmatch


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

    A word that begins with `#` (room) or `@` (user) is a name.
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
    if word.startswith(sign) and len(word) > 1 and not _is_spreadsheet_error(word):
        word, name = "", word
    return word, without_sign(name, sign)


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
    if UNSAFE.search(text) or find_invisible(text):
        return f"{kind}_id_control_character"
    return "spoiled_by_spreadsheet" if _is_rounded(text) or _is_spreadsheet_error(text) else ""


def _describe(reason: str, text: str) -> str:
    """Return the message of a reason, with the character or the value that is wrong."""
    hint = BAD_ROW_REASONS[reason]
    if reason.endswith("control_character") and (match := UNSAFE.search(text) or find_invisible(text)):
        return f"U+{ord(match[0]):04X} at character {match.start() + 1}. {hint}"
    return f"The value is {text[:40]}. {hint}" if reason == "spoiled_by_spreadsheet" else hint
