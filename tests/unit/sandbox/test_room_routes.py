"""Routes that read rooms: what each account sees, and what is refused."""

from typing import Any

import pytest

from rolecall.sandbox import ACCOUNT, World
from tests.unit.sandbox.api_calls import FORBIDDEN, call_api, workspace


def furnished(roles: tuple[str, ...] = ("user", "admin")) -> World:
    """Return a world with joined, unjoined and archived rooms of both kinds, and one conversation."""
    world = workspace(roles=roles)
    world.add_user("LEAD", username="finance.lead", name="Finance Lead", email="lead@example.org")
    world.add_user("GONE", username="sales.lead")
    world.add_user("PLAIN", username="plain.member")
    world.add_user("NAMELESS", username=None)
    for kind, family in (("p", "group"), ("c", "channel")):
        for state in ("joined", "unjoined", "archived"):
            room_id = f"{family}-{state}"
            world.add_room(room_id, type=kind, archived=state == "archived")  # type: ignore[arg-type]  # one of the two
            if state != "unjoined":
                world.join(room_id, ACCOUNT.user_id, ["owner"])
            world.join(room_id, "LEAD", ["leader"])
            world.join(room_id, "GONE", ["leader", "moderator"])
            world.join(room_id, "PLAIN", None)
            world.join(room_id, "NAMELESS", [])
    world.add_room("direct", type="d")
    world.deactivate("GONE")
    return world


def ids(items: list[dict[str, Any]]) -> list[str]:
    """Return the ids of rooms or users."""
    return [item["_id"] for item in items]


@pytest.mark.parametrize(
    ("route", "key", "listed"),
    [
        ("groups.list", "groups", ["group-archived", "group-joined"]),
        ("groups.listAll", "groups", ["group-archived", "group-joined", "group-unjoined"]),
        ("channels.list", "channels", ["channel-archived", "channel-joined", "channel-unjoined"]),
    ],
)
def test_the_lists_of_rooms(route: str, key: str, listed: list[str]) -> None:
    """Own groups, all groups and all channels are listed by name, archived ones too."""
    status, body = call_api(furnished(), route)
    assert (status, ids(body[key])) == (200, listed)
    assert [room.get("archived", False) for room in body[key]] == [
        room["_id"].endswith("archived") for room in body[key]
    ]


def test_a_room_is_described() -> None:
    """The document has id, name, type, creator and number of members."""
    room = call_api(furnished(), "groups.info", roomId="group-joined")[1]["group"]
    assert {key: room[key] for key in ("_id", "name", "t", "usersCount", "msgs")} == {
        "_id": "group-joined",
        "name": "group-joined",
        "t": "p",
        "usersCount": 5,
        "msgs": 0,
    }
    assert room["u"] == {"_id": ACCOUNT.user_id, "username": "bulk.bot"}


def test_all_groups_need_room_administration() -> None:
    """Without the permission the list of all groups is refused, the account's own groups are listed."""
    world = furnished(roles=("user",))
    assert call_api(world, "groups.listAll") == (403, {"success": False, "error": FORBIDDEN})
    assert ids(call_api(world, "groups.list")[1]["groups"]) == ["group-archived", "group-joined"]


def test_channels_are_listed_by_permission() -> None:
    """Without `view-c-room` only joined channels are listed; without either permission the list is refused."""
    world = furnished(roles=("guest",))
    assert ids(call_api(world, "channels.list")[1]["channels"]) == ["channel-archived", "channel-joined"]
    world.remove_permission("view-joined-room")
    assert call_api(world, "channels.list")[0] == 403


@pytest.mark.parametrize(
    ("params", "listed"),
    [
        ({}, 7),
        ({"types": "p"}, 3),
        ({"types": ["p", "c"]}, 6),
        ({"types": ["p"], "filter": "UNJOINED"}, 1),
        ({"types": ["teams"]}, 0),
    ],
)
def test_administrators_see_all_rooms_by_type_and_name(params: dict[str, Any], listed: int) -> None:
    """The administrator's list can be filtered by one type, several or none, and by a part of the name."""
    assert call_api(furnished(), "rooms.adminRooms", **params)[1]["total"] == listed


