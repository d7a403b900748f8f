"""Entries of the workspace's lists: read where they name somebody, never a crash where they do not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.rocketchat.responses import (
    ListedRoom,
    ListedUser,
    RoleMessage,
    UserRoom,
    parse_described_roles,
    parse_listed_room,
    parse_listed_user,
    parse_members,
    parse_role_holders,
    parse_role_messages,
    parse_room_info,
    parse_user_info,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ENTRIES = st.dictionaries(
    st.sampled_from(["_id", "username", "emails", "active", "name", "group", "address"]), JSON, max_size=5
)


def test_entries_without_what_is_needed_are_left_out() -> None:
    """A response of the largest size has room for millions of them: no value is made of one."""
    user = parse_user_info({"user": {"_id": "u", "rooms": [{}, {"t": "p"}, 7, None, {"rid": "R"}] * 1000}})
    assert user is not None
    assert user.rooms == (UserRoom("R", "", "", frozenset()),) * 1000
    messages = [{}, {"t": "uj"}, {"t": "subscription-role-added"}, {"t": "subscription-role-added", "u": {}}] * 1000
    assert parse_role_messages({"result": {"updated": messages}}) == []
    assert parse_role_holders({"roles": [{}, [], {"u": {}}] * 1000}) == []


@pytest.mark.parametrize(
    ("entry", "user"),
    [
        ({"_id": "u", "username": "anna", "active": False}, ListedUser("u", "anna", False, frozenset())),
        (
            {"_id": "u", "emails": [{"address": "a@example.org"}, {"verified": True}, 3]},
            ListedUser("u", "", True, frozenset({"a@example.org"})),
        ),
        ({"username": "anna"}, None),
        ({"_id": ""}, None),
    ],
)
def test_a_listed_user_is_read(entry: dict[str, Any], user: ListedUser | None) -> None:
    """Only an account that is told to be inactive is deactivated; addresses may not be shown."""
    assert parse_listed_user(entry) == user


@given(ENTRIES)
def test_no_entry_crashes_it(entry: dict[str, Any]) -> None:
    """Whatever a server lists, a user or room with an id comes of it, or nothing."""
    for found in (parse_listed_user(entry), parse_listed_room(entry), parse_room_info("groups", entry)):
        assert found is None or found[0] != ""


def test_the_kind_of_room_names_its_key() -> None:
    """`groups.info` tells of a `group`, `channels.info` of a `channel`."""
    room = {"_id": "r", "name": "budget"}
    assert parse_room_info("groups", {"group": room}) == ListedRoom("r", "budget")
    assert parse_room_info("channels", {"channel": room}) == ListedRoom("r", "budget")
    assert parse_room_info("channels", {"group": room}) is None


REMOVAL = {
    "_id": "m1",
    "rid": "R",
    "t": "subscription-role-removed",
    "msg": "anna",
    "role": "leader",
    "u": {"_id": "bot", "username": "bulk.bot"},
    "ts": "2026-03-01T09:30:00.250Z",
    "_updatedAt": "2026-03-01T09:30:01.000Z",
}
AT = 1_772_357_400_250


def synced(*entries: object) -> dict[str, Any]:
    """Return the response of `chat.syncMessages`."""
    return {"success": True, "result": {"updated": list(entries), "deleted": []}}


def test_a_role_message_is_parsed() -> None:
    """The direction, the user by name, the role, the account and the server's time; no other text is kept."""
    assert parse_role_messages(synced(REMOVAL)) == [RoleMessage(False, "anna", "leader", "bot", AT)]
    assert parse_role_messages(synced({**REMOVAL, "t": "subscription-role-added"}))[0].adds is True


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"ts": {"$date": AT}}, AT),
        ({"ts": "2026-03-01T10:30:00.250+01:00"}, AT),
        ({"ts": AT}, AT),
        ({"ts": None}, None),
        ({"ts": "soon"}, None),
        ({"ts": {"$date": "soon"}}, None),
        ({"ts": True}, None),
        ({"ts": "9999-12-31T23:59:59.999Z"}, 253_402_300_799_999),
        ({"u": None}, None),
        ({"u": "bot"}, None),
        ({"t": "subscription-role-changed"}, None),
        ({"t": None}, None),
        ({"t": ["subscription-role-removed"]}, None),
    ],
)
def test_a_role_message_in_other_forms(change: dict[str, Any], at: int | None) -> None:
    """Times are ISO text or `$date`; a message without a time, a sender or a known type is left out."""
    found = parse_role_messages(synced({**REMOVAL, **change}))
    assert [message.at for message in found] == ([] if at is None else [at])


def test_only_role_messages_are_kept_the_oldest_first() -> None:
    """Whatever people wrote is dropped; role changes come in the order of their times."""
    others = [{"t": "uj", "msg": "anna"}, {"msg": "private"}, "text", None, {**REMOVAL, "t": "room_changed_topic"}]
    later = {**REMOVAL, "ts": "2026-03-01T09:31:00.000Z"}
    found = parse_role_messages(synced(later, *others, REMOVAL))
    assert [message.at for message in found] == [AT, AT + 59_750]
    assert all(set(message) <= {False, "anna", "leader", "bot", message.at} for message in found)


@pytest.mark.parametrize("body", [{}, {"result": None}, {"result": []}, {"result": {}}, {"result": {"updated": "x"}}])
def test_a_response_without_messages(body: dict[str, Any]) -> None:
    """A response of another form has no messages."""
    assert parse_role_messages(body) == []


@pytest.mark.parametrize(
    ("body", "roles"),
    [
        ({"roles": [{"_id": "leader", "description": "Leader"}, {"_id": "owner", "description": ""}]}, {"leader"}),
        ({"roles": [{"_id": "owner"}, {"_id": "x", "description": 5}]}, set()),
        ({"roles": []}, None),
        ({"roles": "x"}, None),
        ({}, None),
    ],
)
def test_roles_with_a_description(body: dict[str, Any], roles: set[str] | None) -> None:
    """Roles without a description are left out; None where the response has no roles at all."""
    assert parse_described_roles(body) == roles


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"members": [{"_id": "u", "username": "anna"}, {"_id": "v"}], "total": 120}, ({"u": "anna", "v": ""}, 120)),
        ({"members": [{"_id": "u", "username": "anna"}]}, ({"u": "anna"}, 1)),
        ({"members": [], "total": 0}, ({}, 0)),
        ({"members": [], "total": "many"}, ({}, 0)),
        ({}, ({}, 0)),
    ],
)
def test_a_page_of_members(body: dict[str, Any], expected: tuple[dict[str, str], int]) -> None:
    """Usernames by id, and the total; a page that names no total has only itself."""
    assert parse_members(body) == expected


@given(st.dictionaries(st.sampled_from(["roles", "members", "total", "result", "updated", "_id"]), JSON, max_size=4))
def test_no_response_crashes_the_parsers(body: dict[str, Any]) -> None:
    """Whatever a server answers, the parsers return values of their own types."""
    assert isinstance(parse_role_messages(body), list)
    assert isinstance(parse_members(body)[1], int)
    assert parse_described_roles(body) is None or isinstance(parse_described_roles(body), frozenset)


@given(st.dictionaries(st.sampled_from(list(REMOVAL)), JSON, max_size=6))
def test_no_message_crashes_the_parser(change: dict[str, Any]) -> None:
    """Whatever stands in a message, a role message comes of it, or nothing."""
    for message in parse_role_messages(synced({**REMOVAL, **change})):
        assert isinstance(message.at, int)
        assert isinstance(message.username, str)
