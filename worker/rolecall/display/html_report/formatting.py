"""Numbers, times and durations as the page writes them."""

from datetime import UTC, datetime

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def format_moment(milliseconds: int) -> str:
    """Write a time such as `1 Mar 2026, 09:30:00 UTC`."""
    at = datetime.fromtimestamp(milliseconds / 1_000, UTC)
    return f"{at.day} {at:%b %Y, %H:%M:%S} UTC"


def format_hour(milliseconds: int, *, seconds: bool = True) -> str:
    """Write the time of a day (UTC) such as `09:30:00` or `09:30`."""
    return f"{datetime.fromtimestamp(milliseconds / 1_000, UTC):{'%H:%M:%S' if seconds else '%H:%M'}}"


def format_day(milliseconds: int) -> str:
    """Write a day (UTC) such as `1 Mar`."""
    at = datetime.fromtimestamp(milliseconds / 1_000, UTC)
    return f"{at.day} {at:%b}"


def format_milliseconds(milliseconds: float) -> str:
    """Write a length of time with its two largest units, such as `25 ms`, `3.2 s`, `1 min 40 s` or `2 h 5 min`."""
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 59_950:
        return f"{milliseconds / 1_000:.1f}".removesuffix(".0") + " s"
    rest, parts = round(milliseconds / 1_000), list[str]()
    for seconds, unit in (*_UNITS, (1, "s")):
        number, rest = divmod(rest, seconds)
        if number:
            parts.append(f"{number} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def format_number(value: float) -> str:
    """Write a number with about three digits, and commas between thousands."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}".rstrip("0").rstrip(".")


def format_share(part: int, whole: int) -> str:
    """Write a share in percent; it is 0 or 100 only where it is exactly so."""
    if not whole:
        return "0 %"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f}".removesuffix(".0") + " %"
