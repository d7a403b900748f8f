"""The world of the demo: always the same, and each row has the result of its kind."""

from collections import Counter

import orjson
import pytest

from rolecall.sandbox import ACCOUNT, Demo, RowKind, demo_faults, demo_world, leader_world
from rolecall.sandbox.demo_world import ID_ALPHABET
from rolecall.sandbox.request_handler import Request, handle_request

ERROR_TYPES = {
    RowKind.LEADER: "",
    RowKind.NOT_LEADER: "error-user-not-leader",
    RowKind.MEMBER: "",
    RowKind.ROOM_NOT_FOUND: "error-room-not-found",
    RowKind.ROOM_NOT_JOINED: "error-room-not-found",
    RowKind.ROOM_ARCHIVED: "error-room-archived",
    RowKind.USER_NOT_FOUND: "error-invalid-user",
    RowKind.USER_NOT_IN_ROOM: "error-user-not-in-room",
    RowKind.NOT_ALLOWED: "error-not-allowed",
}


def call_demo(demo: Demo, verb: str, route: str, params: dict[str, str]) -> dict[str, object]:
    """Make one call without a fault and return the body."""
    request = Request(verb, f"/api/v1/{route}", "127.0.0.1", *demo.account, params)
    payload: dict[str, object] = orjson.loads(handle_request(demo.world, None, request, 0.0, 0.0).body)
    return payload


@pytest.mark.parametrize("rows", [0, 1, 9, 40, 300, 1000])
def test_every_row_has_the_result_of_its_kind(rows: int) -> None:
    """The server's response to each row is the one that its kind requires."""
    demo = demo_world(rows)
    assert len({(row.room_id, row.user_id) for row in demo.rows}) == len(demo.rows) == rows
    for row in demo.rows:
        body = call_demo(demo, "POST", "groups.removeLeader", {"roomId": row.room_id, "userId": row.user_id})
        assert body.get("errorType", "") == ERROR_TYPES[row.kind], row


def test_a_room_that_was_not_joined_exists() -> None:
    """`groups.counters` distinguishes a room that the account has not joined from one that does not exist."""
    demo = demo_world()
    joined = {
        row.kind: call_demo(demo, "GET", "groups.counters", {"roomId": row.room_id}).get("joined") for row in demo.rows
    }
    assert joined[RowKind.ROOM_NOT_JOINED] is False
    assert joined[RowKind.ROOM_NOT_FOUND] is None
    assert joined[RowKind.LEADER] is True


def test_the_default_demo_has_every_kind_and_mostly_leaders() -> None:
    """The demo has each kind of row at least once, and more than 80 % leaders."""
    kinds = [row.kind for row in demo_world().rows]
    assert set(kinds) == set(RowKind)
    assert kinds.count(RowKind.LEADER) > 0.8 * len(kinds)


def test_most_of_the_others_are_ordinary_members() -> None:
    """An ordinary member, whose subscription has no `roles`, is the most common row that is not a leader."""
    demo = demo_world()
    others = Counter(row.kind for row in demo.rows if row.kind is not RowKind.LEADER)
    assert others.most_common(1) == [(RowKind.MEMBER, 18)]
    for row in demo.rows:
        if row.kind is RowKind.MEMBER:
            assert demo.world.rooms[row.room_id].members[row.user_id] is None


def test_the_demo_is_the_same_each_time() -> None:
    """The same seed returns the same rows, ids, names and members."""
    first, second, other = demo_world(seed=3), demo_world(seed=3), demo_world(seed=4)
    assert first.rows == second.rows != other.rows
    assert first.world.rooms == second.world.rooms
    assert first.world.users == second.world.users


def test_ids_look_like_the_servers() -> None:
    """Ids have 17 characters of the server's alphabet."""
    for row in demo_world().rows:
        assert len(row.room_id) == len(row.user_id) == 17
        assert set(row.room_id + row.user_id) <= set(ID_ALPHABET)


@pytest.mark.parametrize(("rows", "faults"), [(300, 4), (12, 3), (0, 0)])
def test_demo_faults_are_for_leader_rows(rows: int, faults: int) -> None:
    """Each fault of the demo is for one leader row; a very small demo has fewer faults."""
    demo = demo_world(rows)
    kinds = {(row.room_id, row.user_id): row.kind for row in demo.rows}
    plan = demo_faults(demo)
    assert len(plan) == faults
    assert all(kinds[fault.when.room or "", fault.when.user or ""] is RowKind.LEADER for fault in plan)


def test_leader_world_has_leaders_and_an_owner() -> None:
    """Every pair is a leader, every room exists once, and the account is its owner."""
    world = leader_world([("r1", "u1"), ("r1", "u2"), ("r2", "u1")])
    assert all(world.is_leader(*pair) for pair in [("r1", "u1"), ("r1", "u2"), ("r2", "u1")])
    assert [room.members[ACCOUNT.user_id] for room in world.rooms.values()] == [["owner"]] * 2


def test_leader_world_has_both_kinds_of_members_without_a_role() -> None:
    """An ordinary member has no `roles`; one who once had a role has an empty list."""
    world = leader_world([("r1", "u1")], members=[("r1", "u2"), ("r2", "u2")], former=[("r1", "u3")])
    assert world.rooms["r1"].members == {ACCOUNT.user_id: ["owner"], "u1": ["leader"], "u2": None, "u3": []}
    assert world.rooms["r2"].members["u2"] is None
