"""Names over a real socket: which id each has in the sandbox, who may see it, and that each is looked up once."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from rolecall import RowInput, change_roles
from rolecall.engine.context import RunContext
from rolecall.engine.directory.find_query import ADDRESS_AMBIGUOUS, ADDRESS_NOT_FOUND
from rolecall.engine.directory.name_lookup import (
    ROOM_NAME_AMBIGUOUS,
    ROOM_NAME_NOT_FOUND,
    ROOM_NAME_NOT_JOINED,
    ROOM_NAME_OF_OTHER_KIND,
    USER_NAME_AMBIGUOUS,
    USER_NAME_NOT_FOUND,
    NameLookup,
    NameLookupError,
)
from rolecall.engine.directory.name_resolver import NameResolver
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import ShutdownRequested, StopReason, StopSignal
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import BadRow, FoundName, JobRow, NamedRow, NameKey, NameKind, Row
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.sandbox import ACCOUNT, Fault, FaultMatch, Kind, Sandbox, World, organisation_world
from rolecall.sandbox.org_world import UNJOINED, group, user
from rolecall.store.base import RunStore
from tests.support.engine import QUICK, SilentLog
from tests.support.memory_store import MemoryStore
from tests.unit.store.values import RUN

ADMIN, MEMBER = ("user", "admin"), ("user",)
LIKE_AN_ID = "aB3dEfGh1JkLmNoPq"
"""An id as the server makes them, which is also a possible name."""


@asynccontextmanager
async def opened(
    sandbox: Sandbox,
    kind: str = "groups",
    roles: Sequence[str] = ADMIN,
    *,
    settings: Settings = QUICK,
    stop: StopSignal | None = None,
) -> AsyncIterator[tuple[NameLookup, RunContext]]:
    """Open a lookup on a sandbox, as an account with these roles."""
    context = RunContext.create(settings, SilentLog(), stop=stop)
    transport = ConnectionConfig(sandbox.url, connect_timeout=0.25, timeout=0.5)
    async with Client(transport, Credentials(ACCOUNT.user_id, ACCOUNT.token)) as client:
        yield NameLookup(ReadClient(client, context), kind, roles), context


def furnished(roles: Sequence[str] = ADMIN) -> World:
    """Return the organisation with federated users, a group with a display name and an ambiguous one."""
    world = organisation_world(roles=roles).world
    world.add_user("fed1", username="@alice:remote.example")
    world.add_user("fed2", username="bob:remote.example")
    world.add_user("nameless", username=None)
    for room_id, name, shown in (("B1", "buero", "Büro"), ("T1", "team-1", "Team"), ("T2", "team-2", "Team")):
        world.add_room(room_id, name=name).display_name = shown
        world.join(room_id, ACCOUNT.user_id, ("owner",))
    return world


def room_key(name: str) -> NameKey:
    """Return the key of a room."""
    return NameKey(NameKind.ROOM, name)


def user_key(name: str) -> NameKey:
    """Return the key of a user."""
    return NameKey(NameKind.USER, name)


@pytest.mark.parametrize("roles", [ADMIN, MEMBER])
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (room_key("finance-planning"), group("finance-planning")),
        (room_key("support-incidents"), group("support-incidents")),  # archived
        (room_key("Büro"), "B1"),
        (room_key("B1"), "B1"),
        (room_key("Team"), ROOM_NAME_AMBIGUOUS),
        (room_key("team-1"), "T1"),
        (room_key("Finance-Planning"), ROOM_NAME_NOT_FOUND),  # names of rooms have one spelling
        (room_key("finance"), ROOM_NAME_NOT_FOUND),  # a part of several names
        (room_key("announcements"), ROOM_NAME_OF_OTHER_KIND),
        (user_key("finance.lead"), user("finance.lead")),
        (user_key("Finance.Lead"), user("finance.lead")),
        (user_key("legal.lead"), user("legal.lead")),  # deactivated
        (user_key("@alice:remote.example"), "fed1"),
        (user_key("alice:remote.example"), "fed1"),
        (user_key("@bob:remote.example"), "fed2"),
        (user_key("userFinanceLead"), user("finance.lead")),
        (user_key("userfinancelead"), USER_NAME_NOT_FOUND),  # an id has one spelling
        (user_key("nobody"), USER_NAME_NOT_FOUND),
        (user_key("nobody@example.org"), ADDRESS_NOT_FOUND),
    ],
    ids=str,
)
async def test_a_name_has_its_id_or_a_reason(roles: Sequence[str], key: NameKey, expected: str) -> None:
    """A room is found by name, display name or id, a user by username; everything else has a reason and a sentence."""
    async with Sandbox(furnished(roles)) as sandbox, opened(sandbox, roles=roles) as (lookup, _):
        found = await lookup.find(key)
    assert (found.id or found.reason) == expected
    assert bool(found.message) is not bool(found.id)
    if found.id and key.kind is NameKind.USER:
        assert found.name == sandbox.world.users[found.id].username
    elif found.id:
        assert found.name == sandbox.world.rooms[found.id].name


@pytest.mark.parametrize("release", ["", "6.0.0"])
@pytest.mark.parametrize(("full", "expected"), [(True, "M1"), (False, ADDRESS_NOT_FOUND)])
async def test_an_address_is_found_where_the_account_may_see_it(full: bool, expected: str, release: str) -> None:
    """The user with this address is found in any case; else the message names the permission and what to write."""
    world = furnished()
    world.add_user("M1", username="ada", email="ada.lee@example.org", active=False)
    world.add_user("M2", username="eve", email="not-ada.lee@example.org")
    if not full:
        world.remove_permission("view-full-other-user-info")
    if release:
        world.version = release
    async with Sandbox(world) as sandbox, opened(sandbox) as (lookup, _):
        found = await lookup.find(user_key("Ada.Lee@example.org"))
    assert (found.id or found.reason) == expected
    if full:
        assert found.name == "ada"
    else:
        assert "view-full-other-user-info" in found.message
        assert "@name" in found.message


@pytest.mark.parametrize(
    ("address", "expected"), [("eve@other.org", "M1"), ("", "M1"), ("eve@example.org", USER_NAME_AMBIGUOUS)]
)
async def test_a_username_that_looks_like_an_address(address: str, expected: str) -> None:
    """It is that user's, unless another user has it as the address: then neither is meant for sure."""
    world = furnished()
    world.add_user("M1", username="eve@example.org", email="eve@third.org")
    world.add_user("M2", username="ada", email=address)
    async with Sandbox(world) as sandbox, opened(sandbox) as (lookup, _):
        found = await lookup.find(user_key("eve@example.org"))
        world.add_user("M3", username="ida", email="Eve@example.org")
        world.add_user("M4", username="ina", email="eve@Example.org")
        with_more = await lookup.find(user_key("eve@example.org"))
    assert (found.id or found.reason) == expected
    assert with_more.reason == ADDRESS_AMBIGUOUS


