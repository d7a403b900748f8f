"""The sandbox over a real socket, called by a plain aiohttp client."""

import asyncio
import gc
import socket
import time
import warnings
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from rolecall.sandbox import ACCOUNT, Call, Fault, Kind, Limiter, Sandbox, ServerAddress, World, leader_world

NOW = 1_700_000_000.0


def session() -> aiohttp.ClientSession:
    """Return a client that calls as the account."""
    return aiohttp.ClientSession(headers=ACCOUNT.headers)


def world_of(*pairs: tuple[str, str], roles: tuple[str, ...] = ("admin",)) -> World:
    """Return a world with these leaders, by default with one."""
    return leader_world(pairs or [("ROOM", "USER")], roles=roles)


async def remove(http: aiohttp.ClientSession, url: str, room: str = "ROOM", user: str = "USER") -> tuple[int, Any]:
    """Send one removal and return status and body."""
    target = f"{url}/api/v1/groups.removeLeader"
    async with http.post(target, json={"roomId": room, "userId": user}) as response:
        return response.status, await response.json()


async def test_a_removal_is_carried_out_and_recorded() -> None:
    """One call over the socket returns 200, removes the role and adds one call to the record."""
    world = world_of()
    async with Sandbox(world, clock=lambda: NOW) as sandbox, session() as http:
        assert await remove(http, sandbox.url) == (200, {"success": True})
    assert world.is_leader("ROOM", "USER") is False
    assert world.calls == [Call(1, NOW, "groups.removeLeader", "ROOM", "USER", True, 200, None, ACCOUNT.user_id)]
    assert world.calls_for("ROOM", "USER") == world.calls
    assert world.removals("ROOM", "USER") == 1


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'"text"'])
async def test_a_body_that_is_not_an_object_is_refused_and_recorded(body: bytes) -> None:
    """Every body that is not a JSON object returns 400 and is recorded without ids."""
    world = world_of()
    async with Sandbox(world) as sandbox, session() as http:
        target = f"{sandbox.url}/api/v1/groups.removeLeader"
        async with http.post(target, data=body, headers={"Content-Type": "application/json"}) as response:
            assert response.status == 400
            assert (await response.json())["errorType"] == "error-room-param-not-provided"
    assert [(call.room_id, call.user_id, call.carried_out) for call in world.calls] == [("", "", False)]


@pytest.mark.parametrize(("skew", "date"), [(0.0, NOW), (7200.0, NOW + 7200), (-90.0, NOW - 90)])
async def test_the_servers_clock_shows_in_date_and_reset(skew: float, date: float) -> None:
    """The skew of the server's clock is the same in both headers."""
    world = world_of(roles=("user",))
    async with (
        Sandbox(world, limiter=Limiter(), skew=skew, clock=lambda: NOW) as sandbox,
        session() as http,
        http.get(f"{sandbox.url}/api/v1/me") as response,
    ):
        assert parsedate_to_datetime(response.headers["Date"]).timestamp() == date
        assert response.headers["X-RateLimit-Reset"] == str(int((date + 60) * 1000))


async def test_each_route_has_its_own_limit() -> None:
    """Ten removals are allowed, the eleventh is not, and another route has its own window."""
    pairs = [("ROOM", f"U{number}") for number in range(11)]
    world = world_of(*pairs, roles=("user",))
    async with Sandbox(world, limiter=Limiter(), clock=lambda: NOW) as sandbox, session() as http:
        statuses = [(await remove(http, sandbox.url, *pair))[0] for pair in pairs]
        async with http.get(f"{sandbox.url}/api/v1/me") as response:
            assert response.headers["X-RateLimit-Remaining"] == "9"
    assert statuses == [200] * 10 + [429]
    assert world.is_leader(*pairs[-1])


async def test_a_bypassing_account_gets_no_rate_headers() -> None:
    """An account with the bypass permission gets no rate limit headers."""
    async with (
        Sandbox(world_of(), limiter=Limiter(1)) as sandbox,
        session() as http,
        http.get(f"{sandbox.url}/api/v1/me") as response,
    ):
        assert not [name for name in response.headers if name.lower().startswith("x-ratelimit")]


@pytest.mark.parametrize(
    ("path", "status", "content_type"),
    [
        ("/chat/api/info", 200, "application/json"),
        ("/api/info", 404, "text/html"),
        ("/chatter/api/info", 404, "text/html"),
        ("/chat/api/v1/nothing", 404, "text/plain"),
        ("/chat", 404, "text/html"),
    ],
)
async def test_a_workspace_can_have_a_base_path(path: str, status: int, content_type: str) -> None:
    """Only paths below the base path are in the workspace; every other path returns a page with 404."""
    async with Sandbox(world_of(), address=ServerAddress(base_path="chat/")) as sandbox, session() as http:
        assert sandbox.url == f"http://127.0.0.1:{sandbox.port}/chat"
        async with http.get(f"http://127.0.0.1:{sandbox.port}{path}") as response:
            assert (response.status, response.content_type) == (status, content_type)


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("api/v1/me", {"_id": ACCOUNT.user_id, "username": "bulk.bot", "roles": ["admin"], "success": True}),
        ("api/info", {"version": "8.6", "success": True}),
        ("api/v1/groups.counters?roomId=ROOM", {"joined": True, "members": 2, "success": True}),
        ("api/v1/groups.counters?roomId=OTHER", {"joined": False, "members": 1, "success": True}),
        ("api/v1/groups.counters?roomId=NONE", {"success": False, "errorType": "error-room-not-found"}),
        ("api/v1/groups.counters?roomId=OLD", {"success": False, "errorType": "error-room-archived"}),
        ("api/v1/groups.counters?roomId=PUBLIC", {"success": False, "errorType": "error-room-not-found"}),
        ("api/v1/groups.roles?roomId=OTHER", {"success": False, "errorType": "error-room-not-found"}),
        ("api/v1/groups.roles", {"success": False, "errorType": "error-room-param-not-provided"}),
    ],
)
async def test_the_read_routes(route: str, expected: dict[str, Any]) -> None:
    """Each read route returns the state of the world."""
    world = world_of()
    world.permissions["view-statistics"] = frozenset()
    for room_id, archived in (("OTHER", False), ("OLD", True)):
        world.add_room(room_id, archived=archived)
        world.join(room_id, "USER", ["leader"])
    world.add_room("PUBLIC", type="c")
    async with (
        Sandbox(world) as sandbox,
        session() as http,
        http.get(f"{sandbox.url}/{route}") as response,
    ):
        body = await response.json()
    assert {key: body.get(key) for key in expected} == expected


