"""Parsers for the responses of the read endpoints: users, rooms and roles. Pure functions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias

from rolecall.models import NoReply, Reply
from rolecall.rocketchat.response_classifier import classify_read

USER_INFO = "/api/v1/users.info"
"""`GET ...?userId=`: one user, with their rooms and roles, also in rooms that the account has not joined."""
USERS_BY_STATUS = "/api/v1/users.listByStatus"
"""`GET ...?status=deactivated` or `?searchTerm=`, from 6.8 on; needs `view-d-room`."""
USERS = "/api/v1/users.list"
"""`GET ...?query=`, which only servers before 7.0 honour; needs `view-d-room`."""
PERMISSIONS = "/api/v1/permissions.listAll"
COUNTERS = "/api/v1/groups.counters"
"""`GET ...?roomId=`: succeeds for every private group that exists, also without membership."""
ALL_GROUPS = "/api/v1/groups.listAll"
"""Every private group; needs `view-room-administration`."""
ROOM_LISTS = {"groups": "/api/v1/groups.list", "channels": "/api/v1/channels.list"}
"""The account's own private groups; the public channels."""
ROOM_INFO = {"groups": "/api/v1/groups.info", "channels": "/api/v1/channels.info"}
"""`GET ...?roomId=` or `?roomName=`: one room, archived or not; for a private group members only."""
ADMIN_ROOMS = "/api/v1/rooms.adminRooms"
"""`GET ...?filter=`: every room with this text in its name or display name; needs `view-room-administration`."""
ROOM_ROLES = {"groups": "/api/v1/groups.roles", "channels": "/api/v1/channels.roles"}
"""`GET ...?roomId=`: every member of a room who has a role; for a private group members only."""
ROOM_MEMBERS = {"groups": "/api/v1/groups.members", "channels": "/api/v1/channels.members"}
"""`GET ...?roomId=`: the members of a room, without deactivated users; for a private group members only."""
ROLES = "/api/v1/roles.list"
"""Every role with its description; the room's list of roles leaves out roles without one."""
SYNC_MESSAGES = "/api/v1/chat.syncMessages"
"""`GET ...?roomId=&lastUpdate=`: every message of a room since a time, hidden system messages included."""
ROOM_TYPES = {"groups": "p", "channels": "c"}
"""The value of `t` in a user's list of rooms."""
_ROOM_KEYS = {"groups": "group", "channels": "channel"}

QueryVariant: TypeAlias = Mapping[str, str]
QueryVariants: TypeAlias = Sequence[QueryVariant]
"""Equivalent queries for different server versions."""
WITH_ROOMS: QueryVariants = ({"includeUserRooms": "true"}, {"fields": '{"userRooms":1}'})
"""Queries of `users.info` that include the user's rooms: from 7.0 on, and before."""

Body: TypeAlias = Mapping[str, object]
"""A JSON object in a response."""

_NO_STRINGS: frozenset[str] = frozenset()


class UserRoom(NamedTuple):
    """One room of a user."""

    room_id: str
    room_name: str
    kind: str
    """`p` for a private group, `c` for a public channel, other values for direct messages and the like."""
    roles: frozenset[str]


class UserInfo(NamedTuple):
    """One user, as `users.info` returns it."""

    user_id: str
    username: str
    """Empty for a user without a username; the API cannot change such a user's roles."""
    name: str
    active: bool
    rooms: tuple[UserRoom, ...] | None
    """None if the account may not see them."""
    read_at: float | None = None
    """The server's clock when it responded: epoch seconds."""


class RoleHolder(NamedTuple):
    """One member of a room who has a role in it."""

    user_id: str
    username: str
    roles: frozenset[str]


class ListedUser(NamedTuple):
    """One user of a list."""

    user_id: str
    username: str
    active: bool
    addresses: frozenset[str]
    """E-mail addresses, as the server writes them; empty if the account may not see them."""


class ListedRoom(NamedTuple):
    """One room of a list."""

    room_id: str
    name: str
    display_name: str = ""
    """The name that people see, where the workspace allows special characters in it; the title of a discussion."""
    kind: str = ""
    """`p` for a private group, `c` for a public channel."""


class RoleMessage(NamedTuple):
    """The system message of a role change in a room. No other text of a message is kept."""

    adds: bool
    username: str
    """Of the user whose role changed."""
    role: str
    account_id: str
    """Of the account that changed it."""
    at: int
    """The server's clock: UTC, milliseconds since the epoch."""


_ROLE_MESSAGES = {"subscription-role-added": True, "subscription-role-removed": False}


def parse_role_messages(body: Body) -> list[RoleMessage]:
    """Parse the role changes in the response of `chat.syncMessages`, the oldest first."""
    result = body.get("result")
    messages = []
    for entry in _objects(result.get("updated") if isinstance(result, Mapping) else None):
        adds, sender = _ROLE_MESSAGES.get(_text(entry.get("t"))), entry.get("u")
        if adds is None or not isinstance(sender, Mapping):
            continue
        if (at := _time(entry.get("ts"))) is not None:
            messages.append(
                RoleMessage(adds, _text(entry.get("msg")), _text(entry.get("role")), _text(sender.get("_id")), at)
            )
    return sorted(messages, key=lambda message: message.at)


