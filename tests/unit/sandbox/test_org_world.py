"""The ready-made organisation: the same each time, with everything that a story needs."""

from rolecall.sandbox import ACCOUNT, organisation_world
from rolecall.sandbox.org_world import ARCHIVED, DEPARTMENTS, group, user
from tests.unit.sandbox.asking import ask


def test_the_organisation_is_the_same_each_time() -> None:
    """Nothing is drawn by lot."""
    first, second = organisation_world(), organisation_world()
    assert first.world.rooms == second.world.rooms
    assert first.world.users == second.world.users


def test_there_are_dozens_of_rooms_and_people() -> None:
    """Groups, channels and a conversation; everybody has a name and an address of their own."""
    world = organisation_world().world
    kinds = [room.type for room in world.rooms.values()]
    assert {kind: kinds.count(kind) for kind in ("p", "c", "d")} == {"p": 24, "c": 4, "d": 1}
    addresses = {person.email for person in world.users.values()}
    assert len(addresses) == len(world.users) == 41
    assert all(address.endswith("@example.org") for address in addresses)
    assert all(person.name and person.username for person in world.users.values())


def test_leads_lead_four_groups_and_one_channel() -> None:
    """Each lead has the department's three groups, the next one's incidents and the announcements."""
    world = organisation_world().world
    assert {room for room, person in world.holding("leader") if person == user("finance.lead")} == {
        group("finance-planning"),
        group("finance-budget"),
        group("finance-incidents"),
        group("legal-incidents"),
        group("announcements"),
    }
    assert len(world.holding("leader")) == 5 * len(DEPARTMENTS)


def test_two_leaders_have_left_and_still_lead() -> None:
    """The deactivated are found by status, and by their rooms to be leaders yet."""
    made = organisation_world()
    listed = ask(made.world, "users.listByStatus", status="deactivated")[1]["users"]
    assert {person["_id"] for person in listed} == set(made.departed)
    for user_id in made.departed:
        rooms = ask(made.world, "users.info", userId=user_id, includeUserRooms="true")[1]["user"]["rooms"]
        assert sum("leader" in room.get("roles", ()) for room in rooms) == 5


def test_one_group_is_not_joined_and_one_is_archived() -> None:
    """The account owns every other group."""
    made = organisation_world()
    groups = {room.id for room in made.world.rooms.values() if room.type == "p"}
    owned = {room for room, person in made.world.holding("owner") if person == ACCOUNT.user_id}
    assert groups - owned == {made.unjoined}
    assert [room.id for room in made.world.rooms.values() if room.archived] == [made.archived] == [group(ARCHIVED)]


def test_members_have_roles_an_empty_list_or_none_at_all() -> None:
    """The subscription without `roles`, which answers 200 to any removal, is in every group."""
    room = organisation_world().world.rooms[group("research-budget")]
    assert [room.members[user(f"research.{position}")] for position in ("lead", "planner", "analyst")] == [
        ["leader"],
        [],
        None,
    ]


def test_the_account_can_be_anybody() -> None:
    """With other roles the account may less."""
    world = organisation_world(roles=("user",)).world
    assert ask(world, "groups.listAll")[0] == 403
    assert "rooms" not in ask(world, "users.info", userId=user("finance.lead"), includeUserRooms="true")[1]["user"]
