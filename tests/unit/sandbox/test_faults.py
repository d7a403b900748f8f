"""The fault plan: which calls get a fault."""

import pytest

from rolecall.sandbox import EVERY_ROUTE, Fault, FaultMatch, FaultPlan, Kind
from rolecall.sandbox.faults import ALWAYS_ACT, MAY_ACT
from rolecall.sandbox.response_faults import RESPONSE_FAULTS

REMOVE = "groups.removeLeader"


def matched_kinds(plan: FaultPlan, *calls: tuple[str, str, str]) -> list[str | None]:
    """Return the kind of fault of each call, None for a call without a fault."""
    faults = [plan.match(*call) for call in calls]
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
def test_a_fault_applies_to_the_calls_that_it_matches(when: FaultMatch, hits: list[str]) -> None:
    """Room, user, route, nth and chance each restrict the calls that get the fault."""
    plan = FaultPlan([Fault(Kind.HANG_BEFORE, when)])
    rows = [("r1", "u1"), ("r1", "u2"), ("r2", "u1")]
    assert [f"{room}/{user}" for room, user in rows if plan.match(REMOVE, room, user)] == hits


def test_without_a_route_only_role_changes_get_the_fault() -> None:
    """Other calls get a fault only if the fault names their route."""
    plan = FaultPlan([Fault(Kind.HANG_BEFORE)])
    assert matched_kinds(plan, ("me", "", ""), ("groups.counters", "r1", ""), ("channels.addOwner", "r1", "u1")) == [
        None,
        None,
        "hang_before",
    ]


@pytest.mark.parametrize(("times", "count"), [(1, 1), (2, 2), (None, 4)])
def test_times_are_counted_for_each_row(times: int | None, count: int) -> None:
    """A fault that is used up for one row still applies to the next one."""
    plan = FaultPlan([Fault(Kind.DROP_AFTER, times=times)])
    for row in (("r1", "u1"), ("r1", "u2")):
        assert sum(plan.match(REMOVE, *row) is not None for _ in range(4)) == count


def test_faults_apply_in_their_order() -> None:
    """After the first fault is used up for a row, its next attempt gets the second one."""
    plan = FaultPlan([Fault(Kind.RESET_BEFORE), Fault(Kind.STATUS)])
    assert matched_kinds(plan, *[(REMOVE, "r1", "u1")] * 3) == ["reset_before", "status", None]


def test_chance_depends_on_seed_row_and_attempt_not_on_the_order_of_arrival() -> None:
    """The same seed selects the same attempts in any order of rows; another seed selects others."""
    rows = [(REMOVE, f"r{n}", "u") for n in range(200)]
    fault = Fault(Kind.DROP_AFTER, FaultMatch(chance=0.5), times=None)
    first, second, other = (FaultPlan([fault], seed) for seed in (7, 7, 8))
    forwards = dict(zip(rows, matched_kinds(first, *rows), strict=True))
    backwards = dict(zip(rows[::-1], matched_kinds(second, *rows[::-1]), strict=True))
    assert forwards == backwards
    assert forwards != dict(zip(rows, matched_kinds(other, *rows), strict=True))
    assert 60 < sum(kind is not None for kind in forwards.values()) < 140


def test_a_cleared_plan_has_no_faults_and_counts_from_zero() -> None:
    """Clearing removes the faults and resets their counters."""
    plan = FaultPlan([Fault(Kind.DROP_AFTER)])
    assert matched_kinds(plan, (REMOVE, "r", "u")) == ["drop_after"]
    plan.clear()
    assert matched_kinds(plan, (REMOVE, "r", "u")) == [None]
    plan.add(Fault(Kind.DROP_AFTER))
    assert matched_kinds(plan, (REMOVE, "r", "u")) == ["drop_after"]


@pytest.mark.parametrize("kind", sorted(set(Kind) - MAY_ACT))
def test_act_is_rejected_if_the_kind_decides_it(kind: Kind) -> None:
    """A fault whose `act` contradicts its kind raises ValueError."""
    with pytest.raises(ValueError, match="part of its kind"):
        Fault(kind, act=True)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_complete(kind: Kind) -> None:
    """Each kind has a response fault, and acts always, on demand or never."""
    assert kind in RESPONSE_FAULTS
    assert Fault(kind).acts is (kind in ALWAYS_ACT)
    assert not (kind in ALWAYS_ACT and kind in MAY_ACT)
