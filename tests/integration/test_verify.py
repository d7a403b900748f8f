"""Verification over a socket: rows in doubt are settled as far as what is read proves, and never too early."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from rolecall.engine.clock import Clock
from rolecall.engine.directory.role_reader import RoleReader
from rolecall.engine.directory.role_verify import RoleVerification, VerifiedRow, VerifyHooks, VerifyStatus
from rolecall.engine.settings import Settings
from rolecall.models import Prior, PriorState, Row
from rolecall.rocketchat.operations import REMOVE_LEADER
from rolecall.sandbox import ACCOUNT, Sandbox, World, leader_world
from rolecall.sandbox.write_routes import apply_role_change
from rolecall.store.records import Batch, Identity, Intent
from rolecall.store.sqlite.database import SqliteDatabase
from tests.support.desk import desk
from tests.support.store import as_store, import_rows

PAIR = ("room", "user")
READ_AT = 1_700_000_000_000
HAD_ROLE = Prior(PriorState.HAS_ROLE, READ_AT, "user", (ACCOUNT.user_id,))
NOT_READ = Prior(PriorState.UNKNOWN, READ_AT, "", (ACCOUNT.user_id,))
SECONDS = 1000


class FakeTime:
    """A wall clock that moves only while the verification sleeps."""

    def __init__(self, start: int, during: Callable[[int], object]) -> None:
        self.ms = start
        self.waits: list[int] = []
        self._during = during

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.ms += round(seconds * SECONDS)
        self.waits.append(round(seconds))
        self._during(len(self.waits))


class Verified(NamedTuple):
    """How a verification of one row in doubt ended."""

    row: VerifiedRow
    outcome: str
    reason: str
    evidence: str
    waits: list[int]


async def verify(
    world: World,
    path: Path,
    *,
    prior: Prior = HAD_ROLE,
    age: float = 0,
    wait: bool = True,
    before: Callable[[], object] = lambda: None,
    during: Callable[[int], object] = lambda wait: None,
    settings: Settings | None = None,
) -> Verified:
    """Verify one row whose last attempt is `age` seconds old.

    `before` is called once the workspace runs, `during` with the number of each wait.
    """
    database, rows = SqliteDatabase(path), list[VerifiedRow]()
    try:
        import_rows(database, Identity("", REMOVE_LEADER.name, ""), [Row(2, *PAIR, {})])
        database.open_session("tester", READ_AT)
        database.commit(Batch(intents=[Intent(1, 1, READ_AT + SECONDS, prior)]))
        time = FakeTime(READ_AT + round((1 + age) * SECONDS), during)
        async with Sandbox(world) as sandbox, desk(sandbox.url) as at:
            before()
            clock = Clock(wall=lambda: time.ms / SECONDS)
            work = RoleVerification(
                as_store(database), RoleReader(at.reader, REMOVE_LEADER), REMOVE_LEADER, settings or Settings(), clock
            )

            async def on_rows(group: Sequence[VerifiedRow]) -> None:
                rows.extend(group)

            await work.run(VerifyHooks(on_rows, sleep=time.sleep), wait=wait)
        (result,), (row,) = list(database.results()), rows
        return Verified(row, result.outcome.value, result.reason, result.evidence, time.waits)
    finally:
        database.close()


def world_with_leader() -> World:
    """Return a world in which the user still has the role."""
    world = leader_world([PAIR])
    world.add_user("other")
    return world


def take_role(world: World, by: str = ACCOUNT.user_id) -> None:
    """Take the role in the world, with the system message of an account."""
    apply_role_change(world, by, *PAIR)


async def test_a_role_as_before_settles_nothing_until_no_call_can_arrive(tmp_path: Path) -> None:
    """An unchanged role is read again every 30 s; two minutes after the last attempt the row is failed."""
    ended = await verify(world_with_leader(), tmp_path / "store.sqlite", age=10)
    assert ended.waits == [30, 30, 30, 20]
    assert (ended.outcome, ended.reason, ended.evidence) == ("failed", "role_unchanged", "roles")
    assert ended.row.finding is VerifyStatus.SETTLED


async def test_a_call_that_arrives_late_is_seen(tmp_path: Path) -> None:
    """A request that was given up is carried out a minute later: the row is removed, not failed."""
    world = world_with_leader()

    def arrive(wait: int) -> None:
        if wait == 2:
            take_role(world)

    ended = await verify(world, tmp_path / "store.sqlite", during=arrive)
    assert ended.waits == [30, 30]
    assert (ended.outcome, ended.evidence) == ("removed", "message")


async def test_without_waiting_the_row_is_open(tmp_path: Path) -> None:
    """With no wait the row stays as it is and is reported as open; once it is old enough it is settled."""
    ended = await verify(world_with_leader(), tmp_path / "young.sqlite", age=119, wait=False)
    assert (ended.row.finding, ended.row.has_role) == (VerifyStatus.OPEN, True)
    assert (ended.outcome, ended.waits) == ("unknown", [])
    old = await verify(world_with_leader(), tmp_path / "old.sqlite", age=120, wait=False)
    assert (old.outcome, old.waits) == ("failed", [])


@pytest.mark.parametrize(
    ("prior", "age", "by", "expected"),
    [
        (HAD_ROLE, 5, ACCOUNT.user_id, ("removed", "", "message")),
        (HAD_ROLE, 5, "other", ("not_leader", "removed_by_other", "message")),
        (HAD_ROLE, 5, None, ("removed", "confirmed_by_reading", "roles")),
        (HAD_ROLE, 601, None, ("removed", "confirmed_by_reading", "inferred")),
        (NOT_READ, 5, ACCOUNT.user_id, ("removed", "confirmed_by_reading", "inferred")),
        (NOT_READ, 5, "other", ("not_leader", "removed_by_other", "message")),
        (NOT_READ, 5, None, ("removed", "confirmed_by_reading", "inferred")),
    ],
)
async def test_a_role_that_is_gone_settles_at_once(
    prior: Prior, age: float, by: str | None, expected: tuple[str, str, str], tmp_path: Path
) -> None:
    """Who took the role is read from the messages; without one the reading itself is the evidence."""
    world = world_with_leader()

    def take() -> None:
        if by is None:
            world.rooms[PAIR[0]].members[PAIR[1]] = []
        else:
            take_role(world, by)

    ended = await verify(world, tmp_path / "store.sqlite", prior=prior, age=age, before=take)
    assert (ended.outcome, ended.reason, ended.evidence) == expected
    assert ended.waits == []


async def test_a_role_given_back_by_another_was_taken_by_us_all_the_same(tmp_path: Path) -> None:
    """Our message shows that our call was carried out, although another account has given the role back since."""
    world = world_with_leader()

    def take_and_give_back() -> None:
        take_role(world)
        apply_role_change(world, "other", *PAIR, adds=True)

    ended = await verify(world, tmp_path / "store.sqlite", age=600, before=take_and_give_back)
    assert (ended.outcome, ended.evidence) == ("removed", "message")


async def test_a_role_given_back_at_about_the_time_of_the_reading_is_only_inferred(tmp_path: Path) -> None:
    """The two changes may be older than the prior reading, or lie after it: no outcome is proven."""
    world = world_with_leader()

    def take_and_give_back() -> None:
        world.now = READ_AT / SECONDS + 0.5
        take_role(world)
        world.now += 0.5
        apply_role_change(world, "other", *PAIR, adds=True)

    ended = await verify(world, tmp_path / "store.sqlite", age=600, before=take_and_give_back)
    assert (ended.outcome, ended.evidence) == ("failed", "inferred")


async def test_a_role_that_was_never_read_may_have_been_given_back(tmp_path: Path) -> None:
    """With an unknown prior state our message proves that a call was carried out, not that it took a role."""
    world = world_with_leader()

    def take_and_give_back() -> None:
        take_role(world)
        apply_role_change(world, "other", *PAIR, adds=True)

    ended = await verify(world, tmp_path / "store.sqlite", prior=NOT_READ, age=600, before=take_and_give_back)
    assert (ended.outcome, ended.row.finding) == ("unknown", VerifyStatus.UNREAD)


async def test_a_role_that_was_never_read_and_is_there_is_only_inferred(tmp_path: Path) -> None:
    """With an unknown prior state and no message the row failed by inference."""
    ended = await verify(world_with_leader(), tmp_path / "store.sqlite", prior=NOT_READ, age=600)
    assert (ended.outcome, ended.reason, ended.evidence) == ("failed", "role_unchanged", "inferred")


async def test_who_has_left_the_room_proves_nothing(tmp_path: Path) -> None:
    """A user who is no member any more has no role, whoever took it: the row stays unknown, and the file says why."""
    world = world_with_leader()
    del world.rooms[PAIR[0]].members[PAIR[1]]
    ended = await verify(world, tmp_path / "store.sqlite", age=600)
    assert (ended.outcome, ended.row.finding, ended.row.why) == ("unknown", VerifyStatus.UNREAD, "user_not_in_room")


async def test_messages_are_read_only_where_they_may_be(tmp_path: Path) -> None:
    """Without message evidence no message is read, and the roles alone decide."""
    world = world_with_leader()
    quiet = Settings(message_evidence=False)
    ended = await verify(world, tmp_path / "store.sqlite", age=5, settings=quiet, before=lambda: take_role(world))
    assert (ended.outcome, ended.evidence) == ("removed", "roles")
    assert not [call for call in world.calls if call.route == "chat.syncMessages"]
