"""Every fault x every kind of user x every way to read x (first attempt, every attempt): the promise holds.

The sandbox's own record says who had the role and who took it; the outcome of the row is compared with it.
"""

from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import pytest

from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopReason
from rolecall.models import Evidence, Outcome, Result
from rolecall.sandbox import Fault, FaultMatch, Kind, Limiter, Nonsense, Sandbox, World, leader_world
from rolecall.sandbox.faults import MAY_ACT
from tests.support.engine import QUICK, Told, run_pairs
from tests.support.truth import changing_calls, is_true

ROOM, USER, OTHER = "room", "user", "other"


class Who(Enum):
    """What the row's user is, before the run."""

    LEADER = "leader"
    MEMBER = "member without roles"
    FORMER = "former leader"
    STRANGER = "not a member"
    NONESUCH = "no such user"


class Reads(Enum):
    """What the run may read before and after its calls."""

    ALL = "roles and messages"
    ROLES = "no messages"
    MESSAGES = "no roles"
    NOTHING = "nothing"

    @property
    def settings(self) -> Settings:
        """The settings of such a run."""
        return replace(
            QUICK,
            read_roles=self in (Reads.ALL, Reads.ROLES),
            message_evidence=self in (Reads.ALL, Reads.MESSAGES),
        )


class Trust(Enum):
    """What a spoiled response proves."""

    WHOLE = "as much as a normal response"
    LOST = "nothing: the row is in doubt"
    LIMITED = "that the server limits the rate: never a row's failure"
    STOPS = "that the credentials are not valid any more"


class Case(NamedTuple):
    """A fault, and what its response proves."""

    fault: Fault
    trust: Trust


def spoiled(kind: Kind, trust: Trust, **how: object) -> Case:
    """Return a case."""
    return Case(Fault(kind, FaultMatch(room=ROOM), **how), trust)  # type: ignore[arg-type]  # the names are Fault's own


CASES = {
    "reset before": spoiled(Kind.RESET_BEFORE, Trust.LOST),
    "answer dropped": spoiled(Kind.DROP_AFTER, Trust.LOST),
    "silent before": spoiled(Kind.HANG_BEFORE, Trust.LOST),
    "silent after": spoiled(Kind.HANG_AFTER, Trust.LOST),
    "slow": spoiled(Kind.SLOW, Trust.WHOLE, seconds=0.02),
    "body cut": spoiled(Kind.TRUNCATED, Trust.LOST),
    "Content-Length too short": spoiled(Kind.WRONG_LENGTH, Trust.LOST),
    "login page": spoiled(Kind.HTML_200, Trust.LOST),
    "no errorType": spoiled(Kind.NO_ERROR_TYPE, Trust.WHOLE),
    "repeated by a proxy": spoiled(Kind.REPEATED, Trust.WHOLE),
    "429": spoiled(Kind.TOO_MANY, Trust.LIMITED),
    "429 of a proxy": spoiled(Kind.TOO_MANY, Trust.LIMITED, html=True, retry_after="0"),
    "429 as a 400": spoiled(Kind.OLD_TOO_MANY, Trust.LIMITED),
    "revoked": spoiled(Kind.REVOKE, Trust.STOPS),
    **{f"exception after {writes} writes": spoiled(Kind.EXCEPTION, Trust.LOST, writes=writes) for writes in range(5)},
    **{f"nonsense {kind.value}": spoiled(Kind.NONSENSE_HEADERS, Trust.WHOLE, nonsense=kind) for kind in Nonsense},
    **{
        f"{kind.value} {'after' if act else 'before'}": spoiled(kind, Trust.LOST, act=act, seconds=0.01)
        for kind in sorted(MAY_ACT - {Kind.STATUS})
        for act in (False, True)
    },
    **{
        f"{status} {'html' if html else 'json'} {'after' if act else 'before'}": spoiled(
            Kind.STATUS, Trust.LOST, status=status, html=html, act=act
        )
        for status in (500, 502, 503, 504, 520, 522, 527)
        for html in (False, True)
        for act in (False, True)
    },
    **{
        f"firewall {status} {'after' if act else 'before'}": spoiled(
            Kind.STATUS, Trust.LOST, status=status, html=True, act=act
        )
        for status in (400, 401, 403, 404)
        for act in (False, True)
    },
    "5xx that quotes the error type": spoiled(
        Kind.STATUS, Trust.LOST, status=500, act=True, text="[error-user-not-leader]"
    ),
}

ONLY_4XX = ("exception", "firewall")
"""The cases whose responses are all of the status 4xx."""

UNSENT = {
    Who.MEMBER: (Outcome.NOT_LEADER, "not_needed"),
    Who.FORMER: (Outcome.NOT_LEADER, "not_needed"),
    Who.STRANGER: (Outcome.FAILED, "user_not_in_room"),
    Who.NONESUCH: (Outcome.FAILED, "user_not_found"),
}
"""The outcome of a row that is not sent, because the roles were read before."""

