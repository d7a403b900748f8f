"""Reading calls over a socket: each fault is retried, waited out or told, and none is taken for an answer."""

import asyncio
from dataclasses import replace

import pytest

from rolecall.engine.directory.lookups import UserLookup
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import ShutdownRequested, StopReason, run_until_stopped
from rolecall.engine.throttle.read_client import PAGE_SIZE
from rolecall.rocketchat.error_table import USER_NOT_FOUND
from rolecall.rocketchat.preflight import INFO, parse_version
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import ROOM_ROLES, UserInfo, parse_role_holders
from rolecall.sandbox import ACCOUNT, Fault, FaultMatch, Kind, Sandbox, World
from rolecall.sandbox.org_world import group, organisation_world, user
from tests.support.desk import desk
from tests.support.engine import QUICK

ROLES = ROOM_ROLES["groups"]
ROOM = group("finance-planning")
ROLES_ONLY = FaultMatch(route="groups.roles")
ONCE = [
    Fault(Kind.RESET_BEFORE, ROLES_ONLY),
    Fault(Kind.DROP_AFTER, ROLES_ONLY),
    Fault(Kind.HANG_BEFORE, ROLES_ONLY),
    Fault(Kind.STATUS, ROLES_ONLY, status=500),
    Fault(Kind.STATUS, ROLES_ONLY, status=502, html=True),
    Fault(Kind.TOO_MANY, ROLES_ONLY, seconds=0.05),
    Fault(Kind.OLD_TOO_MANY, ROLES_ONLY),
    Fault(Kind.GARBAGE, ROLES_ONLY),
    Fault(Kind.HTML_200, ROLES_ONLY),
    Fault(Kind.EMPTY_200, ROLES_ONLY),
    Fault(Kind.SUCCESS_MISSING, ROLES_ONLY),
    Fault(Kind.TRUNCATED, ROLES_ONLY),
    Fault(Kind.REDIRECT, ROLES_ONLY),
]
PATIENT = Settings(rate=None, retry_backoff=0.01)


def organisation(version: str = "8.1.0") -> World:
    """Give a world to read."""
    return organisation_world(version=version).world


@pytest.mark.parametrize("fault", ONCE, ids=lambda fault: f"{fault.kind}-{fault.status}")
async def test_a_fault_is_read_again(fault: Fault) -> None:
    """After one fault of any kind the roles are read, whole."""
    async with Sandbox(organisation(), faults=[fault]) as sandbox, desk(sandbox.url, PATIENT) as at:
        read = await at.reader.read(ROLES, roomId=ROOM)
    assert read.body is not None
    assert {holder.username for holder in parse_role_holders(read.body)} == {
        "bulk.bot",
        "finance.lead",
        "finance.deputy",
    }


async def test_a_fault_that_stays_is_told() -> None:
    """A route that keeps failing ends in a reason after the attempts, not in an answer; the others go on."""
    fault = Fault(Kind.STATUS, ROLES_ONLY, times=None, status=500)
    async with Sandbox(organisation(), faults=[fault]) as sandbox, desk(sandbox.url) as at:
        read = await at.reader.read(ROLES, roomId=ROOM)
        other = await at.reader.read(INFO)
    assert (read.body, read.verdict.rule.reason) == (None, "server_error")
    assert parse_version(other.body or {}) == "8.1.0"


async def test_an_outage_ends_the_reading_after_its_patience() -> None:
    """A workspace that stays away stops the reading, with the reason outage."""
    fault = Fault(Kind.STATUS, ROLES_ONLY, times=None, status=503, html=True)
    settings = replace(QUICK, max_attempts=100, outage_timeout=0.2)
    async with Sandbox(organisation(), faults=[fault]) as sandbox, desk(sandbox.url, settings) as at:
        with pytest.raises(ShutdownRequested):
            await run_until_stopped(at.reader.read(ROLES, roomId=ROOM), at.stop)
    assert at.stop.reason is StopReason.OUTAGE


async def test_a_token_that_is_revoked_stops_the_reading() -> None:
    """A 401 that `me` confirms ends the reading: it is true for everything that would come."""
    fault = Fault(Kind.REVOKE, ROLES_ONLY)
    async with Sandbox(organisation(), faults=[fault]) as sandbox, desk(sandbox.url) as at:
        with pytest.raises(ShutdownRequested):
            await at.reader.read(ROLES, roomId=ROOM)
    assert at.stop.reason is StopReason.CREDENTIALS


async def test_a_401_for_one_route_is_a_missing_permission() -> None:
    """Where `me` still knows us, a 401 is told as `forbidden` and the reading goes on."""
    world = organisation()
    world.forbid("groups.roles", 401)
    async with Sandbox(world) as sandbox, desk(sandbox.url) as at:
        read = await at.reader.read(ROLES, roomId=ROOM)
    assert read.verdict.rule.reason == "forbidden"
    assert at.stop.reason is None