async def test_an_address_of_two_users_is_ambiguous() -> None:
    """Two users with one address, in upper and lower case: neither is meant for sure."""
    world = furnished()
    world.add_user("M1", username="ada", email="ada@example.org")
    world.add_user("M2", username="eve", email="Ada@Example.org")
    async with Sandbox(world) as sandbox, opened(sandbox) as (lookup, _):
        found = await lookup.find(user_key("Ada@Example.org"))
    assert (found.id, found.reason) == ("", ADDRESS_AMBIGUOUS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bob", USER_NAME_AMBIGUOUS),
        ("Bob", "U2"),  # an id has one spelling
        ("rob", "U1"),
        ("1234", USER_NAME_NOT_FOUND),
        ("4321", "1234"),
        (LIKE_AN_ID, USER_NAME_AMBIGUOUS),
        ("cat", "cat"),
    ],
)
async def test_a_username_that_is_the_id_of_another_user(name: str, expected: str) -> None:
    """Any user can take the id of another as a username: neither of them is meant for sure."""
    world = furnished()
    users = (("bob", "robert"), ("U2", "bob"), ("U1", "rob"), ("1234", "4321"), ("U4", "1234"))
    for user_id, username in (*users, (LIKE_AN_ID, "boss"), ("U5", LIKE_AN_ID), ("cat", "cat")):
        world.add_user(user_id, username=username)
    async with Sandbox(world) as sandbox, opened(sandbox) as (lookup, _):
        found = await lookup.find(user_key(name))
    assert (found.id or found.reason) == expected


@pytest.mark.parametrize("roles", [ADMIN, MEMBER])
@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("shown_only", [True, False])
async def test_a_room_that_is_named_like_the_id_of_another(
    roles: Sequence[str], *, joined: bool, shown_only: bool
) -> None:
    """Any user can give a room the id of another one as its name or display name: neither is meant for sure."""
    world = furnished(roles)
    world.add_room(LIKE_AN_ID, name="boardroom")
    world.add_room("U1", name="other" if shown_only else LIKE_AN_ID).display_name = LIKE_AN_ID
    world.join("U1", ACCOUNT.user_id, ())
    if joined:
        world.join(LIKE_AN_ID, ACCOUNT.user_id, ("owner",))
    async with Sandbox(world) as sandbox, opened(sandbox, roles=roles) as (lookup, _):
        found = await lookup.find(room_key(LIKE_AN_ID))
        assert (await lookup.find(room_key("boardroom"))).id == (LIKE_AN_ID if joined or roles == ADMIN else "")
    assert (found.id, found.reason) == ("", ROOM_NAME_AMBIGUOUS)


