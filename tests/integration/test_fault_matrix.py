"""Every fault x (leader, not leader, refused) x (first attempt, every attempt): told truly, by the server's record.

The sandbox's own record says what was carried out; what the worker says is held against it.
"""

from enum import Enum
from pathlib import Path
from typing import NamedTuple

import pytest

from rolecall.engine.stop_signal import StopReason
from rolecall.models import Outcome
from rolecall.sandbox import Fault, FaultMatch, Kind, Limiter, Nonsense, Sandbox, World, leader_world
from rolecall.sandbox.faults import MAY_ACT
from tests.support.engine import run_pairs

ROOM, USER = "room", "user"


class Who(Enum):
    """What the row's user is, in truth."""

    LEADER = "leader"
    NOT_LEADER = "not leader"
    REFUSED = "refused"


class Trust(Enum):
    """What a worker can conclude from the spoiled answer."""

    WHOLE = "the answer is as good as ever"
    NOT_DONE = "certainly not carried out; another attempt is due"
    LOST = "nobody can know; another attempt settles it"
    LIMITED = "rate limited: never a row's failure"
    STOPS = "the credentials are dead"


class Case(NamedTuple):
    """A fault, and what can be concluded from it."""

    fault: Fault
    trust: Trust


def spoiled(kind: Kind, trust: Trust, **how: object) -> Case:
    """Make a case."""
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
    "redirect": spoiled(Kind.REDIRECT, Trust.NOT_DONE),
    "no errorType": spoiled(Kind.NO_ERROR_TYPE, Trust.WHOLE),
    "429": spoiled(Kind.TOO_MANY, Trust.LIMITED),
    "429 of a proxy": spoiled(Kind.TOO_MANY, Trust.LIMITED, html=True, retry_after="0"),
    "429 as a 400": spoiled(Kind.OLD_TOO_MANY, Trust.LIMITED),
    "revoked": spoiled(Kind.REVOKE, Trust.STOPS),
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
}

ORDINARY = {
    Who.LEADER: (Outcome.REMOVED, ""),
    Who.NOT_LEADER: (Outcome.NOT_LEADER, ""),
    Who.REFUSED: (Outcome.FAILED, "user_not_in_room"),
}


def make_world(who: Who) -> World:
    """Make a workspace in which the row's user is what the case says."""
    world = leader_world([(ROOM, USER)], roles=("user",))
    if who is Who.NOT_LEADER:
        world.join(ROOM, USER, ())
    elif who is Who.REFUSED:
        del world.rooms[ROOM].members[USER]
    return world


def expected_after_first(case: Case, who: Who, *, acted: bool) -> tuple[Outcome, str]:
    """Say what must be told when only the first attempt was spoiled."""
    if case.trust is Trust.LOST and who is not Who.REFUSED and (acted or who is Who.NOT_LEADER):
        return Outcome.REMOVED, "confirmed_on_retry"  # for one who led nothing it is an inference, and said so
    return ORDINARY[who]


def assert_true(world: World, outcome: Outcome) -> None:
    """Hold what is told against what the server did."""
    removals, leads = world.removals(ROOM, USER), world.is_leader(ROOM, USER)
    if outcome is Outcome.REMOVED:
        assert not leads
    if outcome in (Outcome.NOT_LEADER, Outcome.FAILED, Outcome.NOT_ATTEMPTED):
        assert removals == 0
    assert removals <= 1


@pytest.mark.parametrize("who", Who)
@pytest.mark.parametrize("name", CASES)
async def test_a_spoiled_first_attempt(tmp_path: Path, name: str, who: Who) -> None:
    """One spoiled answer changes nothing about the truth of what is told, and costs one call more at most."""
    case, world = CASES[name], make_world(who)
    async with Sandbox(world, faults=[case.fault], limiter=Limiter(1000, 1.0)) as sandbox:
        told = await run_pairs(sandbox.url, [(ROOM, USER)], tmp_path / "ledger")
    (result,) = told.results
    calls = world.calls_for(ROOM, USER)
    assert_true(world, result.outcome)
    if case.trust is Trust.STOPS:
        assert (told.stop, result.outcome) == (StopReason.CREDENTIALS, Outcome.NOT_ATTEMPTED)
        return
    acted = who is Who.LEADER and calls[0].carried_out
    assert (result.outcome, result.reason) == expected_after_first(case, who, acted=acted)
    assert told.stop is None
    assert len(calls) == (1 if case.trust is Trust.WHOLE else 2)
    assert result.attempts == (2 if case.trust in (Trust.LOST, Trust.NOT_DONE) else 1)


@pytest.mark.parametrize("who", Who)
@pytest.mark.parametrize("name", CASES)
async def test_every_attempt_spoiled(tmp_path: Path, name: str, who: Who) -> None:
    """Where no answer can be trusted the row is `unknown`, or `failed` if none can have been carried out."""
    case, world = CASES[name], make_world(who)
    fault = Fault(**{**{field: getattr(case.fault, field) for field in Fault.__slots__}, "times": None})
    async with Sandbox(world, faults=[fault], limiter=Limiter(1000, 1.0)) as sandbox:
        told = await run_pairs(sandbox.url, [(ROOM, USER)], tmp_path / "ledger")
    (result,) = told.results
    assert_true(world, result.outcome)
    match case.trust:
        case Trust.WHOLE:
            assert (result.outcome, result.reason) == ORDINARY[who]
        case Trust.LOST:
            assert result.outcome is Outcome.UNKNOWN
            assert result.reason != ""
        case Trust.NOT_DONE:
            assert result.outcome is Outcome.FAILED
        case Trust.LIMITED:
            assert (told.stop, result.outcome) == (StopReason.OUTAGE, Outcome.NOT_ATTEMPTED)
        case Trust.STOPS:
            assert (told.stop, result.outcome) == (StopReason.CREDENTIALS, Outcome.NOT_ATTEMPTED)


@pytest.mark.parametrize("who", Who)
@pytest.mark.parametrize("times", [1, None], ids=["first", "every"])
async def test_an_unheard_of_error_type(tmp_path: Path, who: Who, times: int | None) -> None:
    """A refusal that nobody has heard of is `failed` with the server's words, never a success, never retried."""
    world = make_world(who)
    async with Sandbox(world, faults=[Fault(Kind.UNKNOWN_ERROR_TYPE, times=times)]) as sandbox:
        told = await run_pairs(sandbox.url, [(ROOM, USER)], tmp_path / "ledger")
    (result,) = told.results
    assert_true(world, result.outcome)
    assert len(world.calls_for(ROOM, USER)) == 1
    if who is Who.LEADER:
        assert result.outcome is Outcome.REMOVED
    else:
        assert (result.outcome, result.reason) == (Outcome.FAILED, "refused")
        assert result.error_type
        assert result.message
