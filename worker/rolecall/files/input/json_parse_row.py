"""The row or rows in one JSON value."""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple

import orjson

from rolecall.files.input.columns import DEFAULT_ROLES, ColumnRole, ColumnRoles, best_name_columns
from rolecall.files.input.ids import BAD_ROW_REASONS, Words, is_simple_id, make_row
from rolecall.files.input.json_shapes import RepeatedKeys, nested_role
from rolecall.models import BadRow, JobRow, Json, Row, row_from_values

MAX_REPEATED_SIZE = 16 * 1024 * 1024
"""Bytes of further values that the rows of one object have together."""
_ROOM, _USER, _EXTRA = ColumnRole.ROOM, ColumnRole.USER, ColumnRole.EXTRA
_ID_KEYS = ("_id", "id", "$oid", "rid", "roomId", "uid", "userId")
_NAME_KEYS = {ColumnRole.ROOM: ("name", "roomName"), ColumnRole.USER: ("username",)}


class _UnusableError(Exception):
    """The row cannot be used; the only argument is the reason."""


class _Values:
    """The values of one object that name its room, or its user."""

    __slots__ = ("ids", "lists", "names", "objects")

    def __init__(self) -> None:
        self.ids: list[Json] = []
        self.objects: list[dict[str, Json]] = []
        self.lists: dict[str, list[Json]] = {}
        self.names: list[tuple[str, str]] = []
        """Names with their keys."""


class _Subject(NamedTuple):
    """One room or one user."""

    id: str
    name: str


def parse_row(element: Json, line: int) -> JobRow:
    """Return the only row in one JSON value; `line` is its place in the file."""
    rows = parse_rows(element, line)
    return rows[0] if len(rows) == 1 else _bad_row(line, None, None, "not_text", {})


def parse_rows(element: Json, line: int, roles: ColumnRoles = DEFAULT_ROLES) -> Sequence[JobRow]:
    """Return the rows in one JSON value: one, or one for each room or user of a list in it."""
    if isinstance(element, dict):
        return _parse_object(element, line, roles)
    if not isinstance(element, list):
        return (_bad_row(line, None, None, "not_an_object", {}),)
    if len(element) != 2:
        return (_bad_row(line, None, None, "not_a_pair", {}),)
    room, user = element
    if any(each is not None and not isinstance(each, str) for each in element):
        return (_bad_row(line, room, user, "not_text", {}),)
    return (make_row(line, Words(room or "", user or ""), {}),)


def simple_row(element: Json, line: int, roles: ColumnRoles) -> Row | None:
    """Return the row of a pair or an object with two simple ids and without names; None otherwise. A fast path."""
    if element.__class__ is list and len(element) == 2:
        return _simple_pair(line, element[0], element[1], {})
    if element.__class__ is not dict:
        return None
    room = user = None
    extra: dict[str, Json] = {}
    for key, value in element.items():
        role = roles[key]
        if role is _EXTRA:
            if value.__class__ is not str and nested_role(key, value, roles) is not _EXTRA:
                return None
            extra[key] = value
        elif role is _ROOM and room is None:
            room = value
        elif role is _USER and user is None:
            user = value
        else:
            return None
    return _simple_pair(line, room, user, extra) if not extra or _is_reportable(extra) else None


def _simple_pair(line: int, room: Json, user: Json, extra: dict[str, Json]) -> Row | None:
    if room.__class__ is str and user.__class__ is str and is_simple_id(room) and is_simple_id(user):
        return row_from_values((line, room, user, extra, "", "", None))
    return None


def _parse_object(element: dict[str, Json], line: int, roles: ColumnRoles) -> Sequence[JobRow]:
    rooms, users, extra = _sort_values(element, roles)
    room, user = rooms.ids[0] if rooms.ids else None, users.ids[0] if users.ids else None
    if extra and not _is_reportable(extra):
        return (_bad_row(line, room, user, "unreportable_value", {}),)
    if isinstance(element, RepeatedKeys):
        row = _bad_row(line, room, user, _repeated_reason(roles[element.repeated]), extra)
        return (row._replace(message=f"The key '{element.repeated[:40]}' is there twice. {row.message}"),)
    try:
        return _combine(line, _find_subjects(rooms, ColumnRole.ROOM), _find_subjects(users, ColumnRole.USER), extra)
    except _UnusableError as error:
        return (_bad_row(line, room, user, str(error), extra),)


def _sort_values(element: dict[str, Json], roles: ColumnRoles) -> tuple[_Values, _Values, dict[str, Json]]:
    """Return the values that name the room, those that name the user, and the further ones.

    Lists count only where nothing else names the room or the user.
    """
    rooms, users = _Values(), _Values()
    extra: dict[str, Json] = {}
    by_role = {ColumnRole.ROOM: rooms, ColumnRole.ROOM_NAME: rooms, ColumnRole.USER: users, ColumnRole.USERNAME: users}
    for key, value in element.items():
        role = roles[key]
        if role is ColumnRole.ROOM or role is ColumnRole.USER:
            if value is not None:
                by_role[role].ids.append(value)
            continue
        if role is ColumnRole.EXTRA or not isinstance(value, str):
            role = nested_role(key, value, roles)
        if role is not ColumnRole.EXTRA and isinstance(value, list):
            by_role[role].lists[key] = value
            continue
        extra[key] = value
        if role is not ColumnRole.EXTRA and isinstance(value, dict):
            by_role[role].objects.append(value)
        elif role is not ColumnRole.EXTRA:
            by_role[role].names.append((key, value))
    for values in (rooms, users):
        if values.ids or values.objects or values.names:
            extra.update(values.lists)
            values.lists = {}
    return rooms, users, extra


