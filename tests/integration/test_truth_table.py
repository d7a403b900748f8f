"""Every line of the settlement table, over sockets: a prior state, an event, and the outcome that it proves.

The lines are those of the specification, written for removing; each is walked for adding too, with the states mirrored.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from rolecall.engine import row_processor, settlement
from rolecall.engine.directory import doubt_settlement
from rolecall.engine.settings import Settings
from rolecall.engine.settlement import ROLES_PROVE_FOR, TABLE, Case, Settlement
from rolecall.models import Outcome, Prior, PriorState, Result, Row
from rolecall.rocketchat.operations import OPERATIONS, REMOVE_LEADER, Operation
from rolecall.sandbox import ACCOUNT, Fault, FaultMatch, Kind, Sandbox, World, apply_role_change, leader_world
from rolecall.store.records import Batch, Identity, Intent
from rolecall.store.sqlite.database import SqliteDatabase
from tests.support.engine import QUICK, run_pairs
from tests.support.store import import_rows
from tests.support.truth import wait_for_route

ROOM, USER, OTHER, ADMIN = "room", "user", "other", "otherAdmin"
US = ACCOUNT.user_id
ADD_LEADER = OPERATIONS["groups.addLeader"]
UNREAD = replace(QUICK, read_roles=False)
NO_MESSAGES = replace(QUICK, message_evidence=False)
Expected = tuple[str, str, str]
"""Outcome, reason, evidence: `done` and `nothing` stand for those of the operation, `by_other` for its reason."""


class Scene:
    """A workspace with one row's user, and what happens to them; `can` is the state that the operation changes."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.world: World = leader_world([(ROOM, OTHER)], roles=("user",))
        self.world.grant("view-other-user-channels", "user")
        self.world.add_user(ADMIN)
        self.world.add_user(USER)

    def can(self) -> None:
        """Let the user have the role that is removed, or be a member who can get it."""
        self.world.join(ROOM, USER, None if self.operation.adds else ("leader",))

    def done(self) -> None:
        """Let the user be as the operation leaves them."""
        self.world.join(ROOM, USER, ("leader",) if self.operation.adds else ())

    def stranger(self) -> None:
        """Let the user be in no room."""

    def nonesuch(self) -> None:
        """Let there be no such user."""
        del self.world.users[USER]

    def not_seen(self) -> None:
        """Let the user be as the operation leaves them, without the means to see that they are a member."""
        self.world.remove_permission("view-other-user-channels")

    def change(self, account: str, *, writes: int | None = None) -> None:
        """Change the role as an account; an exception in the server ends it after so many writes."""
        self.world.now = max(self.world.now + 0.01, time.time())  # the time of the message
        self.world.fail_after_writes = writes
        apply_role_change(self.world, account, ROOM, USER, adds=self.operation.adds)
        self.world.fail_after_writes = None

    def change_back(self) -> None:
        """Let another account give the role back, or take it away again."""
        self.world.now = max(self.world.now + 0.01, time.time())
        apply_role_change(self.world, ADMIN, ROOM, USER, adds=not self.operation.adds)

    def rename(self) -> None:
        """Give the user another name, and the old one to another member of the room, whose role we have changed."""
        self.world.users[USER].username, self.world.users[OTHER].username = "renamed", USER
        self.world.join(ROOM, OTHER, () if self.operation.adds else ("leader",))
        apply_role_change(self.world, US, ROOM, OTHER, adds=self.operation.adds)

    def leave(self) -> None:
        """Let the user leave the room."""
        del self.world.rooms[ROOM].members[USER]

    def archive(self) -> None:
        """Archive the room: the server refuses every change in it."""
        self.world.rooms[ROOM].archived = True


class Doubt(NamedTuple):
    """A row that an earlier session left in doubt."""

    is_known: bool = True
    """The prior state was read, and could be changed."""
    age: int = 1_000
    """Milliseconds since its attempt."""
    username: str = ""
    """Of the user, where it was read."""


class Line(NamedTuple):
    """One line of the table, with an event that leads to it."""

    name: str
    before: Callable[[Scene], None]
    """The state of the user before the run."""
    expected: Expected
    faults: Sequence[Fault] = ()
    meanwhile: Callable[[Scene], None] | None = None
    """What happens between the reading and the call."""
    doubt: Doubt | None = None
    after_doubt: Sequence[Callable[[Scene], None]] = ()
    """What has happened since the earlier session."""
    settings: Settings = QUICK
    calls: int | None = None
    """Changing calls that are made; None for any number."""
    only: Operation | None = None
    """The operation for which the line exists, where it cannot be mirrored."""


def changing(kind: Kind, *, times: int | None = 1, **how: object) -> Fault:
    """Return a fault of changing calls."""
    return Fault(kind, FaultMatch(user=USER), times, **how)  # type: ignore[arg-type]  # the names are Fault's own


UNREADABLE = Fault(Kind.STATUS, FaultMatch(route="groups.roles"), times=None, status=500)
UNREADABLE_FIRST = replace(UNREADABLE, times=3)
BEFORE, AFTER = changing(Kind.RESET_BEFORE), changing(Kind.DROP_AFTER)
BLOCKED = changing(Kind.STATUS, times=None, status=403, html=True)
BAD_GATEWAY = changing(Kind.STATUS, times=None, status=502)
BAD_GATEWAY_AFTER = changing(Kind.STATUS, times=None, status=502, act=True)


def by_us(scene: Scene) -> None:
    """Change the role in our name."""
    scene.change(US)


def by_us_silently(scene: Scene) -> None:
    """Change the role in our name, without the message."""
    scene.change(US, writes=1)


def by_admin(scene: Scene) -> None:
    """Change the role as another account."""
    scene.change(ADMIN)


LINES = [
    # member | not sent
    Line("done before", Scene.done, ("nothing", "not_needed", ""), calls=0),
    # stranger | not sent
    Line("stranger", Scene.stranger, ("failed", "user_not_in_room", ""), calls=0),
    Line("no such user", Scene.nonesuch, ("failed", "user_not_found", ""), calls=0),
    # member or stranger cannot be told apart | not sent
    Line("not seen", Scene.not_seen, ("nothing", "membership_not_seen", ""), calls=0, only=REMOVE_LEADER),
    # leader | OK, in doubt before or not
    Line("OK", Scene.can, ("done", "", "response"), calls=1),
    Line("D, OK", Scene.can, ("done", "", "response"), [BEFORE], calls=2),
    Line("stored D, OK", Scene.can, ("done", "", "response"), doubt=Doubt(), calls=1),
    # leader | ALREADY, not in doubt
    Line("ALREADY, ours", Scene.can, ("done", "", "message"), [changing(Kind.REPEATED)], calls=1),
    Line("ALREADY, another's", Scene.can, ("nothing", "by_other", "message"), meanwhile=by_admin, calls=1),
    Line("ALREADY, no message", Scene.can, ("nothing", "changed_since_read", "inferred"), meanwhile=by_us_silently),
    # leader, D | ALREADY
    Line("D, ALREADY, ours", Scene.can, ("done", "", "message"), [AFTER], calls=2),
    Line("D, ALREADY, another's", Scene.can, ("nothing", "by_other", "message"), [BEFORE], by_admin, calls=2),
    Line("D, ALREADY, no message", Scene.can, ("done", "", "roles"), [changing(Kind.EXCEPTION, writes=1)], calls=2),
    Line("D, ALREADY, messages off", Scene.can, ("done", "", "roles"), [AFTER], settings=NO_MESSAGES, calls=2),
    Line(
        "old D, ALREADY, no message", Scene.can, ("done", "", "inferred"), [UNREADABLE],
        doubt=Doubt(age=ROLES_PROVE_FOR + 1_000), after_doubt=[by_us_silently], calls=1,
    ),
    # leader, D | a reading shows the role gone
    Line("D, gone, ours", Scene.can, ("done", "", "message"), doubt=Doubt(), after_doubt=[by_us], calls=0),
    Line("D, gone, another's", Scene.can, ("nothing", "by_other", "message"), doubt=Doubt(), after_doubt=[by_admin]),
    Line("D, gone, no message", Scene.can, ("done", "", "roles"), doubt=Doubt(), after_doubt=[by_us_silently]),
    Line(
        "old D, gone, no message", Scene.can, ("done", "", "inferred"),
        doubt=Doubt(age=ROLES_PROVE_FOR + 1_000), after_doubt=[by_us_silently], calls=0,
    ),
    Line(
        "D, gone, may have left", Scene.can, ("done", "", "inferred"),
        doubt=Doubt(), after_doubt=[by_us_silently, Scene.not_seen], calls=0, only=REMOVE_LEADER,
    ),
    Line("attempts used up, gone", Scene.can, ("done", "", "message"), [BAD_GATEWAY_AFTER], calls=3),
    Line(
        "D, gone, ours, then given back and taken by another", Scene.can, ("done", "", "message"),
        doubt=Doubt(), after_doubt=[by_us, Scene.change_back, by_admin], calls=0,
    ),
    Line(
        "D, ALREADY, ours, then given back and taken by another", Scene.can, ("done", "", "message"), [UNREADABLE],
        doubt=Doubt(), after_doubt=[by_us, Scene.change_back, by_admin], calls=1,
    ),
    Line(
        "D, gone, the name is another user's now", Scene.can, ("done", "", "inferred"),
        doubt=Doubt(username=USER), after_doubt=[by_admin, Scene.rename], calls=0,
    ),
    Line(
        "D, ALREADY, the name is another user's now", Scene.can, ("done", "", "inferred"), [UNREADABLE],
        doubt=Doubt(username=USER), after_doubt=[by_admin, Scene.rename], calls=1,
    ),
    Line(
        "D, ALREADY, another's, given back, no message since", Scene.can, ("done", "", "inferred"),
        [UNREADABLE], doubt=Doubt(), after_doubt=[by_admin, Scene.change_back, by_us_silently], calls=1,
    ),
    # leader, D | a reading shows the role present: sent again ("stored D, OK"), unless we have changed it
    Line(
        "D, present, ours and changed back", Scene.can, ("done", "", "message"),
        doubt=Doubt(), after_doubt=[by_us, Scene.change_back], calls=0,
    ),
    Line(
        "D, present, another's and changed back", Scene.can, ("done", "", "response"),
        doubt=Doubt(), after_doubt=[by_admin, Scene.change_back], calls=1,
    ),
    Line(
        "D, present, messages off", Scene.can, ("done", "", "response"),
        doubt=Doubt(), after_doubt=[by_us, Scene.change_back], settings=NO_MESSAGES, calls=1,
    ),
    # leader, D | attempts used up, role still present
    Line("attempts used up, 4xx", Scene.can, ("failed", "untrusted_answer", "response"), [BLOCKED], calls=3),
    Line(
        "attempts used up, ours and changed back", Scene.can, ("done", "", "message"),
        [UNREADABLE_FIRST, BLOCKED], doubt=Doubt(), after_doubt=[by_us, Scene.change_back], only=REMOVE_LEADER,
    ),
    Line("attempts used up, 5xx", Scene.can, ("unknown", "proxy_error", ""), [BAD_GATEWAY], calls=3),
    Line("stored D, attempts used up, 4xx", Scene.can, ("unknown", "untrusted_answer", ""), [BLOCKED], doubt=Doubt()),
    # leader, D | REFUSED
    Line(
        "D, REFUSED, ours", Scene.can, ("done", "", "message"),
        doubt=Doubt(), after_doubt=[by_us, Scene.leave], calls=1,
    ),
    Line(
        "D, REFUSED, no message", Scene.can, ("unknown", "user_not_in_room", ""),
        doubt=Doubt(), after_doubt=[Scene.leave], calls=1,
    ),
    Line(
        "D, REFUSED, another's", Scene.can, ("unknown", "user_not_in_room", ""),
        doubt=Doubt(), after_doubt=[by_admin, Scene.leave], calls=1,
    ),
    # unknown | OK
    Line("unknown, OK", Scene.can, ("done", "", "inferred"), settings=UNREAD, calls=1),
    Line("unreadable, OK", Scene.can, ("done", "", "inferred"), [UNREADABLE], calls=1),
    # unknown | ALREADY, not in doubt
    Line("unknown, ALREADY", Scene.done, ("nothing", "", "inferred"), settings=UNREAD, calls=1),
    # unknown, D | ALREADY
    Line("unknown, D, ALREADY, ours", Scene.can, ("done", "", "message"), [AFTER], settings=UNREAD, calls=2),
    Line(
        "unknown, D, ALREADY, another's", Scene.can, ("nothing", "by_other", "message"),
        doubt=Doubt(is_known=False), after_doubt=[by_admin], settings=UNREAD, calls=1,
    ),
    Line(
        "unknown, D, ALREADY, no message", Scene.done, ("done", "confirmed_on_retry", "inferred"), [BEFORE],
        settings=UNREAD, calls=2,
    ),
    Line(
        "unknown, D, ALREADY, ours, then given back and taken by another", Scene.can,
        ("done", "confirmed_on_retry", "inferred"), doubt=Doubt(is_known=False),
        after_doubt=[by_us, Scene.change_back, by_admin], settings=UNREAD, calls=1,
    ),
    # unknown, D | REFUSED: also a message of ours does not prove that the role was there
    Line(
        "unknown, D, REFUSED", Scene.stranger, ("unknown", "user_not_in_room", ""), [BEFORE],
        settings=UNREAD, calls=2,
    ),
    Line(
        "unknown, D, REFUSED, ours", Scene.can, ("unknown", "user_not_in_room", ""),
        doubt=Doubt(is_known=False), after_doubt=[by_us, Scene.leave], settings=UNREAD, calls=1,
    ),
    # leader or unknown | REFUSED, not in doubt
    Line("REFUSED", Scene.can, ("failed", "room_archived", "response"), meanwhile=Scene.archive, calls=1),
    Line("unknown, REFUSED", Scene.stranger, ("failed", "user_not_in_room", "response"), settings=UNREAD, calls=1),
]  # fmt: skip


def put_in_doubt(path: Path, url: str, scene: Scene, doubt: Doubt) -> None:
    """Write the run store of a session that was killed while the row's call was in flight."""
    now = round(time.time() * 1000)
    state = PriorState.MEMBER if scene.operation.adds else PriorState.HAS_ROLE
    prior = Prior(state if doubt.is_known else PriorState.UNKNOWN, now - 5_000, doubt.username, (US,))
    ledger = SqliteDatabase(path)
    import_rows(ledger, Identity(url, scene.operation.name, ""), [Row(2, ROOM, USER, {})])
    ledger.open_session("tester", 0)
    ((_, due),) = ledger.fetch_due(0, 1, retry_failed=False)
    ledger.commit(Batch(intents=[Intent(due.key, 1, now - doubt.age, prior)]))
    ledger.close()


async def walk(line: Line, operation: Operation, path: Path) -> tuple[Result, int]:
    """Let the events of a line happen; return the row's result and the number of changing calls of this session."""
    scene = Scene(operation)
    line.before(scene)
    async with Sandbox(scene.world, faults=line.faults, latency=0.01 if line.meanwhile else 0.0) as sandbox:
        if line.doubt is not None:
            put_in_doubt(path, sandbox.url, scene, line.doubt)
            for event in line.after_doubt:
                event(scene)
        run = asyncio.create_task(
            run_pairs(sandbox.url, [(ROOM, USER)], path, line.settings, answer_within=2.0, operation=operation)
        )
        if line.meanwhile is not None:
            await wait_for_route(sandbox, "users.info" if operation.adds else "groups.roles")
            line.meanwhile(scene)
        (result,) = (await run).results
    changes = sum(call.route == operation.name for call in scene.world.calls)
    return result, changes


def in_words_of(operation: Operation, expected: Expected) -> Expected:
    """Return an expectation in the words of an operation."""
    outcome, reason, evidence = expected
    outcome = {"done": operation.done, "nothing": operation.nothing_to_do}.get(outcome, outcome)
    by_other = settlement.ADDED_BY_OTHER if operation.adds else settlement.REMOVED_BY_OTHER
    return outcome, by_other if reason == "by_other" else reason, evidence


WALKS = [
    pytest.param(line, operation, id=f"{operation.name}: {line.name}")
    for operation in (REMOVE_LEADER, ADD_LEADER)
    for line in LINES
    if line.only in (None, operation)
]


@pytest.mark.parametrize(("line", "operation"), WALKS)
async def test_a_line_of_the_table(tmp_path: Path, line: Line, operation: Operation) -> None:
    """The row has the outcome, the reason and the evidence of its line, in as many calls as that takes."""
    result, changes = await walk(line, operation, tmp_path / "ledger")
    assert (result.outcome, result.reason, result.evidence) == in_words_of(operation, line.expected)
    assert line.calls is None or changes == line.calls


async def test_what_was_certainly_not_carried_out_is_failed(tmp_path: Path) -> None:
    """No connection for any attempt: failed, without evidence, because nothing was sent."""
    async with Sandbox(leader_world([(ROOM, USER)])) as sandbox:
        url = sandbox.url
    told = await run_pairs(url, [(ROOM, USER)], tmp_path / "ledger", UNREAD)
    (result,) = told.results
    assert (result.outcome, result.reason, result.evidence) == (Outcome.FAILED, "connect_failed", "")


async def test_every_line_of_the_code_is_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines above reach each line of the table in the code, except the one for calls that never left."""
    cases: list[Case] = []

    def settle(case: Case) -> Settlement:
        cases.append(case)
        return settlement.settle(case)

    monkeypatch.setattr(row_processor, "settle", settle)
    monkeypatch.setattr(doubt_settlement, "settle", settle)
    for number, line in enumerate(LINES):
        await walk(line, REMOVE_LEADER, tmp_path / f"ledger-{number}")
    walked = {next(rule for rule in TABLE if settlement._matches(rule, case)) for case in cases}
    never_sent = settlement.Settlement(settlement.Verdict.FAILED, None, None)
    assert [rule for rule in TABLE if rule not in walked] == [rule for rule in TABLE if rule.settlement == never_sent]
