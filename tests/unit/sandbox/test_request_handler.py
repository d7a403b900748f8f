"""What comes before a route: token, rate limit, permission of the whole route."""

from typing import Any

import orjson
import pytest

from rolecall.sandbox import ACCOUNT, Limiter, World, leader_world
from rolecall.sandbox.answers import Answer
from rolecall.sandbox.request_handler import Incoming, answer_call

NOW = 1_700_000_000.0
ROW = {"roomId": "ROOM", "userId": "USER"}


def ask(world: World, limiter: Limiter | None = None, *, skew: float = 0.0, **changes: Any) -> Answer:
    """Make the standard removal, with these fields changed."""
    call = Incoming(
        verb="POST",
        path="/api/v1/groups.removeLeader",
        client="10.0.0.1",
        user_id=ACCOUNT.user_id,
        token=ACCOUNT.token,
        params=ROW,
    )
    return answer_call(world, limiter, call._replace(**changes), NOW, skew)


@pytest.fixture
def world() -> World:
    """Return a world with one leader, whose account is limited."""
    return leader_world([("ROOM", "USER")], roles=("user",))


@pytest.mark.parametrize("wrong", [{"token": "x"}, {"user_id": "USER"}, {"token": ""}, {"user_id": ""}])
@pytest.mark.parametrize(
    ("version", "body"),
    [
        ("7.4.0", {"status": "error", "message": "You must be logged in to do this."}),
        ("8.1.0", {"success": False, "error": "You must be logged in to do this."}),
    ],
)
def test_a_bad_token_is_refused_in_the_words_of_the_version(
    wrong: dict[str, Any], version: str, body: dict[str, Any]
) -> None:
    """Token and user id must belong together; the 401 has the form of the server's version."""
    world = World(version=version)
    world.add_account(*ACCOUNT)
    world.add_user("USER")
    answer = ask(world, **wrong)
    assert (answer.status, orjson.loads(answer.body)) == (401, body)


def test_unauthenticated_calls_are_not_counted(world: World) -> None:
    """The token is looked at before the limiter, so a 401 has no headers and costs no call."""
    limiter = Limiter(1, 60.0)
    for _ in range(5):
        assert "X-RateLimit-Limit" not in ask(world, limiter, token="x").headers
    assert ask(world, limiter).status == 200


def test_the_429_has_the_servers_body_and_does_not_act(world: World) -> None:
    """A call over the limit is not carried out and is told how many seconds to wait, rounded up."""
    limiter = Limiter(1, 41.3)
    ask(world, limiter, params={})
    answer = ask(world, limiter)
    assert (answer.status, answer.carried_out) == (429, False)
    assert orjson.loads(answer.body) == {
        "success": False,
        "error": "Error, too many requests. Please slow down. You must wait 42 seconds before trying this "
        "endpoint again. [error-too-many-requests]",
    }
    assert world.is_leader("ROOM", "USER")


@pytest.mark.parametrize(("skew", "reset"), [(0.0, NOW + 60), (-3600.0, NOW - 3540), (0.5, NOW + 60.5)])
def test_the_headers_tell_the_window_in_the_servers_clock(world: World, skew: float, reset: float) -> None:
    """Good and bad answers carry limit, remaining and the reset in epoch milliseconds of the server's clock."""
    limiter = Limiter(2, 60.0)
    answers = [ask(world, limiter, skew=skew, params=params) for params in (ROW, {}, ROW)]
    assert [answer.status for answer in answers] == [200, 400, 429]
    for answer, remaining in zip(answers, ("1", "0", "0"), strict=True):
        assert answer.headers["X-RateLimit-Limit"] == "2"
        assert answer.headers["X-RateLimit-Remaining"] == remaining
        assert answer.headers["X-RateLimit-Reset"] == str(int(reset * 1000))


@pytest.mark.parametrize(
    ("role", "bypass_roles", "limited"),
    [("admin", ("admin", "bot", "app"), False), ("bot", ("bot",), False), ("bot", (), True)],
)
def test_a_bypass_role_is_not_limited_unless_the_workspace_says_so(
    role: str, bypass_roles: tuple[str, ...], limited: bool
) -> None:
    """Accounts with the bypass permission get no headers at all."""
    world = World(bypass_roles=bypass_roles)
    world.add_account(*ACCOUNT, roles=(role,))
    limiter = Limiter(1, 60.0)
    answers = [ask(world, limiter) for _ in range(2)]
    assert ("X-RateLimit-Reset" in answers[0].headers, answers[1].status == 429) == (limited, limited)


@pytest.mark.parametrize("status", [401, 403])
def test_a_forbidden_route_is_refused_as_a_whole(world: World, status: int) -> None:
    """The permission of the route is refused with its own status, and nothing is carried out."""
    world.forbid("groups.removeLeader", status)
    answer = ask(world)
    assert (answer.status, answer.carried_out) == (status, False)
    assert orjson.loads(answer.body)["error"].endswith("[error-unauthorized]")


@pytest.mark.parametrize(
    ("path", "content_type"), [("/api/v1/groups.vanish", "application/json"), ("/", "text/html; charset=utf-8")]
)
def test_a_wrong_path_is_404(world: World, path: str, content_type: str) -> None:
    """Below the API the 404 is JSON, elsewhere a page."""
    answer = ask(world, path=path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, content_type)
