"""The workspace's lists of users and rooms: their routes, and one entry of each; pure functions over what was read."""

from collections.abc import Mapping
from typing import NamedTuple

USERS_BY_STATUS = "/api/v1/users.listByStatus"
"""`GET ...?status=deactivated` or `?searchTerm=`, from 6.8 on; needs `view-d-room`."""
USERS = "/api/v1/users.list"
"""`GET ...?query=`, which servers before 7.0 obey; needs `view-d-room`."""
EVERY_GROUP = "/api/v1/groups.listAll"
"""Every private group; needs `view-room-administration`."""
ROOM_LISTS = {"groups": "/api/v1/groups.list", "channels": "/api/v1/channels.list"}
"""The account's own private groups; the public channels."""
ROOM_INFO = {"groups": "/api/v1/groups.info", "channels": "/api/v1/channels.info"}
"""`GET ...?roomId=` or `?roomName=`: one room, archived or not; a private group only to its members."""
ROOM_TYPES = {"groups": "p", "channels": "c"}
"""How the rooms of a user say of which kind they are."""

ONE_ROOM = {"groups": "group", "channels": "channel"}


class ListedUser(NamedTuple):
    """One user of a list."""

    user_id: str
    username: str
    active: bool
    addresses: frozenset[str]
    """E-mail addresses, as they are written; empty where the account may not see them."""


class ListedRoom(NamedTuple):
    """One room of a list."""

    room_id: str
    name: str


def parse_listed_user(entry: Mapping[str, object]) -> ListedUser | None:
    """Read one entry of `users.listByStatus` or `users.list`; None where it names no user."""
    user_id, username, emails = entry.get("_id"), entry.get("username"), entry.get("emails")
    if not isinstance(user_id, str) or not user_id:
        return None
    given = [email.get("address") for email in emails if isinstance(email, Mapping)] if isinstance(emails, list) else []
    return ListedUser(
        user_id,
        username if isinstance(username, str) else "",
        entry.get("active") is not False,
        frozenset(address for address in given if isinstance(address, str)),
    )


def parse_listed_room(entry: Mapping[str, object]) -> ListedRoom | None:
    """Read one entry of a list of rooms; None where it names no room."""
    room_id, name = entry.get("_id"), entry.get("name")
    if not isinstance(room_id, str) or not room_id:
        return None
    return ListedRoom(room_id, name if isinstance(name, str) else "")


def parse_room_info(kind: str, body: Mapping[str, object]) -> ListedRoom | None:
    """Read the answer of `groups.info` or `channels.info`; None where it names no room."""
    room = body.get(ONE_ROOM[kind])
    return parse_listed_room(room) if isinstance(room, Mapping) else None
