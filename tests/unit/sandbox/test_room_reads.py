"""The routes about rooms: what is told, to whom, and what is refused."""

from typing import Any

import pytest

from rolecall.sandbox import ACCOUNT, World
from tests.unit.sandbox.asking import FORBIDDEN, ask, workspace


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
    """Return the ids of rooms or people."""
    return [item["_id"] for item in items]


@pytest.mark.parametrize(
    ("route", "key", "shown"),
    [
        ("groups.list", "groups", ["group-archived", "group-joined"]),
        ("groups.listAll", "groups", ["group-archived", "group-joined", "group-unjoined"]),
        ("channels.list", "channels", ["channel-archived", "channel-joined", "channel-unjoined"]),
    ],
)
def test_the_lists_of_rooms(route: str, key: str, shown: list[str]) -> None:
    """Own groups, all groups, all channels: by name, archived ones too."""
    status, body = ask(furnished(), route)
    assert (status, ids(body[key])) == (200, shown)
    assert [room.get("archived", False) for room in body[key]] == [
        room["_id"].endswith("archived") for room in body[key]
    ]


def test_a_room_is_described() -> None:
    """Id, name, type, maker and number of members are told."""
    room = ask(furnished(), "groups.info", roomId="group-joined")[1]["group"]
    assert {key: room[key] for key in ("_id", "name", "t", "usersCount", "msgs")} == {
        "_id": "group-joined",
        "name": "group-joined",
        "t": "p",
        "usersCount": 5,
        "msgs": 0,
    }
    assert room["u"] == {"_id": ACCOUNT.user_id, "username": "bulk.bot"}


def test_all_groups_need_room_administration() -> None:
    """Without the permission the list is refused, the account's own groups are not."""
    world = furnished(roles=("user",))
    assert ask(world, "groups.listAll") == (403, {"success": False, "error": FORBIDDEN})
    assert ids(ask(world, "groups.list")[1]["groups"]) == ["group-archived", "group-joined"]


def test_channels_are_shown_by_permission() -> None:
    """Without `view-c-room` only joined channels are listed; without either permission the list is refused."""
    world = furnished(roles=("guest",))
    assert ids(ask(world, "channels.list")[1]["channels"]) == ["channel-archived", "channel-joined"]
    world.withdraw("view-joined-room")
    assert ask(world, "channels.list")[0] == 403


@pytest.mark.parametrize(
    ("params", "shown"),
    [
        ({}, 7),
        ({"types": "p"}, 3),
        ({"types": ["p", "c"]}, 6),
        ({"types": ["p"], "filter": "UNJOINED"}, 1),
        ({"types": ["teams"]}, 0),
    ],
)
def test_administrators_see_all_rooms_by_type_and_name(params: dict[str, Any], shown: int) -> None:
    """The administrator's list takes one type, several or none, and a part of the name."""
    assert ask(furnished(), "rooms.adminRooms", **params)[1]["total"] == shown


def test_the_administrators_list_refuses_in_its_own_way() -> None:
    """Where other routes answer 403 this one answers 400, without an error type."""
    answer = ask(furnished(roles=("user",)), "rooms.adminRooms")
    assert answer == (400, {"success": False, "error": "error-not-authorized"})


@pytest.mark.parametrize("family", ["group", "channel"])
def test_members_are_the_active_ones(family: str) -> None:
    """Whoever was deactivated, or never got a name, is not in the list, though the roles tell of them."""
    world = furnished()
    room = {"roomId": f"{family}-joined"}
    body = ask(world, f"{family}s.members", **room)[1]
    assert [member["username"] for member in body["members"]] == ["bulk.bot", "finance.lead", "plain.member"]
    assert "GONE" in [entry["u"]["_id"] for entry in ask(world, f"{family}s.roles", **room)[1]["roles"]]
    assert ask(world, f"{family}s.members", filter="FINANCE", **room)[1]["total"] == 1


@pytest.mark.parametrize("family", ["group", "channel"])
def test_roles_are_told_of_everyone_who_has_one(family: str) -> None:
    """Members without a role are left out; names come along; the order is by user name."""
    body = ask(furnished(), f"{family}s.roles", roomId=f"{family}-joined")[1]
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
def test_what_each_route_refuses(route: str, unjoined: str, archived: str) -> None:
    """Unjoined groups are hidden even from admins, except by `counters`; archived rooms are refused by some."""
    family = route.partition(".")[0].removesuffix("s")
    other = "channel" if family == "group" else "group"
    asked = {f"{family}-joined": "", f"{family}-unjoined": unjoined, f"{family}-archived": archived}
    asked |= {f"{other}-joined": NOT_FOUND, "direct": NOT_FOUND, "nowhere": NOT_FOUND}
    for room_id, error_type in asked.items():
        status, body = ask(furnished(), route, roomId=room_id)
        assert (status, body.get("errorType", "")) == (400 if error_type else 200, error_type), room_id
    assert ask(furnished(), route)[1]["errorType"] == "error-room-param-not-provided"


def test_counters_count() -> None:
    """Members and messages are counted, and whether the account is in the room is told."""
    world = furnished()
    ask(world, "groups.removeLeader", post={"roomId": "group-joined", "userId": "LEAD"})
    ask(world, "chat.postMessage", post={"roomId": "group-joined", "text": "done"})
    body = ask(world, "groups.counters", roomId="group-joined")[1]
    assert {key: body[key] for key in ("joined", "members", "msgs")} == {"joined": True, "members": 5, "msgs": 2}
    assert ask(world, "channels.counters", roomId="channel-unjoined")[1]["joined"] is False