async def test_groups_roles_lists_every_member_with_a_role() -> None:
    """Members without roles are left out, all others are listed with their roles."""
    world = world_of()
    for user_id, roles in (("PLAIN", []), ("QUIRK", None)):
        world.add_user(user_id)
        world.join("ROOM", user_id, roles)
    async with (
        Sandbox(world) as sandbox,
        session() as http,
        http.get(f"{sandbox.url}/api/v1/groups.roles?roomId=ROOM") as response,
    ):
        listed = (await response.json())["roles"]
    assert {entry["u"]["_id"]: (entry["rid"], entry["roles"]) for entry in listed} == {
        ACCOUNT.user_id: ("ROOM", ["owner"]),
        "USER": ("ROOM", ["leader"]),
    }


async def test_the_server_can_stop_listening_and_resume() -> None:
    """While it does not listen, connections fail; after that it has the same port and the same world."""
    world = world_of()
    async with Sandbox(world) as sandbox, session() as http:
        url = sandbox.url
        assert (await remove(http, url))[0] == 200
        await sandbox.stop_listening()
        with pytest.raises(aiohttp.ClientConnectionError):
            await remove(http, url)
        await sandbox.resume()
        assert sandbox.url == url
        assert (await remove(http, url))[0] == 400
    assert len(world.calls) == 2


async def test_stop_listening_aborts_calls_in_flight() -> None:
    """A hung call ends with a connection error when the server stops listening."""
    world = world_of()
    async with Sandbox(world, faults=[Fault(Kind.HANG_AFTER)]) as sandbox, session() as http:
        call = asyncio.create_task(remove(http, sandbox.url))
        await sandbox.wait_for_calls()
        await sandbox.stop_listening()
        with pytest.raises(aiohttp.ClientConnectionError):
            await call
    assert world.removals("ROOM", "USER") == 1


async def test_closing_is_quick_and_leaves_no_task_behind() -> None:
    """Closing with many hung and idle connections takes less than half a second and leaves no task."""
    pairs = [("ROOM", f"U{number}") for number in range(40)]
    world = world_of(*pairs)
    before = asyncio.all_tasks()
    async with session() as http:
        async with Sandbox(world) as sandbox:
            await asyncio.gather(*(remove(http, sandbox.url, *pair) for pair in pairs[:20]))
            sandbox.faults.add(Fault(Kind.HANG_BEFORE))
            hung = [asyncio.create_task(remove(http, sandbox.url, *pair)) for pair in pairs[20:]]
            await sandbox.wait_for_calls(len(pairs))
            start = time.monotonic()
        assert time.monotonic() - start < 0.5
        responses = await asyncio.gather(*hung, return_exceptions=True)
    assert all(isinstance(response, aiohttp.ClientConnectionError) for response in responses)
    assert asyncio.all_tasks() == before


async def test_a_client_that_disconnects_before_a_late_response_changes_nothing() -> None:
    """A call that was carried out on arrival stays recorded when the client disconnects before the response."""
    world = world_of()
    async with Sandbox(world, latency=60.0) as sandbox, session() as http:
        call = asyncio.create_task(remove(http, sandbox.url))
        await sandbox.wait_for_calls()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert [(call.carried_out, call.status) for call in world.calls] == [(True, 200)]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1"])
def test_only_loopback_is_served(host: str) -> None:
    """A sandbox with an address that is not loopback raises ValueError."""
    with pytest.raises(ValueError, match="loopback only"):
        Sandbox(world_of(), address=ServerAddress(host=host))


@pytest.mark.parametrize("steps", range(4))
async def test_a_connection_that_is_accepted_during_the_close_is_closed(steps: int) -> None:
    """Closing leaves no connection open, in whichever iteration of the event loop it was accepted before."""
    with warnings.catch_warnings(record=True) as caught, socket.socket() as client:
        warnings.simplefilter("always")
        async with Sandbox(world_of()) as sandbox:
            client.connect((sandbox.host, sandbox.port))
            for _ in range(steps):
                await asyncio.sleep(0)
        for _ in range(4):
            await asyncio.sleep(0)
        gc.collect()
    assert [str(warning.message) for warning in caught if warning.category is ResourceWarning] == []
