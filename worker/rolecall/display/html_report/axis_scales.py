"""Formats of numbers, shares and times; scales of charts: round steps, and the bars of a histogram of durations."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

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


def round_step(span: float, parts: int) -> float:
    """Return the smallest step of 1, 2 or 5 times a power of ten that divides `span` into at most `parts` parts."""
    if span <= 0:
        return 1.0
    rough = span / parts
    unit = 10.0 ** math.floor(math.log10(rough))
    return next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * 0.999_999)


def ticks(top: float, parts: int) -> list[float]:
    """Return round values from 0 up to the first that is not below `top`."""
    step = round_step(top, parts)
    return [step * number for number in range(math.ceil(top / step - 1e-9) + 1)]


class Bar(NamedTuple):
    """The number of calls whose duration in milliseconds is at least `low` and below `high`."""

    low: int
    high: int
    calls: int


def bars(durations: Counter[int], max_bars: int = 40) -> Sequence[Bar]:
    """Sort durations into bars: of equal width if they are similar, else each bar wider than the one before."""
    if not durations:
        return []
    low, high = min(durations), max(durations) + 1
    edges = _even_edges(low, high, max_bars) if is_even(low, high) else _growing_edges(low, high, max_bars)
    calls = [0] * (len(edges) - 1)
    number = 0
    for value in sorted(durations):
        while value >= edges[number + 1]:
            number += 1
        calls[number] += durations[value]
    return [Bar(edges[n], edges[n + 1], count) for n, count in enumerate(calls)]


def bar_ticks(of: Sequence[Bar], parts: int) -> list[tuple[float, str]]:
    """Return the positions and labels of round durations; bar number n reaches from position n to n + 1."""
    low, high = of[0].low, of[-1].high
    if is_even(low, high):
        step = max(1, round(round_step(high - low, parts)))
        values = list(range(-(-low // step) * step, high + 1, step))
    else:
        values = _round_values(low, high, (1, 1.5, 2, 3, 5, 7))
        if len(values) > parts:
            values = _round_values(low, high, (1, 2, 5))
        values = values[:: -(-len(values) // parts) or 1]
    return [(_position(of, value), format_milliseconds(value)) for value in values]


def is_even(low: int, high: int) -> bool:
    """Return whether durations are so similar that bars of equal width show them best."""
    return high <= 4 * max(1, low)


def _round_values(low: int, high: int, factors: Sequence[float]) -> list[int]:
    values = {round(factor * 10**power) for power in range(9) for factor in factors}
    return sorted(value for value in values if low <= value <= high)


def _position(of: Sequence[Bar], value: int) -> float:
    number = next((n for n, bar in enumerate(of) if value < bar.high), len(of) - 1)
    return number + (value - of[number].low) / (of[number].high - of[number].low)


def _even_edges(low: int, high: int, max_bars: int) -> list[int]:
    width = max(1, round(round_step(high - low, max_bars)))
    first = low // width * width
    return list(range(first, high + width, width))


def _growing_edges(low: int, high: int, max_bars: int) -> list[int]:
    """Return edges in whole milliseconds, each about the same factor above the one before."""
    first = max(1, low)
    factor = (high / first) ** (1 / max_bars)
    return sorted({low, *(round(first * factor**n) for n in range(1, max_bars)), high})