UNREAD = {
    Who.MEMBER: (Outcome.REMOVED, ""),  # the server removes from such a member as often as it is called
    Who.FORMER: (Outcome.NOT_LEADER, ""),
    Who.STRANGER: (Outcome.FAILED, "user_not_in_room"),
    Who.NONESUCH: (Outcome.FAILED, "user_not_found"),
}
"""The outcome of a row without a fault where the roles were not read."""

every_user = pytest.mark.parametrize("who", Who)
every_case = pytest.mark.parametrize("name", CASES)
every_row_that_is_sent = pytest.mark.parametrize(
    ("who", "reads"),
    [(Who.LEADER, reads) for reads in Reads] + [(who, Reads.MESSAGES) for who in UNSENT],
)


def make_world(who: Who) -> World:
    """Return a workspace in which the row's user is what the case says; another member leads too."""
    members: dict[Who, tuple[str, ...] | None] = {Who.LEADER: ("leader",), Who.MEMBER: None, Who.FORMER: ()}
    world = leader_world([(ROOM, OTHER)], roles=("user",))
    if who is not Who.NONESUCH:
        world.add_user(USER)
    if who in members:
        world.join(ROOM, USER, members[who])
    world.grant("view-other-user-channels", "user")
    return world


async def run_row(world: World, fault: Fault, reads: Reads, path: Path) -> tuple[Result, Told]:
    """Run the row against a fault; its outcome keeps the promise, and no other user loses the role."""
    async with Sandbox(world, faults=[fault], limiter=Limiter(1000, 1.0)) as sandbox:
        told = await run_pairs(sandbox.url, [(ROOM, USER)], path, reads.settings)
    (result,) = told.results
    assert is_true(world, result), (result, world.record.role_writes)
    assert world.is_leader(ROOM, OTHER)
    if result.outcome is Outcome.REMOVED and USER in world.rooms[ROOM].members:
        assert not world.is_leader(ROOM, USER)
    return result, told


def trust_in(case: Case, who: Who) -> Trust:
    """Return what the response proves: a call that is refused does not come to an exception."""
    is_refused = who not in (Who.LEADER, Who.MEMBER)
    return Trust.WHOLE if is_refused and case.fault.kind is Kind.EXCEPTION else case.trust


@every_row_that_is_sent
@every_case
async def test_a_spoiled_first_attempt(tmp_path: Path, name: str, reads: Reads, who: Who) -> None:
    """One spoiled response changes nothing about the outcome where the roles were read, and costs one call at most."""
    case, world = CASES[name], make_world(who)
    result, told = await run_row(world, case.fault, reads, tmp_path / "ledger")
    trust = trust_in(case, who)
    if trust is Trust.STOPS:
        assert (told.stop, result.outcome) == (StopReason.CREDENTIALS, Outcome.NOT_ATTEMPTED)
        return
    assert told.stop is None
    assert len(changing_calls(world)) == (1 if trust is Trust.WHOLE else 2)
    assert result.attempts == (2 if trust is Trust.LOST else 1)
    if who is Who.LEADER:
        expect_leader_removed(case, reads, result)
    elif trust is Trust.LOST and who in (Who.STRANGER, Who.NONESUCH):
        assert (result.outcome, result.reason) == (Outcome.UNKNOWN, UNREAD[who][1])
    elif trust is Trust.LOST and who is Who.FORMER:
        assert (result.outcome, result.reason) == (Outcome.REMOVED, "confirmed_on_retry")
        assert result.evidence == Evidence.INFERRED
    else:
        assert (result.outcome, result.reason) == UNREAD[who]


def expect_leader_removed(case: Case, reads: Reads, result: Result) -> None:
    """Check the outcome of a leader after one spoiled response: removed, on the best evidence that could be read."""
    if case.fault.kind is Kind.REPEATED and reads is not Reads.ALL:
        assert result.outcome is Outcome.NOT_LEADER
        assert result.evidence == Evidence.INFERRED
        return
    assert result.outcome is Outcome.REMOVED
    if not reads.settings.read_roles:
        assert result.evidence in (Evidence.MESSAGE, Evidence.INFERRED)
    elif reads is Reads.ROLES:
        assert result.evidence in (Evidence.RESPONSE, Evidence.ROLES)
    else:  # an exception before the message leaves only the roles
        may_lack_message = case.fault.kind is Kind.EXCEPTION and case.fault.writes < 3
        assert result.evidence in {Evidence.RESPONSE, Evidence.ROLES if may_lack_message else Evidence.MESSAGE}


@every_row_that_is_sent
@every_case
async def test_every_attempt_spoiled(tmp_path: Path, name: str, reads: Reads, who: Who) -> None:
    """Where every response is spoiled the roles and messages still settle the row, or it is `unknown`."""
    case, world = CASES[name], make_world(who)
    result, told = await run_row(world, replace(case.fault, times=None), reads, tmp_path / "ledger")
    match trust_in(case, who):
        case Trust.LOST if told.stop is None:
            expect_doubt_settled(name, world, reads, result)
        case Trust.LOST:  # nothing but timeouts is an outage
            assert (told.stop, result.outcome) == (StopReason.OUTAGE, Outcome.UNKNOWN)
        case Trust.LIMITED:
            assert (told.stop, result.outcome) == (StopReason.OUTAGE, Outcome.NOT_ATTEMPTED)
        case Trust.STOPS:
            assert (told.stop, result.outcome) == (StopReason.CREDENTIALS, Outcome.NOT_ATTEMPTED)
        case Trust.WHOLE if who is Who.LEADER:
            expect_leader_removed(case, reads, result)
        case Trust.WHOLE:
            assert result.outcome is UNREAD[who][0]


