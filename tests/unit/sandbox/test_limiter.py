"""The fixed window, without a clock of its own."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.sandbox import Limiter

CALLS, SECONDS = 3, 60.0


def allowed_times(limiter: Limiter, times: list[float]) -> list[float]:
    """Return the times of the calls that were let through."""
    return [now for now in times if limiter.take("10.0.0.1", "groups.removeLeader", now).allowed]


gaps = st.lists(st.floats(min_value=0, max_value=90, allow_nan=False), max_size=60)


def arrivals(gaps: list[float]) -> list[float]:
    """Return the times of calls that follow each other at these gaps."""
    now, times = 1000.0, []
    for gap in gaps:
        now += gap
        times.append(now)
    return times


@given(gaps)
def test_a_window_never_carries_more_than_its_limit(gaps: list[float]) -> None:
    """However calls arrive, those let through fall into windows of at most the limit, each a full window long."""
    starts: list[float] = []
    carried: dict[float, int] = {}
    limiter = Limiter(CALLS, SECONDS)
    for now in arrivals(gaps):
        ruling = limiter.take("10.0.0.1", "groups.removeLeader", now)
        carried[ruling.reset] = carried.get(ruling.reset, 0) + ruling.allowed
        if ruling.reset - SECONDS not in starts:
            starts.append(ruling.reset - SECONDS)
    assert all(count <= CALLS for count in carried.values())
    assert all(later - earlier >= SECONDS * 0.999999 for earlier, later in pairwise(starts))


@given(gaps)
def test_refused_calls_do_not_lengthen_the_window(gaps: list[float]) -> None:
    """Taking the refused calls away changes nothing for those that were let through."""
    with_refused = allowed_times(Limiter(CALLS, SECONDS), arrivals(gaps))
    assert allowed_times(Limiter(CALLS, SECONDS), with_refused) == with_refused


def test_a_window_starts_with_the_first_call_after_the_old_one() -> None:
    """A window begins when somebody calls, not when the old one ends."""
    limiter = Limiter(1, 60.0)
    assert limiter.take("a", "me", 100.0).reset == 160.0
    assert limiter.take("a", "me", 159.9).allowed is False
    assert limiter.take("a", "me", 200.0) == (True, 1, 0, 260.0, 60.0)


def test_remaining_counts_down_to_zero_and_stays() -> None:
    """Remaining tells the calls left and is never negative."""
    limiter = Limiter(2, 60.0)
    assert [limiter.take("a", "me", 0.0).remaining for _ in range(4)] == [1, 0, 0, 0]


@pytest.mark.parametrize("other", [("b", "me"), ("a", "groups.roles")])
def test_each_address_and_each_route_has_its_own_window(other: tuple[str, str]) -> None:
    """A full window of one pair leaves every other pair its whole limit."""
    limiter = Limiter(1, 60.0)
    limiter.take("a", "me", 0.0)
    assert limiter.take("a", "me", 1.0).allowed is False
    assert limiter.take(*other, 1.0).allowed is True


def test_instances_count_separately_and_take_turns() -> None:
    """Two servers behind a balancer let twice the limit through, and their headers jump."""
    limiter = Limiter(2, 60.0, instances=2)
    rulings = [limiter.take("a", "me", float(now)) for now in range(6)]
    assert [ruling.remaining for ruling in rulings] == [1, 1, 0, 0, 0, 0]
    assert [ruling.reset for ruling in rulings] == [60.0, 61.0] * 3
    assert [ruling.allowed for ruling in rulings] == [True] * 4 + [False] * 2
