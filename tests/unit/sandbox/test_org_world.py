"""The ready-made organisation: always the same, with all the cases that the end-to-end tests need."""

from rolecall.sandbox import ACCOUNT, organisation_world
from rolecall.sandbox.org_world import ARCHIVED, DEPARTMENTS, group, user
from tests.unit.sandbox.api_calls import call_api


def test_the_organisation_is_the_same_each_time() -> None:
    """Nothing in it is random."""
    first, second = organisation_world(), organisation_world()
    assert first.world.rooms == second.world.rooms
    assert first.world.users == second.world.users


def test_there_are_dozens_of_rooms_and_people() -> None:
    """There are groups, channels and a conversation; every person has a name and a unique address."""
    world = organisation_world().world
    kinds = [room.type for room in world.rooms.values()]
    assert {kind: kinds.count(kind) for kind in ("p", "c", "d")} == {"p": 24, "c": 4, "d": 1}
    addresses = {person.email for person in world.users.values()}
    assert len(addresses) == len(world.users) == 41
    assert all(address.endswith("@example.org") for address in addresses)
    assert all(person.name and person.username for person in world.users.values())


def test_leads_are_leaders_of_four_groups_and_one_channel() -> None:
    """Each lead is leader of the department's three groups, the next one's incidents and the announcements."""
    world = organisation_world().world
    assert {room for room, person in world.pairs_with_role("leader") if person == user("finance.lead")} == {
        group("finance-planning"),
        group("finance-budget"),
        group("finance-incidents"),
        group("legal-incidents"),
        group("announcements"),
    }
    assert len(world.pairs_with_role("leader")) == 5 * len(DEPARTMENTS)


def test_two_people_have_left_and_are_still_leaders() -> None:
    """The deactivated users are found by status, and their rooms show that they are still leaders."""
    made = organisation_world()
    listed = call_api(made.world, "users.listByStatus", status="deactivated")[1]["users"]
    assert {person["_id"] for person in listed} == set(made.departed)
    for user_id in made.departed:
        rooms = call_api(made.world, "users.info", userId=user_id, includeUserRooms="true")[1]["user"]["rooms"]
        assert sum("leader" in room.get("roles", ()) for room in rooms) == 5


def test_one_group_is_not_joined_and_one_is_archived() -> None:
    """The account is owner of every group except one."""
    made = organisation_world()
    groups = {room.id for room in made.world.rooms.values() if room.type == "p"}
    owned = {room for room, person in made.world.pairs_with_role("owner") if person == ACCOUNT.user_id}
    assert groups - owned == {made.unjoined}
    assert [room.id for room in made.world.rooms.values() if room.archived] == [made.archived] == [group(ARCHIVED)]


def test_members_have_roles_an_empty_list_or_none_at_all() -> None:
    """Every group has a subscription without `roles`, for which any removal returns 200."""
    room = organisation_world().world.rooms[group("research-budget")]
    assert [room.members[user(f"research.{position}")] for position in ("lead", "planner", "analyst")] == [
        ["leader"],
        [],
        None,
    ]


def test_the_account_can_have_other_roles() -> None:
    """With fewer roles the account has fewer permissions."""
    world = organisation_world(roles=("user",)).world
    assert call_api(world, "groups.listAll")[0] == 403
    assert "rooms" not in call_api(world, "users.info", userId=user("finance.lead"), includeUserRooms="true")[1]["user"]
