"""The shapes in which JSON exports have their rows (wrapped, in pages, nested), and what is wrong with JSON text."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from rolecall.files.input.columns import (
    SUBJECTS,
    ColumnRole,
    ColumnRoles,
    describe_missing_columns,
    format_names,
    normalise_name,
)
from rolecall.files.input.encoding import find_bad_character
from rolecall.models import Json

EXPECTED = 'expected objects such as {"roomId": "...", "userId": "..."} or pairs ["roomId", "userId"]'
MAX_WRAPPERS = 4
"""Levels of lists and objects around the rows."""

_OBJECT_KEYS = {
    **dict.fromkeys(("room", "group", "channel"), ColumnRole.ROOM),
    **dict.fromkeys(("u", "user", "member"), ColumnRole.USER),
}
"""Keys of an object that is a room or a user."""
_LIST_KEYS = {
    **dict.fromkeys(("roomids", "rids", "groupids", "channelids", "roomid", "rid", "groupid"), ColumnRole.ROOM),
    **dict.fromkeys(("rooms", "groups", "channels", "roomnames", "room", "roomname", "group"), ColumnRole.ROOM_NAME),
    **dict.fromkeys(("userids", "uids", "memberids", "userid", "uid"), ColumnRole.USER),
    **dict.fromkeys(("users", "members", "usernames", "user", "username"), ColumnRole.USERNAME),
}
"""Keys of a list of rooms or users, and what a text in it is."""
_CONSTANTS = ("NaN", "Infinity", "-Infinity", "None", "True", "False", "undefined", "nan")
_is_half_character = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}").search
_CAUSES = {
    "'": "text in single quotes, as Python prints it; JSON needs double quotes: write the file with json.dumps or jq",
    **dict.fromkeys("\u201c\u201d\u201e\u2018\u2019", "a typographic quote; JSON needs straight double quotes"),
    "/": "a comment; JSON has none: remove it",
    "#": "a comment; JSON has none: remove it",
    "`": "a backquote; JSON needs double quotes",
}
"""What a character is where JSON does not allow it."""


class RepeatedKeys(dict[str, Json]):
    """An object that has a key twice; it has the last value."""

    repeated = ""
    """The first such key."""


class ShapeError(Exception):
    """It is not clear where the rows are; str() is the problem and what to do."""


def nested_role(key: str, value: Json, roles: ColumnRoles) -> ColumnRole:
    """Return what an object or a list under `key` contains; EXTRA for any other value."""
    if not isinstance(value, dict | list):
        return ColumnRole.EXTRA
    role, named = _nested_role(key, isinstance(value, list)), roles[key]
    if named is not ColumnRole.EXTRA:
        return named if role is ColumnRole.EXTRA else role
    return ColumnRole.EXTRA if roles.has_chosen(role) else role


@lru_cache(maxsize=1024)
def _nested_role(key: str, is_list: bool) -> ColumnRole:
    return (_LIST_KEYS if is_list else _OBJECT_KEYS).get(normalise_name(key), ColumnRole.EXTRA)


def row_elements(value: Json, roles: ColumnRoles, depth: int = 0) -> Iterator[Json]:
    """Yield the elements that are rows, out of lists and objects around them. Raises ShapeError."""
    if isinstance(value, list) and depth < MAX_WRAPPERS and value and all(isinstance(e, dict | list) for e in value):
        for each in value:
            yield from row_elements(each, roles, depth + 1)
    elif isinstance(value, dict) and depth < MAX_WRAPPERS and (wrapped := _wrapped(value, roles, depth)) is not None:
        yield from row_elements(wrapped, roles, depth + 1) if wrapped else ()
    else:
        yield value


def wraps_rows(parent: Json, first_item: Json, roles: ColumnRoles) -> bool:
    """Return whether an object wraps a list of rows, by the first item of the list."""
    return isinstance(parent, dict) and not _has_ids(parent, roles) and _is_row(first_item, roles)


def find_element_problem(element: Json, roles: ColumnRoles) -> str:
    """Return why a first element shows that the whole file is not a job file; empty if it does not."""
    if isinstance(element, dict):
        if _subjects(element, roles):
            return ""
        if element and all(isinstance(each, list) for each in element.values()):
            key = next(iter(element))
            return (
                f"this looks like a map of rooms to their users ({format_names([key])} is no column); write "
                '{"roomId": "...", "userIds": ["...", "..."]} for each room, '
                "as jq '[to_entries[] | {roomId: .key, userIds: .value}]' does"
            )
        chosen = " or name the keys with --room-column NAME and --user-column NAME"
        return f"{describe_missing_columns(element, roles)}; {EXPECTED},{chosen}"
    if not isinstance(element, list) or len(element) != 2 or any(isinstance(e, list | dict) for e in element):
        return f"this is neither an object nor a pair; {EXPECTED}"
    return ""


def _wrapped(value: dict[str, Json], roles: ColumnRoles, depth: int) -> Json:
    """Return the list or object inside an object that has the rows; None if the object is a row itself."""
    if _has_ids(value, roles):
        return None
    lists = {key: each for key, each in value.items() if isinstance(each, list)}
    with_rows = {key: each for key, each in lists.items() if each and _is_row(each[0], roles)}
    if len(with_rows) > 1:
        raise ShapeError(f"there are {len(with_rows)} lists of rows: {format_names(with_rows)}; keep one of them")
    if with_rows:
        return next(iter(with_rows.values()))
    if _subjects(value, roles):
        return None
    if list(lists.values()) == [[]]:
        return []
    inside = [each for each in value.values() if isinstance(each, dict) and depth < MAX_WRAPPERS]
    inside = [each for each in inside if _subjects(each, roles) or _wrapped(each, roles, depth + 1) is not None]
    return inside[0] if len(inside) == 1 else None


def _has_ids(value: dict[str, Json], roles: ColumnRoles) -> bool:
    return any(roles[key] in (ColumnRole.ROOM, ColumnRole.USER) for key in value)


def _is_row(item: Json, roles: ColumnRoles) -> bool:
    if isinstance(item, list):
        return len(item) == 2 and all(isinstance(each, str) for each in item)
    return isinstance(item, dict) and len(_subjects(item, roles)) == len(SUBJECTS)


def _subjects(value: dict[str, Json], roles: ColumnRoles) -> set[str]:
    """Return which of the room and the user an object names, by the option that chooses each."""
    found = {roles[key] for key in value} | {nested_role(key, each, roles) for key, each in value.items()}
    return {each.option for each in SUBJECTS if each.id_role in found or each.name_role in found}


class JsonProblem(NamedTuple):
    """The first problem of a JSON text. Lines and columns count from 1."""

    line: int
    column: int
    cause: str


class _ConstantError(Exception):
    """The text has a constant such as NaN, which Python accepts and JSON does not."""


def find_json_problem(text: str) -> JsonProblem | None:
    """Return the first problem of one or more JSON documents one after another; None if Python finds none."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    position = 0
    try:
        while (position := _skip_separators(text, position)) < len(text):
            if text[position] == "," and position > 0:
                return _locate(
                    text, position, "a comma outside a list: put '[' before the first value, ']' after the last"
                )
            _, position = decoder.raw_decode(text, position)
    except json.JSONDecodeError as error:
        return _locate(text, *_find_cause(text, error.pos, error.msg))
    except _ConstantError as error:
        found = re.compile(rf"(?<=[:,\[\s]){error}").search(text, position)
        start = found.start() if found else position
        return _locate(text, start, f"{error} is not JSON: write null")
    except RecursionError:
        return _locate(text, position, "lists or objects nested too deep")
    except ValueError:  # a number of thousands of digits
        return _locate(text, position, "a number that is far too large")
    if half := _is_half_character(text):
        return _locate(text, half.start(), "an escape that is half a character")
    return None


