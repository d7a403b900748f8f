"""Finding over a real socket: held against what the sandbox's world really holds, each permission missing in turn."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from rolecall.engine.context import RunContext
from rolecall.engine.directory.find import search_roles
from rolecall.engine.directory.find_query import FindQuery
from rolecall.engine.settings import Settings
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import LookupResult
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.rocketchat.operations import Role
from rolecall.sandbox import ACCOUNT, EVERY_ROUTE, Fault, FaultMatch, Kind, Limiter, Sandbox, World, organisation_world
from rolecall.sandbox.org_world import ARCHIVED, DEPARTED, UNJOINED, group, user
from tests.support.engine import QUICK, SilentLog

EVERYBODY = FindQuery(people=tuple(organisation_world().world.users))
ALL_ROOMS = FindQuery(all_rooms=True)
HIDDEN = {group(UNJOINED), group(ARCHIVED)}
"""Rooms that do not show their roles to the account."""


async def find(
    sandbox: Sandbox, question: FindQuery, *, at_once: int = 8, settings: Settings = QUICK
) -> list[LookupResult]:
    """Search to the end."""
    findings: list[LookupResult] = []

    async def keep(result: LookupResult) -> None:
        findings.append(result)

    transport = ConnectionConfig(sandbox.url, connect_timeout=0.25, timeout=1)
    async with Client(transport, Credentials(ACCOUNT.user_id, ACCOUNT.token)) as client:
        reader = ReadClient(client, RunContext.create(settings, SilentLog()))
        await search_roles(reader, question, keep, done=(), at_once=at_once)
    return findings


def pairs(findings: list[LookupResult]) -> set[tuple[str, str]]:
    """Give the pairs that were found."""
    return {row[:2] for finding in findings for row in finding.rows}


def unseen(findings: list[LookupResult]) -> Counter[tuple[str, str]]:
    """Give what could not be seen."""
    return Counter((finding.gap.reason, finding.gap.what) for finding in findings if finding.gap)


def truth(world: World, role: str, kind: str = "p") -> set[tuple[str, str]]:
    """Give what the world holds."""
    return {(room, who) for room, who in world.pairs_with_role(role) if world.rooms[room].type == kind}


def routes(world: World) -> Counter[str]:
    """Count the calls of each route."""
    return Counter(call.route for call in world.calls)


@pytest.mark.parametrize("version", ["6.5.0", "6.12.0", "7.4.1", "8.1.0", "8.4.0"])
@pytest.mark.parametrize(("role", "kind"), [("leader", "p"), ("moderator", "p"), ("owner", "c"), ("leader", "c")])
async def test_by_people_everything_is_found(version: str, role: str, kind: str) -> None:
    """Asked for everybody, every pair is found, in rooms not joined, archived, and of departed users, on any server."""
    world = organisation_world(version=version).world
    question = FindQuery(Role(role), {"p": "groups", "c": "channels"}[kind], people=EVERYBODY.people)
    async with Sandbox(world) as sandbox:
        findings = await find(sandbox, question)
    assert pairs(findings) == truth(world, role, kind)
    assert not unseen(findings)
    assert [finding.subject_id for finding in findings] == list(question.people)


@pytest.mark.parametrize(("role", "kind"), [("leader", "p"), ("moderator", "p"), ("owner", "c"), ("leader", "c")])
async def test_by_rooms_all_is_found_but_what_is_told(role: str, kind: str) -> None:
    """In all rooms, every pair is found but those of rooms that are told as unseen."""
    world = organisation_world().world
    question = FindQuery(Role(role), {"p": "groups", "c": "channels"}[kind], all_rooms=True)
    async with Sandbox(world) as sandbox:
        findings = await find(sandbox, question)
    hidden = HIDDEN if kind == "p" else set()
    assert pairs(findings) == {pair for pair in truth(world, role, kind) if pair[0] not in hidden}
    told = {("room_not_joined", f"#{UNJOINED}"), ("room_archived", f"#{ARCHIVED}")} if kind == "p" else set()
    assert set(unseen(findings)) == told


async def test_both_ways_agree() -> None:
    """What room by room tells is, to the last cell, what user by user tells."""
    world = organisation_world().world
    async with Sandbox(world) as sandbox:
        by_person, by_room = await find(sandbox, EVERYBODY), await find(sandbox, ALL_ROOMS)
    by_pair = {row[:2]: row for finding in by_person for row in finding.rows}
    for finding in by_room:
        assert all(by_pair[row[:2]] == row for row in finding.rows)


@pytest.mark.parametrize("version", ["6.5.0", "8.1.0"])
async def test_the_deactivated_are_found(version: str) -> None:
    """Without anybody being named, every leader whose account is deactivated is found."""
    world = organisation_world(version=version).world
    async with Sandbox(world) as sandbox:
        findings = await find(sandbox, FindQuery(deactivated=True))
    gone = {user(name) for name in DEPARTED}
    assert pairs(findings) == {(room, who) for room, who in truth(world, "leader") if who in gone}
    assert all(row.active is False for finding in findings for row in finding.rows)
    assert routes(world)["users.info"] <= 2 * len(gone)


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        (FindQuery(people=("@legal.lead",), rooms=(group(UNJOINED), "#legal-budget")), {UNJOINED, "legal-budget"}),
        (FindQuery(people=("@legal.lead",), rooms=("legal-planning",)), {"legal-planning"}),
        (FindQuery(deactivated=True, rooms=(group(ARCHIVED), "#legal-budget")), {ARCHIVED, "legal-budget"}),
        (
            FindQuery(people=("@finance.lead", "@legal.lead"), deactivated=True, rooms=("#legal-budget",)),
            {"legal-budget"},
        ),
        (FindQuery(people=("@finance.lead",), deactivated=True), set()),
    ],
)
async def test_people_and_rooms_together_are_what_is_in_both(question: FindQuery, wanted: set[str]) -> None:
    """Users and rooms given together need no membership in the rooms."""
    async with Sandbox(organisation_world().world) as sandbox:
        findings = await find(sandbox, question)
    assert {room for room, _ in pairs(findings)} == {group(name) for name in wanted}
    assert not unseen(findings)


@pytest.mark.parametrize(
    ("word", "version", "note"),
    [
        ("userFinanceLead", "8.1.0", ""),
        ("@finance.lead", "8.1.0", ""),
        ("finance.lead", "8.1.0", "finance.lead is @finance.lead"),
        ("finance.lead@example.org", "8.1.0", "finance.lead@example.org is @finance.lead"),
        ("Finance.Lead@Example.org", "8.1.0", "Finance.Lead@Example.org is @finance.lead"),
        ("finance.lead@example.org", "6.5.0", "finance.lead@example.org is @finance.lead"),
    ],
)
async def test_a_user_is_found_by_any_name(word: str, version: str, note: str) -> None:
    """An id, an `@name`, a bare name and an address all lead to the user, and what was resolved is told."""
    world = organisation_world(version=version).world
    async with Sandbox(world) as sandbox:
        (finding,) = await find(sandbox, FindQuery(people=(word,)))
    assert pairs([finding]) == {pair for pair in truth(world, "leader") if pair[1] == "userFinanceLead"}
    assert finding.note == note


@pytest.mark.parametrize("word", ["roomFinanceBudget", "#finance-budget", "finance-budget"])
async def test_a_room_is_found_by_any_name(word: str) -> None:
    """An id, a `#name` and a bare name all lead to the room, and its name stands in the row."""
    async with Sandbox(organisation_world().world) as sandbox:
        (finding,) = await find(sandbox, FindQuery(rooms=(word,)))
    (row,) = finding.rows
    assert (row.room_id, row.room_name, row.username) == ("roomFinanceBudget", "finance-budget", "finance.lead")
    assert (row.name, row.active, row.roles) == ("Finance Lead", True, ("leader",))


Change = Callable[[World], object]


@pytest.mark.parametrize(
    ("question", "change", "told"),
    [
        (
            FindQuery(people=("@legal.lead", "@sales.lead")),
            lambda world: world.remove_permission("view-other-user-channels"),
            {("rooms_not_shown", "@legal.lead"), ("rooms_not_shown", "@sales.lead")},
        ),
        (
            FindQuery(people=("finance.lead@example.org",)),
            lambda world: world.add_user("M1", username="eve", email="Finance.Lead@Example.org"),
            {("address_ambiguous", "finance.lead@example.org")},
        ),
        (FindQuery(people=("nobody.here",)), None, {("user_not_found", "nobody.here")}),
        (FindQuery(people=("@nobody.here",)), None, {("user_not_found", "@nobody.here")}),
        (FindQuery(people=("@userLegalLead",)), None, {("user_not_found", "@userLegalLead")}),
        (FindQuery(people=("x@example.org",)), None, {("address_not_found", "x@example.org")}),
        (
            FindQuery(people=("finance.lead@example.org",)),
            lambda world: world.remove_permission("view-full-other-user-info"),
            {("address_not_found", "finance.lead@example.org")},
        ),
        (
            FindQuery(people=("finance.lead@example.org",)),
            lambda world: world.remove_permission("view-d-room"),
            {("address_not_found", "finance.lead@example.org")},
        ),
        (
            FindQuery(deactivated=True),
            lambda world: world.remove_permission("view-d-room"),
            {("users_not_listed", "deactivated users")},
        ),
        (FindQuery(people=("u1",)), lambda world: world.forbid("users.info"), {("forbidden", "u1")}),
        (FindQuery(rooms=(group(UNJOINED),)), None, {("room_not_joined", group(UNJOINED))}),
        (FindQuery(rooms=(f"#{UNJOINED}",)), None, {("room_not_joined", f"#{UNJOINED}")}),
        (FindQuery(rooms=("nowhere",)), None, {("room_not_found", "nowhere")}),
        (FindQuery(rooms=("roomGeneral",), kind="channels"), None, {("room_not_found", "roomGeneral")}),
        (FindQuery(rooms=(group(ARCHIVED),)), None, {("room_archived", f"#{ARCHIVED}")}),
        (
            FindQuery(all_rooms=True, kind="channels"),
            lambda world: world.forbid("channels.list"),
            {("rooms_not_listed", "other channels")},
        ),
    ],
)
async def test_what_cannot_be_seen_is_told(
    question: FindQuery, change: Change | None, told: set[tuple[str, str]]
) -> None:
    """Each missing permission, membership or user is told by its reason, and nothing is found in its place."""
    world = organisation_world().world
    if change is not None:
        change(world)
    async with Sandbox(world) as sandbox:
        findings = await find(sandbox, question)
    assert set(unseen(findings)) == told
    assert not pairs(findings)


@pytest.mark.parametrize("status", [401, 403])
async def test_without_the_list_of_all_groups_the_own_ones_are_asked(status: int) -> None:
    """Where not all groups may be listed, the account's own are asked for, and the gap is told."""
    world = organisation_world().world
    world.forbid("groups.listAll", status)
    async with Sandbox(world) as sandbox:
        findings = await find(sandbox, ALL_ROOMS)
    assert pairs(findings) == {pair for pair in truth(world, "leader") if pair[0] not in HIDDEN}
    assert ("rooms_not_listed", "other groups") in unseen(findings)


