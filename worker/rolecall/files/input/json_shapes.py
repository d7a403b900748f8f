"""The shapes in which JSON exports have their rows: wrapped in objects, in pages, nested, several users in one row."""

from collections.abc import Iterator
from functools import lru_cache

from rolecall.files.input.columns import (
    SUBJECTS,
    ColumnRole,
    ColumnRoles,
    describe_missing_columns,
    format_names,
    normalise_name,
)
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
