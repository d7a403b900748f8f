"""Routes that read rooms and their messages: private groups and public channels alike, and lists of both."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rolecall.sandbox.entities import NO_ROLE_PRIORITY, ROOM_ROLES, Room, RoomType, SystemMessage, User
from rolecall.sandbox.responses import (
    Response,
    invalid_params,
    iso_time,
    message_count,
    message_document,
    paged,
    plain_refusal,
    refusal,
    room_document,
    success,
    user_document,
    user_reference,
)
from rolecall.sandbox.world import World

MEMBER_FIELDS = ("_id", "username", "name", "status")
LAST_TIME = "9999"
"""A text after that of every time."""


class RoomFamily(NamedTuple):
    """One of the two families of room routes, `groups.*` and `channels.*`."""

    prefix: str
    """The beginning of the route names."""
    type: RoomType
    noun: str
    """The word for such a room in error texts."""
    archived_subject: str
    """The beginning of the error text for an archived room."""


GROUPS = RoomFamily("groups", "p", "group", "The private group")
CHANNELS = RoomFamily("channels", "c", "channel", "The channel")
FAMILIES = (GROUPS, CHANNELS)


# Finding the room of a request


def find_visible_room(
    world: World, family: RoomFamily, caller: str, params: Mapping[str, object], *, allow_archived: bool = False
) -> Room | Response:
    """Return the room that `params` name, or the 400; an archived room only with `allow_archived`.

    A private group is visible to its members only: for an admin who has not joined it, it does not exist.
    """
    room = find_room(world, family, params)
    if isinstance(room, Response):
        return room
    if not can_access(world, room, caller):
        return _room_not_found(family)
    return room if allow_archived else require_unarchived(family, room)


def can_access(world: World, room: Room, caller: str) -> bool:
    """Return whether the caller sees a room: a public one, an own one, or a discussion of an own one."""
    parent = world.rooms.get(room.parent)
    return room.type == "c" or caller in room.members or (parent is not None and can_access(world, parent, caller))


def find_room(world: World, family: RoomFamily, params: Mapping[str, object]) -> Room | Response:
    """Return the room of this family that `roomId` or `roomName` names, joined or not, or the 400."""
    room_id, name = params.get("roomId"), params.get("roomName")
    if not (room_id or name):
        return refusal("error-room-param-not-provided", 'The parameter "roomId" or "roomName" is required')
    room = world.rooms.get(str(room_id)) if room_id else world.find_room_by_name(name)
    return room if room is not None and room.type == family.type else _room_not_found(family)


def require_unarchived(family: RoomFamily, room: Room) -> Room | Response:
    """Return the room, or the 400 if it is archived."""
    if room.archived:
        return refusal("error-room-archived", f"{family.archived_subject}, {room.name}, is archived")
    return room


def _room_not_found(family: RoomFamily) -> Response:
    """Return the 400 for a room that does not exist or that the caller may not see."""
    text = f'The required "roomId" or "roomName" param provided does not match any {family.noun}'
    return refusal("error-room-not-found", text)


# Routes of one room


def counters(family: RoomFamily, world: World, caller: str, params: Mapping[str, object]) -> Response:
    """Handle `.counters`: 200 for every room that is not archived; `joined` is whether the subscription is open.

    An open subscription is not membership: a member may have hidden the room, and an invitation is open too. This is
    the only route that distinguishes a group that the account has not joined from one that does not exist.
    """
    room = find_room(world, family, params)
    room = room if isinstance(room, Response) else require_unarchived(family, room)
    if isinstance(room, Response):
        return room
    return success(
        joined=(caller in room.members and caller not in room.closed) or caller in room.invited,
        members=len(room.members),
        unreads=0,
        msgs=message_count(world, room),
        userMentions=0,
    )


def roles(family: RoomFamily, world: World, caller: str, params: Mapping[str, object]) -> Response:
    """Handle `.roles`: every member with any role that has a description, deactivated ones too."""
    room = find_visible_room(world, family, caller, params)
    if isinstance(room, Response):
        return room
    described = {role for role in ROOM_ROLES if world.role_descriptions.get(role)}
    listed = [
        {"_id": f"{room.id}{user_id}", "rid": room.id, "u": user_reference(world.users[user_id]), "roles": room_roles}
        for user_id, room_roles in room.members.items()
        if not described.isdisjoint(room_roles or ())
    ]
    return success(roles=sorted(listed, key=lambda entry: entry["u"]["username"]))


def members(family: RoomFamily, world: World, caller: str, params: Mapping[str, object]) -> Response:
    """Handle `.members`: the active members by name; deactivated ones are left out.

    An archived group is refused, an archived channel is not.
    """
    room = find_visible_room(world, family, caller, params, allow_archived=family.type == "c")
    if isinstance(room, Response):
        return room
    shown = [_member_document(user) for user in _active_members(world, room, params)]
    return paged(world.paging, params, "members", shown)


def members_by_role(world: World, caller: str, params: Mapping[str, object]) -> Response:
    """Handle `rooms.membersOrderedByRole`: the active members with their roles, in the order of their priorities."""
    key = params.get("roomId") or params.get("roomName")
    room = world.rooms.get(str(key)) or world.find_room_by_name(key)
    if room is None or not can_access(world, room, caller):
        return plain_refusal('The required "roomId" or "roomName" param provided does not match any room', 404)
    if room.type == "d":
        return plain_refusal("error-room-type-not-supported")
    listed = sorted(
        _active_members(world, room, params), key=lambda user: room.priorities.get(user.id, NO_ROLE_PRIORITY)
    )
    roles = {user_id: {"roles": roles} for user_id, roles in room.members.items() if roles is not None}
    return paged(
        world.paging, params, "members", [{**_member_document(user), **roles.get(user.id, {})} for user in listed]
    )


def _active_members(world: World, room: Room, params: Mapping[str, object]) -> list[User]:
    """Return the active members whose names contain `filter`, by username."""
    text = str(params.get("filter") or "").lower()
    users = (world.users[user_id] for user_id in room.members)
    shown = [user for user in users if user.active and user.username and text in f"{user.username} {user.name}".lower()]
    return sorted(shown, key=lambda user: user.username or "")


def _member_document(user: User) -> dict[str, Any]:
    return {key: value for key, value in user_document(user).items() if key in MEMBER_FIELDS}


def info(family: RoomFamily, world: World, caller: str, params: Mapping[str, object]) -> Response:
    """Handle `.info`: the room, archived or not; for a group only to its members."""
    room = find_visible_room(world, family, caller, params, allow_archived=True)
    if isinstance(room, Response):
        return room
    return success(**{family.noun: room_document(world, room)})


# Messages


def sync_messages(world: World, caller: str, params: Mapping[str, object]) -> Response:
    """Handle `chat.syncMessages`: every message of a room that was updated after `lastUpdate`, the latest first.

    No type is hidden and there are no pages; `next`, `previous` and `count` are not implemented.
    """
    if not params.get("roomId"):
        return invalid_params("must have required property 'roomId'")
    if not params.get("lastUpdate"):
        return refusal("error-param-required", 'The "type" or "lastUpdate" parameters must be provided')
    last = _parse_time(params, "lastUpdate")
    if last is None:
        text = 'The "lastUpdate" query parameter must be a valid date'
        return refusal("error-lastUpdate-param-invalid", text)
    room = world.rooms.get(str(params["roomId"]))
    if room is None or not can_access(world, room, caller):
        return refusal("error-not-allowed", "Not allowed", "messages/get")
    updated = [message for message in _messages(world, room, frozenset()) if message["_updatedAt"] > last]
    return success(result={"updated": updated, "deleted": []})


def history(family: RoomFamily, world: World, caller: str, params: Mapping[str, object]) -> Response:
    """Handle `.history`: the latest messages between `oldest` and `latest`, without the types that the room hides."""
    room = find_visible_room(world, family, caller, params, allow_archived=True)
    if isinstance(room, Response):
        return room
    oldest, latest = _parse_time(params, "oldest") or "", _parse_time(params, "latest") or LAST_TIME
    offset, count = (
        int(text) if (text := str(params.get(name))).isdecimal() else default
        for name, default in (("offset", 0), ("count", 20))
    )
    hidden = world.hidden_types if room.hidden_types is None else room.hidden_types
    shown = [message for message in _messages(world, room, hidden) if oldest < message["ts"] < latest]
    return success(messages=shown[offset : offset + count])


def _messages(world: World, room: Room, hidden: frozenset[str]) -> list[dict[str, Any]]:
    """Return the messages of a room, the latest first, without system messages of these types."""
    documents = [
        message_document(world, number, message)
        for number, message in enumerate(world.record.history, start=1)
        if message.room_id == room.id and not (isinstance(message, SystemMessage) and message.type in hidden)
    ]
    return documents[::-1]


def _parse_time(params: Mapping[str, object], name: str) -> str | None:
    """Return a parameter as the text of `iso_time`, so that texts can be compared; None if it is not a time."""
    try:
        time = datetime.fromisoformat(str(params.get(name)))
    except ValueError:
        return None
    return iso_time((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())


# Lists of rooms and roles


def list_roles(world: World, _caller: str, _params: Mapping[str, object]) -> Response:
    """Handle `roles.list`: every role of the workspace and of rooms, with its description."""
    roles = [
        {
            "_id": role,
            "name": role,
            "description": text,
            "scope": _scope(role),
            "protected": True,
            "mandatory2fa": False,
        }
        for role, text in sorted(world.role_descriptions.items())
    ]
    return success(roles=roles)


def _scope(role: str) -> str:
    return "Subscriptions" if role in ROOM_ROLES else "Users"


def own_groups(world: World, caller: str, params: Mapping[str, object]) -> Response:
    """Handle `groups.list`: the groups that the account is a member of."""
    own = (room for room in _rooms_of_type(world, "p") if caller in room.members)
    return _room_page(world, params, "groups", own)


def all_groups(world: World, _caller: str, params: Mapping[str, object]) -> Response:
    """Handle `groups.listAll`: every group of the workspace."""
    return _room_page(world, params, "groups", _rooms_of_type(world, "p"))


def channels(world: World, caller: str, params: Mapping[str, object]) -> Response:
    """Handle `channels.list`: every channel, or only the joined ones for an account without `view-c-room`."""
    sees_all = world.has_permission(caller, "view-c-room")
    shown = (room for room in _rooms_of_type(world, "c") if sees_all or caller in room.members)
    return _room_page(world, params, "channels", shown)


def admin_rooms(world: World, caller: str, params: Mapping[str, object]) -> Response:
    """Handle `rooms.adminRooms`: rooms of these `types` (default all) with `filter` in their names or display names.

    The route checks the permission itself, so it returns 400 where other routes return 403.
    """
    if not world.has_permission(caller, "view-room-administration"):
        return plain_refusal("error-not-authorized")
    types = params.get("types") or ["p", "c", "d"]
    text = str(params.get("filter") or "").strip().lower()
    wanted = types if isinstance(types, list) else [types]
    rooms = (room for kind in ("p", "c", "d") if kind in wanted for room in _rooms_of_type(world, kind))
    return _room_page(world, params, "rooms", (room for room in rooms if text in _names_of(room)))


def _names_of(room: Room) -> str:
    return f"{room.name}\n{room.display_name}".lower()


def _rooms_of_type(world: World, kind: str) -> list[Room]:
    return [room for room in world.rooms.values() if room.type == kind]


def _room_page(world: World, params: Mapping[str, object], key: str, rooms: Iterable[Room]) -> Response:
    """Return a page of rooms by name, archived ones included."""
    by_name = sorted(rooms, key=lambda room: room.name)
    return paged(world.paging, params, key, [room_document(world, room) for room in by_name])
