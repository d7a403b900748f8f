"""The fixed windows of the rate limiter, at given times."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.sandbox import Limiter

CALLS, SECONDS = 3, 60.0


def allowed_times(limiter: Limiter, times: list[float]) -> list[float]:
    """Return the times of the allowed calls."""
    return [now for now in times if limiter.acquire("10.0.0.1", "groups.removeLeader", now).allowed]


gaps = st.lists(st.floats(min_value=0, max_value=90, allow_nan=False), max_size=60)


def arrivals(gaps: list[float]) -> list[float]:
    """Return the times of calls with these gaps between them."""
    now, times = 1000.0, []
    for gap in gaps:
        now += gap
        times.append(now)
    return times


@given(gaps)
def test_a_window_never_allows_more_than_its_limit(gaps: list[float]) -> None:
    """For any arrival times, each window has at most the allowed number of calls and its full length."""
    starts: list[float] = []
    counts: dict[float, int] = {}
    limiter = Limiter(CALLS, SECONDS)
    for now in arrivals(gaps):
        decision = limiter.acquire("10.0.0.1", "groups.removeLeader", now)
        counts[decision.reset] = counts.get(decision.reset, 0) + decision.allowed
        if decision.reset - SECONDS not in starts:
            starts.append(decision.reset - SECONDS)
    assert all(count <= CALLS for count in counts.values())
    assert all(later - earlier >= SECONDS * 0.999999 for earlier, later in pairwise(starts))


@given(gaps)
def test_rejected_calls_do_not_extend_the_window(gaps: list[float]) -> None:
    """Without the rejected calls, the same calls are allowed."""
    allowed = allowed_times(Limiter(CALLS, SECONDS), arrivals(gaps))
    assert allowed_times(Limiter(CALLS, SECONDS), allowed) == allowed


def test_a_window_starts_with_the_first_call_after_the_previous_one() -> None:
    """A window starts with a call, not at the end of the previous window."""
    limiter = Limiter(1, 60.0)
    assert limiter.acquire("a", "me", 100.0).reset == 160.0
    assert limiter.acquire("a", "me", 159.9).allowed is False
    assert limiter.acquire("a", "me", 200.0) == (True, 1, 0, 260.0, 60.0)


def test_remaining_counts_down_to_zero_and_stays() -> None:
    """Remaining is the number of calls left and is never negative."""
    limiter = Limiter(2, 60.0)
    assert [limiter.acquire("a", "me", 0.0).remaining for _ in range(4)] == [1, 0, 0, 0]


@pytest.mark.parametrize("other", [("b", "me"), ("a", "groups.roles")])
def test_each_address_and_each_route_has_its_own_window(other: tuple[str, str]) -> None:
    """A full window of one pair does not change the limit of another pair."""
    limiter = Limiter(1, 60.0)
    limiter.acquire("a", "me", 0.0)
    assert limiter.acquire("a", "me", 1.0).allowed is False
    assert limiter.acquire(*other, 1.0).allowed is True


def test_instances_count_separately_in_round_robin() -> None:
    """Two servers behind a load balancer allow twice the limit, and their headers alternate."""
    limiter = Limiter(2, 60.0, instances=2)
    decisions = [limiter.acquire("a", "me", float(now)) for now in range(6)]
    assert [decision.remaining for decision in decisions] == [1, 1, 0, 0, 0, 0]
    assert [decision.reset for decision in decisions] == [60.0, 61.0] * 3
    assert [decision.allowed for decision in decisions] == [True] * 4 + [False] * 2
