"""What is counted while the rows pass by."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.display.html_report.run_stats import MOST_ROOMS, needs_no_attention, quantile, rounded
from rolecall.models import Outcome
from tests.unit.display.html_report.making import START, result, tallied

RESULTS = st.lists(
    st.builds(
        lambda number, outcome, duration: result(number, outcome, "why", duration_ms=duration),
        st.integers(0, 100_000),
        st.sampled_from(list(Outcome)),
        st.none() | st.integers(0, 3_600_000),
    )
)


@given(RESULTS)
def test_every_row_is_counted_where_it_belongs(results: list[object]) -> None:
    """Outcomes, calls over time, durations and rooms each add up to the rows that they are about."""
    rows = [each for each in results if isinstance(each, type(result()))]
    tally = tallied(rows)
    called = [row for row in rows if row.duration_ms is not None]
    bad = {Outcome.FAILED, Outcome.UNKNOWN, Outcome.INVALID}
    assert tally.outcomes == Counter(row.outcome for row in rows)
    assert tally.answered.at.total() == tally.durations.total() == len(called)
    assert tally.refused.at.total() == sum(row.outcome in {*bad, Outcome.NOT_ATTEMPTED} for row in called)
    assert sum(room.rows for room in tally.worst_rooms(1_000)) == sum(row.outcome in bad for row in rows)


def test_memory_does_not_grow_with_the_rooms() -> None:
    """Beyond ten thousand rooms with trouble, their rows are counted together."""
    results = [result(n, Outcome.FAILED, "room_not_found", room_id=f"r{n}") for n in range(MOST_ROOMS + 25)]
    tally = tallied(results)
    assert (tally.rooms, tally.other_rooms) == (MOST_ROOMS, 25)


def test_few_durations_are_kept_and_none_is_far_off() -> None:
    """Of an hour's milliseconds less than five thousand values are kept, each within a hundredth."""
    kept = {rounded(duration) for duration in range(0, 3_600_000, 7)}
    assert len(kept) < 5_000
    for duration in range(1, 3_600_000, 997):
        assert rounded(duration) <= duration < rounded(duration) * 1.011 + 1


@pytest.mark.parametrize(("share", "expected"), [(0.5, 20), (0.95, 30), (1.0, 400), (0.0, 10)])
def test_quantiles(share: float, expected: int) -> None:
    """A quantile is the duration that this share of the calls stayed within."""
    assert quantile(Counter({10: 10, 20: 80, 30: 8, 400: 2}), share) == expected


def test_without_calls_there_is_no_quantile() -> None:
    """Nothing is said of calls that were not made."""
    assert quantile(Counter(), 0.5) is None


@pytest.mark.parametrize(
    ("outcome", "reason", "plain"),
    [
        (Outcome.REMOVED, "", True),
        (Outcome.REMOVED, "confirmed_on_retry", False),
        (Outcome.NOT_LEADER, "", True),
        (Outcome.DUPLICATE, "duplicate_of", True),
        (Outcome.FAILED, "", False),
        (Outcome.NOT_ATTEMPTED, "interrupted", False),
        (Outcome.INVALID, "not_json", False),
        (Outcome.UNKNOWN, "timeout", False),
    ],
)
def test_which_rows_are_plainly_done(outcome: Outcome, reason: str, plain: bool) -> None:
    """A row is left out of a long table only where there is nothing to say of it."""
    assert needs_no_attention(result(0, outcome, reason)) is plain


def test_the_first_and_last_moment_are_those_of_the_calls() -> None:
    """The run's working time reaches from the begin of the first call to the end of the last."""
    tally = tallied([result(5), result(1), result(3)])
    assert (tally.first, tally.last) == (START + 1_040 - 38, START + 5_040)
