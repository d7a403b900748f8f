"""Who has which role where, as the workspace's listings tell it; pure functions over what was read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

QueryVariant: TypeAlias = Mapping[str, str]
QueryVariants: TypeAlias = Sequence[QueryVariant]
"""Queries that ask for the same thing of servers of different age."""

ROOM_ROLES = {"groups": "/api/v1/groups.roles", "channels": "/api/v1/channels.roles"}
"""`GET ...?roomId=`: every member of a room who has any role; for a private group only to its members."""
USER_INFO = "/api/v1/users.info"
"""`GET ...?userId=`: a user; with their rooms and roles, also in rooms that the account has not joined."""
WITH_ROOMS: QueryVariants = ({"includeUserRooms": "true"}, {"fields": '{"userRooms":1}'})
"""How 7.x is asked for the rooms, and how the servers before it were."""
PERMISSIONS = "/api/v1/permissions.listAll"

Body: TypeAlias = Mapping[str, object]
"""What a reading call brought."""


class UserRoom(NamedTuple):
    """One room of a user."""

    room_id: str
    room_name: str
    kind: str
    """`p` for a private group, `c` for a public channel, others for direct messages and the like."""
    roles: frozenset[str]


class UserInfo(NamedTuple):
    """What the workspace tells of one user."""

    user_id: str
    username: str
    """Empty for a user without one, whose roles no method changes."""
    name: str
    active: bool
    rooms: tuple[UserRoom, ...] | None
    """None where the account may not see them."""


class RoleHolder(NamedTuple):
    """One member of a room who has a role in it."""

    user_id: str
    username: str
    roles: frozenset[str]


def parse_role_holders(body: Body) -> list[RoleHolder]:
    """Read the answer of `groups.roles` or `channels.roles`; entries without a user are left out."""
    found = []
    for entry in _objects(body.get("roles")):
        user = entry.get("u")
        if isinstance(user, Mapping) and (user_id := _text(user.get("_id"))):
            found.append(RoleHolder(user_id, _text(user.get("username")), _words(entry.get("roles"))))
    return found


def parse_user_info(body: Body) -> UserInfo | None:
    """Read the answer of `users.info`; None where it names no user."""
    user = body.get("user")
    if not isinstance(user, Mapping) or not (user_id := _text(user.get("_id"))):
        return None
    rooms = user.get("rooms")
    return UserInfo(
        user_id,
        _text(user.get("username")),
        _text(user.get("name")),
        user.get("active") is not False,
        tuple(map(_held, _objects(rooms))) if isinstance(rooms, list) else None,
    )


def parse_permission(body: Body, permission: str) -> frozenset[str] | None:
    """Read which roles have a permission from the answer of `permissions.listAll`; None where it is not listed."""
    for entry in _objects(body.get("update")):
        if entry.get("_id") == permission:
            return _words(entry.get("roles"))
    return None


def _held(room: Body) -> UserRoom:
    return UserRoom(_text(room.get("rid")), _text(room.get("name")), _text(room.get("t")), _words(room.get("roles")))


def _objects(value: object) -> Iterable[Body]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _words(value: object) -> frozenset[str]:
    return frozenset(word for word in value if isinstance(word, str)) if isinstance(value, list) else frozenset()
