"""The checks of the role changes, in the server's order and with its exact responses."""

from typing import Any

import orjson
import pytest

from rolecall.sandbox import RoleWrite, SystemMessage, World, apply_role_change
from rolecall.sandbox.responses import Response
from rolecall.sandbox.write_routes import CHANGES, change_role, check_schema

ROW = {"roomId": "ROOM", "userId": "USER"}


def workspace(version: str = "8.6.1", *, roles: list[str] | None, type: Any = "p") -> World:
    """Return a world with one room: BOT, an admin, is a member, and USER has these roles."""
    world = World(version=version)
    world.add_account("BOT", "token")
    world.add_user("USER", username="user.001")
    world.add_user("NAMELESS", username=None)
    world.add_user("STRANGER")
    world.add_room("ROOM", name="finance-planning", type=type)
    world.join("ROOM", "BOT")
    world.join("ROOM", "USER", roles)
    return world


def call(world: World, body: Any, route: str = "groups.removeLeader", caller: str = "BOT") -> Response:
    """Make one call as the account BOT."""
    return change_role(CHANGES[route], world, caller, body)


def error_of(response: Response) -> tuple[int, str, str]:
    """Return status, errorType and error of a response."""
    payload = orjson.loads(response.body)
    return response.status, payload.get("errorType", ""), payload.get("error", "")


def test_a_removal_removes_the_role_and_posts_a_system_message() -> None:
    """A removal returns 200, removes the role and posts one system message."""
    world = workspace(roles=["leader", "owner"])
    response = call(world, ROW)
    assert (response.status, response.body, response.carried_out) == (200, b'{"success":true}', True)
    assert world.rooms["ROOM"].members["USER"] == ["owner"]
    kind = "subscription-role-removed"
    assert world.record.messages == [SystemMessage(kind, "ROOM", "USER", "leader", "user.001", "BOT", 0.0)]
    assert world.removals("ROOM", "USER") == 1


def test_the_second_removal_is_refused() -> None:
    """A second removal has no further effect and returns 400."""
    world = workspace(roles=["leader"])
    call(world, ROW)
    response = call(world, ROW)
    assert orjson.loads(response.body) == {
        "success": False,
        "error": "User is not a leader [error-user-not-leader]",
        "errorType": "error-user-not-leader",
        "details": {"method": "removeRoomLeader"},
    }
    assert (response.status, response.carried_out, world.removals("ROOM", "USER")) == (400, False, 1)


def test_a_member_without_a_roles_field_returns_200() -> None:
    """A subscription without `roles` passes the check, and a system message is posted although nothing changed."""
    world = workspace(roles=None)
    response = call(world, ROW)
    assert (response.status, response.carried_out, world.removals("ROOM", "USER")) == (200, True, 1)
    assert world.rooms["ROOM"].members["USER"] is None
    assert (world.had_role_before("ROOM", "USER"), world.removers("ROOM", "USER")) == (False, [])


@pytest.mark.parametrize(
    ("change", "error_type", "error"),
    [
        (
            "no_room",
            "error-room-not-found",
            'The required "roomId" or "roomName" param provided does not match any group [error-room-not-found]',
        ),
        (
            "not_joined",
            "error-room-not-found",
            'The required "roomId" or "roomName" param provided does not match any group [error-room-not-found]',
        ),
        (
            "archived",
            "error-room-archived",
            "The private group, finance-planning, is archived [error-room-archived]",
        ),
        (
            "no_user",
            "error-invalid-user",
            'The required "userId" or "username" param provided does not match any users [error-invalid-user]',
        ),
        ("nameless", "error-invalid-user", "Invalid user [error-invalid-user]"),
        ("plain_caller", "error-not-allowed", "Not allowed [error-not-allowed]"),
        ("stranger", "error-user-not-in-room", "User is not in this room [error-user-not-in-room]"),
        ("demoted", "error-user-not-leader", "User is not a leader [error-user-not-leader]"),
    ],
)
def test_each_refusal_has_the_servers_text(change: str, error_type: str, error: str) -> None:
    """Each error is refused with its own type and text, and nothing changes."""
    world = workspace(roles=["leader"])
    body = dict(ROW)
    match change:
        case "no_room":
            body["roomId"] = "NOWHERE"
        case "not_joined":
            del world.rooms["ROOM"].members["BOT"]
        case "archived":
            world.rooms["ROOM"].archived = True
        case "no_user":
            body["userId"] = "NOBODY"
        case "nameless":
            body["userId"] = "NAMELESS"
        case "plain_caller":
            world.users["BOT"].roles = ("user",)
        case "stranger":
            body["userId"] = "STRANGER"
        case "demoted":
            world.join("ROOM", "USER", [])
    assert error_of(call(world, body)) == (400, error_type, error)
    assert world.record.messages == []


