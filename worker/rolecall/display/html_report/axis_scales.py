"""Axes of pictures: round steps, and the bars of a histogram of durations."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from rolecall.display.html_report.formatting import format_milliseconds


def step(span: float, parts: int) -> float:
    """Give the round step (1, 2 or 5 and zeros) by which `span` falls into at most `parts` parts."""
    if span <= 0:
        return 1.0
    rough = span / parts
    unit = 10.0 ** math.floor(math.log10(rough))
    return next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * 0.999_999)


def ticks(top: float, parts: int) -> list[float]:
    """Give round values from 0 up to the first that is not below `top`."""
    size = step(top, parts)
    return [size * number for number in range(math.ceil(top / size - 1e-9) + 1)]


class Bar(NamedTuple):
    """Calls whose duration in milliseconds is at least `low` and below `high`."""

    low: int
    high: int
    calls: int


def bars(durations: Counter[int], most: int = 40) -> Sequence[Bar]:
    """Put durations into bars: of equal width where they are alike, else each wider than the one before."""
    if not durations:
        return []
    low, high = min(durations), max(durations) + 1
    edges = _even(low, high, most) if is_even(low, high) else _growing(low, high, most)
    found = [0] * (len(edges) - 1)
    number = 0
    for value in sorted(durations):
        while value >= edges[number + 1]:
            number += 1
        found[number] += durations[value]
    return [Bar(edges[n], edges[n + 1], calls) for n, calls in enumerate(found)]


def bar_ticks(of: Sequence[Bar], parts: int) -> list[tuple[float, str]]:
    """Label round durations at their place among the bars, which stand at 0, 1, 2 ..."""
    low, high = of[0].low, of[-1].high
    if is_even(low, high):
        size = max(1, round(step(high - low, parts)))
        values = list(range(-(-low // size) * size, high + 1, size))
    else:
        values = _round_ones(low, high, (1, 1.5, 2, 3, 5, 7))
        if len(values) > parts:
            values = _round_ones(low, high, (1, 2, 5))
        values = values[:: -(-len(values) // parts) or 1]
    return [(_place(of, value), format_milliseconds(value)) for value in values]


def is_even(low: int, high: int) -> bool:
    """Tell whether durations are so much alike that bars of equal width show them best."""
    return high <= 4 * max(1, low)


def _round_ones(low: int, high: int, factors: Sequence[float]) -> list[int]:
    found = {round(factor * 10**power) for power in range(9) for factor in factors}
    return sorted(value for value in found if low <= value <= high)


def _place(of: Sequence[Bar], value: int) -> float:
    number = next((n for n, bar in enumerate(of) if value < bar.high), len(of) - 1)
    return number + (value - of[number].low) / (of[number].high - of[number].low)


def _even(low: int, high: int, most: int) -> list[int]:
    size = max(1, round(step(high - low, most)))
    first = low // size * size
    return list(range(first, high + size, size))


def _growing(low: int, high: int, most: int) -> list[int]:
    """Give edges in whole milliseconds, each about the same factor above the one before."""
    first = max(1, low)
    factor = (high / first) ** (1 / most)
    return sorted({low, *(round(first * factor**n) for n in range(1, most)), high})
