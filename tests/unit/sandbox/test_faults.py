"""Which calls the plan spoils."""

import pytest

from rolecall.sandbox import EVERY_ROUTE, Fault, FaultMatch, FaultPlan, Kind
from rolecall.sandbox.faults import ALWAYS_ACT, MAY_ACT
from rolecall.sandbox.response_faults import DISTORTIONS

REMOVE = "groups.removeLeader"


def strikes(plan: FaultPlan, *calls: tuple[str, str, str]) -> list[str | None]:
    """Return the kind of fault that each call meets."""
    faults = [plan.strike(*call) for call in calls]
    return [fault.kind.value if fault else None for fault in faults]


@pytest.mark.parametrize(
    ("when", "hits"),
    [
        (FaultMatch(), ["r1/u1", "r1/u2", "r2/u1"]),
        (FaultMatch(room="r1"), ["r1/u1", "r1/u2"]),
        (FaultMatch(user="u1"), ["r1/u1", "r2/u1"]),
        (FaultMatch(room="r1", user="u2"), ["r1/u2"]),
        (FaultMatch(nth=2), ["r1/u2"]),
        (FaultMatch(user="u1", nth=2), ["r2/u1"]),
        (FaultMatch(chance=0.0), []),
        (FaultMatch(route="groups.addLeader"), []),
        (FaultMatch(route=EVERY_ROUTE), ["r1/u1", "r1/u2", "r2/u1"]),
    ],
)
def test_a_fault_strikes_the_calls_it_is_for(when: FaultMatch, hits: list[str]) -> None:
    """Room, user, route, turn and chance each narrow the calls that a fault spoils."""
    plan = FaultPlan([Fault(Kind.HANG_BEFORE, when)])
    rows = [("r1", "u1"), ("r1", "u2"), ("r2", "u1")]
    assert [f"{room}/{user}" for room, user in rows if plan.strike(REMOVE, room, user)] == hits


def test_without_a_route_only_role_changes_are_spoiled() -> None:
    """A preflight is left alone unless a fault asks for it."""
    plan = FaultPlan([Fault(Kind.HANG_BEFORE)])
    assert strikes(plan, ("me", "", ""), ("groups.counters", "r1", ""), ("channels.addOwner", "r1", "u1")) == [
        None,
        None,
        "hang_before",
    ]


@pytest.mark.parametrize(("times", "struck"), [(1, 1), (2, 2), (None, 4)])
def test_times_are_counted_for_each_row(times: int | None, struck: int) -> None:
    """A fault that is used up for one row still waits for the next."""
    plan = FaultPlan([Fault(Kind.DROP_AFTER, times=times)])
    for row in (("r1", "u1"), ("r1", "u2")):
        assert sum(plan.strike(REMOVE, *row) is not None for _ in range(4)) == struck


def test_faults_follow_each_other_in_their_order() -> None:
    """Once the first fault is used up for a row, its next attempt meets the second."""
    plan = FaultPlan([Fault(Kind.RESET_BEFORE), Fault(Kind.STATUS)])
    assert strikes(plan, *[(REMOVE, "r1", "u1")] * 3) == ["reset_before", "status", None]


def test_chance_depends_on_seed_row_and_attempt_not_on_the_order_of_arrival() -> None:
    """The same seed spoils the same attempts, whichever row comes first; another seed others."""
    rows = [(REMOVE, f"r{n}", "u") for n in range(200)]
    fault = Fault(Kind.DROP_AFTER, FaultMatch(chance=0.5), times=None)
    first, second, other = (FaultPlan([fault], seed) for seed in (7, 7, 8))
    forwards = dict(zip(rows, strikes(first, *rows), strict=True))
    backwards = dict(zip(rows[::-1], strikes(second, *rows[::-1]), strict=True))
    assert forwards == backwards
    assert forwards != dict(zip(rows, strikes(other, *rows), strict=True))
    assert 60 < sum(kind is not None for kind in forwards.values()) < 140


def test_a_cleared_plan_is_honest_and_counts_anew() -> None:
    """Clearing forgets the faults and how often they struck."""
    plan = FaultPlan([Fault(Kind.DROP_AFTER)])
    assert strikes(plan, (REMOVE, "r", "u")) == ["drop_after"]
    plan.clear()
    assert strikes(plan, (REMOVE, "r", "u")) == [None]
    plan.add(Fault(Kind.DROP_AFTER))
    assert strikes(plan, (REMOVE, "r", "u")) == ["drop_after"]


@pytest.mark.parametrize("kind", sorted(set(Kind) - MAY_ACT))
def test_act_is_refused_where_the_kind_decides_it(kind: Kind) -> None:
    """A fault that says the opposite of its kind cannot be made."""
    with pytest.raises(ValueError, match="part of its kind"):
        Fault(kind, act=True)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_accounted_for(kind: Kind) -> None:
    """Each kind has an answer of its own, and acts always, on demand or never."""
    assert kind in DISTORTIONS
    assert Fault(kind).acts is (kind in ALWAYS_ACT)
    assert not (kind in ALWAYS_ACT and kind in MAY_ACT)