@pytest.mark.parametrize("word", ["C024BE91L", "4711", "GENERAL", "b1"])
async def test_an_imported_id_may_be_the_name_of_another_room(word: str) -> None:
    """Ids of an import are recognised where hardly a name looks like them, and behind display names."""
    world = furnished()
    for room_id, name in ((word, "boardroom"), ("U1", "other" if word.islower() else word)):
        world.add_room(room_id, name=name).display_name = word if name == "other" else ""
        world.join(room_id, ACCOUNT.user_id, ("owner",))
    async with Sandbox(world) as sandbox, opened(sandbox) as (lookup, _):
        assert (await lookup.find(room_key(word))).reason == ROOM_NAME_AMBIGUOUS


@pytest.mark.parametrize(("roles", "expected"), [(ADMIN, group(UNJOINED)), (MEMBER, ROOM_NAME_NOT_JOINED)])
async def test_a_display_name_is_not_taken_for_the_name_of_a_hidden_group(roles: Sequence[str], expected: str) -> None:
    """A group that another user shows under the name of one that the account has not joined is not meant."""
    world = furnished(roles)
    world.add_room("U1", name="other").display_name = UNJOINED
    world.join("U1", ACCOUNT.user_id, ())
    async with Sandbox(world) as sandbox, opened(sandbox, roles=roles) as (lookup, _):
        found = await lookup.find(room_key(UNJOINED))
    assert (found.id or found.reason) == expected


@pytest.mark.parametrize(("roles", "expected"), [(ADMIN, group(UNJOINED)), (MEMBER, ROOM_NAME_NOT_JOINED)])
async def test_a_group_that_is_not_joined(roles: Sequence[str], expected: str) -> None:
    """An account that may administrate rooms gets its id; for another one the reason says so."""
    async with Sandbox(furnished(roles)) as sandbox, opened(sandbox, roles=roles) as (lookup, _):
        found = await lookup.find(room_key(UNJOINED))
    assert (found.id or found.reason) == expected


async def test_channels_by_name() -> None:
    """An operation on channels finds channels, and says that a group is no channel."""
    async with Sandbox(furnished()) as sandbox, opened(sandbox, "channels") as (lookup, _):
        assert (await lookup.find(room_key("announcements"))).id == group("announcements")
        assert (await lookup.find(room_key("finance-planning"))).reason == ROOM_NAME_OF_OTHER_KIND


@pytest.mark.parametrize(
    ("key", "route", "status"),
    [
        (user_key("finance.lead"), "users.info", 403),
        (user_key("finance.lead"), "users.info", 500),
        (user_key("finance.lead@example.org"), "users.listByStatus", 500),
        (room_key("finance-planning"), "groups.info", 403),
        (room_key("finance-planning"), "groups.info", 500),
        (room_key("Büro"), "rooms.adminRooms", 500),
        (room_key("Büro"), "permissions.listAll", 500),
    ],
    ids=str,
)
async def test_what_cannot_be_read_is_no_missing_name(key: NameKey, route: str, status: int) -> None:
    """A server that does not answer the question is an error for the operator: the name may exist."""
    faults = [Fault(Kind.STATUS, FaultMatch(route=route), times=None, status=status)]
    async with Sandbox(furnished(), faults=faults) as sandbox, opened(sandbox) as (lookup, _):
        with pytest.raises(NameLookupError, match="could not be looked up"):
            await lookup.find(key)


@pytest.mark.parametrize("route", ["rooms.adminRooms", "permissions.listAll"])
async def test_lists_that_the_account_may_not_read(route: str) -> None:
    """Without the lists a name is found by itself only; a name that people see is not found."""
    world = furnished()
    world.forbid(route)
    async with Sandbox(world) as sandbox, opened(sandbox) as (lookup, _):
        assert (await lookup.find(room_key("buero"))).id == "B1"
        assert bool((await lookup.find(room_key("Büro"))).id) is (route == "permissions.listAll")  # among the own ones
        assert (await lookup.find(room_key("no-such"))).reason == ROOM_NAME_NOT_FOUND


