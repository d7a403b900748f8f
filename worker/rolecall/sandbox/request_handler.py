"""One request to one response, without I/O: find the route, check the token, the rate limit and the permission."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any, NamedTuple

import rolecall.sandbox.room_routes as rooms
import rolecall.sandbox.user_routes as users
import rolecall.sandbox.write_routes as writes
from rolecall.sandbox.entities import BYPASS_RATE_LIMIT
from rolecall.sandbox.responses import (
    Response,
    forbidden,
    html_response,
    no_such_route,
    rate_limit_headers,
    text_response,
    too_many_requests,
    unauthenticated,
)
from rolecall.sandbox.world import World

API_V1 = "/api/v1/"
WEBHOOKS = "/hooks/"


class Request(NamedTuple):
    """One complete request."""

    verb: str
    path: str
    """Below the path that the workspace is mounted under."""
    client: str
    """The client's IP address: the header `X-Real-IP`, else the address of the socket."""
    user_id: str
    """Header `X-User-Id`."""
    token: str
    """Header `X-Auth-Token`."""
    params: Any
    """The query as an object, or the JSON body (any value); None if the body is not JSON."""

    @property
    def route(self) -> str:
        """The route's name, or the path if there is no such route."""
        route = find_route(self.verb, self.path)
        return route.name if route else self.path

    @property
    def room(self) -> str:
        """The room as the request names it; empty if it names none."""
        return self._first_of((*writes.ROOM_KEYS, "channel"))

    @property
    def user(self) -> str:
        """The user as the request names them; empty if it names none."""
        return self._first_of(writes.USER_KEYS)

    def _first_of(self, keys: tuple[str, ...]) -> str:
        params = self.params if isinstance(self.params, dict) else {}
        for key in keys:
            if value := params.get(key):
                return str(value)
        return ""


# The table of routes


class Route(NamedTuple):
    """One route: its name, its handler, and who may call it."""

    name: str
    handle: Callable[[World, str, Any], Response]
    """Called with the world, the caller's id ("" if there is none) and the parameters (query or JSON body)."""
    permissions: tuple[str, ...] = ()
    """The account must have at least one of these."""
    since: tuple[int, int] = (0, 0)
    """The first release that has the route."""
    is_public: bool = False
    """Whether the route needs no token; then the caller is unknown and cannot bypass the rate limiter."""
    is_limited: bool = True
    """Whether the rate limiter counts the calls."""
    ends_session: bool = False
    """Whether the token is revoked after the call."""
    needs_username: bool = True
    """Whether the calling account must have a username."""
    schema: Callable[[World, Any], Response | None] | None = None
    """The check of the parameters before the limiter; None if the route has none."""
    schema_is_newer: bool = False
    """Whether only newer servers have that check."""


_ADMINISTRATION = ("view-room-administration",)
_DIRECTORY = ("view-d-room",)

_GET_ROUTES = (
    Route("me", users.me, needs_username=False),
    Route("permissions.listAll", users.list_permissions),
    Route("roles.list", rooms.list_roles),
    Route("users.info", users.user_info, schema=users.check_info_schema),
    Route("users.list", users.list_users, permissions=_DIRECTORY),
    Route("users.listByStatus", users.list_by_status, permissions=_DIRECTORY, since=(6, 8)),
    Route("groups.list", rooms.own_groups),
    Route("groups.listAll", rooms.all_groups, permissions=_ADMINISTRATION),
    Route("channels.list", rooms.channels, permissions=("view-c-room", "view-joined-room")),
    Route("rooms.adminRooms", rooms.admin_rooms),
    Route("rooms.membersOrderedByRole", rooms.members_by_role, since=(7, 3)),
    Route("chat.syncMessages", rooms.sync_messages),
    *(
        Route(f"{family.prefix}.{name}", partial(handle, family))
        for family in rooms.FAMILIES
        for name, handle in (
            ("counters", rooms.counters),
            ("history", rooms.history),
            ("info", rooms.info),
            ("members", rooms.members),
            ("roles", rooms.roles),
        )
    ),
)
_POST_ROUTES = (
    Route("login", writes.login, is_public=True),
    Route("logout", writes.logout, ends_session=True),
    Route("chat.postMessage", writes.post_message),
    *(
        Route(name, partial(writes.change_role, change), schema=writes.check_schema, schema_is_newer=True)
        for name, change in writes.CHANGES.items()
    ),
)

ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/api/info"): Route("info", users.server_info, is_public=True, is_limited=False),
    **{("GET", API_V1 + route.name): route for route in _GET_ROUTES},
    **{("POST", API_V1 + route.name): route for route in _POST_ROUTES},
}
"""Every route with a fixed path, by HTTP method and path."""