def _combine(
    line: int, rooms: Sequence[_Subject], users: Sequence[_Subject], extra: dict[str, Json]
) -> Sequence[JobRow]:
    if len(rooms) == len(users) == 1:
        (room, room_name), (user, username) = rooms[0], users[0]
        if is_simple_id(room) and is_simple_id(user) and not (room_name or username):
            return (Row(line, room, user, extra),)
        return (make_row(line, Words(room, user, room_name, username), extra),)
    if len(rooms) > 1 and len(users) > 1:
        raise _UnusableError("several_of_both")
    if extra and len(orjson.dumps(extra)) * max(len(rooms), len(users)) > MAX_REPEATED_SIZE:
        return (_bad_row(line, None, None, "unreportable_value", {}),)
    return [make_row(line, Words(r.id, u.id, r.name, u.name), extra) for r, u in product(rooms, users)]


def _find_subjects(values: _Values, role: ColumnRole) -> Sequence[_Subject]:
    """Return the rooms (`role` ROOM) or the users (USER) that an object names. Raises _UnusableError."""
    ids = values.ids
    if len(ids) == 1 and isinstance(ids[0], str) and not values.names and not values.objects:  # as nearly always
        return (_Subject(ids[0], ""),)
    if len(ids) == 1 and isinstance(ids[0], list):
        return [_read_subject(each, role) for each in ids[0]] or (_Subject("", ""),)
    singles = [_read_subject(each, role) for each in (*ids, *values.objects)]
    name = _find_name(values.names, is_needed=not singles, role=role)
    if singles:
        found = list(dict.fromkeys(each.id for each in singles if each.id))
        if len(found) > 1:
            raise _UnusableError(_two_ids(role))
        return (_Subject(found[0] if found else "", name or next((each.name for each in singles if each.name), "")),)
    if len(values.lists) > 1:
        raise _UnusableError(_two_ids(role))
    for key, items in values.lists.items():
        is_name = nested_role(key, items, DEFAULT_ROLES) is not role
        return [_read_subject(each, role, is_name=is_name) for each in items] or (_Subject("", ""),)
    return (_Subject("", name),)


def _read_subject(value: Json, role: ColumnRole, *, is_name: bool = False) -> _Subject:
    """Return the room or user in a text, or in an object that has its id or its name. Raises _UnusableError."""
    if isinstance(value, str):
        return _Subject("", value) if is_name else _Subject(value, "")
    if not isinstance(value, dict):
        raise _UnusableError("not_text")
    if isinstance(value, RepeatedKeys):
        raise _UnusableError(_two_ids(role) if value.repeated in _ID_KEYS else "repeated_key")
    texts = {key: _text_of(each) for key, each in value.items()}
    subject_id = next((text for key in _ID_KEYS if (text := texts.get(key))), "")
    name = next((text for key in _NAME_KEYS[role] if (text := texts.get(key))), "")
    if not subject_id and not name:
        raise _UnusableError("not_text")
    return _Subject(subject_id, name)


def _text_of(value: Json) -> str:
    """Return a text, also from the object that MongoDB's tools write for an id; empty for other values."""
    if isinstance(value, dict) and len(value) == 1:
        value = value.get("$oid")
    return value if isinstance(value, str) else ""


def _find_name(names: Iterable[tuple[str, str]], *, is_needed: bool, role: ColumnRole) -> str:
    """Return the name among those of several keys: of an exact key (`roomName`), or else of a vague one (`room`)."""
    filled = {key: name for key, name in names if name.strip()}
    best = [filled[key] for key in best_name_columns(list(filled), use_addresses=is_needed)]
    if len(set(best)) > 1 and is_needed:
        raise _UnusableError(_two_ids(role))
    return best[0] if best else ""


def _repeated_reason(role: ColumnRole) -> str:
    return _two_ids(role) if role in (ColumnRole.ROOM, ColumnRole.USER) else "repeated_key"


def _two_ids(role: ColumnRole) -> str:
    return "two_room_ids" if role is ColumnRole.ROOM else "two_user_ids"


def _bad_row(line: int, room: Json, user: Json, reason: str, extra: dict[str, Json]) -> BadRow:
    return BadRow(line, _raw_text(room), _raw_text(user), reason, BAD_ROW_REASONS[reason], extra)


def _raw_text(value: Json) -> str:
    """Return an id as it is in the file, also if it is not text."""
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return type(value).__name__


def _is_reportable(extra: dict[str, Json]) -> bool:
    # orjson limits the depth: the outer lists reserve levels for callers that nest the values before writing them.
    try:
        orjson.dumps([[[extra]]])
    except TypeError:
        return False
    return True
