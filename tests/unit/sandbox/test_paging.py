"""Pages of lists: the effect of `offset` and `count`, the same for every list."""

import pytest

from rolecall.sandbox import ACCOUNT, Paging, World
from tests.unit.sandbox.api_calls import call_api, workspace

LISTS = {
    "users.list": "users",
    "users.listByStatus": "users",
    "groups.list": "groups",
    "groups.listAll": "groups",
    "channels.list": "channels",
    "groups.members": "members",
    "channels.members": "members",
    "rooms.adminRooms": "rooms",
}
"""Every paged route and the key of its items."""


def crowded(items: int, paging: Paging | None = None) -> World:
    """Return a world in which each list has this many items."""
    world = workspace(paging=paging)
    for number in range(items - 1):
        world.add_user(f"U{number:03}")
    for number in range(items):
        for kind in ("p", "c"):
            world.add_room(f"{kind}{number:03}", type=kind)
            world.join(f"{kind}{number:03}", ACCOUNT.user_id)
    for room_id in ("p000", "c000"):
        for user_id in world.users:
            world.join(room_id, user_id)
    return world


def page(world: World, route: str, **params: str) -> tuple[int, int, int, int]:
    """Return the number of items, and `count`, `offset` and `total`."""
    room = {"groups.members": {"roomId": "p000"}, "channels.members": {"roomId": "c000"}}.get(route, {})
    types = {"types": "p"} if route == "rooms.adminRooms" else {}
    status, body = call_api(world, route, **room, **types, **params)
    assert status == 200
    return len(body[LISTS[route]]), body["count"], body["offset"], body["total"]


@pytest.mark.parametrize("route", LISTS)
@pytest.mark.parametrize(
    ("params", "items", "offset"),
    [
        ({}, 50, 0),
        ({"count": "7"}, 7, 0),
        ({"count": "100"}, 100, 0),
        ({"count": "101"}, 100, 0),
        ({"count": "5000"}, 100, 0),
        ({"count": "100", "offset": "100"}, 20, 100),
        ({"offset": "120"}, 0, 120),
        ({"offset": "9999"}, 0, 9999),
        ({"count": "0"}, 120, 0),
        ({"count": "0", "offset": "20"}, 100, 20),
    ],
)
def test_every_list_comes_in_pages(route: str, params: dict[str, str], items: int, offset: int) -> None:
    """The default is 50, a higher count than 100 is reduced, a page beyond the end is empty; `total` never changes."""
    assert page(crowded(120), route, **params) == (items, items, offset, 120)


def test_consecutive_pages_are_the_whole_list() -> None:
    """Reading with an increasing offset returns each user exactly once."""
    world = crowded(120)
    pages = [call_api(world, "users.list", offset=str(start), count="50")[1]["users"] for start in (0, 50, 100)]
    ids = [user["_id"] for users in pages for user in users]
    assert sorted(ids) == sorted(world.users)
    assert len(ids) == len(set(ids))


def test_a_workspace_can_forbid_infinite_counts_and_set_its_own_limits() -> None:
    """If `count=0` is not allowed, it means the default."""
    world = crowded(120, Paging(default=10, upper=30, infinite=False))
    assert [page(world, "users.list", **params)[0] for params in ({}, {"count": "0"}, {"count": "31"})] == [10, 10, 30]


@pytest.mark.parametrize("params", [{"count": "many"}, {"offset": "-1"}, {"count": ""}, {"offset": "1.5"}])
def test_a_value_that_is_not_a_number_is_refused(params: dict[str, str]) -> None:
    """Offset and count must be whole numbers."""
    status, body = call_api(crowded(1), "users.list", **params)
    assert (status, body["errorType"]) == (400, "invalid-params")