async def test_names_are_left_open_where_users_are_not_told() -> None:
    """Without `users.info` the rows of a room are found all the same; only name and `active` stay open."""
    world = organisation_world().world
    world.forbid("users.info")
    async with Sandbox(world) as sandbox:
        (finding,) = await find(sandbox, FindQuery(rooms=("roomFinanceBudget",)))
    (row,) = finding.rows
    assert (row.user_id, row.username, row.name, row.active) == ("userFinanceLead", "finance.lead", "", None)


def large_world(rooms: int) -> World:
    """Make a workspace of many groups, each with a leader of its own, half of them deactivated."""
    world = World()
    world.add_account(*ACCOUNT)
    for number in range(rooms):
        room, who = f"room{number:03}", f"user{number:03}"
        world.add_room(room)
        world.add_user(who)
        world.join(room, ACCOUNT.user_id)
        world.join(room, who, ("leader",))
        if number % 2:
            world.deactivate(who)
    return world


async def test_long_lists_are_paged_through() -> None:
    """Lists of more than a page are read to their end, each room and user asked for once."""
    world = large_world(250)
    async with Sandbox(world) as sandbox:
        assert len(pairs(await find(sandbox, ALL_ROOMS))) == 250
        assert routes(world)["groups.listAll"] == 3
        assert routes(world)["groups.roles"] == routes(world)["users.info"] == 250
        assert len(pairs(await find(sandbox, FindQuery(deactivated=True)))) == 125
        assert routes(world)["users.listByStatus"] == 2
        assert routes(world)["users.info"] == 250 + 125


