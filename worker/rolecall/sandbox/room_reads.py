"""The routes that look at rooms, private groups and public channels alike, and the administrator's view of both."""

from collections.abc import Iterable, Mapping

from rolecall.sandbox.answers import Answer, plain_refusal, success
from rolecall.sandbox.documents import mention, message_count, room_document, user_document
from rolecall.sandbox.paging import paged
from rolecall.sandbox.rooms import Family, locate, named, opened
from rolecall.sandbox.world import Room, World

MEMBER_FIELDS = ("_id", "username", "name", "status")


def counters(family: Family, world: World, caller: str, params: Mapping[str, object]) -> Answer:
    """Answer `.counters`: 200 for every open room, `joined` saying whether it is the account's.

    This is the one answer that tells a group that the account has not joined from one that does not exist.
    """
    room = named(world, family, params)
    room = room if isinstance(room, Answer) else opened(family, room)
    if isinstance(room, Answer):
        return room
    return success(
        joined=caller in room.members,
        members=len(room.members),
        unreads=0,
        msgs=message_count(world, room),
        userMentions=0,
    )


def roles(family: Family, world: World, caller: str, params: Mapping[str, object]) -> Answer:
    """Answer `.roles`: every member with any role, deactivated ones too; of a group to its members only."""
    room = locate(world, family, caller, params)
    if isinstance(room, Answer):
        return room
    listed = [
        {"_id": f"{room.id}{user_id}", "rid": room.id, "u": mention(world.users[user_id]), "roles": held}
        for user_id, held in room.members.items()
        if held
    ]
    return success(roles=sorted(listed, key=lambda entry: entry["u"]["username"]))


def members(family: Family, world: World, caller: str, params: Mapping[str, object]) -> Answer:
    """Answer `.members`: the active members by name; whoever was deactivated is not among them.

    An archived group is refused, an archived channel is not.
    """
    room = locate(world, family, caller, params, archived=family.type == "c")
    if isinstance(room, Answer):
        return room
    text = str(params.get("filter") or "").lower()
    users = [world.users[user_id] for user_id in room.members]
    shown = [
        {key: value for key, value in user_document(user).items() if key in MEMBER_FIELDS}
        for user in sorted(users, key=lambda user: user.username or "")
        if user.active and user.username and (text in user.username.lower() or text in user.name.lower())
    ]
    return paged(world.paging, params, "members", shown)


def info(family: Family, world: World, caller: str, params: Mapping[str, object]) -> Answer:
    """Answer `.info`: the room, archived or not; a group to its members only."""
    room = locate(world, family, caller, params, archived=True)
    if isinstance(room, Answer):
        return room
    return success(**{family.noun: room_document(world, room)})


def own_groups(world: World, caller: str, params: Mapping[str, object]) -> Answer:
    """Answer `groups.list`: the groups that the account is in."""
    return _listed(world, params, "groups", (room for room in _typed(world, "p") if caller in room.members))


def all_groups(world: World, _caller: str, params: Mapping[str, object]) -> Answer:
    """Answer `groups.listAll`: every group of the workspace."""
    return _listed(world, params, "groups", _typed(world, "p"))


def channels(world: World, caller: str, params: Mapping[str, object]) -> Answer:
    """Answer `channels.list`: every channel, or the account's own for one without `view-c-room`."""
    everything = world.may(caller, "view-c-room")
    shown = (room for room in _typed(world, "c") if everything or caller in room.members)
    return _listed(world, params, "channels", shown)


def admin_rooms(world: World, caller: str, params: Mapping[str, object]) -> Answer:
    """Answer `rooms.adminRooms`: rooms of the types asked for (all without), their names containing `filter`.

    The route looks at the permission itself, and so it answers 400 where others answer 403.
    """
    if not world.may(caller, "view-room-administration"):
        return plain_refusal("error-not-authorized")
    types = params.get("types") or ["p", "c", "d"]
    text = str(params.get("filter") or "").strip().lower()
    wanted = types if isinstance(types, list) else [types]
    rooms = (room for kind in ("p", "c", "d") if kind in wanted for room in _typed(world, kind))
    return _listed(world, params, "rooms", (room for room in rooms if text in room.name.lower()))


def _typed(world: World, kind: str) -> list[Room]:
    return [room for room in world.rooms.values() if room.type == kind]


def _listed(world: World, params: Mapping[str, object], key: str, rooms: Iterable[Room]) -> Answer:
    """Answer with a page of rooms by name, archived ones among them."""
    by_name = sorted(rooms, key=lambda room: room.name)
    return paged(world.paging, params, key, [room_document(world, room) for room in by_name])
