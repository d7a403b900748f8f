"""The routes that only look: the account, the server, and what is known about a private group."""

from collections.abc import Mapping

from worker.sandbox.answers import Answer, success
from worker.sandbox.rooms import GROUPS, locate, named, opened
from worker.sandbox.world import World


def me(world: World, caller: str, _params: Mapping[str, object]) -> Answer:
    """Answer `GET /api/v1/me`: the account that the token belongs to."""
    user = world.users[caller]
    return success(
        _id=user.id,
        username=user.username,
        name=user.username,
        active=user.active,
        roles=user.roles,
        status="online",
        utcOffset=0,
    )


def info(world: World, caller: str, _params: Mapping[str, object]) -> Answer:
    """Answer `GET /api/info`: the version, without its patch number for accounts lacking `view-statistics`."""
    if caller and world.may(caller, "view-statistics"):
        return success(version=world.version)
    return success(version=world.version.rpartition(".")[0])


def counters(world: World, caller: str, params: Mapping[str, object]) -> Answer:
    """Answer `GET groups.counters`: 200 for every private group, `joined` saying whether it is the account's.

    This is the one answer that tells a group that the account has not joined from one that does not exist.
    """
    room = named(world, GROUPS, params)
    room = room if isinstance(room, Answer) else opened(GROUPS, room)
    if isinstance(room, Answer):
        return room
    return success(
        joined=caller in room.members,
        members=len(room.members),
        unreads=0,
        msgs=sum(message.room_id == room.id for message in world.record.messages),
        userMentions=0,
    )


def roles(world: World, caller: str, params: Mapping[str, object]) -> Answer:
    """Answer `GET groups.roles`: every member with any role, to members only."""
    room = locate(world, GROUPS, caller, params)
    if isinstance(room, Answer):
        return room
    return success(
        roles=[
            {
                "_id": f"{room.id}{user_id}",
                "rid": room.id,
                "u": {"_id": user_id, "username": world.users[user_id].username or ""},
                "roles": held,
            }
            for user_id, held in room.members.items()
            if held
        ]
    )