def test_the_checks_come_in_the_servers_order() -> None:
    """With every error at once, fixing one after the other shows the next check."""
    world = workspace(roles=[])
    world.users["BOT"].roles = ("user",)
    world.rooms["ROOM"].archived = True
    del world.rooms["ROOM"].members["BOT"]
    del world.rooms["ROOM"].members["USER"]
    body: dict[str, str] = {}
    seen = [error_of(call(world, body))[1]]
    body["roomId"] = "ROOM"
    seen.append(error_of(call(world, body))[1])
    world.join("ROOM", "BOT")
    seen.append(error_of(call(world, body))[1])
    world.rooms["ROOM"].archived = False
    seen.append(error_of(call(world, body))[1])
    body["userId"] = "NOBODY"
    seen.append(error_of(call(world, body))[1])
    body["userId"] = "USER"
    seen.append(error_of(call(world, body))[1])
    world.join("ROOM", "BOT", ["owner"])
    seen.append(error_of(call(world, body))[1])
    world.join("ROOM", "USER", [])
    seen.append(error_of(call(world, body))[1])
    assert seen == [
        "error-room-param-not-provided",
        "error-room-not-found",
        "error-room-archived",
        "error-user-param-not-provided",
        "error-invalid-user",
        "error-not-allowed",
        "error-user-not-in-room",
        "error-user-not-leader",
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"roomId": "ROOM", "userId": "USER"},
        {"roomName": "finance-planning", "userId": "USER"},
        {"roomId": "ROOM", "username": "user.001"},
        {"roomId": "ROOM", "username": "User.001"},
        {"roomId": "ROOM", "user": "user.001"},
    ],
)
def test_room_and_user_can_be_named_by_every_allowed_key(body: dict[str, str]) -> None:
    """Ids and names refer to the same room and the same user."""
    assert call(workspace(roles=["leader"]), body).status == 200


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (None, "must be object"),
        ([], "must be object"),
        ({}, "must have required property 'roomId'"),
        ({"roomId": "ROOM"}, "must have required property 'userId'"),
        ({"roomId": 7, "userId": "USER"}, "must have required property 'roomId'"),
        ({**ROW, "line": 3}, "must NOT have additional properties"),
        ({**ROW, "roomName": "finance-planning"}, "must NOT have additional properties"),
        ({"roomId": "ROOM", "userId": "USER", "username": "user.001"}, "must NOT have additional properties"),
    ],
)
def test_newer_servers_accept_exactly_a_room_and_a_user(body: Any, text: str) -> None:
    """The schema of newer servers refuses a missing, an invalid and an additional key, without brackets."""
    response = check_schema(workspace("8.8.1", roles=["leader"]), body)
    assert response is not None
    assert error_of(response) == (400, "invalid-params", text)


def test_newer_servers_accept_a_room_and_a_user() -> None:
    """A body of one room and one user matches the schema."""
    assert check_schema(workspace("8.8.1", roles=["leader"]), ROW) is None


@pytest.mark.parametrize(
    ("body", "error_type"),
    [
        (None, "error-room-param-not-provided"),
        ({"userId": "USER"}, "error-room-param-not-provided"),
        ({"roomId": "ROOM"}, "error-user-param-not-provided"),
        ({**ROW, "line": 3}, ""),
    ],
)
@pytest.mark.parametrize("version", ["7.4.0", "8.6.1"])
def test_older_servers_check_each_parameter(body: Any, error_type: str, version: str) -> None:
    """Without a schema missing parameters have their own errors, and additional keys are ignored."""
    assert error_of(call(workspace(version, roles=["leader"]), body))[1] == error_type


