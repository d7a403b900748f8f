"""A bar chart as SVG, without a library: every number stands beside its bar, the scale is logarithmic."""

import math
from collections.abc import Mapping
from html import escape

LEFT, WIDTH, BAR, GAP = 210, 420, 14, 12
COLORS = ("#1f6feb", "#9a6700", "#57606a")


def bars(title: str, series: Mapping[str, Mapping[str, float]]) -> str:
    """Draw one group of bars for each name, a bar for each series."""
    names = list(dict.fromkeys(name for values in series.values() for name in values))
    most = max(value for values in series.values() for value in values.values())
    top = math.ceil(math.log10(most))
    group = BAR * len(series) + GAP
    height = 64 + group * len(names) + 24
    drawn = [_text(10, 22, title, size=15, weight="bold"), *_legend(list(series))]
    for tick in range(1, top + 1):
        x = LEFT + WIDTH * tick / top
        drawn.append(
            f'<line x1="{x:.1f}" y1="56" x2="{x:.1f}" y2="{height - 22}" stroke="#8c959f" stroke-width="0.5"/>'
        )
        drawn.append(_text(x, height - 8, f"{10**tick:,}", anchor="middle"))
    for place, name in enumerate(names):
        y = 64 + place * group
        drawn.append(_text(LEFT - 8, y + BAR * len(series) / 2 + 4, name, anchor="end"))
        for number, values in enumerate(series.values()):
            if name in values:
                drawn += _bar(y + number * BAR, values[name], top, COLORS[number % len(COLORS)])
    size = f'width="{LEFT + WIDTH + 90}" height="{height}" viewBox="0 0 {LEFT + WIDTH + 90} {height}"'
    style = 'font-family="sans-serif" fill="#24292f"'
    background = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{background}\n' + "\n".join(drawn) + "\n</svg>\n"


def _legend(names: list[str]) -> list[str]:
    drawn = []
    for number, name in enumerate(names):
        x = LEFT + number * 170
        drawn.append(f'<rect x="{x}" y="34" width="12" height="12" fill="{COLORS[number % len(COLORS)]}"/>')
        drawn.append(_text(x + 18, 44, name))
    return drawn


def _bar(y: float, value: float, top: int, color: str) -> list[str]:
    width = max(1.0, WIDTH * math.log10(max(value, 1.0)) / top)
    return [
        f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 2}" fill="{color}"/>',
        _text(LEFT + width + 5, y + BAR - 4, f"{value:,.0f}"),
    ]


def _text(x: float, y: float, text: str, *, size: int = 11, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )
