"""A check over a socket: what it predicts is what the run then comes to, and it changes nothing."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from rolecall.engine.clock import Clock
from rolecall.engine.context import RunContext
from rolecall.engine.directory.role_check import RoleCheck
from rolecall.engine.dispatcher import process_rows
from rolecall.engine.settings import Settings
from rolecall.models import Outcome, Row
from rolecall.rocketchat.operations import OPERATIONS, REMOVE_LEADER, Operation
from rolecall.sandbox import ACCOUNT, Limiter, Sandbox, World
from rolecall.sandbox.org_world import group, organisation_world, user
from rolecall.store.records import Identity
from rolecall.store.sqlite.database import SqliteDatabase
from tests.support.desk import desk
from tests.support.engine import QUICK, SilentLog
from tests.support.store import as_store, import_rows

Told = dict[tuple[str, str], tuple[Outcome, str]]

every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=lambda operation: operation.name)


def pairs_of(world: World) -> list[tuple[str, str]]:
    """Give pairs of every kind: each role, no role, no member, and ids that nobody has."""
    rooms = [group("finance-planning"), group("legal-incidents"), group("support-incidents"), group("announcements")]
    people = [user(f"{place}") for place in ("finance.lead", "finance.deputy", "finance.planner", "finance.analyst")]
    people += [user("legal.lead"), user("support.lead"), user("sales.deputy"), ACCOUNT.user_id, "nobody"]
    return [(room, person) for room in [*rooms, "noSuchRoom"] for person in people]


def make_database(path: Path, pairs: Iterable[tuple[str, str]], operation: Operation) -> SqliteDatabase:
    """Make a ledger of these pairs."""
    ledger = SqliteDatabase(path)
    rows = (Row(line, room, person, {}) for line, (room, person) in enumerate(pairs, start=2))
    import_rows(ledger, Identity("http://127.0.0.1", operation.name, ""), rows)
    return ledger


def told(ledger: SqliteDatabase) -> Told:
    """Give what each pair of a ledger is told."""
    return {(row.room_id, row.user_id): (row.outcome, row.reason) for row in ledger.results()}


async def predict(
    url: str, pairs: Iterable[tuple[str, str]], path: Path, operation: Operation, settings: Settings = QUICK
) -> Told:
    """Check the pairs and give the predictions."""
    ledger = make_database(path, pairs, operation)
    try:
        async with desk(url, settings) as at:
            await RoleCheck(as_store(ledger), at.reader, operation, at.account, at.clock).run(at_once=4)
        return told(ledger)
    finally:
        ledger.close()


def carried_out(predicted: Told, operation: Operation) -> Told:
    """Return the predictions as the run reports them; none of them says that something was changed."""
    assert not any(outcome is operation.done for outcome, _ in predicted.values())
    return {
        pair: (operation.done if outcome is operation.predicted else outcome, reason)
        for pair, (outcome, reason) in predicted.items()
    }


async def carry_out(url: str, pairs: Iterable[tuple[str, str]], path: Path, operation: Operation) -> Told:
    """Run the pairs, one after the other, and give what became of them."""
    ledger, clock = make_database(path, pairs, operation), Clock()
    try:
        ledger.open_session("tester", clock.wall_ms())
        async with desk(url) as at:
            settings = Settings(rate=None, concurrency=1, max_failures=QUICK.max_failures)
            await process_rows(as_store(ledger), at.client, operation, RunContext.create(settings, SilentLog()))
        return told(ledger)
    finally:
        ledger.close()


@every_operation
async def test_the_run_comes_to_what_was_predicted(operation: Operation, tmp_path: Path) -> None:
    """For each operation and each kind of pair the prediction is the run's outcome and reason."""
    world = organisation_world().world
    pairs = pairs_of(world)
    async with Sandbox(world) as sandbox:
        predicted = await predict(sandbox.url, pairs, tmp_path / "check.sqlite", operation)
        before = [call.route for call in world.calls]
        assert not any(call.carried_out for call in world.calls)
        done = await carry_out(sandbox.url, pairs, tmp_path / "run.sqlite", operation)
    assert operation.name not in before
    assert carried_out(predicted, operation) == done


async def test_by_user_the_prediction_is_the_runs_too(tmp_path: Path) -> None:
    """Where a run reads by user, it sees rooms that the account has not joined; so does the check."""
    world = organisation_world().world
    person = user("legal.lead")
    rooms = [room for room, entry in world.rooms.items() if entry.type == "p"]
    async with Sandbox(world) as sandbox:
        pairs = [(room, person) for room in rooms]
        predicted = await predict(sandbox.url, pairs, tmp_path / "check.sqlite", REMOVE_LEADER)
        done = await carry_out(sandbox.url, pairs, tmp_path / "run.sqlite", REMOVE_LEADER)
    assert carried_out(predicted, REMOVE_LEADER) == done
    assert (Outcome.FAILED, "room_not_joined") in done.values()
    assert (Outcome.FAILED, "user_not_in_room") in done.values()


async def test_each_room_is_read_once(tmp_path: Path) -> None:
    """However many rows a room has, its roles are read once, and each user once where the run reads by user."""
    world = organisation_world().world
    pairs = [(room, person) for room, person in world.pairs_with_role("leader") if world.rooms[room].type == "p"]
    async with Sandbox(world) as sandbox:
        await predict(sandbox.url, pairs, tmp_path / "check.sqlite", REMOVE_LEADER)
    routes = [call.route for call in world.calls]
    assert routes.count("groups.roles") == len({room for room, _ in pairs})
    assert routes.count("users.info") == len({person for _, person in pairs}) + 1  # the first shows that it works


@pytest.mark.parametrize(
    ("spoil", "room", "expected"),
    [
        (lambda world: world.remove_permission("view-other-user-channels"), "finance-planning", "membership_not_seen"),
        (lambda world: world.forbid("groups.roles"), "finance-planning", "roles_unreadable"),
        (lambda world: world.forbid("groups.roles", 401), "finance-planning", "roles_unreadable"),
        (lambda world: world.forbid("permissions.listAll"), "finance-planning", "not_needed"),
        (lambda world: world.forbid("groups.counters"), "legal-incidents", "room_not_found"),
        (lambda world: None, "legal-incidents", "room_not_joined"),
    ],
)
async def test_what_may_not_be_read_is_told(
    spoil: Callable[[World], object], room: str, expected: str, tmp_path: Path
) -> None:
    """A permission that is missing makes a row less certain, and its reason says so; nothing is invented."""
    world = organisation_world(roles=("user", "admin")).world
    spoil(world)
    pair = (group(room), user("finance.planner"))
    async with Sandbox(world) as sandbox:
        predicted = await predict(sandbox.url, [pair], tmp_path / "check.sqlite", REMOVE_LEADER)
    assert predicted[pair][1] == expected


async def test_an_account_without_the_permission_is_foretold(tmp_path: Path) -> None:
    """Who is neither admin nor owner of the room may not change roles there, and the check knows."""
    organisation = organisation_world(roles=("user",))
    world, room = organisation.world, group("finance-planning")
    world.rooms[room].members[ACCOUNT.user_id] = []
    pair = (room, user("finance.lead"))
    async with Sandbox(world) as sandbox:
        predicted = await predict(sandbox.url, [pair], tmp_path / "check.sqlite", REMOVE_LEADER)
    assert predicted == {pair: (Outcome.FAILED, "not_allowed")}


async def test_reading_keeps_to_each_routes_window(tmp_path: Path) -> None:
    """A check that needs more calls than a window takes waits for the next, and never hears 'too many requests'."""
    world = organisation_world(roles=("user", "owner")).world
    world.remove_permission("api-bypass-rate-limit")
    pairs = [(room, person) for room, person in world.pairs_with_role("leader") if world.rooms[room].type == "p"]
    async with Sandbox(world, limiter=Limiter(10, 1.0)) as sandbox:
        path, patient = tmp_path / "check.sqlite", Settings(rate=None)
        predicted = await predict(sandbox.url, pairs, path, REMOVE_LEADER, patient)
    assert len(predicted) == len(pairs)
    assert 429 not in {call.status for call in world.calls}


async def test_removals_are_counted_again_where_the_check_has_not_read_every_room(tmp_path: Path) -> None:
    """A check that goes on with an earlier one knows that its own count is not complete."""
    world = organisation_world().world
    ledger = make_database(tmp_path / "ledger.sqlite", pairs_of(world), REMOVE_LEADER)
    async with Sandbox(world) as sandbox, desk(sandbox.url, QUICK) as at:
        first, second = (RoleCheck(as_store(ledger), at.reader, REMOVE_LEADER, at.account, at.clock) for _ in range(2))
        await first.run(at_once=4)
        await second.run(at_once=4)
        again = await second.count_removals(concurrency=4)
    ledger.close()
    assert (first.has_read_all_rooms, second.has_read_all_rooms) == (True, False)
    assert first.removals == again
    assert again.removals > 0
