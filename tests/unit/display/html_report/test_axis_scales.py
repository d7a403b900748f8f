"""Scales of charts: round steps that reach the highest value, bars that contain every call; formats of numbers."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.display.html_report.axis_scales import (
    bar_ticks,
    bars,
    format_moment,
    format_number,
    format_share,
    round_step,
    ticks,
)


@pytest.mark.parametrize(
    ("span", "parts", "expected"), [(10, 5, 2), (100, 4, 50), (0.9, 3, 0.5), (7, 7, 1), (0, 3, 1.0), (1_000, 4, 500)]
)
def test_round_steps(span: float, parts: int, expected: float) -> None:
    """A step is 1, 2 or 5 with zeros, and needs no more parts than allowed."""
    assert round_step(span, parts) == pytest.approx(expected)


@given(st.floats(0.001, 1e9), st.integers(1, 10))
def test_ticks_reach_the_top(top: float, parts: int) -> None:
    """The last tick is not below the highest value, and there are at most `parts` + 1 ticks."""
    values = ticks(top, parts)
    assert values[0] == 0
    assert values[-1] >= top * 0.999
    assert len(values) <= parts + 1


@given(st.dictionaries(st.integers(0, 3_600_000), st.integers(1, 100), min_size=1))
def test_every_call_is_in_one_bar(durations: dict[int, int]) -> None:
    """Bars have no gap between them, each counts the calls in its range, and labels are within the axis."""
    found = bars(Counter(durations))
    assert all(before.high == after.low for before, after in pairwise(found))
    for bar in found:
        assert bar.low < bar.high
        assert bar.calls == sum(calls for duration, calls in durations.items() if bar.low <= duration < bar.high)
    assert sum(bar.calls for bar in found) == sum(durations.values())
    assert len(found) <= 42
    for place, _ in bar_ticks(found, 8):
        assert 0 <= place <= len(found)


def test_without_calls_there_are_no_bars() -> None:
    """Without durations the list of bars is empty."""
    assert bars(Counter()) == []


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.167, "0.17"), (5, "5"), (12.34, "12.3"), (1234.5, "1,234")])
def test_numbers(value: float, text: str) -> None:
    """A number has about three digits."""
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0 %"),
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (1, 3, "33.3 %"),
        (1, 100_000, "< 0.1 %"),
        (99_999, 100_000, "> 99.9 %"),
    ],
)
def test_shares(part: int, whole: int, text: str) -> None:
    """A share is never rounded to 0 or 100 percent."""
    assert format_share(part, whole) == text


def test_moments_are_utc() -> None:
    """A time names its zone."""
    assert format_moment(1_772_357_400_250) == "1 Mar 2026, 09:30:00 UTC"
