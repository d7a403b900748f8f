"""Routes that change the workspace: room roles, messages, and the sessions of accounts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

from rolecall.sandbox.entities import ROOM_ROLES, Post, RoleWrite, Room, SystemMessage, User
from rolecall.sandbox.responses import (
    Response,
    invalid_params,
    json_response,
    message_document,
    plain_refusal,
    refusal,
    schema_error,
    success,
    user_document,
)
from rolecall.sandbox.room_routes import FAMILIES, RoomFamily, find_visible_room
from rolecall.sandbox.world import World

ROOM_KEYS = ("roomId", "roomName")
USER_KEYS = ("userId", "username", "user")

TOTP_DETAILS = {"method": "totp", "codeGenerated": False, "availableMethods": ["totp"]}


# Room roles


@dataclass(frozen=True, slots=True)
class RoleChange:
    """One of the twelve role changes; they differ in family, direction and role only."""

    family: RoomFamily
    adds: bool
    """True for `add...`, False for `remove...`."""
    role: str

    @property
    def name(self) -> str:
        """The route's name, such as `groups.removeLeader`."""
        return f"{self.family.prefix}.{'add' if self.adds else 'remove'}{self.role.title()}"

    @property
    def method(self) -> str:
        """The server's internal method, as named in the `details` of an error."""
        return f"{'add' if self.adds else 'remove'}Room{self.role.title()}"

    def refuse(self, error_type: str, text: str) -> Response:
        """Return a 400 of the internal method."""
        return refusal(error_type, text, self.method)


CHANGES = {change.name: change for change in (RoleChange(*row) for row in product(FAMILIES, (False, True), ROOM_ROLES))}
"""Every role change, by its route's name."""


def change_role(change: RoleChange, world: World, caller: str, params: Any) -> Response:
    """Add or remove a role, or return the first refusal in the server's own order.

    The order: room exists and is visible, archived, user exists, permission in this room, membership, role.
    """
    body = params if isinstance(params, dict) else {}
    room = find_visible_room(world, change.family, caller, body)
    if isinstance(room, Response):
        return room
    user = _find_user(world, body)
    if isinstance(user, Response):
        return user
    if not world.has_permission(caller, f"set-{change.role}", room):
        return change.refuse("error-not-allowed", "Not allowed")
    if user.username is None:
        return change.refuse("error-invalid-user", "Invalid user")
    if refused := _check_member(change, room, user):
        return refused
    is_reached = apply_role_change(world, caller, room.id, user.id, change.role, adds=change.adds)
    return replace(success(), carried_out=is_reached)


def check_schema(_world: World, params: Any) -> Response | None:
    """Return the 400 of newer servers for a body that is not exactly one room and one user, or None."""
    if not isinstance(params, dict):
        return schema_error("invalid-params", "must be object")
    for keys in (ROOM_KEYS, USER_KEYS):
        if not any(isinstance(params.get(key), str) and params[key] for key in keys):
            return schema_error("invalid-params", f"must have required property '{keys[0]}'")
    rooms, users = (sum(key in params for key in keys) for keys in (ROOM_KEYS, USER_KEYS))
    if len(params) != 2 or rooms != 1 or users != 1:
        return schema_error("invalid-params", "must NOT have additional properties")
    return None


def _find_user(world: World, params: Mapping[str, object]) -> User | Response:
    """Return the user that `userId` (an id), `username` or `user` (names) names, or the 400."""
    key = next((key for key in USER_KEYS if str(params.get(key) or "").strip()), None)
    if key is None:
        text = 'The required "userId" or "username" param was not provided'
        return refusal("error-user-param-not-provided", text)
    value = str(params[key])
    user = world.users.get(value) if key == "userId" else world.find_user_by_name(value)
    text = 'The required "userId" or "username" param provided does not match any users'
    return user or refusal("error-invalid-user", text)


def _check_member(change: RoleChange, room: Room, user: User) -> Response | None:
    """Return the 400 if the user is not a member, or if there is nothing to change.

    A subscription without a `roles` field passes the check of a removal, except for owners: the server checks
    a list of roles only if there is one.
    """
    if user.id not in room.members:
        if change.adds or change.role == "leader":
            return change.refuse("error-user-not-in-room", "User is not in this room")
        return change.refuse("error-invalid-room", "Invalid room")
    article = "an" if change.role == "owner" else "a"
    has_role = room.has_role(user.id, change.role)
    is_checked = room.members[user.id] is not None or change.role == "owner"
    if change.adds and has_role:
        return change.refuse(f"error-user-already-{change.role}", f"User is already {article} {change.role}")
    if not change.adds and not has_role and is_checked:
        return change.refuse(f"error-user-not-{change.role}", f"User is not {article} {change.role}")
    if not change.adds and change.role == "owner" and room.count_role("owner") == 1:
        text = "This is the last owner. Please set a new owner before removing this one."
        return change.refuse("error-remove-last-owner", text)
    return None


def apply_role_change(
    world: World, caller: str, room_id: str, user_id: str, role: str = "leader", *, adds: bool = False
) -> bool:
    """Carry out the writes of a role change and return whether the first was reached.

    The order: the role, its priority, the system message, the role in the team. `World.fail_after_writes` ends it
    early. Call it directly for a change by another account.
    """
    room = world.rooms[room_id]
    written = RoleWrite(world.now, caller, room_id, user_id, role, adds, room.has_role(user_id, role))
    writes: tuple[Callable[[], None], ...] = (
        partial(_write_role, room.members, written),
        partial(world.synchronise_priority, room_id, user_id),
        partial(world.record.save, _system_message(world, written)),
        partial(_write_role, room.team_roles if room.is_team else {}, written),
    )
    done = writes[: world.fail_after_writes]
    for write in done:
        write()
    if done:
        world.record.role_writes.append(written)
    return bool(done)


