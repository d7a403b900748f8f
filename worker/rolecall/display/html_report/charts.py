"""The charts: drawn by pygal when the report is written, and embedded as plain SVG.

pygal's own styles, scripts and tooltips are removed. The style sheet of the report colours the shapes by the class of
their series, so that they follow light and dark mode. Browsers show the `<title>` of a shape as its tooltip.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import pygal
from markupsafe import Markup
from pygal.etree import etree

from rolecall.display.html_report.axis_scales import (
    Bar,
    bar_ticks,
    format_milliseconds,
    format_number,
    format_time_of_day,
    ticks,
)
from rolecall.display.html_report.timeline import Timeline, TimelineBucket
from rolecall.models import Outcome

# pygal's import hook for map plugins, which are not used, causes a warning at every later import.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

_OPTIONS = {"css": [], "js": [], "show_legend": False, "disable_xml_declaration": True, "spacing": 8}
_REMOVED_CLASSES = frozenset({"overlay", "text-overlay", "tooltip-overlay", "background", "titles"})
_ids = count(1)


class Size(NamedTuple):
    """The size of a chart in SVG units, and the number of labels that its axes have space for."""

    name: str
    width: int
    height: int
    labels: int


class Caption(NamedTuple):
    """The accessible name and description of a chart."""

    title: str
    description: str


WIDE, NARROW = Size("wide", 940, 250, 8), Size("narrow", 340, 220, 4)


def outcome_chart(rows: Mapping[Outcome, int], caption: Caption) -> Markup:
    """Draw a ring with a slice for each outcome; the class of each series is the outcome."""
    chart = pygal.Pie(**_OPTIONS, inner_radius=0.72, width=220, height=220, margin=0)
    total = sum(rows.values())
    for outcome in Outcome:
        label = f"{outcome.value}: {rows.get(outcome, 0):,} of {total:,}"
        chart.add(outcome.value, [{"value": rows.get(outcome, 0), "label": label}])
    return _render(chart, "ring", [outcome.value for outcome in Outcome], caption)


def throughput_chart(timeline: Timeline, size: Size, unit: float, caption: Caption) -> Markup:
    """Draw finished rows over time, in front of the shares of time in a rate limit pause and in an outage.

    `unit` is the number of seconds of the rates, 1 or 60. A thin bar marks the begin of each later session.
    """
    axis, width = timeline.axis, timeline.width
    levels = ticks(max((bucket.rows * unit for bucket in timeline.buckets), default=0) or 1, 4)
    top = levels[-1]
    chart = _histogram(size, levels)
    # The first and last position have no text, but make the axis as long as the run.
    marks = [(0.0, ""), *axis.ticks(size.labels), (float(axis.length), "")]
    chart.x_labels = [{"value": at, "label": text} for at, text in marks]

    def add(height: Callable[[TimelineBucket], float], text: Callable[[TimelineBucket], str]) -> None:
        values = []
        for number, bucket in enumerate(timeline.buckets):
            if height(bucket):
                begin, end = number * width, min((number + 1) * width, axis.length)
                label = f"{format_time_of_day(axis.time(begin))}: {text(bucket)}"
                values.append({"value": (height(bucket), begin, end), "label": label})
        chart.add("", values)

    per = "s" if unit == 1 else "min"
    add(lambda bucket: top * bucket.paused, lambda bucket: f"paused {bucket.paused:.0%} of the time")
    add(lambda bucket: top * bucket.outage, lambda bucket: f"outage {bucket.outage:.0%} of the time")
    add(lambda bucket: bucket.rows * unit, lambda bucket: f"{format_number(bucket.rows * unit)} rows/{per}")
    add(lambda bucket: bucket.not_done * unit, lambda bucket: f"{format_number(bucket.not_done * unit)} not done/{per}")
    begins = [(at, at + axis.length / 1_000) for at in axis.offsets[1:-1]]
    chart.add("", [{"value": (top, *at), "label": "a new session"} for at in begins])
    series = ["series-paused", "series-outage", "series-rows", "series-not-done", "series-session"]
    return _render(chart, "time", series, caption, size)


def latency_chart(of: Sequence[Bar], size: Size, caption: Caption) -> Markup:
    """Draw the number of calls by their duration."""
    levels = [level for level in ticks(max(bar.calls for bar in of), 4) if level == int(level)]
    chart = _histogram(size, levels)
    marks = [(0.0, ""), *bar_ticks(of, size.labels), (float(len(of)), "")]
    chart.x_labels = [{"value": at, "label": label} for at, label in marks]
    values = [
        {
            "value": (bar.calls, n, n + 1),
            "label": f"{format_milliseconds(bar.low)} to {format_milliseconds(bar.high)}: {bar.calls:,}",
        }
        for n, bar in enumerate(of)
        if bar.calls
    ]
    chart.add("", values)
    return _render(chart, "latency", ["series-calls"], caption, size)


def _histogram(size: Size, levels: Sequence[float]) -> Any:
    chart = pygal.Histogram(
        **_OPTIONS, width=size.width, height=size.height, margin=2, margin_right=12, show_x_guides=False
    )
    chart.y_labels = levels
    chart.range = (0, levels[-1])
    chart.value_formatter = format_number
    return chart


def _render(chart: Any, kind: str, series: Sequence[str], caption: Caption, size: Size | None = None) -> Markup:
    """Render a chart as SVG; `series` has the class of each series, in their order."""
    root = chart.render_tree()
    _prune(root)
    _name_series(root, series)
    key = f"chart-{next(_ids)}"
    root.attrib.pop("id", None)
    root.set("class", f"chart {kind}" + (f" {size.name}" if size else ""))
    root.set("role", "img")
    root.set("aria-labelledby", f"{key}-title {key}-desc")
    for place, (tag, text) in enumerate((("title", caption.title), ("desc", caption.description))):
        node = root.makeelement(tag, {"id": f"{key}-{tag}"})
        node.text = text
        root.insert(place, node)
    return Markup(etree.tostring(root, encoding="unicode"))  # noqa: S704 - the tree has escaped its texts


def _name_series(root: Any, series: Sequence[str]) -> None:
    """Replace pygal's numbered class of each series, `color-0` and so on, by its name."""
    names = {f"color-{number}": name for number, name in enumerate(series)}
    for node in root.iter():
        if "series" in (classes := (node.get("class") or "").split()):
            node.set("class", " ".join(names.get(each, each) for each in classes if not each.startswith("serie-")))


def _prune(node: Any) -> None:
    """Keep the shapes, the labels of the axes, and one `<title>` for each shape."""
    for child in list(node):
        tag = child.tag.rpartition("}")[2] if isinstance(child.tag, str) else "comment"
        classes = set((child.get("class") or "").split())
        if (
            tag in ("defs", "comment", "title")
            or (tag == "desc" and classes != {"label"})
            or classes & _REMOVED_CLASSES
        ):
            node.remove(child)
            continue
        if tag == "desc":
            child.tag = child.tag.replace("desc", "title")
            child.attrib.pop("class")
        _round_coordinates(child)
        _prune(child)


def _round_coordinates(node: Any) -> None:
    """Round coordinates to one digit to keep the file small; bars are rounded at both edges, so that they meet."""
    if node.get("width"):
        begin, end = float(node.get("x")), float(node.get("x")) + float(node.get("width"))
        node.set("width", str(round(end, 1) - round(begin, 1)))
    for name in ("x", "y", "width", "height"):
        if name in node.attrib:
            node.set(name, f"{float(node.get(name)):.1f}".removesuffix(".0"))
    for name in ("rx", "ry"):
        node.attrib.pop(name, None)
