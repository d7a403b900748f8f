"""Entries of the workspace's lists: read where they name somebody, never a crash where they do not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.rocketchat.responses import (
    ListedRoom,
    ListedUser,
    parse_listed_room,
    parse_listed_user,
    parse_room_info,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ENTRIES = st.dictionaries(
    st.sampled_from(["_id", "username", "emails", "active", "name", "group", "address"]), JSON, max_size=5
)


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