def expect_doubt_settled(name: str, world: World, reads: Reads, result: Result) -> None:
    """Check the outcome of a row in doubt without an attempt left: by the roles if they were read, else `unknown`."""
    took = bool(world.removers(ROOM, USER))
    if reads.settings.read_roles and took:
        assert result.outcome is Outcome.REMOVED
    elif reads.settings.read_roles and name.startswith(ONLY_4XX):
        assert result.outcome is Outcome.FAILED
    else:
        assert result.outcome in (Outcome.UNKNOWN, Outcome.REMOVED)
        assert result.outcome is Outcome.UNKNOWN or result.evidence in (Evidence.MESSAGE, Evidence.INFERRED)
        assert result.outcome is Outcome.REMOVED or result.reason != ""


@pytest.mark.parametrize("reads", [Reads.ALL, Reads.ROLES])
@pytest.mark.parametrize("who", UNSENT)
async def test_who_has_no_role_is_not_sent(tmp_path: Path, who: Who, reads: Reads) -> None:
    """Where the roles were read, nothing is sent for a user without the role, so no fault can spoil the outcome."""
    world = make_world(who)
    result, _ = await run_row(world, Fault(Kind.DROP_AFTER, times=None), reads, tmp_path / "ledger")
    assert (result.outcome, result.reason, result.evidence) == (*UNSENT[who], "")
    assert len(changing_calls(world)) == 0


PATIENT = replace(QUICK, outage_timeout=20.0)
COMPANION = "companion"
READS = [
    *((route, who, 0) for route in ("groups.roles", "roles.list") for who in (Who.LEADER, Who.MEMBER, Who.STRANGER)),
    *(("users.info", who, 0) for who in (Who.MEMBER, Who.STRANGER)),
    *(("groups.members", who, 1) for who in (Who.MEMBER, Who.STRANGER)),
    ("chat.syncMessages", Who.LEADER, 0),
]
"""Routes, whose reading calls them, and how many members without roles the job needs beside that user."""
READING_CASES = {case.fault.kind: case for case in CASES.values() if case.trust in (Trust.LOST, Trust.WHOLE)}
"""One case of each kind of fault."""


@pytest.mark.parametrize("times", [1, None], ids=["first", "every"])
@pytest.mark.parametrize(("route", "who", "companions"), READS)
@pytest.mark.parametrize("kind", READING_CASES)
async def test_a_spoiled_reading(
    tmp_path: Path, kind: Kind, route: str, who: Who, companions: int, times: int | None
) -> None:
    """Spoiled readings never stop a run and never lead to a false outcome; neither do readings in doubt."""
    world = make_world(who)
    pairs = [(ROOM, USER), *((ROOM, f"{COMPANION}{number}") for number in range(companions))]
    for _, user in pairs[1:]:
        world.add_user(user)
        world.join(ROOM, user, None)
    reading = replace(READING_CASES[kind].fault, when=FaultMatch(route=route), times=times)
    lost = Fault(Kind.DROP_AFTER, FaultMatch(room=ROOM))
    async with Sandbox(world, faults=[reading, lost]) as sandbox:
        told = await run_pairs(sandbox.url, pairs, tmp_path / "ledger", PATIENT)
    assert any(call.route == route and call.fault == kind for call in world.calls), "nothing was spoiled"
    assert told.stop is None
    assert len(told.results) == len(pairs)
    for result in told.results:
        assert is_true(world, result), (result, world.record.role_writes)
        assert result.outcome is not Outcome.NOT_ATTEMPTED
    if who is Who.LEADER:
        assert told.results[0].outcome is Outcome.REMOVED


@every_user
@pytest.mark.parametrize("times", [1, None], ids=["first", "every"])
async def test_an_unknown_error_type(tmp_path: Path, who: Who, times: int | None) -> None:
    """An error type that is not in the table leaves a doubt: it is retried, and never a refusal or a success."""
    world = make_world(who)
    result, _ = await run_row(world, Fault(Kind.UNKNOWN_ERROR_TYPE, times=times), Reads.MESSAGES, tmp_path / "ledger")
    if who in (Who.LEADER, Who.MEMBER):  # the server does not refuse: there is no error type to replace
        assert result.outcome is Outcome.REMOVED
    elif times is None:
        assert result.outcome is Outcome.UNKNOWN
        assert result.error_type
        assert result.message
    else:
        assert result.attempts == len(changing_calls(world)) == 2
        expected = (Outcome.REMOVED, "confirmed_on_retry") if who is Who.FORMER else (Outcome.UNKNOWN, UNREAD[who][1])
        assert (result.outcome, result.reason) == expected
