"""Routes that read rooms: private groups and public channels alike, and the administrator's list of both."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rolecall.sandbox.responses import (
    Response,
    message_count,
    paged,
    plain_refusal,
    refusal,
    room_document,
    success,
    user_document,
    user_reference,
)
from rolecall.sandbox.world import Room, RoomType, World

MEMBER_FIELDS = ("_id", "username", "name", "status")


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
    if room.type == "p" and caller not in room.members:
        return _room_not_found(family)
    return room if allow_archived else require_unarchived(family, room)


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
    """Handle `.counters`: 200 for every room that is not archived; `joined` is whether the account is a member.

    This is the only route that distinguishes a group that the account has not joined from one that does not exist.
    """
    room = find_room(world, family, params)
    room = room if isinstance(room, Response) else require_unarchived(family, room)
    if isinstance(room, Response):
        return room
    return success(
        joined=caller in room.members,
        members=len(room.members),
        unreads=0,
        msgs=message_count(world, room),
        userMentions=0,
    )


def roles(family: RoomFamily, world: World, caller: str, params: Mapping[str, object]) -> Response:
    """Handle `.roles`: every member with any role, deactivated ones too; for a group only to its members."""
    room = find_visible_room(world, family, caller, params)
    if isinstance(room, Response):
        return room
    listed = [
        {"_id": f"{room.id}{user_id}", "rid": room.id, "u": user_reference(world.users[user_id]), "roles": room_roles}
        for user_id, room_roles in room.members.items()
        if room_roles
    ]
    return success(roles=sorted(listed, key=lambda entry: entry["u"]["username"]))


def members(family: RoomFamily, world: World, caller: str, params: Mapping[str, object]) -> Response:
    """Handle `.members`: the active members by name; deactivated ones are left out.

    An archived group is refused, an archived channel is not.
    """
    room = find_visible_room(world, family, caller, params, allow_archived=family.type == "c")
    if isinstance(room, Response):
        return room
    text = str(params.get("filter") or "").lower()
    users = [world.users[user_id] for user_id in room.members]
    shown = [
        {key: value for key, value in user_document(user).items() if key in MEMBER_FIELDS}
        for user in sorted(users, key=lambda user: user.username or "")
        if user.active and user.username and (text in user.username.lower() or text in user.name.lower())
    ]
    return paged(world.paging, params, "members", shown)


def info(family: RoomFamily, world: World, caller: str, params: Mapping[str, object]) -> Response:
    """Handle `.info`: the room, archived or not; for a group only to its members."""
    room = find_visible_room(world, family, caller, params, allow_archived=True)
    if isinstance(room, Response):
        return room
    return success(**{family.noun: room_document(world, room)})


# Lists of rooms


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
    """Handle `rooms.adminRooms`: rooms of these `types` (default all) with `filter` in their names.

    The route checks the permission itself, so it returns 400 where other routes return 403.
    """
    if not world.has_permission(caller, "view-room-administration"):
        return plain_refusal("error-not-authorized")
    types = params.get("types") or ["p", "c", "d"]
    text = str(params.get("filter") or "").strip().lower()
    wanted = types if isinstance(types, list) else [types]
    rooms = (room for kind in ("p", "c", "d") if kind in wanted for room in _rooms_of_type(world, kind))
    return _room_page(world, params, "rooms", (room for room in rooms if text in room.name.lower()))


def _rooms_of_type(world: World, kind: str) -> list[Room]:
    return [room for room in world.rooms.values() if room.type == kind]


def _room_page(world: World, params: Mapping[str, object], key: str, rooms: Iterable[Room]) -> Response:
    """Return a page of rooms by name, archived ones included."""
    by_name = sorted(rooms, key=lambda room: room.name)
    return paged(world.paging, params, key, [room_document(world, room) for room in by_name])
