"""The workspace in which the known facts of the real server are tested, and changes of it."""

from typing import Any

import orjson

from rolecall.sandbox import ACCOUNT, Limiter, World
from rolecall.sandbox.request_handler import Request, handle_request
from rolecall.sandbox.responses import Response

NOW = 1_700_000_000.0
REMOVE_LEADER = "groups.removeLeader"
ADD_LEADER = "groups.addLeader"


def make_world() -> World:
    """Return a workspace of 8.6.1: the account owns ROOM and the archived OLD, and is a plain member of PLAIN."""
    world = World()
    world.add_account(*ACCOUNT, username="bulk.bot", roles=("user",))
    for user_id in ("LEAD", "MEMBER", "FORMER", "MOD", "STRANGER", "GONE"):
        world.add_user(user_id, username=f"{user_id.title()}.Name")
    world.add_user("NAMELESS", username=None)
    for room_id, own_roles in (("ROOM", ["owner"]), ("OLD", ["owner"]), ("PLAIN", None)):
        world.add_room(room_id, archived=room_id == "OLD")
        world.join(room_id, ACCOUNT.user_id, own_roles)
        world.join(room_id, "LEAD", ["leader"])
    for user_id, roles in (("MEMBER", None), ("FORMER", []), ("MOD", ["moderator"]), ("GONE", ["leader"])):
        world.join("ROOM", user_id, roles)
    world.join("ROOM", "NAMELESS", ["leader"])
    world.add_room("UNJOINED")
    world.join("UNJOINED", "LEAD", ["leader"])
    world.add_room("PUBLIC", type="c")
    world.join("PUBLIC", ACCOUNT.user_id, ["owner"])
    world.join("PUBLIC", "LEAD", ["leader"])
    world.deactivate("GONE")
    return world


def send(
    world: World, route: str, params: Any, *, limiter: Limiter | None = None, now: float = NOW, **changes: Any
) -> Response:
    """Send one call as the account; a route that changes something is a POST."""
    verb = "POST" if ".remove" in route or ".add" in route or route == "chat.postMessage" else "GET"
    request = Request(verb, f"/api/v1/{route}", "10.0.0.1", *ACCOUNT, params)
    return handle_request(world, limiter, request._replace(**changes), now, 0.0)


def read(world: World, route: str, **params: Any) -> Any:
    """Return the body of a successful call."""
    response = send(world, route, params)
    assert response.status == 200, response.body
    return orjson.loads(response.body)


def row(user_id: str, room_id: str = "ROOM") -> dict[str, str]:
    """Return the body of a role change."""
    return {"roomId": room_id, "userId": user_id}


def unchanged(_world: World) -> None:
    """Leave the world as it is."""


def newer(world: World) -> None:
    """Make it a server with the newer route files."""
    world.version = "8.8.1"


def without_username(world: World) -> None:
    """Take the username from the account."""
    world.users[ACCOUNT.user_id].username = None


def as_admin_elsewhere(world: World) -> None:
    """Make the account an administrator, who has not joined every room."""
    world.users[ACCOUNT.user_id].roles = ("user", "admin")


def two_owners(world: World) -> None:
    """Make LEAD a second owner, so that an owner can be removed."""
    world.join("ROOM", "LEAD", ["leader", "owner"])


def in_discussion(world: World) -> None:
    """Make UNJOINED a discussion of ROOM, with the permission for every user."""
    world.rooms["UNJOINED"].parent = "ROOM"
    world.grant("set-leader", "user")


def forbid_route(world: World) -> None:
    """Forbid the route as a whole."""
    world.forbid("groups.removeLeader")