@pytest.mark.parametrize("question", [EVERYBODY, ALL_ROOMS])
async def test_every_window_is_kept(question: FindQuery) -> None:
    """Each route is asked as fast as its own window allows, and none says 'too many requests'."""
    world = organisation_world().world
    world.remove_permission("api-bypass-rate-limit")
    async with Sandbox(world, limiter=Limiter(10, 1.0)) as sandbox:
        findings = await find(sandbox, question, settings=replace(QUICK, outage_timeout=60))
    assert pairs(findings) >= {pair for pair in truth(world, "leader") if pair[0] not in HIDDEN}
    assert Counter(call.status for call in world.calls)[429] == 0


@pytest.mark.parametrize("question", [EVERYBODY, ALL_ROOMS])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(Kind.STATUS, FaultMatch(route=EVERY_ROUTE), status=502, html=True),
        Fault(Kind.STATUS, FaultMatch(route=EVERY_ROUTE), status=500),
        Fault(Kind.RESET_BEFORE, FaultMatch(route=EVERY_ROUTE, chance=0.5)),
        Fault(Kind.TRUNCATED, FaultMatch(route=EVERY_ROUTE, chance=0.5)),
        Fault(Kind.TOO_MANY, FaultMatch(route=EVERY_ROUTE, chance=0.2), seconds=0.05),
        Fault(Kind.HTML_200, FaultMatch(route=EVERY_ROUTE, chance=0.5)),
    ],
    ids=lambda fault: str(fault.kind),
)
async def test_spoiled_answers_are_asked_for_again(question: FindQuery, fault: Fault) -> None:
    """A fault on any route costs another call and no row."""
    world = organisation_world().world
    async with Sandbox(world, faults=[fault]) as sandbox:
        findings = await find(sandbox, question, at_once=2)
    assert pairs(findings) >= {pair for pair in truth(world, "leader") if pair[0] not in HIDDEN}
    assert not any(reason == "not_read" for reason, _ in unseen(findings))


async def test_one_thing_that_always_fails_is_told_and_the_rest_is_found() -> None:
    """A user whom the server cannot tell of is told as not read; the others are found."""
    world = organisation_world().world
    sick = Fault(Kind.STATUS, FaultMatch(route="users.info", user="userLegalLead"), times=None, status=500)
    async with Sandbox(world, faults=[sick]) as sandbox:
        findings = await find(sandbox, EVERYBODY)
    assert set(unseen(findings)) == {("not_read", "userLegalLead")}
    assert pairs(findings) == {pair for pair in truth(world, "leader") if pair[1] != "userLegalLead"}