def test_the_administrators_list_has_its_own_refusal() -> None:
    """Other routes return 403; this one returns 400 without an errorType."""
    response = call_api(furnished(roles=("user",)), "rooms.adminRooms")
    assert response == (400, {"success": False, "error": "error-not-authorized"})


@pytest.mark.parametrize("family", ["group", "channel"])
def test_members_lists_active_users_only(family: str) -> None:
    """A user who is deactivated or has no username is not in `members`; a deactivated one is in `roles`."""
    world = furnished()
    room = {"roomId": f"{family}-joined"}
    body = call_api(world, f"{family}s.members", **room)[1]
    assert [member["username"] for member in body["members"]] == ["bulk.bot", "finance.lead", "plain.member"]
    assert "GONE" in [entry["u"]["_id"] for entry in call_api(world, f"{family}s.roles", **room)[1]["roles"]]
    assert call_api(world, f"{family}s.members", filter="FINANCE", **room)[1]["total"] == 1


@pytest.mark.parametrize("family", ["group", "channel"])
def test_roles_lists_every_member_with_a_role(family: str) -> None:
    """Members without a role are left out; display names are included; the order is by username."""
    body = call_api(furnished(), f"{family}s.roles", roomId=f"{family}-joined")[1]
    assert [(entry["u"]["username"], entry["roles"]) for entry in body["roles"]] == [
        ("bulk.bot", ["owner"]),
        ("finance.lead", ["leader"]),
        ("sales.lead", ["leader", "moderator"]),
    ]
    assert body["roles"][1]["u"]["name"] == "Finance Lead"


NOT_FOUND, ARCHIVED = "error-room-not-found", "error-room-archived"


@pytest.mark.parametrize(
    ("route", "unjoined", "archived"),
    [
        ("groups.info", NOT_FOUND, ""),
        ("groups.members", NOT_FOUND, ARCHIVED),
        ("groups.roles", NOT_FOUND, ARCHIVED),
        ("groups.counters", "", ARCHIVED),
        ("channels.info", "", ""),
        ("channels.members", "", ""),
        ("channels.roles", "", ARCHIVED),
        ("channels.counters", "", ARCHIVED),
    ],
)
def test_each_route_refuses_its_own_cases(route: str, unjoined: str, archived: str) -> None:
    """Unjoined groups are hidden even from admins, except by `counters`; some routes refuse archived rooms."""
    family = route.partition(".")[0].removesuffix("s")
    other = "channel" if family == "group" else "group"
    expected = {f"{family}-joined": "", f"{family}-unjoined": unjoined, f"{family}-archived": archived}
    expected |= {f"{other}-joined": NOT_FOUND, "direct": NOT_FOUND, "nowhere": NOT_FOUND}
    for room_id, error_type in expected.items():
        status, body = call_api(furnished(), route, roomId=room_id)
        assert (status, body.get("errorType", "")) == (400 if error_type else 200, error_type), room_id
    assert call_api(furnished(), route)[1]["errorType"] == "error-room-param-not-provided"


def test_counters_counts_members_and_messages() -> None:
    """Members and messages are counted, and `joined` is whether the account is a member."""
    world = furnished()
    call_api(world, "groups.removeLeader", post={"roomId": "group-joined", "userId": "LEAD"})
    call_api(world, "chat.postMessage", post={"roomId": "group-joined", "text": "done"})
    body = call_api(world, "groups.counters", roomId="group-joined")[1]
    assert {key: body[key] for key in ("joined", "members", "msgs")} == {"joined": True, "members": 5, "msgs": 2}
    assert call_api(world, "channels.counters", roomId="channel-unjoined")[1]["joined"] is False


def test_the_list_of_administrators_knows_display_names() -> None:
    """`rooms.adminRooms` finds a room by its display name, which `groups.info` does not know."""
    world = furnished()
    world.rooms["group-unjoined"].display_name = "B\u00fcro"
    rooms = call_api(world, "rooms.adminRooms", filter="b\u00fcro")[1]["rooms"]
    assert [(room["_id"], room["name"], room["fname"]) for room in rooms] == [
        ("group-unjoined", "group-unjoined", "B\u00fcro")
    ]
    world.rooms["group-joined"].display_name = "Team"
    assert call_api(world, "groups.info", roomName="Team")[0] == 400
    assert call_api(world, "groups.info", roomName="group-joined")[1]["group"]["fname"] == "Team"