def parse_described_roles(body: Body) -> frozenset[str] | None:
    """Return the roles with a description, from the response of `roles.list`; None if it contains no roles."""
    roles = _objects(body.get("roles"))
    described = frozenset(_text(role.get("_id")) for role in roles if _text(role.get("description")))
    return described if roles else None


def parse_members(body: Body) -> tuple[dict[str, str], int]:
    """Parse a page of `groups.members` or `channels.members`: usernames by user id, and the total of the members."""
    members = {_text(entry.get("_id")): _text(entry.get("username")) for entry in _objects(body.get("members"))}
    total = body.get("total")
    return members, total if isinstance(total, int) else len(members)


def parse_user_info(body: Body) -> UserInfo | None:
    """Parse the response of `users.info`; None if it contains no user. Rooms without an id are left out."""
    user = body.get("user")
    if not isinstance(user, Mapping) or not (user_id := _text(user.get("_id"))):
        return None
    rooms = user.get("rooms")
    return UserInfo(
        user_id,
        _text(user.get("username")),
        _text(user.get("name")),
        user.get("active") is not False,
        tuple(_user_room(room) for room in _objects(rooms) if "rid" in room) if isinstance(rooms, list) else None,
    )


def parse_role_holders(body: Body) -> list[RoleHolder]:
    """Parse the response of `groups.roles` or `channels.roles`; entries without a user are left out."""
    holders = []
    for entry in _objects(body.get("roles")):
        user = entry.get("u")
        if isinstance(user, Mapping) and (user_id := _text(user.get("_id"))):
            holders.append(RoleHolder(user_id, _text(user.get("username")), _strings(entry.get("roles"))))
    return holders


def parse_permission(body: Body, permission: str) -> frozenset[str] | None:
    """Return the roles that have a permission, from the response of `permissions.listAll`; None if it is not listed."""
    for entry in _objects(body.get("update")):
        if entry.get("_id") == permission:
            return _strings(entry.get("roles"))
    return None


def parse_listed_user(entry: Body) -> ListedUser | None:
    """Parse one entry of `users.listByStatus` or `users.list`; None if it has no user id."""
    if not (user_id := _text(entry.get("_id"))):
        return None
    addresses = [email.get("address") for email in _objects(entry.get("emails"))]
    return ListedUser(user_id, _text(entry.get("username")), entry.get("active") is not False, _strings(addresses))


def parse_listed_room(entry: Body) -> ListedRoom | None:
    """Parse one entry of a list of rooms; None if it has no room id."""
    room_id = _text(entry.get("_id"))
    names = (_text(entry.get("name")), _text(entry.get("fname")))
    return ListedRoom(room_id, *names, _text(entry.get("t"))) if room_id else None


def parse_room_creator(entry: Body) -> tuple[str, str, str]:
    """Parse one entry of a list of rooms: its id, its name, and the id of the user who created it; empty if missing."""
    creator = entry.get("u")
    return (
        _text(entry.get("_id")),
        _text(entry.get("name")),
        _text(creator.get("_id")) if isinstance(creator, Mapping) else "",
    )


def parse_room_info(kind: str, body: Body) -> ListedRoom | None:
    """Parse the response of `groups.info` or `channels.info`; None if it contains no room."""
    room = body.get(_ROOM_KEYS[kind])
    return parse_listed_room(room) if isinstance(room, Mapping) else None


def parse_joined(body: Body) -> bool | None:
    """Parse the response of `groups.counters`: whether the account has joined the room; None if it is not stated."""
    joined = body.get("joined")
    return joined if isinstance(joined, bool) else None


def is_joined(reply: Reply | NoReply) -> bool | None:
    """Return whether the account has joined the room, from the reply of `groups.counters`; None if it is not known."""
    body = classify_read(reply).body
    return None if body is None else parse_joined(body)


def is_route_unavailable(reply: Reply | NoReply) -> bool:
    """Return whether the route is missing or forbidden for this account, so that a further call is useless."""
    return isinstance(reply, Reply) and reply.status in (401, 403, 404)


def _user_room(room: Body) -> UserRoom:
    return UserRoom(_text(room.get("rid")), _text(room.get("name")), _text(room.get("t")), _strings(room.get("roles")))


def _objects(value: object) -> Sequence[Body]:
    """Return the objects of a list that have any key. Millions of empty ones, which a response has room for, cost time.

    JSON objects are of the type `dict`, for which there is a faster check than for a mapping.
    """
    return [entry for entry in value if entry and isinstance(entry, dict)] if isinstance(value, list) else []


def _time(value: object) -> int | None:
    """Parse a time as the server writes it, ISO text or `{"$date": milliseconds}`, as milliseconds since the epoch."""
    if isinstance(value, Mapping):
        value = value.get("$date")
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return int(value)
        return round(datetime.fromisoformat(_text(value)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _strings(value: object) -> frozenset[str]:
    return frozenset(entry for entry in value if isinstance(entry, str)) if isinstance(value, list) else _NO_STRINGS