def _write_role(roles_by_user: dict[str, list[str] | None], write: RoleWrite) -> None:
    """Add or remove a role in the list of one user; a removal changes nothing where there is no list."""
    roles = roles_by_user.get(write.user_id)
    if write.adds:
        roles_by_user[write.user_id] = [*(roles or ()), write.role]
    elif roles is not None and write.role in roles:
        roles.remove(write.role)


def _system_message(world: World, write: RoleWrite) -> SystemMessage:
    """Return the message that the room's members see."""
    kind = "subscription-role-added" if write.adds else "subscription-role-removed"
    username = world.users[write.user_id].username or ""
    return SystemMessage(kind, write.room_id, write.user_id, write.role, username, write.caller_id, write.time)


# Messages


def post_message(world: World, caller: str, params: Any) -> Response:
    """Handle `POST chat.postMessage`: into a room by id, name or `#name`, or to `@user`.

    A private group accepts messages from its members only; a public channel is joined automatically.
    """
    body = params if isinstance(params, dict) else {}
    target = body.get("roomId") or body.get("channel")
    if not isinstance(target, str):
        return invalid_params("must have required property 'roomId'\n must match exactly one schema in oneOf")
    room = _find_target(world, caller, target)
    if room is None:
        return refusal("invalid-channel", "")
    if room.type != "c" and caller not in room.members:
        return plain_refusal("error-not-allowed")
    room.members.setdefault(caller, None)
    post = _record_post(world, room, caller, body, "chat.postMessage")
    message = message_document(world, len(world.record.history), post)
    return success(ts=round(world.now * 1000), channel=target, message=message)


def post_by_webhook(webhook_id: str, token: str, world: World, _caller: str, params: Any) -> Response:
    """Handle `POST /hooks/<id>/<token>`: post the text into the webhook's own room; an empty body posts nothing."""
    webhook = world.webhooks.get(webhook_id)
    if webhook is None or webhook.token != token:
        return json_response(404, {"success": False, "error": "Invalid integration id or token provided."})
    if not isinstance(params, dict) or not params:
        return success()
    if params.get("channel") or params.get("roomId"):
        return plain_refusal("overriding destination channel is disabled for this integration")
    _record_post(world, world.rooms[webhook.room_id], webhook.user_id, params, "hooks")
    return success()


def _find_target(world: World, caller: str, target: str) -> Room | None:
    """Return the room for a message: `#` means a room, `@` a user; without a prefix a room, then a user."""
    name = target.removeprefix("#")
    if not target.startswith("@"):
        room = world.rooms.get(name) or world.find_room_by_name(name)
        return room or (None if target.startswith("#") else _direct_room(world, caller, target))
    user = world.users.get(target[1:]) or world.find_user_by_name(target[1:])
    return _direct_room(world, caller, user.id) if user else None


def _direct_room(world: World, caller: str, user_id: str) -> Room | None:
    """Return the direct conversation with this user; create it if there is none."""
    if user_id not in world.users:
        return None
    room_id = "".join(sorted((caller, user_id)))
    if room_id not in world.rooms:
        world.add_room(room_id, name=world.users[user_id].username or user_id, type="d")
        for member in {caller, user_id}:
            world.join(room_id, member, None)
    return world.rooms[room_id]


def _record_post(world: World, room: Room, user_id: str, body: dict[str, Any], route: str) -> Post:
    """Record a message and return it."""
    text = str(body.get("text") or body.get("msg") or "").strip()
    post = Post(room.id, user_id, text, str(body.get("username") or body.get("alias") or ""), route, world.now)
    world.record.save(post)
    return post


# Sessions


def login(world: World, _caller: str, params: Any) -> Response:
    """Handle `POST login`: a new token, or a 401 that names the missing or wrong credential."""
    body = params if isinstance(params, dict) else {}
    name = str(body.get("user") or body.get("username") or body.get("email") or "")
    user = world.find_user_by_email(name) if "@" in name else world.find_user_by_name(name)
    known = world.logins.get(user.id) if user else None
    if user is None or known is None or body.get("password") != known.password:
        return _login_refused("Unauthorized", "Unauthorized")
    if not user.active:
        return _login_refused("error-user-is-not-activated", "User is not activated")
    if known.code and not body.get("code"):
        return _login_refused("totp-required", "TOTP Required", TOTP_DETAILS)
    if known.code and body["code"] != known.code:
        return _login_refused("totp-invalid", "TOTP Invalid", TOTP_DETAILS)
    token = world.new_token(user.id)
    data = {"userId": user.id, "authToken": token, "me": user_document(user)}
    return success(status="success", data=data)


def logout(_world: World, _caller: str, _params: Any) -> Response:
    """Handle `POST logout`; the request handler revokes the token, because it knows it."""
    return json_response(200, {"status": "success", "data": {"message": "You've been logged out!"}})


def _login_refused(error: str, message: str, details: dict[str, Any] | None = None) -> Response:
    """Return the 401 of a login; it is the same for an unknown name and a wrong password."""
    payload = {"success": False, "status": "error", "error": error, "message": message}
    return json_response(401, {**payload, "details": details} if details else payload)
