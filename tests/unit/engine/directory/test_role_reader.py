"""Who has the role: the same by room and by user, in as few calls as it takes, and unknown where it cannot be read."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.engine.directory.role_reader import MEMBERSHIP_NOT_SEEN, RoleReader, RoleReading
from rolecall.engine.stop_signal import ShutdownRequested
from rolecall.models import Prior, PriorState
from rolecall.rocketchat.error_table import FORBIDDEN, NO_SUCH_ROUTE, SERVER_ERROR, ErrorRule
from rolecall.rocketchat.operations import OPERATIONS, REMOVE_LEADER, Operation
from rolecall.rocketchat.responses import RoleMessage
from tests.unit.engine.virtual import run_virtual
from tests.unit.engine.workspace import DATE, UNREADABLE, Workspace

AT = round(DATE * 1000)
LEADER, MEMBER, STRANGER = PriorState.HAS_ROLE, PriorState.MEMBER, PriorState.STRANGER
ROOM = {"lea": ["leader"], "ole": ["owner"], "both": ["owner", "leader"], "former": [], "plain": None, "gone": None}


@pytest.fixture
def workspace() -> Workspace:
    """Return a workspace with one room, a deactivated member and two users outside."""
    made = Workspace({"R": ROOM, "S": {"plain": ["leader"]}})
    made.deactivated.add("gone")
    made.add_user("outsider")
    made.add_user("nameless", "")
    return made


EVERYBODY = (*ROOM, "outsider", "nameless", "nobody")
EXPECTED = {
    "lea": RoleReading(Prior(LEADER, AT, "name-lea")),
    "ole": RoleReading(Prior(MEMBER, AT, "name-ole")),
    "both": RoleReading(Prior(LEADER, AT, "name-both")),
    "former": RoleReading(Prior(MEMBER, AT, "name-former")),
    "plain": RoleReading(Prior(MEMBER, AT, "name-plain")),
    "gone": RoleReading(Prior(MEMBER, AT, "name-gone")),
    "outsider": RoleReading(Prior(STRANGER, AT, "name-outsider"), "user_not_in_room"),
    "nameless": RoleReading(Prior(STRANGER, AT), "user_not_found"),
    "nobody": RoleReading(Prior(STRANGER, AT), "user_not_found"),
}


async def test_a_room_is_read_with_the_membership_of_its_users(workspace: Workspace) -> None:
    """Holders come from the list of roles; the others from the list of members, or from `users.info`."""
    assert await RoleReader(workspace, REMOVE_LEADER).in_room("R", EVERYBODY) == EXPECTED
    # Not listed as members: the deactivated user, and the three who are no members; each costs the one call it must.
    listed = {"groups.roles": 1, "roles.list": 1, "groups.members": 1}
    assert workspace.routes == {**listed, "users.info": workspace.routes["users.info"]}
    assert workspace.routes["users.info"] <= 4 + 1 + 1  # two query variants for a user who does not exist


@pytest.mark.parametrize("user", EVERYBODY)
async def test_by_user_is_as_by_room(workspace: Workspace, user: str) -> None:
    """One user read with all of their rooms has the same state in each of them."""
    by_user = await RoleReader(workspace, REMOVE_LEADER).of_user(user, ["R"])
    state, reason = by_user["R"].prior.state, by_user["R"].reason
    assert (state, reason) == (EXPECTED[user].prior.state, EXPECTED[user].reason)
    if user in ROOM:
        assert by_user["R"] == EXPECTED[user]
    assert set(workspace.routes) == {"users.info"}


async def test_a_user_without_a_username_who_has_the_role(workspace: Workspace) -> None:
    """The role is seen by room and by user; the call itself will show what the server makes of it."""
    workspace.rooms["R"]["nameless"] = {"leader"}
    reader = RoleReader(workspace, REMOVE_LEADER)
    assert (await reader.in_room("R", ["nameless"]))["nameless"].prior.state is LEADER
    assert (await reader.of_user("nameless", ["R"]))["R"].prior.state is LEADER


@pytest.mark.parametrize(
    "operation", [OPERATIONS["groups.addLeader"], OPERATIONS["channels.removeOwner"]], ids=lambda each: each.name
)
async def test_the_state_is_that_of_the_operations_role(workspace: Workspace, operation: Operation) -> None:
    """Another role is another state; the routes are those of the kind of room."""
    readings = await RoleReader(workspace, operation).in_room("R", ["lea", "ole", "plain", "former"])
    holder = "ole" if operation.role == "owner" else "lea"
    assert {user for user, reading in readings.items() if reading.prior.state is LEADER} == {holder}
    assert {route.partition(".")[0] for route in workspace.routes} <= {operation.kind, "roles", "users"}


@pytest.mark.parametrize("why", UNREADABLE)
@pytest.mark.parametrize("what", ["groups.roles", "R"])
async def test_a_room_that_cannot_be_read_has_no_states(workspace: Workspace, what: str, why: str) -> None:
    """No state is returned, and nothing else is read for it."""
    workspace.unreadable[what] = UNREADABLE[why]
    assert await RoleReader(workspace, REMOVE_LEADER).in_room("R", EVERYBODY) == {}
    assert workspace.routes["groups.members"] == workspace.routes["users.info"] == 0


@pytest.mark.parametrize("why", ["forbidden", "timeout"])
async def test_a_user_who_cannot_be_read_has_no_states(workspace: Workspace, why: str) -> None:
    """No state is returned where the user cannot be read, or their rooms are not shown."""
    workspace.unreadable["users.info"] = UNREADABLE[why]
    reader = RoleReader(workspace, REMOVE_LEADER)
    assert await reader.of_user("lea", ["R"]) == {}
    assert await reader.shows_rooms("lea") is False
    workspace.unreadable.clear()
    workspace.shows_rooms = False
    assert await reader.of_user("lea", ["R"]) == {}
    assert await reader.shows_rooms("lea") is False


async def test_whether_rooms_are_shown(workspace: Workspace) -> None:
    """A user who does not exist shows nothing about what the account may see."""
    reader = RoleReader(workspace, REMOVE_LEADER)
    assert await reader.shows_rooms("lea") is True
    assert await reader.shows_rooms("nobody") is None


@pytest.mark.parametrize("users", [1, 5])
async def test_a_role_without_a_description_is_unknown_by_room(workspace: Workspace, users: int) -> None:
    """A room's list leaves such a role out, so nobody's state is read by room; `roles.list` is read once."""
    workspace.described.discard("leader")
    reader = RoleReader(workspace, REMOVE_LEADER)
    for _ in range(users):
        assert await reader.in_room("R", EVERYBODY) == {}
    assert workspace.routes == {"roles.list": 1}
    assert (await reader.of_user("lea", ["R"]))["R"].prior.state is LEADER


async def test_membership_that_is_not_shown_is_not_sure(workspace: Workspace) -> None:
    """Who is not listed, and whose rooms are not shown, counts as a member who may be none."""
    workspace.shows_rooms = False
    readings = await RoleReader(workspace, REMOVE_LEADER).in_room("R", EVERYBODY)
    not_sure = {user for user, reading in readings.items() if reading.reason == MEMBERSHIP_NOT_SEEN}
    assert not_sure == {"gone", "outsider"}
    assert all(readings[user].prior.state is MEMBER for user in not_sure)
    assert readings["nobody"] == EXPECTED["nobody"]


async def test_members_that_cannot_be_listed_are_looked_up(workspace: Workspace) -> None:
    """Without the permission to list members each of them is looked up, with the same states."""
    workspace.unreadable["groups.members"] = UNREADABLE["forbidden"]
    assert await RoleReader(workspace, REMOVE_LEADER).in_room("R", EVERYBODY) == EXPECTED
    assert workspace.routes["groups.members"] == 1


async def test_nothing_can_be_read_of_membership(workspace: Workspace) -> None:
    """Without both routes the holders are known all the same, the others are not sure."""
    workspace.unreadable |= {"groups.members": UNREADABLE["forbidden"], "users.info": UNREADABLE["forbidden"]}
    readings = await RoleReader(workspace, REMOVE_LEADER).in_room("R", EVERYBODY)
    assert {user for user, each in readings.items() if each.prior.state is LEADER} == {"lea", "both"}
    assert {each.reason for user, each in readings.items() if user not in ("lea", "both", "ole")} == {
        MEMBERSHIP_NOT_SEEN
    }


async def test_a_single_user_costs_no_list(workspace: Workspace) -> None:
    """One user without the role is looked up: a page of the list would cost as much and may not have them."""
    await RoleReader(workspace, REMOVE_LEADER).in_room("R", ["lea", "plain"])
    assert workspace.routes == {"roles.list": 1, "groups.roles": 1, "users.info": 1}


@pytest.mark.parametrize(
    ("size", "users", "pages", "lookups"),
    [
        (90, 50, 1, 0),  # one page has them all
        (250, 50, 3, 0),  # three pages are fewer than 50 lookups
        (1000, 3, 1, 3),  # the first page shows that the list is long: three lookups are fewer
        (1000, 2, 1, 2),
        (1000, 1, 0, 1),
        (0, 5, 1, 5),
    ],
)
async def test_members_are_read_the_cheaper_way(size: int, users: int, pages: int, lookups: int) -> None:
    """The list of members is read where that takes fewer calls than one for each user; its length costs one page."""
    others = {f"m{number:04}": None for number in range(size)}
    workspace = Workspace({"R": {**others, "lea": ["leader"]}, "other": {f"x{number}": None for number in range(9)}})
    wanted = sorted(others, reverse=True)[:users] or [f"x{number}" for number in range(users)]
    workspace.rooms["R"].pop("lea")
    readings = await RoleReader(workspace, REMOVE_LEADER).in_room("R", wanted)
    assert set(readings) == set(wanted)
    assert (workspace.routes["groups.members"], workspace.routes["users.info"]) == (pages, lookups)


@given(size=st.integers(0, 450), wanted=st.lists(st.integers(0, 470), min_size=1, max_size=12, unique=True))
@settings(deadline=None)
def test_never_more_than_the_cheaper_way_and_what_the_list_cannot_show(size: int, wanted: list[int]) -> None:
    """Pages never cost more than lookups for everybody; only who is not listed is looked up as well."""
    members = {f"m{number:03}": None for number in range(size)}
    workspace = Workspace({"R": members})
    users = [f"m{number:03}" for number in wanted]
    for user in users:
        workspace.add_user(user)
    readings = run_virtual(RoleReader(workspace, REMOVE_LEADER).in_room("R", users))
    assert {user for user, each in readings.items() if each.prior.state is MEMBER} == set(users) & set(members)
    pages, lookups = workspace.routes["groups.members"], workspace.routes["users.info"]
    assert pages <= min(len(users), math.ceil(size / 100) or 1)
    assert lookups <= len(users)
    if lookups > len(set(users) - set(members)):  # then the rest of the list is longer than the lookups
        assert math.ceil(size / 100) - pages >= lookups


async def test_a_server_with_smaller_pages() -> None:
    """A server that returns fewer entries than requested is read on from where its page ended."""
    members = {f"m{number:03}": None for number in range(120)}
    small = Workspace({"R": members})
    small.page_size = 50
    readings = await RoleReader(small, REMOVE_LEADER).in_room("R", list(members))
    assert {each.prior.state for each in readings.values()} == {MEMBER}
    assert small.routes["groups.members"] == 3
    assert small.routes["users.info"] == 0


async def test_messages_are_read_from_a_moment_on(workspace: Workspace) -> None:
    """The role changes of a room are read since the moment, in ISO 8601; none where they cannot be read."""
    change = RoleMessage(False, "name-lea", "leader", "boss", AT)
    workspace.messages["R"] = [change]
    reader = RoleReader(workspace, REMOVE_LEADER)
    assert await reader.messages("R", 1_772_357_400_250) == [change]
    assert workspace.calls[-1][1]["lastUpdate"] == "2026-03-01T09:30:00.250Z"
    workspace.unreadable["chat.syncMessages"] = UNREADABLE["forbidden"]
    assert await reader.messages("R", 0) == []


async def test_a_stop_is_raised(workspace: Workspace) -> None:
    """A reading that the stop ends raises it, and leaves nothing half known."""
    reader = RoleReader(workspace, REMOVE_LEADER)
    workspace.stops_after = 0
    with pytest.raises(ShutdownRequested):
        await reader.in_room("R", ["lea"])
    workspace.stops_after = None
    assert (await reader.in_room("R", ["lea"]))["lea"] == EXPECTED["lea"]


async def test_without_the_servers_clock_the_moment_is_not_known(workspace: Workspace) -> None:
    """A response without `Date` gives a state without a moment."""
    workspace.date = None
    reading = (await RoleReader(workspace, REMOVE_LEADER).in_room("R", ["lea"]))["lea"]
    assert reading.prior == Prior(LEADER, None, "name-lea")


@pytest.mark.parametrize(("rule", "readings"), [(SERVER_ERROR, 2), (FORBIDDEN, 1), (NO_SUCH_ROUTE, 1)])
async def test_a_list_of_roles_that_cannot_be_read_proves_nothing(
    workspace: Workspace, rule: ErrorRule, readings: int
) -> None:
    """Without `roles.list` a user without the role may have it all the same; a server fault is read again."""
    workspace.unreadable["roles.list"] = rule
    reader = RoleReader(workspace, REMOVE_LEADER)
    for _ in range(2):
        assert await reader.in_room("R", EVERYBODY) == {}
    assert workspace.routes == {"roles.list": readings}
    workspace.unreadable.clear()
    assert bool(await reader.in_room("R", EVERYBODY)) is (rule is SERVER_ERROR)
