"""Numbers, times and durations as a person writes them."""

import pytest

from rolecall.display.html_report.formatting import format_milliseconds, format_moment, format_number, format_share


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0 ms"),
        (25, "25 ms"),
        (1_000, "1 s"),
        (3_240, "3.2 s"),
        (59_949, "59.9 s"),
        (59_990, "1 min"),
        (100_000, "1 min 40 s"),
        (3_600_000, "1 h"),
        (7_500_000, "2 h 5 min"),
        (3_601_000, "1 h"),
        (90_061_000, "1 d 1 h"),
    ],
)
def test_durations(milliseconds: int, text: str) -> None:
    """A duration has its two largest units."""
    assert format_milliseconds(milliseconds) == text


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
    """A share is never rounded to nothing or to all."""
    assert format_share(part, whole) == text


def test_moments_are_utc() -> None:
    """A time says its zone."""
    assert format_moment(1_772_357_400_250) == "1 Mar 2026, 09:30:00 UTC"
