"""The sandbox's read routes over a real socket: queries, rate limits, faults, sessions and webhooks."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from rolecall.sandbox import (
    ACCOUNT,
    EVERY_ROUTE,
    Fault,
    FaultMatch,
    FaultPlan,
    Kind,
    Limiter,
    Post,
    Sandbox,
    ServerAddress,
    World,
    organisation_world,
)
from rolecall.sandbox.org_world import group, user

NOW = 1_700_000_000.0
LEAD = user("finance.lead")


async def get(http: aiohttp.ClientSession, sandbox: Sandbox, route: str) -> tuple[int, Any]:
    """Call a read route and return status and body."""
    async with http.get(f"{sandbox.url}/api/v1/{route}") as response:
        return response.status, await response.json()


def session() -> aiohttp.ClientSession:
    """Return a client that calls as the account."""
    return aiohttp.ClientSession(headers=ACCOUNT.headers)


@pytest.mark.parametrize(
    ("query", "total"),
    [("types[]=p&types[]=c", 28), ("types=p&types=c", 28), ("types=c", 4), ("types[]=d", 1), ("", 29)],
)
async def test_lists_in_a_query_have_two_forms(query: str, total: int) -> None:
    """A name that appears twice and a name with brackets are lists."""
    async with Sandbox(organisation_world().world) as sandbox, session() as http:
        status, body = await get(http, sandbox, f"rooms.adminRooms?{query}")
    assert (status, body["total"]) == (200, total)


async def test_each_read_route_has_its_own_window() -> None:
    """Two calls are allowed on each route, the third is not."""
    world = organisation_world(roles=("user",)).world
    routes = (
        "users.info?username=finance.lead",
        "users.list",
        "groups.list",
        f"groups.roles?roomId={group('sales-budget')}",
    )
    async with Sandbox(world, limiter=Limiter(2), clock=lambda: NOW) as sandbox, session() as http:
        statuses = [[(await get(http, sandbox, route))[0] for route in routes] for _ in range(3)]
        async with http.get(f"{sandbox.url}/api/v1/users.list") as response:
            assert response.headers["X-RateLimit-Remaining"] == "0"
    assert statuses == [[200] * 4, [200] * 4, [429] * 4]


@pytest.mark.parametrize(
    ("fault", "is_expected"),
    [
        (Fault(Kind.STATUS, FaultMatch(route="users.info"), status=502, html=True), lambda status: status == 502),
        (Fault(Kind.TOO_MANY, FaultMatch(route="users.info", user=LEAD)), lambda status: status == 429),
        (Fault(Kind.REVOKE, FaultMatch(route=EVERY_ROUTE)), lambda status: status == 401),
        (Fault(Kind.HTML_200, FaultMatch(route="users.info", nth=1)), lambda status: status == 200),
    ],
)
async def test_faults_apply_to_read_routes(fault: Fault, is_expected: Callable[[int], bool]) -> None:
    """A fault for a read route changes the response of that route and is recorded."""
    world = organisation_world().world
    async with (
        Sandbox(world, faults=FaultPlan([fault])) as sandbox,
        session() as http,
        http.get(f"{sandbox.url}/api/v1/users.info?userId={LEAD}") as response,
    ):
        assert is_expected(response.status)
        if fault.kind is Kind.HTML_200:
            assert response.content_type == "text/html"
    assert [(call.route, call.user_id, call.fault) for call in world.calls] == [("users.info", LEAD, fault.kind.value)]


async def test_a_fault_without_a_route_does_not_apply_to_reads() -> None:
    """A fault applies to role changes only, unless it names a route."""
    world = organisation_world().world
    async with Sandbox(world, faults=[Fault(Kind.DROP_AFTER, times=None)]) as sandbox, session() as http:
        assert (await get(http, sandbox, "users.list"))[0] == 200


async def test_a_lost_page_can_be_requested_again() -> None:
    """A truncated response to a read has no effect: the next request gets the same page."""
    world = organisation_world().world
    truncated = Fault(Kind.TRUNCATED, FaultMatch(route="groups.listAll"))
    async with Sandbox(world, faults=[truncated]) as sandbox, session() as http:
        with pytest.raises(aiohttp.ClientPayloadError):
            await get(http, sandbox, "groups.listAll?count=10")
        assert (await get(http, sandbox, "groups.listAll?count=10"))[1]["count"] == 10


async def test_a_login_opens_a_session_and_a_logout_ends_it() -> None:
    """The token of a login is valid until the logout."""
    world = organisation_world().world
    world.set_login(LEAD, "correct horse")
    async with Sandbox(world) as sandbox, aiohttp.ClientSession() as http:
        body = {"user": "finance.lead@example.org", "password": "correct horse"}
        async with http.post(f"{sandbox.url}/api/v1/login", json=body) as response:
            data = (await response.json())["data"]
        headers = {"X-User-Id": data["userId"], "X-Auth-Token": data["authToken"]}
        for status in (200, 401):
            async with http.post(f"{sandbox.url}/api/v1/logout", headers=headers) as response:
                assert response.status == status


async def test_a_webhook_posts_below_a_base_path() -> None:
    """The message of a webhook is recorded, and no account is needed."""
    world = organisation_world().world
    world.add_webhook("hook1", "secret", group("general"), ACCOUNT.user_id)
    async with Sandbox(world, address=ServerAddress(base_path="/chat")) as sandbox, aiohttp.ClientSession() as http:
        async with http.post(f"{sandbox.url}/hooks/hook1/secret", json={"text": "420 removed"}) as response:
            assert (response.status, await response.json()) == (200, {"success": True})
        async with http.get(f"{sandbox.url}/hooks/hook1/secret") as response:
            assert response.status == 404
    (post,) = world.record.posts
    assert post._replace(time=0.0) == Post(group("general"), ACCOUNT.user_id, "420 removed", "", "hooks")
    assert world.calls[0].route == "hooks"


def leaders_in(bodies: list[Any]) -> set[tuple[str, str]]:
    """Return the leaders in the responses of `groups.roles`."""
    entries = [entry for body in bodies for entry in body["roles"]]
    return {(entry["rid"], entry["u"]["_id"]) for entry in entries if "leader" in entry["roles"]}


async def test_leaders_found_by_user_and_by_room_are_the_same() -> None:
    """Users list every room and rooms list every leader, except rooms that are not joined or archived."""
    made = organisation_world()
    world: World = made.world
    truth = {pair for pair in world.pairs_with_role("leader") if world.rooms[pair[0]].type == "p"}
    async with Sandbox(world) as sandbox, session() as http:
        users = (await get(http, sandbox, "users.list"))[1]["users"]
        requests = [get(http, sandbox, f"users.info?userId={person['_id']}&includeUserRooms=true") for person in users]
        people = [body["user"] for _, body in await asyncio.gather(*requests)]
        rooms = (await get(http, sandbox, "groups.listAll"))[1]["groups"]
        responses = await asyncio.gather(*(get(http, sandbox, f"groups.roles?roomId={room['_id']}") for room in rooms))
    by_user = {
        (room["rid"], person["_id"])
        for person in people
        for room in person["rooms"]
        if room["t"] == "p" and "leader" in room.get("roles", ())
    }
    by_room = leaders_in([body for status, body in responses if status == 200])
    assert by_user == truth
    assert by_room == {pair for pair in truth if pair[0] not in (made.unjoined, made.archived)}