def _refuse_constant(name: str) -> None:
    raise _ConstantError(name)


def _skip_separators(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n\x1e":
        position += 1
    return position


def _find_cause(text: str, position: int, message: str) -> tuple[int, str]:
    """Return the position and the cause of a problem that Python's parser has found."""
    start = position
    while start < len(text) and text[start] in ", \t\r\n":
        start += 1
    before = text[:start].rstrip()
    if start < len(text) and text[start] in "]}" and before.endswith(","):
        return len(before) - 1, f"a comma before '{text[start]}' with nothing after it: remove the comma"
    if start >= len(text):
        return position, "the JSON text is cut off; make or copy the file again"
    for constant in _CONSTANTS:
        if text.startswith(constant, start):
            return start, f"{constant} is not JSON: write null, true or false"
    if cause := _CAUSES.get(text[start]):
        return start, cause
    if find_bad_character(text[start]):
        return start, "bytes that are not text"
    if message.startswith("Expecting property name") and (text[start].isalpha() or text[start] == "_"):
        return start, "a key without double quotes: put it in double quotes"
    return position, f"not JSON ({message})"


def _locate(text: str, position: int, cause: str) -> JsonProblem:
    lines = re.split("\r\n?|\n", text[:position])
    return JsonProblem(len(lines), len(lines[-1]) + 1, cause)