@pytest.mark.parametrize("route", sorted(CHANGES))
def test_every_role_change_succeeds_once(route: str) -> None:
    """Each of the twelve calls succeeds once on a suitable member and is refused the second time."""
    change = CHANGES[route]
    world = workspace(roles=[] if change.adds else [change.role], type=change.family.type)
    world.join("ROOM", "BOT", ["owner"])
    assert call(world, ROW, route).status == 200
    assert world.rooms["ROOM"].has_role("USER", change.role) is change.adds
    already = f"error-user-{'already' if change.adds else 'not'}-{change.role}"
    assert error_of(call(world, ROW, route))[1] == already


def test_the_last_owner_cannot_be_removed() -> None:
    """The removal of the only owner is refused."""
    world = workspace(roles=["owner"])
    status, error_type, _ = error_of(call(world, ROW, "groups.removeOwner"))
    assert (status, error_type) == (400, "error-remove-last-owner")
    assert world.rooms["ROOM"].has_role("USER", "owner")


@pytest.mark.parametrize(
    ("route", "type", "noun"),
    [("groups.removeLeader", "c", "group"), ("channels.removeLeader", "p", "channel")],
)
def test_each_family_finds_only_its_own_rooms(route: str, type: Any, noun: str) -> None:
    """A channel is not found as a group, and a private group is not found as a channel."""
    status, error_type, error = error_of(call(workspace(roles=["leader"], type=type), ROW, route))
    assert (status, error_type) == (400, "error-room-not-found")
    assert f"any {noun} " in error


def test_a_public_channel_is_visible_to_non_members() -> None:
    """An admin who has not joined a channel can still change roles in it."""
    world = workspace(roles=["leader"], type="c")
    del world.rooms["ROOM"].members["BOT"]
    assert call(world, ROW, "channels.removeLeader").status == 200


def test_an_owner_has_the_permission_in_the_own_room_only() -> None:
    """The permission of an owner is valid in that room, not in the whole workspace."""
    world = workspace(roles=["leader"])
    world.users["BOT"].roles = ("user",)
    world.join("ROOM", "BOT", ["owner"])
    world.add_room("OTHER")
    world.join("OTHER", "BOT")
    world.join("OTHER", "USER", ["leader"])
    assert error_of(call(world, {"roomId": "OTHER", "userId": "USER"}))[1] == "error-not-allowed"
    assert call(world, ROW).status == 200


@pytest.mark.parametrize("writes", range(5))
def test_a_fault_ends_the_writes_after_any_of_them(writes: int) -> None:
    """Role, priority, message and team role are written in this order, and a fault leaves the rest as it was."""
    world = workspace(roles=["leader"])
    room = world.rooms["ROOM"]
    room.is_team, room.team_roles = True, {"USER": ["leader"]}
    world.fail_after_writes = writes
    call(world, ROW)
    left = (
        world.is_leader("ROOM", "USER"),
        room.priorities["USER"] == 250,
        not world.record.messages,
        room.team_roles["USER"] == ["leader"],
    )
    assert left == tuple(number >= writes for number in range(4))


def test_role_changes_are_recorded_with_their_callers() -> None:
    """The record has who really took the role, also where another account was faster and where nothing was there."""
    world = workspace(roles=["leader", "owner"])
    world.add_user("OTHER")
    world.now = 5.0
    apply_role_change(world, "OTHER", "ROOM", "USER")
    world.now = 6.0
    assert call(world, ROW).status == 400
    apply_role_change(world, "OTHER", "ROOM", "USER", adds=True)
    assert call(world, ROW).status == 200
    assert world.record.role_writes == [
        RoleWrite(5.0, "OTHER", "ROOM", "USER", "leader", adds=False, had_role=True),
        RoleWrite(6.0, "OTHER", "ROOM", "USER", "leader", adds=True, had_role=False),
        RoleWrite(6.0, "BOT", "ROOM", "USER", "leader", adds=False, had_role=True),
    ]
    assert world.removers("ROOM", "USER") == ["OTHER", "BOT"]
    assert world.had_role_before("ROOM", "USER")
    assert (world.had_role_before("ROOM", "USER", "owner"), world.had_role_before("ROOM", "BOT")) == (True, False)
    assert world.removals("ROOM", "USER") == 2