async def test_a_list_is_read_page_by_page() -> None:
    """A list of more entries than a page has comes whole, each entry once."""
    world = organisation()
    for number in range(2 * PAGE_SIZE + 7):
        world.add_user(f"extra{number:04}", username=f"extra.{number:04}")
    async with Sandbox(world) as sandbox, desk(sandbox.url) as at:
        found = [entry async for entry in at.reader.entries("/api/v1/users.list", "users")]
    ids = [entry["_id"] for entry in found if not isinstance(entry, CallResult)]
    assert len(ids) == len(found)
    assert sorted(map(str, ids)) == sorted(world.users)


async def test_a_list_that_breaks_off_says_so() -> None:
    """The last entry of a list whose second page cannot be read is the verdict that says why."""
    world = organisation()
    for number in range(PAGE_SIZE):
        world.add_user(f"extra{number:04}", username=f"extra.{number:04}")
    fault = Fault(Kind.STATUS, FaultMatch(route="users.list", nth=2), status=500)
    async with Sandbox(world, faults=[fault]) as sandbox, desk(sandbox.url, replace(QUICK, max_attempts=1)) as at:
        *entries, last = [entry async for entry in at.reader.entries("/api/v1/users.list", "users")]
    assert len(entries) == PAGE_SIZE
    assert isinstance(last, CallResult)
    assert last.rule.reason == "server_error"


@pytest.mark.parametrize("version", ["6.5.0", "7.4.0", "8.1.0", "9.0.0"])
async def test_rooms_are_asked_for_as_the_version_understands(version: str) -> None:
    """The rooms of users are read from old and new servers; once the way is known it takes one call each."""
    world = organisation(version)
    async with Sandbox(world) as sandbox, desk(sandbox.url) as at:
        people = UserLookup(at.reader)
        first = await people.by_id(user("legal.lead"))
        before = len(world.calls)
        second = await people.by_username("finance.lead")
    assert len(world.calls) == before + 1
    assert isinstance(first, UserInfo)
    assert isinstance(second, UserInfo)
    assert first.active is False
    assert {held.room_id for held in first.rooms or () if "leader" in held.roles} >= {group("legal-incidents")}
    assert second.user_id == user("finance.lead")


async def test_rooms_that_are_not_shown_are_told_as_such() -> None:
    """Without the permission a person has no rooms (not an empty list), and later ones take one call each."""
    world = organisation_world(roles=("user",)).world
    async with Sandbox(world) as sandbox, desk(sandbox.url) as at:
        people = UserLookup(at.reader)
        await people.by_id(user("legal.lead"))
        before = len(world.calls)
        person = await people.by_id(user("finance.lead"))
        own = await people.by_id(ACCOUNT.user_id)
    assert isinstance(person, UserInfo)
    assert person.rooms is None
    assert isinstance(own, UserInfo)
    assert own.rooms
    assert len(world.calls) == before + 2


@pytest.mark.parametrize("user_id", ["nobody", "finance.lead"])
async def test_an_id_that_nobody_has_is_no_user(user_id: str) -> None:
    """An unknown id is told so, also where it is somebody's username, which the server would accept."""
    async with Sandbox(organisation()) as sandbox, desk(sandbox.url) as at:
        found = await UserLookup(at.reader).by_id(user_id)
    assert isinstance(found, CallResult)
    assert found.rule is USER_NOT_FOUND


async def test_an_entry_that_moves_up_between_two_pages_is_not_lost() -> None:
    """When the list loses entries of a page that was read already, those that move up on to it come all the same."""
    world = organisation()
    for number in range(2 * PAGE_SIZE):
        world.add_user(f"extra{number:04}", username=f"extra.{number:04}")
    found = set()
    async with Sandbox(world) as sandbox, desk(sandbox.url) as at:
        async for entry in at.reader.entries("/api/v1/users.list", "users"):
            assert not isinstance(entry, CallResult)
            found.add(str(entry["_id"]))
            if len(found) in (
                PAGE_SIZE,
                2 * PAGE_SIZE,
            ):  # the last entry of a page: the next one has not been asked for
                del world.users[min(found & set(world.users) - {ACCOUNT.user_id})]
    assert set(world.users) <= found


async def test_listings_that_never_come_are_no_outage() -> None:
    """Where `me` answers, listings that a proxy always gives up on are told as unread, and the reading goes on."""
    fault = Fault(Kind.STATUS, FaultMatch(route="users.info"), times=None, status=504, html=True)
    settings = replace(QUICK, max_attempts=5, outage_timeout=60.0)
    async with Sandbox(organisation(), faults=[fault]) as sandbox, desk(sandbox.url, settings) as at:
        reads = [at.reader.read("/api/v1/users.info", userId=user(name)) for name in ("sales.lead", "legal.lead")]
        async with asyncio.timeout(30):
            told = [read.verdict.rule.reason for read in await asyncio.gather(*reads)]
    assert told == ["proxy_error", "proxy_error"]
    assert at.stop.reason is None
