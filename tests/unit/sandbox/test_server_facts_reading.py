"""What the real server does when roles and messages are read: memberships, system messages, histories and lists."""

from typing import Any

import pytest

from rolecall.sandbox import ACCOUNT, Post, World, apply_role_change
from rolecall.sandbox.request_handler import Request, handle_request
from tests.unit.sandbox.facts_world import (
    ADD_LEADER,
    NOW,
    REMOVE_LEADER,
    as_admin_elsewhere,
    make_world,
    read,
    row,
    send,
)

# Role storage and system messages


def test_removing_all_members_of_a_group_gives_as_many_successes_and_messages() -> None:
    """A group of 8 members and one leader: eight 200s and eight public messages, one real removal."""
    world = make_world()
    world.add_room("NEW")
    world.join("NEW", ACCOUNT.user_id, ["owner"])
    users = [world.add_user(f"USER{number}").id for number in range(8)]
    for user_id in users:
        world.join("NEW", user_id)
    assert send(world, ADD_LEADER, row("USER0", "NEW")).status == 200
    assert [send(world, REMOVE_LEADER, row(user_id, "NEW")).status for user_id in users] == [200] * 8
    assert [world.removals("NEW", user_id) for user_id in users] == [1] * 8
    assert [user_id for user_id in users if world.removers("NEW", user_id)] == ["USER0"]
    assert [user_id for user_id in users if world.rooms["NEW"].members[user_id] is not None] == ["USER0"]


def test_an_undo_makes_leaders_of_people_who_never_were() -> None:
    """After a removal of an ordinary member, an addition makes the member a leader."""
    world = make_world()
    send(world, REMOVE_LEADER, row("MEMBER"))
    assert send(world, ADD_LEADER, row("MEMBER")).status == 200
    assert world.rooms["ROOM"].members["MEMBER"] == ["leader"]
    assert world.had_role_before("ROOM", "MEMBER") is False


@pytest.mark.parametrize(
    ("route", "user_id", "kind"),
    [(REMOVE_LEADER, "LEAD", "subscription-role-removed"), (ADD_LEADER, "MEMBER", "subscription-role-added")],
)
def test_each_change_that_reaches_the_write_saves_a_message(route: str, user_id: str, kind: str) -> None:
    """The message names the user in `msg`, the role, the calling account in `u`, and the time of the server's clock."""
    world = make_world()
    request = Request("POST", f"/api/v1/{route}", "10.0.0.1", *ACCOUNT, row(user_id))
    assert handle_request(world, None, request, NOW, 90.5).status == 200
    (message,) = read(world, "chat.syncMessages", roomId="ROOM", lastUpdate="2023-11-14T22:13:20Z")["result"]["updated"]
    assert {key: message[key] for key in ("rid", "t", "msg", "role", "u", "ts", "_updatedAt")} == {
        "rid": "ROOM",
        "t": kind,
        "msg": f"{user_id.title()}.Name",
        "role": "leader",
        "u": {"_id": ACCOUNT.user_id, "username": "bulk.bot"},
        "ts": "2023-11-14T22:14:50.500Z",
        "_updatedAt": "2023-11-14T22:14:50.500Z",
    }


def test_a_refused_change_saves_no_message() -> None:
    """Where a check refuses the call nothing is written."""
    world = make_world()
    send(world, REMOVE_LEADER, row("FORMER"))
    assert world.record.history == []


def with_messages() -> World:
    """Return a world with a removal, a text and an addition in ROOM, one second apart."""
    world = make_world()
    send(world, REMOVE_LEADER, row("LEAD"), now=NOW)
    world.record.save(Post("ROOM", "MEMBER", "a private word", "", "chat.postMessage", NOW + 1))
    world.now = NOW + 2
    apply_role_change(world, "MOD", "ROOM", "LEAD", adds=True)
    return world


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    """Return the type of each message, or the text of one without a type."""
    return [message.get("t") or message["msg"] for message in messages]


ADDED, REMOVED = "subscription-role-added", "subscription-role-removed"


@pytest.mark.parametrize(
    ("last_update", "found"),
    [
        ("2023-11-14T22:13:19.999Z", [ADDED, "a private word", REMOVED]),
        ("2023-11-14T22:13:20.000Z", [ADDED, "a private word"]),
        ("2023-11-14T22:13:21Z", [ADDED]),
        ("2023-11-14T22:13:22.000Z", []),
    ],
)
def test_sync_messages_returns_every_message_updated_since(last_update: str, found: list[str]) -> None:
    """All messages after the time are returned, hidden types and private conversation included."""
    world = with_messages()
    world.hidden_types = frozenset({ADDED, REMOVED})
    result = read(world, "chat.syncMessages", roomId="ROOM", lastUpdate=last_update)["result"]
    assert (kinds(result["updated"]), result["deleted"]) == (found, [])


