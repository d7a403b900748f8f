"""The pictures: drawn by pygal once, when the page is written, and put into it as plain SVG.

pygal's own styles, scripts and tooltips are taken out. The page's style colours the shapes by their class, so that
they follow light and dark; a shape's `<title>` is what a browser shows under the pointer.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import pygal
from markupsafe import Markup
from pygal.etree import etree

from rolecall.display.html_report.axis_scales import Bar, bar_ticks, ticks
from rolecall.display.html_report.formatting import format_hour, format_milliseconds, format_number
from rolecall.display.html_report.timeline import Timeline
from rolecall.models import Outcome

# pygal's hook for map plugins, which are not used, is one that Python warns of at every later import.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

_PLAIN = {"css": [], "js": [], "show_legend": False, "disable_xml_declaration": True, "spacing": 8}
_DROPPED = frozenset({"overlay", "text-overlay", "tooltip-overlay", "background", "titles"})
_ids = count(1)


class Size(NamedTuple):
    """How large a picture is drawn, in units of its text's size, and how many labels its axes have room for."""

    name: str
    width: int
    height: int
    labels: int


WIDE, NARROW = Size("wide", 940, 250, 8), Size("narrow", 340, 220, 4)


def outcomes(rows: Mapping[Outcome, int], title: str, description: str) -> Markup:
    """Draw a ring with a part for each outcome, `color-0` and so on in the order of `Outcome`."""
    chart = pygal.Pie(**_PLAIN, inner_radius=0.72, width=220, height=220, margin=0)
    total = sum(rows.values())
    for outcome in Outcome:
        label = f"{outcome.value}: {rows.get(outcome, 0):,} of {total:,}"
        chart.add(outcome.value, [{"value": rows.get(outcome, 0), "label": label}])
    return _picture(chart, "ring", title, description)


def throughput(line: Timeline, size: Size, unit: float, title: str, description: str) -> Markup:
    """Draw rows over time above the shares of time held (`color-0`) and away (`color-1`).

    `unit` is the seconds that a rate is told for. All rows are `color-2`, those that did not go well `color-3`;
    a thin bar where a session begins is `color-4`.
    """
    levels = ticks(max((cell.rows * unit for cell in line.cells), default=0) or 1, 4)
    top = levels[-1]
    chart = _histogram(size, levels)
    # The first and last place have no text of their own, but make the axis as long as the run.
    marks = [(0.0, ""), *line.axis.marks(size.labels), (float(line.axis.length), "")]
    chart.x_labels = [{"value": at, "label": text} for at, text in marks]
    told = [(n * line.width, min((n + 1) * line.width, line.axis.length), cell) for n, cell in enumerate(line.cells)]

    def add(name: str, height: Callable[[Any], float], text: Callable[[Any], str]) -> None:
        values = [
            {"value": (height(cell), begin, end), "label": f"{format_hour(line.axis.time(begin))}: {text(cell)}"}
            for begin, end, cell in told
            if height(cell)
        ]
        chart.add(name, values)

    per = "s" if unit == 1 else "min"
    add("held", lambda cell: top * cell.held, lambda cell: f"held {cell.held:.0%} of the time")
    add("away", lambda cell: top * cell.away, lambda cell: f"workspace away {cell.away:.0%} of the time")
    add("rows", lambda cell: cell.rows * unit, lambda cell: f"{format_number(cell.rows * unit)} rows/{per}")
    add(
        "not well",
        lambda cell: cell.not_well * unit,
        lambda cell: f"{format_number(cell.not_well * unit)} not well/{per}",
    )
    begins = [(at, at + line.axis.length / 1_000) for at in line.axis.offsets[1:-1]]
    chart.add("sessions", [{"value": (top, *at), "label": "a new session"} for at in begins])
    return _picture(chart, "time", title, description, size)


def latency(of: Sequence[Bar], size: Size, title: str, description: str) -> Markup:
    """Draw how many calls took how long, `color-0`."""
    levels = [level for level in ticks(max(bar.calls for bar in of), 4) if level == int(level)]
    chart = _histogram(size, levels)
    marks = [(0.0, ""), *bar_ticks(of, size.labels), (float(len(of)), "")]
    chart.x_labels = [{"value": at, "label": label} for at, label in marks]
    chart.add(
        "calls",
        [
            {
                "value": (bar.calls, n, n + 1),
                "label": f"{format_milliseconds(bar.low)} to {format_milliseconds(bar.high)}: {bar.calls:,}",
            }
            for n, bar in enumerate(of)
            if bar.calls
        ],
    )
    return _picture(chart, "latency", title, description, size)


def _histogram(size: Size, levels: Sequence[float]) -> Any:
    chart = pygal.Histogram(
        **_PLAIN, width=size.width, height=size.height, margin=2, margin_right=12, show_x_guides=False
    )
    chart.y_labels = levels
    chart.range = (0, levels[-1])
    chart.value_formatter = format_number
    return chart


def _picture(chart: Any, kind: str, title: str, description: str, size: Size | None = None) -> Markup:
    root = chart.render_tree()
    _prune(root)
    key = f"chart-{next(_ids)}"
    root.attrib.pop("id", None)
    root.set("class", f"chart {kind}" + (f" {size.name}" if size else ""))
    root.set("role", "img")
    root.set("aria-labelledby", f"{key}-title {key}-desc")
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        node = root.makeelement(tag, {"id": f"{key}-{tag}"})
        node.text = text
        root.insert(place, node)
    return Markup(etree.tostring(root, encoding="unicode"))  # noqa: S704 - the tree has escaped its texts


def _prune(node: Any) -> None:
    """Keep the shapes, the labels of the axes, and for each shape one `<title>`."""
    for child in list(node):
        tag = child.tag.rpartition("}")[2] if isinstance(child.tag, str) else "comment"
        classes = set((child.get("class") or "").split())
        if tag in ("defs", "comment", "title") or (tag == "desc" and classes != {"label"}) or classes & _DROPPED:
            node.remove(child)
            continue
        if tag == "desc":
            child.tag = child.tag.replace("desc", "title")
            child.attrib.pop("class")
        _round(child)
        _prune(child)


def _round(node: Any) -> None:
    """Write places with one digit: the page is smaller. Bars are rounded at both edges, so that neighbours meet."""
    if node.get("width"):
        begin, end = float(node.get("x")), float(node.get("x")) + float(node.get("width"))
        node.set("width", str(round(end, 1) - round(begin, 1)))
    for name in ("x", "y", "width", "height"):
        if name in node.attrib:
            node.set(name, f"{float(node.get(name)):.1f}".removesuffix(".0"))
    for name in ("rx", "ry"):
        node.attrib.pop(name, None)
