"""Formats of numbers, shares and times in the HTML report."""

from datetime import UTC, datetime

from rolecall.text import format_duration


def format_moment(milliseconds: int) -> str:
    """Format a time since the epoch: `1 Mar 2026, 09:30:00 UTC`."""
    at = datetime.fromtimestamp(milliseconds / 1_000, UTC)
    return f"{at.day} {at:%b %Y, %H:%M:%S} UTC"


def format_time_of_day(milliseconds: int, *, seconds: bool = True) -> str:
    """Format the time of day (UTC) of a time since the epoch: `09:30:00` or `09:30`."""
    return f"{datetime.fromtimestamp(milliseconds / 1_000, UTC):{'%H:%M:%S' if seconds else '%H:%M'}}"


def format_day(milliseconds: int) -> str:
    """Format the day (UTC) of a time since the epoch: `1 Mar`."""
    at = datetime.fromtimestamp(milliseconds / 1_000, UTC)
    return f"{at.day} {at:%b}"


def format_milliseconds(milliseconds: float) -> str:
    """Format a duration in milliseconds, as `format_duration` does."""
    return format_duration(milliseconds / 1_000)


def format_number(value: float) -> str:
    """Format a number with about three digits, and commas between thousands."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")


def format_share(part: int, whole: int) -> str:
    """Format a share in percent; it is 0 or 100 only if it is exactly that."""
    if not whole:
        return "0 %"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f}".removesuffix(".0") + " %"