@pytest.mark.parametrize(
    ("workspace_hides", "room_hides", "found"),
    [
        (frozenset(), None, [ADDED, "a private word", REMOVED]),
        (frozenset({REMOVED}), None, [ADDED, "a private word"]),
        (frozenset(), frozenset({REMOVED, ADDED}), ["a private word"]),
        (frozenset({REMOVED}), frozenset(), [ADDED, "a private word", REMOVED]),
    ],
)
def test_history_filters_out_the_types_that_are_hidden(
    workspace_hides: frozenset[str], room_hides: frozenset[str] | None, found: list[str]
) -> None:
    """The types that the workspace or the room hides are not in the history."""
    world = with_messages()
    world.hidden_types, world.rooms["ROOM"].hidden_types = workspace_hides, room_hides
    oldest = "2023-11-14T22:00:00.000Z"
    assert kinds(read(world, "groups.history", roomId="ROOM", oldest=oldest, count="10")["messages"]) == found


def test_history_is_limited_by_count_and_oldest() -> None:
    """The latest messages come first, at most `count`, and none from before `oldest`."""
    world = with_messages()
    assert kinds(read(world, "groups.history", roomId="ROOM", count="1")["messages"]) == [ADDED]
    oldest = "2023-11-14T22:13:20.000Z"
    assert kinds(read(world, "groups.history", roomId="ROOM", oldest=oldest)["messages"]) == [ADDED, "a private word"]


# Reading


def roles_of(world: World) -> dict[str, list[str]]:
    """Return user id to roles as `groups.roles` lists them."""
    return {entry["u"]["_id"]: entry["roles"] for entry in read(world, "groups.roles", roomId="ROOM")["roles"]}


def test_groups_roles_lists_only_roles_whose_description_is_not_empty() -> None:
    """A role without a description is not listed, and `roles.list` shows it."""
    world = make_world()
    assert roles_of(world)["LEAD"] == ["leader"]
    world.role_descriptions["leader"] = ""
    assert roles_of(world) == {ACCOUNT.user_id: ["owner"], "MOD": ["moderator"]}
    listed = {role["_id"]: role["description"] for role in read(world, "roles.list")["roles"]}
    assert (listed["leader"], listed["owner"]) == ("", "Owner")


def test_users_info_gives_the_roles_of_each_room_and_none_where_there_are_none() -> None:
    """`roles` is absent for a member who never had one, also for rooms that the account has not joined."""
    world = make_world()
    as_admin_elsewhere(world)
    found = {}
    for user_id in ("LEAD", "MEMBER", "GONE"):
        rooms = read(world, "users.info", userId=user_id, includeUserRooms="true")["user"]["rooms"]
        found[user_id] = {room["rid"]: room.get("roles") for room in rooms}
    assert found["LEAD"] == {room_id: ["leader"] for room_id in ("ROOM", "OLD", "PLAIN", "UNJOINED", "PUBLIC")}
    assert (found["MEMBER"], found["GONE"]) == ({"ROOM": None}, {"ROOM": ["leader"]})


@pytest.mark.parametrize(
    ("room_id", "state", "joined"),
    [("ROOM", "", True), ("ROOM", "closed", False), ("UNJOINED", "", False), ("UNJOINED", "invited", True)],
    ids=["member", "hidden room: false", "not a member", "invited: true"],
)
def test_joined_means_that_the_subscription_is_open(room_id: str, state: str, joined: bool) -> None:
    """`joined` of `groups.counters` is not membership."""
    world = make_world()
    if state:
        getattr(world.rooms[room_id], state).add(ACCOUNT.user_id)
    assert read(world, "groups.counters", roomId=room_id)["joined"] is joined


def test_members_are_listed_without_deactivated_users() -> None:
    """`groups.members` leaves out who is deactivated or has no username."""
    members = read(make_world(), "groups.members", roomId="ROOM")["members"]
    assert [member["_id"] for member in members] == ["FORMER", "LEAD", "MEMBER", "MOD", ACCOUNT.user_id]


def test_members_ordered_by_role_have_their_roles() -> None:
    """Owners come first, then leaders and moderators; a member who never had a role has no `roles`."""
    members = read(make_world(), "rooms.membersOrderedByRole", roomId="ROOM")["members"]
    assert [(member["_id"], member.get("roles")) for member in members] == [
        (ACCOUNT.user_id, ["owner"]),
        ("LEAD", ["leader"]),
        ("MOD", ["moderator"]),
        ("FORMER", []),
        ("MEMBER", None),
    ]
    assert send(make_world(), "rooms.membersOrderedByRole", {"roomId": "UNJOINED"}).status == 404
