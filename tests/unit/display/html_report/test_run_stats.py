"""Statistics that are collected in one pass over the rows."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.display.html_report.run_stats import (
    MAX_ROOMS,
    MIN_BIN_WIDTH,
    TimeBins,
    needs_no_attention,
    quantile,
    round_duration,
)
from rolecall.engine.settlement import NOT_NEEDED
from rolecall.models import Outcome
from tests.unit.display.html_report.making import START, collected, result

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
    """Outcomes, calls over time, durations and rooms each add up to their rows."""
    rows = [each for each in results if isinstance(each, type(result()))]
    stats = collected(rows)
    called = [row for row in rows if row.duration_ms is not None]
    bad = {Outcome.FAILED, Outcome.UNKNOWN, Outcome.INVALID}
    assert stats.outcomes == Counter(row.outcome for row in rows)
    assert stats.finished.at.total() == stats.durations.total() == len(called)
    assert stats.not_done.at.total() == sum(row.outcome in {*bad, Outcome.NOT_ATTEMPTED} for row in called)
    assert sum(room.rows for room in stats.worst_rooms(1_000)) == sum(row.outcome in bad for row in rows)


def test_memory_does_not_grow_with_the_rooms() -> None:
    """Beyond ten thousand rooms with problems, rows are counted together."""
    results = [result(n, Outcome.FAILED, "room_not_found", room_id=f"r{n}") for n in range(MAX_ROOMS + 25)]
    stats = collected(results)
    assert (stats.rooms, stats.other_room_rows) == (MAX_ROOMS, 25)


def test_few_durations_are_kept_with_a_small_error() -> None:
    """Of the milliseconds of an hour fewer than five thousand values are kept, each within one percent."""
    kept = {round_duration(duration) for duration in range(0, 3_600_000, 7)}
    assert len(kept) < 5_000
    for duration in range(1, 3_600_000, 997):
        assert round_duration(duration) <= duration < round_duration(duration) * 1.011 + 1


@pytest.mark.parametrize(("share", "expected"), [(0.5, 20), (0.95, 30), (1.0, 400), (0.0, 10)])
def test_quantiles(share: float, expected: int) -> None:
    """A quantile is the duration that this share of the calls did not exceed."""
    assert quantile(Counter({10: 10, 20: 80, 30: 8, 400: 2}), share) == expected


def test_without_calls_there_is_no_quantile() -> None:
    """The quantile of no calls is None."""
    assert quantile(Counter(), 0.5) is None


@pytest.mark.parametrize(
    ("outcome", "reason", "is_done"),
    [
        (Outcome.REMOVED, "", True),
        (Outcome.REMOVED, "confirmed_on_retry", False),
        (Outcome.NOT_LEADER, "", True),
        (Outcome.NOT_LEADER, NOT_NEEDED, True),
        (Outcome.NOT_LEADER, "membership_not_seen", False),
        (Outcome.DUPLICATE, "duplicate_of", True),
        (Outcome.FAILED, "", False),
        (Outcome.NOT_ATTEMPTED, "interrupted", False),
        (Outcome.INVALID, "not_json", False),
        (Outcome.UNKNOWN, "timeout", False),
    ],
)
def test_which_rows_need_no_attention(outcome: Outcome, reason: str, is_done: bool) -> None:
    """A row is left out of a long table only if it is done and has no note."""
    assert needs_no_attention(result(0, outcome, reason)) is is_done


def test_the_first_and_last_moment_are_those_of_the_calls() -> None:
    """The statistics have the begin of the first call and the end of the last."""
    stats = collected([result(5), result(1), result(3)])
    assert (stats.first, stats.last) == (START + 1_040 - 38, START + 5_040)


TIMES = st.integers(0, 4_000_000_000_000)


@given(st.lists(st.tuples(TIMES, st.integers(1, 1_000))))
def test_every_amount_is_counted_in_few_bins(amounts: list[tuple[int, int]]) -> None:
    """The sum of all amounts stays the same, and no more bins than allowed are kept."""
    bins = TimeBins(max_bins=8)
    for time, amount in amounts:
        bins.add(time, amount)
        assert len(bins.at) <= 8
    assert bins.at.total() == sum(amount for _, amount in amounts)


@given(st.lists(TIMES, min_size=1, max_size=50))
def test_a_bin_counts_exactly_the_times_in_its_range(times: list[int]) -> None:
    """Each time is counted in the bin of its range, also after the bins were widened."""
    bins = TimeBins(max_bins=4)
    for time in times:
        bins.add(time)
    for number, amount in bins.at.items():
        assert amount == sum(number == int(time // bins.width) for time in times)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 10**13), st.integers(1, 10**11)), max_size=8))
def test_an_interval_is_spread_completely(intervals: list[tuple[int, int]]) -> None:
    """All milliseconds of intervals of any length are counted, and no bin has more than its width allows."""
    bins = TimeBins(max_bins=100)
    for begin, length in intervals:
        bins.add_interval(begin, begin + length)
    assert bins.at.total() == sum(length for _, length in intervals)
    assert len(bins.at) <= 100
    assert all(amount <= (bins.width + 1) * len(intervals) for amount in bins.at.values())


def test_nine_doublings_make_a_minute() -> None:
    """The usual window of a server's rate limit has a whole number of bins, so that a steady run looks steady."""
    bins = TimeBins()
    for _ in range(9):
        bins.widen()
    assert bins.width == 512 * MIN_BIN_WIDTH == 60_000
