"""The table of routes; a further one is one more line."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from rolecall.sandbox import people, posts, room_reads, server_info, sessions
from rolecall.sandbox.answers import Answer
from rolecall.sandbox.methods import CHANGES, change_role
from rolecall.sandbox.rooms import FAMILIES
from rolecall.sandbox.world import World


class Route(NamedTuple):
    """One route: its name, what answers it, and who may ask."""

    name: str
    handle: Callable[[World, str, Any], Answer]
    """Takes the world, the caller's id ("" where there is none) and the parameters (query or JSON body)."""
    needs: tuple[str, ...] = ()
    """Permissions of which the account must have one."""
    since: tuple[int, int] = (0, 0)
    """The first release that has the route."""
    public: bool = False
    """True where no token is needed; then nobody is known to bypass the limiter either."""
    limited: bool = True
    """Whether calls are counted."""
    ends_session: bool = False
    """True where the call's token is good for nothing afterwards."""


V1 = "/api/v1/"
HOOKS = "/hooks/"

_ADMINISTRATION = ("view-room-administration",)
_DIRECTORY = ("view-d-room",)

_reads = (
    Route("me", server_info.me),
    Route("permissions.listAll", server_info.list_permissions, needs=("access-permissions",)),
    Route("users.info", people.user_info),
    Route("users.list", people.list_users, needs=_DIRECTORY),
    Route("users.listByStatus", people.list_by_status, needs=_DIRECTORY, since=(6, 8)),
    Route("groups.list", room_reads.own_groups),
    Route("groups.listAll", room_reads.all_groups, needs=_ADMINISTRATION),
    Route("channels.list", room_reads.channels, needs=("view-c-room", "view-joined-room")),
    Route("rooms.adminRooms", room_reads.admin_rooms),
    *(
        Route(f"{family.prefix}.{name}", partial(handle, family))
        for family in FAMILIES
        for name, handle in (
            ("counters", room_reads.counters),
            ("info", room_reads.info),
            ("members", room_reads.members),
            ("roles", room_reads.roles),
        )
    ),
)
_writes = (
    Route("login", sessions.login, public=True),
    Route("logout", sessions.logout, ends_session=True),
    Route("chat.postMessage", posts.post_message),
    *(Route(name, partial(change_role, change)) for name, change in CHANGES.items()),
)

ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/api/info"): Route("info", server_info.info, public=True, limited=False),
    **{("GET", V1 + route.name): route for route in _reads},
    **{("POST", V1 + route.name): route for route in _writes},
}
"""Every route with a path of its own, by HTTP method and path."""


def find_route(verb: str, path: str) -> Route | None:
    """Return the route of a call; a webhook's path carries its id and its token."""
    if route := ROUTES.get((verb, path)):
        return route
    hook_id, slash, token = path.removeprefix(HOOKS).partition("/")
    if verb != "POST" or not path.startswith(HOOKS) or not (hook_id and slash and token):
        return None
    return Route("hooks", partial(posts.post_by_hook, hook_id, token), public=True)
