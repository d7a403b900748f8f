"""The table of routes; a further one is one more line."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from worker.sandbox import reads
from worker.sandbox.answers import Answer
from worker.sandbox.methods import CHANGES, change_role
from worker.sandbox.world import World


class Route(NamedTuple):
    """One route: its name and what answers it."""

    name: str
    handle: Callable[[World, str, Any], Answer]
    """Takes the world, the caller's id ("" where there is none) and the parameters (query or JSON body)."""
    public: bool = False
    """True where no token is needed; such a route stands outside `/v1` and is not rate limited."""


V1 = "/api/v1/"

_reads = (
    Route("me", reads.me),
    Route("groups.counters", reads.counters),
    Route("groups.roles", reads.roles),
)
_changes = tuple(Route(name, partial(change_role, change)) for name, change in CHANGES.items())

ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/api/info"): Route("info", reads.info, public=True),
    **{("GET", V1 + route.name): route for route in _reads},
    **{("POST", V1 + route.name): route for route in _changes},
}
"""Every route by HTTP method and path."""
