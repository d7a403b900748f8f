"""What one call is answered, decided without I/O: token, rate limit, permission of the route, then the route."""

import math
from typing import Any, NamedTuple

from rolecall.sandbox.answers import Answer, forbidden, html_answer, no_such_route, too_many_requests, unauthenticated
from rolecall.sandbox.limiter import LimitDecision, Limiter
from rolecall.sandbox.methods import ROOM_KEYS, USER_KEYS
from rolecall.sandbox.permissions import BYPASS_RATE_LIMIT
from rolecall.sandbox.routes import Route, find_route
from rolecall.sandbox.world import World


class Incoming(NamedTuple):
    """One request, read whole."""

    verb: str
    path: str
    """Below the path that the workspace is mounted under."""
    client: str
    """The client's address."""
    user_id: str
    """Header `X-User-Id`."""
    token: str
    """Header `X-Auth-Token`."""
    params: Any
    """The query as an object, or the JSON body, whatever it is; None where the body is not JSON."""

    @property
    def route(self) -> str:
        """The route's name, or the path where there is no such route."""
        route = find_route(self.verb, self.path)
        return route.name if route else self.path

    @property
    def room(self) -> str:
        """How the request names the room; empty where it does not."""
        return self._first((*ROOM_KEYS, "channel"))

    @property
    def user(self) -> str:
        """How the request names the user; empty where it does not."""
        return self._first(USER_KEYS)

    def _first(self, keys: tuple[str, ...]) -> str:
        params = self.params if isinstance(self.params, dict) else {}
        return next((str(params[key]) for key in keys if params.get(key)), "")


def answer_call(world: World, limiter: Limiter | None, call: Incoming, now: float, skew: float) -> Answer:
    """Answer one call at `now` (seconds); a role change is carried out here.

    A bad token is refused before the limiter counts, and accounts that may bypass the limiter get no headers.
    `skew` is added to the reset time, which is told in the server's own clock.
    """
    route = find_route(call.verb, call.path)
    if route is None or world.release < route.since:
        return no_such_route() if call.path.startswith("/api/") else html_answer(404, "Not Found")
    caller = world.caller(call.user_id, call.token)
    if caller is None and not route.public:
        return unauthenticated(legacy=world.legacy)
    if limiter is None or not route.limited or _bypasses(world, route, caller):
        return _handle(world, route, caller or "", call)
    ruling = limiter.take(call.client, route.name, now)
    wait = max(1, math.ceil(ruling.wait))
    answer = _handle(world, route, caller or "", call) if ruling.allowed else too_many_requests(wait)
    return answer.with_headers(rate_limit_headers(ruling, skew))


def rate_limit_headers(ruling: LimitDecision, skew: float) -> dict[str, str]:
    """Return the three headers of a limited route; the reset is epoch milliseconds of the server's clock."""
    return {
        "X-RateLimit-Limit": str(ruling.limit),
        "X-RateLimit-Remaining": str(ruling.remaining),
        "X-RateLimit-Reset": str(math.ceil((ruling.reset + skew) * 1000)),
    }


def _bypasses(world: World, route: Route, caller: str | None) -> bool:
    """Return whether the limiter lets this caller be; on a public route nobody is known yet."""
    return caller is not None and not route.public and world.may(caller, BYPASS_RATE_LIMIT)


def _handle(world: World, route: Route, caller: str, call: Incoming) -> Answer:
    """Answer on the route itself unless the workspace forbids it, to everybody or to this account."""
    if status := world.forbidden.get(route.name):
        return forbidden(status)
    if route.needs and not any(world.may(caller, permission) for permission in route.needs):
        return forbidden(403)
    answer = route.handle(world, caller, call.params)
    if route.ends_session:
        world.revoke(call.token)
    return answer
