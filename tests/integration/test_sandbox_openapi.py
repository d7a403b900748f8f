"""The sandbox's responses against the official OpenAPI definitions, if these are available."""

from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import yaml
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters

from rolecall.sandbox import ACCOUNT, Sandbox, World, leader_world, organisation_world
from rolecall.sandbox.org_world import ARCHIVED, UNJOINED, group, user
from rolecall.sandbox.request_handler import ROUTES
from rolecall.sandbox.write_routes import CHANGES

DEFINITIONS = Path(__file__).parents[3] / "shared" / "openapi" / "rocketchat-openapi.yaml"

pytestmark = pytest.mark.skipif(
    not DEFINITIONS.exists(), reason="the official OpenAPI definitions are not next to the checkout"
)


class Request:
    """A request in the form that openapi-core requires."""

    def __init__(self, method: str, path: str, body: bytes | None, query: dict[str, str]) -> None:
        self.method = method.lower()
        self.host_url = "http://127.0.0.1:3000"
        self.path = path
        self.body = body
        self.content_type = "application/json"
        self.parameters = RequestParameters(query=query, header=ACCOUNT.headers)


class Response:
    """A response in the form that openapi-core requires."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.status_code = status
        self.data = body
        self.headers = headers
        self.content_type = headers["Content-Type"].partition(";")[0]


@pytest.fixture(scope="module")
def definitions() -> OpenAPI:
    """Return the official definitions."""
    spec: dict[str, Any] = yaml.safe_load(DEFINITIONS.read_text())
    return OpenAPI.from_dict(spec)


def workspace(version: str, role: str, *, has_role: bool, family: str) -> World:
    """Return a world in which the user of the standard row has a role, or has not."""
    world = leader_world([("ROOM", "USER")])
    world.version = version
    world.rooms["ROOM"].type = "p" if family == "groups" else "c"
    world.join("ROOM", "USER", [role] if has_role else [])
    return world


async def exchange(
    definitions: OpenAPI, world: World, method: str, path: str, *, headers: dict[str, str], **parts: Any
) -> int:
    """Send one request, check request and response against the definitions and return the status."""
    async with (
        Sandbox(world) as sandbox,
        aiohttp.ClientSession(headers=headers) as http,
        http.request(method, sandbox.url + path, **parts) as response,
    ):
        body = await response.read()
        received = Response(response.status, body, dict(response.headers))
        sent = response.request_info
    sent_body = orjson.dumps(parts["json"]) if "json" in parts else None
    request = Request(sent.method, path, sent_body, dict(sent.url.query))
    definitions.validate_request(request)
    definitions.validate_response(request, received)
    return received.status_code


@pytest.mark.parametrize("version", ["7.4.0", "8.6.1", "8.8.1"])
@pytest.mark.parametrize("status", [200, 400, 401])
@pytest.mark.parametrize("route", sorted(CHANGES))
async def test_role_changes_respond_as_defined(definitions: OpenAPI, route: str, status: int, version: str) -> None:
    """The responses to a success, a refusal and a bad token have the defined form for every role change."""
    change = CHANGES[route]
    has_role = change.adds is not (status == 200)
    world = workspace(version, change.role, has_role=has_role, family=change.family.prefix)
    headers = {**ACCOUNT.headers, **({"X-Auth-Token": "wrong"} if status == 401 else {})}
    if (route, status) == ("channels.removeOwner", 400):
        pytest.skip("the definitions do not contain the 400 of channels.removeOwner")
    path = f"/api/v1/{route}"
    row = {"roomId": "ROOM", "userId": "USER"}
    assert await exchange(definitions, world, "POST", path, headers=headers, json=row) == status


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/api/v1/me", {}, 200),
        ("/api/v1/groups.counters", {"roomId": "ROOM"}, 200),
        ("/api/v1/groups.counters", {"roomId": "UNJOINED"}, 200),
        ("/api/v1/groups.counters", {"roomId": "NONE"}, 400),
        ("/api/v1/groups.roles", {"roomId": "ROOM"}, 200),
        ("/api/v1/groups.roles", {"roomId": "UNJOINED"}, 400),
    ],
)
async def test_read_routes_respond_as_defined(
    definitions: OpenAPI, path: str, params: dict[str, str], status: int
) -> None:
    """Successes and refusals of the read routes have the defined form."""
    world = leader_world([("ROOM", "USER")])
    world.add_room("UNJOINED")
    headers = ACCOUNT.headers
    assert await exchange(definitions, world, "GET", path, headers=headers, params=params) == status
    if path != "/api/v1/me":  # the definitions forget the 401 of /me
        wrong = {**headers, "X-Auth-Token": "wrong"}
        assert await exchange(definitions, world, "GET", path, headers=wrong, params=params) == 401


PLANNING = {"roomId": group("finance-planning")}
ANNOUNCEMENTS = {"roomId": group("announcements")}
NOWHERE = {"roomId": "nowhere"}


@pytest.mark.parametrize("version", ["7.4.0", "8.8.1"])
@pytest.mark.parametrize(
    ("route", "params", "status"),
    [
        ("users.info", {"userId": user("finance.lead"), "includeUserRooms": "true"}, 200),
        ("users.info", {"username": "sales.lead"}, 200),
        ("users.info", {"userId": "nobody"}, 400),
        ("users.info", {}, 400),
        ("users.list", {}, 200),
        ("users.list", {"offset": "40", "count": "200"}, 200),
        ("users.list", {"query": '{"active":false}'}, 200),
        ("users.listByStatus", {"status": "deactivated"}, 200),
        ("users.listByStatus", {"searchTerm": "lead", "count": "3"}, 200),
        ("groups.list", {}, 200),
        ("groups.listAll", {"offset": "20"}, 200),
        ("groups.info", PLANNING, 200),
        ("groups.info", {"roomName": ARCHIVED}, 200),
        ("groups.info", {"roomName": UNJOINED}, 400),
        ("groups.members", PLANNING, 200),
        ("groups.members", {"roomName": ARCHIVED}, 400),
        ("groups.roles", PLANNING, 200),
        ("groups.counters", PLANNING, 200),
        ("channels.list", {"count": "2"}, 200),
        ("channels.members", ANNOUNCEMENTS, 200),
        ("channels.roles", ANNOUNCEMENTS, 200),
        ("channels.counters", ANNOUNCEMENTS, 200),
        ("rooms.adminRooms", {"filter": "finance"}, 200),
        ("permissions.listAll", {}, 200),
    ],
)
async def test_find_routes_respond_as_defined(
    definitions: OpenAPI, route: str, params: dict[str, str], status: int, version: str
) -> None:
    """Successes, refusals and 401s of the routes for find and verify have the defined form."""
    world = organisation_world(version=version).world
    path, headers = f"/api/v1/{route}", ACCOUNT.headers
    assert await exchange(definitions, world, "GET", path, headers=headers, params=params) == status
    wrong = {**headers, "X-Auth-Token": "wrong"}
    assert await exchange(definitions, world, "GET", path, headers=wrong, params=params) == 401


@pytest.mark.parametrize(
    ("route", "body", "status"),
    [
        ("login", {"user": "finance.lead", "password": "correct horse"}, 200),
        ("logout", {}, 200),
        ("chat.postMessage", {**PLANNING, "text": "done"}, 200),
        ("chat.postMessage", {"channel": "#announcements", "text": "done"}, 200),
        ("chat.postMessage", {**NOWHERE, "text": "done"}, 400),
        ("chat.postMessage", {"roomId": group(UNJOINED), "text": "done"}, 400),
    ],
)
async def test_sessions_and_messages_respond_as_defined(
    definitions: OpenAPI, route: str, body: dict[str, str], status: int
) -> None:
    """The responses to login, logout and messages have the defined form."""
    world = organisation_world().world
    world.set_login(user("finance.lead"), "correct horse")
    path = f"/api/v1/{route}"
    assert await exchange(definitions, world, "POST", path, headers=ACCOUNT.headers, json=body) == status


def test_every_route_of_the_sandbox_is_defined() -> None:
    """Every route is in the definitions, except those that this extract does not contain."""
    paths: dict[str, Any] = yaml.safe_load(DEFINITIONS.read_text())["paths"]
    missing = {path for verb, path in ROUTES if verb.lower() not in paths.get(path, {})}
    others = (
        "channels.history",
        "channels.info",
        "chat.syncMessages",
        "groups.history",
        "roles.list",
        "rooms.membersOrderedByRole",
    )
    assert missing == {"/api/info", *(f"/api/v1/{route}" for route in others)}
