"""Formats of numbers, shares and times."""

import pytest

from rolecall.display.html_report.formatting import format_moment, format_number, format_share


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
