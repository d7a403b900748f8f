"""What the real server does about rates: windows, headers, refusals and exempt accounts."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from rolecall.sandbox import ACCOUNT, Limiter, World
from rolecall.sandbox.responses import Response
from tests.unit.sandbox.facts_world import (
    NOW,
    REMOVE_LEADER,
    as_admin_elsewhere,
    forbid_route,
    make_world,
    newer,
    read,
    row,
    send,
    unchanged,
)

LIMIT_HEADERS = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}


def limits(response: Response) -> set[str]:
    """Return the rate limit headers that a response has."""
    return LIMIT_HEADERS & response.headers.keys()


@pytest.mark.parametrize(
    ("sentence", "arrange", "params", "token", "headers"),
    [
        ("limited answers have three headers", unchanged, row("LEAD"), ACCOUNT.token, LIMIT_HEADERS),
        ("refused calls have them too", unchanged, row("FORMER"), ACCOUNT.token, LIMIT_HEADERS),
        ("8.6.1 validates after the limiter", unchanged, {}, ACCOUNT.token, LIMIT_HEADERS),
        ("newer: a schema error has no rate headers", newer, {}, ACCOUNT.token, set()),
        ("a 401 has no rate headers", unchanged, row("LEAD"), "wrong", set()),
        ("a 403 is sent before the limiter", forbid_route, row("LEAD"), ACCOUNT.token, set()),
    ],
)
def test_what_the_limiter_counts(
    sentence: str, arrange: Callable[[World], None], params: Any, token: str, headers: set[str]
) -> None:
    """What is refused before the limiter has no headers and is not counted; everything else counts."""
    world = make_world()
    arrange(world)
    limiter = Limiter(1)
    response = send(world, REMOVE_LEADER, params, limiter=limiter, token=token)
    assert limits(response) == headers, sentence
    assert limiter.acquire("10.0.0.1", REMOVE_LEADER, NOW).allowed is not bool(headers)


def test_a_schema_error_of_users_info_has_no_rate_headers() -> None:
    """The schema of `users.info` is checked before the limiter."""
    world = make_world()
    assert limits(send(world, "users.info", {}, limiter=Limiter())) == set()
    assert limits(send(world, "users.info", {"userId": "NOBODY"}, limiter=Limiter())) == LIMIT_HEADERS


@pytest.mark.parametrize(("later", "seconds"), [(17.5, 43), (60.0, 0)])
def test_the_429(later: float, seconds: int) -> None:
    """The refused call is not carried out; it has no errorType, and says 0 seconds at the exact reset."""
    world = make_world()
    limiter = Limiter(1)
    send(world, REMOVE_LEADER, {}, limiter=limiter)
    response = send(world, REMOVE_LEADER, row("LEAD"), limiter=limiter, now=NOW + later)
    text = (
        f"Error, too many requests. Please slow down. You must wait {seconds} seconds before trying this endpoint "
        "again. [error-too-many-requests]"
    )
    assert (response.status, orjson.loads(response.body)) == (429, {"success": False, "error": text})
    assert limits(response) == LIMIT_HEADERS
    assert "Retry-After" not in response.headers
    assert world.is_leader("ROOM", "LEAD")


def test_one_clock_for_each_route_and_one_counter_for_each_address() -> None:
    """The window of a second address ends with the one of the first address."""
    limiter = Limiter(1)
    assert limiter.acquire("first", REMOVE_LEADER, 0.0) == (True, 1, 0, 60.0, 60.0)
    assert limiter.acquire("second", REMOVE_LEADER, 50.0) == (True, 1, 0, 60.0, 10.0)
    assert limiter.acquire("second", REMOVE_LEADER, 60.5).allowed


def test_each_route_has_its_own_rate_window() -> None:
    """A full window of one route does not limit the others."""
    world, limiter = make_world(), Limiter(1)
    routes = {
        "chat.syncMessages": {"roomId": "ROOM", "lastUpdate": "2023-01-01"},
        "groups.history": {"roomId": "ROOM"},
        "groups.roles": {"roomId": "ROOM"},
        "roles.list": {},
    }
    statuses = [
        [send(world, route, params, limiter=limiter).status for params in [routes[route]] * 2] for route in routes
    ]
    assert statuses == [[200, 429]] * 4


def test_exempt_accounts_get_no_headers_in_8_6_1() -> None:
    """Accounts with `api-bypass-rate-limit` are not counted."""
    world, limiter = make_world(), Limiter(1)
    as_admin_elsewhere(world)
    responses = [send(world, "me", {}, limiter=limiter) for _ in range(3)]
    assert [(response.status, limits(response)) for response in responses] == [(200, set())] * 3


def test_exempt_accounts_of_newer_servers_are_counted_but_never_refused() -> None:
    """They get the headers, down to `Remaining: 0`, with the same reset, and are answered all the same."""
    world, limiter = make_world(), Limiter(2)
    as_admin_elsewhere(world)
    newer(world)
    responses = [send(world, "me", {}, limiter=limiter, now=NOW + number) for number in range(4)]
    assert [response.status for response in responses] == [200] * 4
    assert [response.headers["X-RateLimit-Remaining"] for response in responses] == ["1", "0", "0", "0"]
    assert {response.headers["X-RateLimit-Reset"] for response in responses} == {str(int((NOW + 60) * 1000))}


def test_granting_the_bypass_permission_works_at_once() -> None:
    """The account is exempt from its next call on."""
    world, limiter = make_world(), Limiter(1)
    assert [send(world, "me", {}, limiter=limiter).status for _ in range(2)] == [200, 429]
    world.grant("api-bypass-rate-limit", "user")
    assert send(world, "me", {}, limiter=limiter).status == 200


def test_every_account_may_read_which_roles_are_exempt() -> None:
    """`permissions.listAll` is open to every account."""
    permissions = {entry["_id"]: entry["roles"] for entry in read(make_world(), "permissions.listAll")["update"]}
    assert permissions["api-bypass-rate-limit"] == ["admin", "app", "bot"]
