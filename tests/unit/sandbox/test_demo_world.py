"""The demo's world: the same every time, and true to what it says of each row."""

import orjson
import pytest

from rolecall.sandbox import ACCOUNT, Demo, Truth, demo_faults, demo_world, leader_world
from rolecall.sandbox.demo_world import ID_ALPHABET
from rolecall.sandbox.request_handler import Incoming, answer_call

SAID = {
    Truth.LEADER: "",
    Truth.NOT_LEADER: "error-user-not-leader",
    Truth.NO_ROLES_QUIRK: "",
    Truth.ROOM_NOT_FOUND: "error-room-not-found",
    Truth.ROOM_NOT_JOINED: "error-room-not-found",
    Truth.ROOM_ARCHIVED: "error-room-archived",
    Truth.USER_NOT_FOUND: "error-invalid-user",
    Truth.USER_NOT_IN_ROOM: "error-user-not-in-room",
    Truth.NOT_ALLOWED: "error-not-allowed",
}


def ask(demo: Demo, verb: str, route: str, params: dict[str, str]) -> dict[str, object]:
    """Make one honest call and return the answered object."""
    call = Incoming(verb, f"/api/v1/{route}", "127.0.0.1", *demo.account, params)
    payload: dict[str, object] = orjson.loads(answer_call(demo.world, None, call, 0.0, 0.0).body)
    return payload


@pytest.mark.parametrize("rows", [0, 1, 9, 40, 300, 1000])
def test_every_row_is_answered_as_its_kind_says(rows: int) -> None:
    """The truth told about each row is what the server says when asked honestly."""
    demo = demo_world(rows)
    assert len({(pair.room_id, pair.user_id) for pair in demo.pairs}) == len(demo.pairs) == rows
    for pair in demo.pairs:
        answer = ask(demo, "POST", "groups.removeLeader", {"roomId": pair.room_id, "userId": pair.user_id})
        assert answer.get("errorType", "") == SAID[pair.kind], pair


def test_a_room_that_was_not_joined_exists() -> None:
    """`groups.counters` tells the rooms that the account has not joined from those that do not exist."""
    demo = demo_world()
    joined = {
        pair.kind: ask(demo, "GET", "groups.counters", {"roomId": pair.room_id}).get("joined") for pair in demo.pairs
    }
    assert joined[Truth.ROOM_NOT_JOINED] is False
    assert joined[Truth.ROOM_NOT_FOUND] is None
    assert joined[Truth.LEADER] is True


def test_the_default_demo_has_every_kind_and_mostly_leaders() -> None:
    """The demo shows each kind of row at least once, and the good case most."""
    kinds = [pair.kind for pair in demo_world().pairs]
    assert set(kinds) == set(Truth)
    assert kinds.count(Truth.LEADER) > 0.8 * len(kinds)


def test_the_demo_is_the_same_each_time() -> None:
    """The seed decides everything: rows, ids, names and members."""
    first, second, other = demo_world(seed=3), demo_world(seed=3), demo_world(seed=4)
    assert first.pairs == second.pairs != other.pairs
    assert first.world.rooms == second.world.rooms
    assert first.world.users == second.world.users


def test_ids_look_like_the_servers() -> None:
    """Ids have 17 characters of the server's alphabet."""
    for pair in demo_world().pairs:
        assert len(pair.room_id) == len(pair.user_id) == 17
        assert set(pair.room_id + pair.user_id) <= set(ID_ALPHABET)


@pytest.mark.parametrize(("rows", "faults"), [(300, 4), (12, 3), (0, 0)])
def test_demo_faults_are_for_leader_rows(rows: int, faults: int) -> None:
    """Each fault of the demo spoils the first attempt of one leader row; a tiny demo has fewer."""
    demo = demo_world(rows)
    kinds = {(pair.room_id, pair.user_id): pair.kind for pair in demo.pairs}
    plan = demo_faults(demo)
    assert len(plan) == faults
    assert all(kinds[fault.when.room or "", fault.when.user or ""] is Truth.LEADER for fault in plan)


def test_leader_world_makes_what_tests_need() -> None:
    """Every pair leads, every room exists once, and the account owns it."""
    world = leader_world([("r1", "u1"), ("r1", "u2"), ("r2", "u1")])
    assert all(world.is_leader(*pair) for pair in [("r1", "u1"), ("r1", "u2"), ("r2", "u1")])
    assert [room.members[ACCOUNT.user_id] for room in world.rooms.values()] == [["owner"]] * 2
