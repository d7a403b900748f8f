"""The checks before a route: token, rate limit, permission of the whole route."""

from typing import Any

import orjson
import pytest

from rolecall.sandbox import ACCOUNT, Limiter, World, leader_world
from rolecall.sandbox.request_handler import Request, handle_request
from rolecall.sandbox.responses import Response

NOW = 1_700_000_000.0
ROW = {"roomId": "ROOM", "userId": "USER"}


def send(world: World, limiter: Limiter | None = None, *, skew: float = 0.0, **changes: Any) -> Response:
    """Send the standard removal, with these fields changed."""
    request = Request(
        verb="POST",
        path="/api/v1/groups.removeLeader",
        client="10.0.0.1",
        user_id=ACCOUNT.user_id,
        token=ACCOUNT.token,
        params=ROW,
    )
    return handle_request(world, limiter, request._replace(**changes), NOW, skew)


@pytest.fixture
def world() -> World:
    """Return a world with one leader and an account that is rate limited."""
    return leader_world([("ROOM", "USER")], roles=("user",))


@pytest.mark.parametrize("wrong", [{"token": "x"}, {"user_id": "USER"}, {"token": ""}, {"user_id": ""}])
@pytest.mark.parametrize(
    ("version", "body"),
    [
        ("7.4.0", {"status": "error", "message": "You must be logged in to do this."}),
        (
            "8.6.1",
            {
                "success": False,
                "error": "You must be logged in to do this.",
                "status": "error",
                "message": "You must be logged in to do this.",
            },
        ),
        ("9.0.0", {"success": False, "error": "You must be logged in to do this."}),
    ],
)
def test_a_bad_token_is_rejected_in_the_form_of_the_version(
    wrong: dict[str, Any], version: str, body: dict[str, Any]
) -> None:
    """The token must belong to the user id; the 401 has the form of the server's version."""
    world = World(version=version)
    world.add_account(*ACCOUNT)
    world.add_user("USER")
    response = send(world, **wrong)
    assert (response.status, orjson.loads(response.body)) == (401, body)


def test_unauthenticated_calls_are_not_counted(world: World) -> None:
    """The token is checked before the rate limiter, so a 401 has no headers and is not counted."""
    limiter = Limiter(1, 60.0)
    for _ in range(5):
        assert "X-RateLimit-Limit" not in send(world, limiter, token="x").headers
    assert send(world, limiter).status == 200


def test_the_429_has_the_servers_body_and_does_not_act(world: World) -> None:
    """A call over the limit is not carried out; its body has the seconds to wait, rounded up."""
    limiter = Limiter(1, 41.3)
    send(world, limiter, params={})
    response = send(world, limiter)
    assert (response.status, response.carried_out) == (429, False)
    assert orjson.loads(response.body) == {
        "success": False,
        "error": "Error, too many requests. Please slow down. You must wait 42 seconds before trying this "
        "endpoint again. [error-too-many-requests]",
    }
    assert world.is_leader("ROOM", "USER")


@pytest.mark.parametrize(("skew", "reset"), [(0.0, NOW + 60), (-3600.0, NOW - 3540), (0.5, NOW + 60.5)])
def test_the_headers_have_the_window_in_the_servers_clock(world: World, skew: float, reset: float) -> None:
    """Every response has limit, remaining and the reset in epoch milliseconds of the server's clock."""
    limiter = Limiter(2, 60.0)
    responses = [send(world, limiter, skew=skew, params=params) for params in (ROW, {}, ROW)]
    assert [response.status for response in responses] == [200, 400, 429]
    for response, remaining in zip(responses, ("1", "0", "0"), strict=True):
        assert response.headers["X-RateLimit-Limit"] == "2"
        assert response.headers["X-RateLimit-Remaining"] == remaining
        assert response.headers["X-RateLimit-Reset"] == str(int(reset * 1000))


@pytest.mark.parametrize(
    ("role", "bypass_roles", "limited"),
    [("admin", ("admin", "bot", "app"), False), ("bot", ("bot",), False), ("bot", (), True)],
)
def test_a_bypass_role_is_not_limited_if_the_workspace_allows_it(
    role: str, bypass_roles: tuple[str, ...], limited: bool
) -> None:
    """Accounts with the bypass permission get no rate limit headers."""
    world = World(bypass_roles=bypass_roles)
    world.add_account(*ACCOUNT, roles=(role,))
    limiter = Limiter(1, 60.0)
    responses = [send(world, limiter) for _ in range(2)]
    assert ("X-RateLimit-Reset" in responses[0].headers, responses[1].status == 429) == (limited, limited)


@pytest.mark.parametrize("status", [401, 403])
def test_a_forbidden_route_is_refused_as_a_whole(world: World, status: int) -> None:
    """A forbidden route returns its own status, and nothing is carried out."""
    world.forbid("groups.removeLeader", status)
    response = send(world)
    assert (response.status, response.carried_out) == (status, False)
    assert orjson.loads(response.body)["error"].endswith("[error-unauthorized]")


@pytest.mark.parametrize(
    ("version", "path", "content_type"),
    [
        ("8.6.1", "/api/v1/groups.unknown", "text/plain; charset=UTF-8"),
        ("7.4.0", "/api/v1/groups.unknown", "application/json"),
        ("8.6.1", "/", "text/html; charset=utf-8"),
    ],
)
def test_a_wrong_path_is_404(world: World, version: str, path: str, content_type: str) -> None:
    """The 404 is text (before 8.0 JSON) below the API path and a page elsewhere."""
    world.version = version
    response = send(world, path=path)
    assert (response.status, response.headers["Content-Type"]) == (404, content_type)