async def test_a_fault_that_passes_is_retried() -> None:
    """A lookup has the attempts of every other reading call."""
    faults = [Fault(Kind.STATUS, FaultMatch(route="users.info"), times=2, status=502)]
    async with Sandbox(furnished(), faults=faults) as sandbox, opened(sandbox) as (lookup, _):
        assert (await lookup.find(user_key("finance.lead"))).id == user("finance.lead")


# Whole imports


def named(line: int, room: str, username: str) -> NamedRow:
    """Return a row with names only."""
    return NamedRow(line, "", "", {"own": line}, room, username)


async def in_pages(rows: Sequence[JobRow], size: int) -> AsyncGenerator[Sequence[JobRow], None]:
    """Return the rows in pages."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


async def import_named(
    store: RunStore, rows: Sequence[JobRow], sandbox: Sandbox, *, size: int = 3, stop: StopSignal | None = None
) -> list[Row | BadRow]:
    """Import rows with their names looked up, and return them as the store got them."""
    imported: list[Row | BadRow] = []
    async with opened(sandbox, stop=stop) as lookup:

        async def open_lookup() -> tuple[NameLookup, RunContext]:
            return lookup

        async def pages() -> AsyncIterator[Sequence[Row | BadRow]]:
            async with aclosing(NameResolver(store, open_lookup).resolve(in_pages(rows, size))) as resolved:
                async for page in resolved:
                    imported.extend(page)
                    yield page

        await store.import_rows(RUN, pages())
    return imported


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_pairs_stay_pairs_and_each_name_is_looked_up_once(size: int) -> None:
    """With pages of any size, each row gets its own two ids in its place, and each name costs one call."""
    departments = ("finance", "legal", "sales", "platform")
    rows: list[JobRow] = [
        named(line, f"{department}-{topic}", f"{department}.{position}".title())
        for line, (department, topic, position) in enumerate(
            (d, t, p) for d in departments for t in ("planning", "budget") for p in ("lead", "deputy", "analyst")
        )
    ]
    async with Sandbox(furnished()) as sandbox:
        imported = await import_named(MemoryStore(), rows, sandbox, size=size)
        calls = Counter((call.route, call.room_id or call.user_id) for call in sandbox.world.calls)
    assert [(row.line, row.room_id, row.user_id, row.extra) for row in imported] == [
        (row.line, group(row.room_name), user(row.username.lower()), {"own": row.line}) for row in rows
    ]
    assert [row.username for row in imported] == [row.username.lower() for row in rows]
    assert set(calls.values()) == {1}
    assert len(calls) == 8 + 12


async def test_a_row_whose_name_has_no_id_is_unusable() -> None:
    """It keeps what it has, and says which name and why; the others are not affected."""
    rows: list[JobRow] = [
        named(2, "no-such", "finance.lead"),
        NamedRow(3, "R1", "", {}, "", "nobody"),
        Row(4, "R1", "U1", {}),
        named(5, "finance-planning", "finance.lead"),
    ]
    async with Sandbox(furnished()) as sandbox:
        first, second, third, fourth = await import_named(MemoryStore(), rows, sandbox)
    assert first == BadRow(
        2, "", "", ROOM_NAME_NOT_FOUND, "There is no private group #no-such.", {"own": 2}, "no-such", "finance.lead"
    )
    assert second == BadRow(3, "R1", "", USER_NAME_NOT_FOUND, "There is no user @nobody.", {}, "", "nobody")
    assert third is rows[2]
    assert isinstance(fourth, Row)


async def test_the_url_of_a_room_is_not_taken_for_its_name() -> None:
    """The row says that its cell looks like a URL, also where the room in it exists: a guess could be another room."""
    url = "https://chat.example.org/group/finance-planning"
    async with Sandbox(furnished()) as sandbox:
        (row,) = await import_named(MemoryStore(), [named(2, url, "finance.lead")], sandbox)
    assert isinstance(row, BadRow)
    assert row.reason == ROOM_NAME_NOT_FOUND
    advice = "That looks like a URL: write only the name of the room, or its id."
    assert row.message == f"There is no private group #{url}. {advice}"


async def test_rows_with_ids_need_no_workspace() -> None:
    """A job without names connects nowhere."""

    async def open_lookup() -> tuple[NameLookup, RunContext]:
        raise AssertionError("not needed")

    rows: list[JobRow] = [Row(2, "R", "U", {}), BadRow(3, "", "", "bad", "", {})]
    pages = NameResolver(MemoryStore(), open_lookup).resolve(in_pages(rows, 1))
    assert [page async for page in pages] == [[rows[0]], [rows[1]]]


async def test_a_rename_changes_nothing_for_a_run() -> None:
    """A later import of the same run has the ids of the first, and looks up only the names that had none."""
    store, world = MemoryStore(), furnished()
    rows: list[JobRow] = [named(2, "finance-planning", "finance.lead"), named(3, "late", "finance.lead")]
    async with Sandbox(world) as sandbox:
        await import_named(store, rows, sandbox)
        world.rooms[group("finance-planning")].name = "old"
        world.add_room("R9", name="finance-planning")
        world.add_room("R8", name="late")
        for room_id in ("R8", "R9"):
            world.join(room_id, ACCOUNT.user_id, ("owner",))
        before = len(world.calls)
        first, second = await import_named(store, rows, sandbox)
        calls = [(call.route, call.room_id) for call in world.calls[before:]]
    assert (first.room_id, second.room_id) == (group("finance-planning"), "R8")
    assert calls == [("groups.info", "late")]


@pytest.mark.parametrize("fault", [Kind.HANG_BEFORE, Kind.RESET_BEFORE])
async def test_an_outage_ends_the_import(fault: Kind) -> None:
    """While the workspace does not respond no name is unusable: after the outage timeout nothing is imported."""
    store, stop = MemoryStore(), StopSignal()
    faults = [Fault(fault, FaultMatch(route=route), times=None) for route in ("users.info", "groups.info", "me")]
    rows: list[JobRow] = [named(line, "finance-planning", f"someone{line}") for line in range(30)]
    async with Sandbox(furnished(), faults=faults) as sandbox:
        with pytest.raises(ShutdownRequested):
            await import_named(store, rows, sandbox, stop=stop)
    assert stop.reason is StopReason.OUTAGE
    assert await store.identity() is None
    assert await store.find_names([room_key("finance-planning")]) == []


@pytest.mark.parametrize(
    "end",
    [lambda stop, task: stop.request(StopReason.INTERRUPTED), lambda stop, task: task.cancel()],
    ids=["stop", "cancel"],
)
async def test_a_stop_leaves_no_lookup_behind(end: Callable[[StopSignal, asyncio.Task[object]], object]) -> None:
    """A stop or a cancellation while names are looked up ends every lookup, and the import is undone."""
    store, stop, others = MemoryStore(), StopSignal(), asyncio.all_tasks()
    faults = [Fault(Kind.HANG_BEFORE, FaultMatch(route="users.info"), times=None)]
    rows: list[JobRow] = [named(line, "finance-planning", f"someone{line}") for line in range(30)]
    async with Sandbox(furnished(), faults=faults) as sandbox:
        task = asyncio.create_task(import_named(store, rows, sandbox, stop=stop))
        while not any(call.route == "users.info" for call in sandbox.world.calls):  # noqa: ASYNC110 - a list
            await asyncio.sleep(0)
        end(stop, task)
        with pytest.raises((ShutdownRequested, asyncio.CancelledError)):
            await task
        left = {each.get_name() for each in asyncio.all_tasks() - others}
        assert "look up a name" not in left
    assert await store.identity() is None


def test_a_found_name_is_a_value() -> None:
    """Names of rooms and users with the same spelling are different keys."""
    assert room_key("x") != user_key("x")
    assert FoundName(room_key("x")).id == ""


# From a program


async def test_a_program_names_rooms_and_users(tmp_path: Path) -> None:
    """Mappings may have names; a later call on the same folder looks none of them up again."""
    rows: list[RowInput] = [
        {"roomName": "finance-planning", "username": "finance.lead", "note": 1},
        {"room": "no-such", "userId": user("finance.lead")},
        {"roomId": group("legal-budget"), "user": "@Legal.Lead"},
    ]
    world = furnished()

    async def run() -> dict[int | None, tuple[str, str, str]]:
        connection, credentials = ConnectionConfig(sandbox.url), Credentials(ACCOUNT.user_id, ACCOUNT.token)
        work = change_roles(rows, connection=connection, credentials=credentials, folder=tmp_path, settings=QUICK)
        return {result.line: (result.outcome, result.room_name, result.username) async for result in work}

    expected = {
        1: ("removed", "finance-planning", "finance.lead"),
        2: ("invalid", "no-such", ""),
        3: ("removed", "", "legal.lead"),
    }
    async with Sandbox(world) as sandbox:
        assert await run() == expected
        before = len(world.calls)
        assert await run() == expected
        looked_up = {call.room_id or call.user_id for call in world.calls[before:] if call.route.endswith(".info")}
    assert looked_up == {"no-such"}
