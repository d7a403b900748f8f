"""One honest call to a route, through everything that comes before it."""

from typing import Any

import orjson

from rolecall.sandbox import ACCOUNT, World
from rolecall.sandbox.request_handler import Incoming, answer_call


def ask(world: World, route: str, *, path: str = "", post: object = None, **params: object) -> tuple[int, Any]:
    """Call a route as `ACCOUNT` and return status and body; `post` is the body of a POST."""
    verb, sent = ("GET", params) if post is None else ("POST", post)
    call = Incoming(verb, path or f"/api/v1/{route}", "127.0.0.1", *ACCOUNT, sent)
    answer = answer_call(world, None, call, 0.0, 0.0)
    return answer.status, orjson.loads(answer.body)


def workspace(version: str = "8.1.0", *, roles: tuple[str, ...] = ("user", "admin"), **settings: Any) -> World:
    """Return a world with the account, holding these roles, and nobody else."""
    world = World(version=version, **settings)
    world.add_account(*ACCOUNT, username="bulk.bot", roles=roles)
    return world


FORBIDDEN = "User does not have the permissions required for this action [error-unauthorized]"
"""What a route says to an account that lacks its permission, with a 403."""
