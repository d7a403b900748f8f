"""Tables and the plot, made from bench.json alone."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.measure import ROOT
from tests.bench.plot import bars
from tests.bench.startup import CLIENT

Found = dict[str, Any]
DOCS = (ROOT / "docs" / "performance.md",)
PLOT = ROOT / "docs" / "performance.svg"
YARDSTICK = "bare aiohttp, uvloop"


def tables(found: Found) -> dict[str, str]:
    """Make the text of each part that was measured, as Markdown."""
    makers: dict[str, Callable[[Any], str]] = {
        "machine": _machine,
        "throughput": _throughput,
        "nginx": _throughput,
        "memory": _memory,
        "window": _windows,
        "rate": _rates,
        "workers": _workers,
        "reading": _reading,
        "jobs": _whole_jobs,
        "parts": _parts,
        "databases": _databases,
        "startup": _startup,
        "profile": lambda text: f"```\n{text}\n```",
        "scale": _scale,
    }
    return {name: make(found[name]) for name, make in makers.items() if name in found}


def _workers(found: Any) -> str:
    from tests.bench.workers import table  # here: it needs the libraries of several machines

    return table(found)


def rewrite_docs(found: Found) -> list[Path]:
    """Put the tables between their markers in the documents, and draw the plot; give what was written."""
    texts = tables(found)
    for path in DOCS:
        path.write_text(filled(path.read_text("utf-8"), texts), "utf-8")
    written = list(DOCS)
    if "throughput" in found:
        series = {
            f"{one['latency_ms']:g} ms an answer": {
                name: _median(taken, "per_second") for name, taken in one["taken"].items()
            }
            for one in found["throughput"]["series"]
        }
        PLOT.write_text(bars("Rows a second, whole processes, 64 calls in flight", series), "utf-8")
        written.append(PLOT)
    return written


def filled(document: str, texts: dict[str, str]) -> str:
    """Replace what stands between `<!-- bench: name -->` and `<!-- end -->` where a text of that name is known."""

    def fill(marked: re.Match[str]) -> str:
        text = texts.get(marked["name"])
        return marked[0] if text is None else f"<!-- bench: {marked['name']} -->\n{text}\n<!-- end -->"

    return re.sub(r"<!-- bench: (?P<name>\w+) -->\n.*?<!-- end -->", fill, document, flags=re.DOTALL)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table, the first column to the left, numbers to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def ratio(taken: dict[str, list[Found]], who: str, to: str) -> float | None:
    """Give the median over the rounds of one's rows a second by another's in the same round."""
    if who not in taken or to not in taken:
        return None
    pairs = zip(taken[who], taken[to], strict=True)
    return float(median(one["per_second"] / other["per_second"] for one, other in pairs))


def _median(taken: Sequence[Found], what: str) -> float:
    return float(median(one[what] for one in taken))


def _machine(machine: Found) -> str:
    return (
        f"Measured {machine['date']} on a virtual machine: {machine['cores']} cores ({machine['processor']}), "
        f"{machine['system']}, Python {machine['python']}, load {machine['load_before']:.2f} before the start."
    )


def _throughput(found: Found) -> str:
    texts = []
    for one in found["series"]:
        taken = one["taken"]
        rows = [_throughput_row(name, taken) for name in taken]
        head = ("", "rows/s", "least", "most", "of bare aiohttp on uvloop", "CPU s per 1,000 rows", "peak MB", "rows")
        texts.append(f"**{one['latency_ms']:g} ms an answer**, {found['rounds']} rounds\n\n{table(head, rows)}")
        for rival in ("rocketchat-api", "rocketchat-api, 64 threads"):
            times = ratio(taken, "rolecall", rival)
            if times is not None:
                texts.append(f"Rolecall is {times:.1f} times as fast as {rival}.")
    texts += [f"Left out: {name} ({why})." for name, why in found["absent"].items()]
    return "\n\n".join(texts)


def _databases(found: Found) -> str:
    taken = found["speed"]
    rows = []
    for name, own in taken.items():
        speeds = [one["per_second"] for one in own]
        spread = [f"{median(speeds):,.0f}", f"{min(speeds):,.0f}", f"{max(speeds):,.0f}"]
        rows.append([name, *spread, f"{ratio(taken, name, 'SQLite'):.2f}"])
    speed = table(("", "rows/s", "least", "most", "of SQLite"), rows)
    submits = [
        [name, f"{one['rows']:,.0f}", f"{one['import']:.1f}", f"{one['counts'] * 1000:.0f}", f"{one['report']:.1f}"]
        for name, one in found["submit"].items()
    ]
    submit = table(("", "rows", "imported and packed, s", "counted, ms", "read for a report, s"), submits)
    return f"{speed}\n\n{submit}"


def _throughput_row(name: str, taken: dict[str, list[Found]]) -> list[str]:
    own = taken[name]
    speeds = [one["per_second"] for one in own]
    to_bare = ratio(taken, name, YARDSTICK)
    return [
        name,
        f"{median(speeds):,.0f}",
        f"{min(speeds):,.0f}",
        f"{max(speeds):,.0f}",
        "" if to_bare is None else f"{to_bare:.2f}",
        f"{_median(own, 'cpu_per_1000'):.3f}",
        f"{_median(own, 'peak_mb'):.0f}",
        f"{own[0]['rows']:,.0f}",
    ]


def _memory(found: Found) -> str:
    runs, again = found["runs"], found["again"]
    rows = [
        [
            f"{one['rows']:,}",
            f"{one['peak_mb']:.1f}",
            f"{one['seconds']:.1f}",
            f"{one['per_second']:,.0f}",
            f"{one['ledger_mb']:.1f}",
        ]
        for one in runs
    ]
    growth = runs[-1]["peak_mb"] - runs[0]["peak_mb"]
    return (
        table(("rows", "peak MB", "seconds", "rows/s", "ledger MB"), rows)
        + f"\n\nFrom the first to the last: {growth:+.1f} MB. The finished run of {again['rows']:,} rows, run again, "
        + f"says that nothing is left to do after {median(again['seconds']):.2f} s."
    )


def _windows(found: Sequence[Found]) -> str:
    rows = [
        [
            one["how"],
            f"{one['limit']} in {one['seconds']:g} s"
            + (f", {one['instances']} instances" if one["instances"] > 1 else ""),
            f"{one['rows']:,}",
            f"{one['ideal']:.1f}",
            f"{one['took']:.2f}",
            f"{one['ratio']:.3f}",
            f"{one['refused']}",
        ]
        for one in found
    ]
    return table(("how", "window", "rows", "ideal s", "took s", "of the ideal", "429s"), rows)


def _rates(found: Sequence[Found]) -> str:
    rows = [
        [
            f"{one['asked']:g}/s",
            f"{one['rows']:,}",
            f"{one['achieved']:.3f}",
            f"{one['achieved'] / one['asked']:.4f}",
            f"{one['worst_second']}",
            f"{one['worst_second'] / one['asked']:.3f}",
        ]
        for one in found
    ]
    return table(("asked", "rows", "achieved/s", "of what was asked", "worst second", "of what was asked"), rows)


def _reading(found: Sequence[Found]) -> str:
    """Return the table of the reading phase."""
    head = ("rows", "limited", "leaders", "reads", "changes", "changes unread", "s", "s unread", "of unread", "429s")
    return table(
        head,
        [
            (
                one["shape"],
                f"{one['rows']:,} rows, {'10 calls a minute' if one['limited'] else 'no'}",
                f"{one['leaders']} %",
                f"{one['with']['reads']:,}",
                f"{one['with']['changes']:,}",
                f"{one['without']['changes']:,}",
                f"{one['with']['seconds']:.2f}",
                f"{one['without']['seconds']:.2f}",
                f"{one['with']['seconds'] / one['without']['seconds']:.3f}",
                f"{one['with']['refused'] + one['without']['refused']:,}",
            )
            for one in found
        ],
    )


def _whole_jobs(found: Found) -> str:
    """Return the tables of the four whole jobs."""
    head = (
        "simulated",
        "Rolecall s",
        "best script that sends every row, s",
        "of it",
        "rows lost without pacing",
        "429s",
    )
    simulated = table(
        head,
        [
            (
                one["job"],
                f"{one['seconds']:,.1f}",
                f"{one['all_rows']:,.1f}",
                f"{one['seconds'] / one['all_rows']:.3f}",
                f"{one['lost']:,}" if one["lost"] else "",
                f"{one['refused']}",
            )
            for one in found["simulated"]
        ],
    )
    real = found["real"]["series"][0]
    whole = (f"{real['rows']:,} rows, exempt, {real['latency_ms']:g} ms", "s", "least", "most", f"of {YARDSTICK}")
    rows = []
    for name, taken in real["taken"].items():
        seconds = [real["rows"] / one["per_second"] for one in taken]  # slow ones are given fewer rows
        times = ratio(real["taken"], YARDSTICK, name)
        cells = (f"{median(seconds):.1f}", f"{min(seconds):.1f}", f"{max(seconds):.1f}")
        rows.append([name, *cells, "" if times is None else f"{times:.2f}"])
    left_out = [f"Left out: {name} ({why})." for name, why in found["real"]["absent"].items()]
    return "\n\n".join([simulated, table(whole, rows), *left_out])


def _parts(found: Sequence[Found]) -> str:
    rows = [
        [one["part"], f"{one['cpu']:.1f}", f"{one['least']:.1f}", f"{one['most']:.1f}", f"{one['wall']:.1f}"]
        for one in found
    ]
    return table(("part", "CPU µs a row", "least", "most", "wall µs a row"), rows)


def _startup(found: dict[str, list[float]]) -> str:
    client = median(found[CLIENT])
    rows = [
        [
            f"`run` to its {name}" if name in ("preflight", "first row") else f"`{name}`",
            f"{median(times) * 1000:.0f}",
            f"{min(times) * 1000:.0f}",
            f"{max(times) * 1000:.0f}",
            f"{median(times) / client:.2f}",
        ]
        for name, times in found.items()
    ]
    return table(("", "ms", "least", "most", f"of `{CLIENT}`"), rows)


def _scale(found: Sequence[Found]) -> str:
    rows = [
        [
            f"{one['limit']} in {one['seconds']:g} s",
            one["sharing"],
            f"{one['clients']}",
            f"{one['rows']:,}",
            f"{one['refused']:,}",
            f"{one['refused'] / one['calls']:.0%}",
            f"{one['ratio']:.3f}",
        ]
        for one in found
    ]
    return table(("window", "sharing", "clients", "rows", "429s", "of all calls", "time of the ideal"), rows)
