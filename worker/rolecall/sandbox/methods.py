"""The calls that give and take room roles: one table of twins, one order of checks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from rolecall.sandbox.answers import Answer, invalid_params, refusal, success
from rolecall.sandbox.call_log import SystemMessage
from rolecall.sandbox.rooms import FAMILIES, Family, locate
from rolecall.sandbox.world import ROOM_ROLES, Room, User, World

ROOM_KEYS = ("roomId", "roomName")
USER_KEYS = ("userId", "username", "user")


@dataclass(frozen=True, slots=True)
class RoleChange:
    """One of the twelve calls; they differ in family, role and direction only."""

    family: Family
    gives: bool
    """True for `add...`, False for `remove...`."""
    role: str

    @property
    def name(self) -> str:
        """The route's name, such as `groups.removeLeader`."""
        return f"{self.family.prefix}.{'add' if self.gives else 'remove'}{self.role.title()}"

    @property
    def method(self) -> str:
        """The server's method behind it, as it stands in the `details` of an error."""
        return f"{'add' if self.gives else 'remove'}Room{self.role.title()}"

    def refuse(self, error_type: str, text: str) -> Answer:
        """Return a refusal by the method behind this call."""
        return refusal(error_type, text, self.method)


CHANGES = {change.name: change for change in (RoleChange(*row) for row in product(FAMILIES, (False, True), ROOM_ROLES))}
"""Every call that changes a role, by its route's name."""


def change_role(change: RoleChange, world: World, caller: str, params: Any) -> Answer:
    """Give or take a role, or return the first refusal in the server's own order.

    The order: body, room found and visible, archived, user exists, permission, membership, role.
    """
    if refused := _refuse_body(world, params):
        return refused
    room = locate(world, change.family, caller, params)
    if isinstance(room, Answer):
        return room
    user = world.find_user(params)
    if user is None or user.username is None:
        return change.refuse("error-invalid-user", "Invalid user")
    if refused := _refuse_caller(world, change, caller, room) or _refuse_member(change, room, user):
        return refused
    _apply(world, change, room, user)
    return replace(success(), carried_out=True)


def _refuse_body(world: World, params: Any) -> Answer | None:
    """Refuse a body without a room or a user; from 8.0.0 on also one with any other key."""
    if world.legacy:
        return _refuse_missing(params if isinstance(params, dict) else {})
    if not isinstance(params, dict):
        return invalid_params("must be object")
    for keys in (ROOM_KEYS, USER_KEYS):
        if not any(isinstance(params.get(key), str) and params[key] for key in keys):
            return invalid_params(f"must have required property '{keys[0]}'")
    rooms, users = (sum(key in params for key in keys) for keys in (ROOM_KEYS, USER_KEYS))
    if len(params) != 2 or rooms != 1 or users != 1:
        return invalid_params("must NOT have additional properties")
    return None


def _refuse_missing(params: Mapping[str, object]) -> Answer | None:
    """Refuse as servers before 8.0.0 do: no schema, each parameter looked for by itself."""
    if not any(params.get(key) for key in ROOM_KEYS):
        return refusal("error-room-param-not-provided", 'The parameter "roomId" or "roomName" is required')
    if not any(params.get(key) for key in USER_KEYS):
        text = 'The required "userId" or "username" param was not provided'
        return refusal("error-user-param-not-provided", text)
    return None


def _refuse_caller(world: World, change: RoleChange, caller: str, room: Room) -> Answer | None:
    """Refuse an account that lacks the permission in this room."""
    if world.may(caller, f"set-{change.role}", room):
        return None
    return change.refuse("error-not-allowed", "Not allowed")


def _refuse_member(change: RoleChange, room: Room, user: User) -> Answer | None:
    """Refuse where there is nothing to change.

    The quirk: a subscription without a `roles` field passes the check of a removal, so the server says 200.
    """
    if user.id not in room.members:
        return change.refuse("error-user-not-in-room", "User is not in this room")
    article = "an" if change.role == "owner" else "a"
    holds = room.has_role(user.id, change.role)
    if change.gives and holds:
        return change.refuse(f"error-user-already-{change.role}", f"User is already {article} {change.role}")
    if not change.gives and not holds and room.members[user.id] is not None:
        return change.refuse(f"error-user-not-{change.role}", f"User is not {article} {change.role}")
    if not change.gives and holds and change.role == "owner" and room.holders("owner") == 1:
        text = "This is the last owner. Please set a new owner before removing this one."
        return change.refuse("error-remove-last-owner", text)
    return None


def _apply(world: World, change: RoleChange, room: Room, user: User) -> None:
    """Change the role and post the system message that the room's members see."""
    roles = room.members[user.id]
    if change.gives:
        room.members[user.id] = [*(roles or ()), change.role]
    elif roles is not None:
        roles.remove(change.role)
    kind = "subscription-role-added" if change.gives else "subscription-role-removed"
    world.record.messages.append(SystemMessage(kind, room.id, user.id, change.role))