def find_route(verb: str, path: str) -> Route | None:
    """Return the route of a request; the path of a webhook contains its id and its token."""
    if route := ROUTES.get((verb, path)):
        return route
    webhook_id, slash, token = path.removeprefix(WEBHOOKS).partition("/")
    if verb != "POST" or not path.startswith(WEBHOOKS) or not (webhook_id and slash and token):
        return None
    return Route("hooks", partial(writes.post_by_webhook, webhook_id, token), is_public=True)


# The rate limiter


class LimitDecision(NamedTuple):
    """The limiter's decision about one call."""

    allowed: bool
    limit: int
    """Calls per window."""
    remaining: int
    """Calls left in this window."""
    reset: float
    """The end of this window, in seconds of the clock that `now` is from."""
    wait: float
    """Seconds until the end of this window; 0 for a call at exactly that time."""


class _Window:
    """The fixed window of one route; before the first call it counts as ended."""

    __slots__ = ("counts", "end")

    def __init__(self) -> None:
        self.end = float("-inf")
        self.counts: Counter[str] = Counter()
        """Client address to its calls."""


class Limiter:
    """The server's rate limiter: `calls` in each window of `seconds`, for each pair of client address and route.

    A window starts with the first call after the end of the previous one, and is the same for every address: one clock
    for each route, one counter for each address. Every call counts, rejected ones too, but a rejected call does not
    extend the window. `instances` is the number of servers behind a load balancer: calls are
    distributed round robin, and each server counts separately.
    """

    def __init__(self, calls: int = 10, seconds: float = 60.0, instances: int = 1) -> None:
        self.calls = calls
        self.seconds = seconds
        self._instances = cycle([defaultdict[str, _Window](_Window) for _ in range(instances)])

    def acquire(self, client: str, route: str, now: float) -> LimitDecision:
        """Count one call at `now` (seconds) and return the decision."""
        window = next(self._instances)[route]
        if now > window.end:
            window.end = now + self.seconds
            window.counts.clear()
        window.counts[client] += 1
        count = window.counts[client]
        return LimitDecision(count <= self.calls, self.calls, max(0, self.calls - count), window.end, window.end - now)


# Handling


def handle_request(world: World, limiter: Limiter | None, request: Request, now: float, skew: float) -> Response:
    """Return the response to one request at `now` (epoch seconds); a role change is carried out here.

    The order: token, username of the caller, schema, permission of the whole route, rate limit, the route's own checks.
    What is refused before the limiter is not counted and has no headers. `skew` (seconds) is the difference of the
    server's own clock.
    """
    route = find_route(request.verb, request.path)
    if route is None or world.release < route.since:
        is_api = request.path.startswith("/api/")
        return no_such_route(world.release) if is_api else html_response(404, "Not Found")
    caller = world.authenticate(request.user_id, request.token)
    if caller is None and not route.is_public:
        return unauthenticated(world.release)
    world.now = now + skew
    if refused := _check_before_limiter(world, route, caller, request):
        return refused
    is_exempt = _bypasses_limiter(world, route, caller)
    if limiter is None or not route.is_limited or (is_exempt and not world.is_newer):
        return _handle(world, route, caller or "", request)
    decision = limiter.acquire(request.client, route.name, now)
    if decision.allowed or is_exempt:
        response = _handle(world, route, caller or "", request)
    else:
        response = too_many_requests(math.ceil(decision.wait))
    reset = math.ceil((decision.reset + skew) * 1000)
    return response.with_headers(rate_limit_headers(decision.limit, decision.remaining, reset))


def _check_before_limiter(world: World, route: Route, caller: str | None, request: Request) -> Response | None:
    """Return the refusal of a call that the limiter does not count, or None."""
    if caller and not route.is_public and route.needs_username and not world.users[caller].username:
        return text_response(500, "Internal Server Error")
    schema = route.schema if world.is_newer or not route.schema_is_newer else None
    if schema and (refused := schema(world, request.params)):
        return refused
    if status := world.forbidden.get(route.name):
        return forbidden(status)
    if route.permissions and not any(world.has_permission(caller or "", name) for name in route.permissions):
        return forbidden(403)
    return None


def _bypasses_limiter(world: World, route: Route, caller: str | None) -> bool:
    """Return whether this caller is not rate limited; on a public route the caller is not known yet."""
    return caller is not None and not route.is_public and world.has_permission(caller, BYPASS_RATE_LIMIT)


def _handle(world: World, route: Route, caller: str, request: Request) -> Response:
    """Call the route's handler."""
    response = route.handle(world, caller, request.params)
    if route.ends_session:
        world.revoke(request.token)
    return response
