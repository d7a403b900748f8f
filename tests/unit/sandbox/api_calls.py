"""One API call without a fault, through token check, permissions and route."""

from typing import Any

import orjson

from rolecall.sandbox import ACCOUNT, World
from rolecall.sandbox.request_handler import Request, handle_request


def call_api(world: World, route: str, *, path: str = "", post: object = None, **params: object) -> tuple[int, Any]:
    """Call a route as `ACCOUNT` and return status and body; `post` is the body of a POST."""
    verb, sent = ("GET", params) if post is None else ("POST", post)
    request = Request(verb, path or f"/api/v1/{route}", "127.0.0.1", *ACCOUNT, sent)
    response = handle_request(world, None, request, 0.0, 0.0)
    return response.status, orjson.loads(response.body)


def workspace(version: str = "8.1.0", *, roles: tuple[str, ...] = ("user", "admin"), **settings: Any) -> World:
    """Return a world with the account, with these roles, and no other user."""
    world = World(version=version, **settings)
    world.add_account(*ACCOUNT, username="bulk.bot", roles=roles)
    return world


FORBIDDEN = "User does not have the permissions required for this action [error-unauthorized]"
"""The error text of a route for an account without its permission, with a 403."""
