"""Finding the room that a call names: what `groups.*` and `channels.*` have in common."""

from collections.abc import Mapping
from typing import NamedTuple

from rolecall.sandbox.answers import Answer, refusal
from rolecall.sandbox.world import Room, RoomType, World


class Family(NamedTuple):
    """One of the two families of room routes."""

    prefix: str
    """What the route names begin with."""
    type: RoomType
    noun: str
    """How the error texts call such a room."""
    archived: str
    """How the error text begins that refuses an archived one."""


GROUPS = Family("groups", "p", "group", "The private group")
CHANNELS = Family("channels", "c", "channel", "The channel")
FAMILIES = (GROUPS, CHANNELS)


def locate(
    world: World, family: Family, caller: str, params: Mapping[str, object], *, archived: bool = False
) -> Room | Answer:
    """Return the room that `params` names, or the refusal; an archived one only where the route takes these.

    A private group is visible to its members only: an admin who has not joined it is told that there is none.
    """
    room = named(world, family, params)
    if isinstance(room, Answer):
        return room
    if room.type == "p" and caller not in room.members:
        return not_found(family)
    return room if archived else opened(family, room)


def named(world: World, family: Family, params: Mapping[str, object]) -> Room | Answer:
    """Return the room of this family that `params` names, joined or not, or the refusal."""
    if not (params.get("roomId") or params.get("roomName")):
        return refusal("error-room-param-not-provided", 'The parameter "roomId" or "roomName" is required')
    room = world.find_room(params)
    return room if room is not None and room.type == family.type else not_found(family)


def opened(family: Family, room: Room) -> Room | Answer:
    """Return the room unless it is archived."""
    if room.archived:
        return refusal("error-room-archived", f"{family.archived}, {room.name}, is archived")
    return room


def not_found(family: Family) -> Answer:
    """Return the refusal that also hides a room from those who may not see it."""
    text = f'The required "roomId" or "roomName" param provided does not match any {family.noun}'
    return refusal("error-room-not-found", text)
