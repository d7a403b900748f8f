"""The page: its beginning, then the rows as they pass by, then all that is known when the last one has passed."""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import NamedTuple, TextIO

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from rolecall.display.html_report.report_model import SessionSpan, build_report_model
from rolecall.display.html_report.row_table import COLUMNS, RowWriter, script_json
from rolecall.display.html_report.run_stats import RunStats, needs_no_attention
from rolecall.display.html_report.timeline import WaitStats
from rolecall.models import Json, Outcome, Result
from rolecall.text import sanitise

MOST_ROWS = 100_000
"""Rows that the page's table holds."""


class ReportContext(NamedTuple):
    """What the page tells besides the rows."""

    workspace: str
    operation: str
    run: str
    """The name of the run's folder."""
    rows: int
    """How many results will come: with more than `MOST_ROWS`, those that are plainly done are left out."""
    spans: Sequence[SessionSpan]
    hints: Mapping[str, str]
    """For each reason, what a person can do about it."""
    links: Sequence[str]
    """Names of the other reports beside the page."""
    events: Iterable[Mapping[str, Json]]
    """The run's log; read once, when all rows have passed."""
    worth_another_run: Callable[[Result], bool]
    """Tells which rows are in `retry.csv`."""
    version: str


@contextmanager
def html_report(file: TextIO, facts: ReportContext, most_rows: int = MOST_ROWS) -> Iterator[Callable[[Result], object]]:
    """Write a run's page into `file`: give a function that takes each result; the end of the block completes it."""
    workspace, operation, run = (sanitise(text, limit=500) for text in (facts.workspace, facts.operation, facts.run))
    facts = facts._replace(workspace=workspace, operation=operation, run=run)
    style, script = _asset("page.css"), _asset("page.js")
    templates = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    head = templates.from_string(_asset("head.html"))
    file.write(head.render(facts=facts, policy=f"{policy}; base-uri 'none'; form-action 'none'", style=Markup(style)))  # noqa: S704 - ours
    file.write('\n<script type="application/json" id="rows">')
    tally, rows = RunStats(), RowWriter(file)
    all_rows = facts.rows <= most_rows
    retries = 0

    def take(result: Result) -> None:
        nonlocal retries
        tally.add(result)
        done = needs_no_attention(result)
        if not done:
            retries += facts.worth_another_run(result)
        if rows.rows < most_rows and (all_rows or not done):
            rows.write(result)

    yield take
    rows.close()
    explained = {"outcomes": [outcome.value for outcome in Outcome], "reasons": list(rows.reasons)}
    file.write(f'</script>\n<script type="application/json" id="words">{script_json(explained)}</script>\n')
    waits = WaitStats()
    for event in facts.events:
        waits.add(event)
    told = build_report_model(facts.spans, facts.hints, tally, waits)
    body = templates.from_string(_asset("body.html"))
    links = ["retry.csv", *facts.links] if retries else facts.links
    values = {"facts": facts, "told": told, "links": links, "retries": retries, "columns": COLUMNS}
    ended = {"shown": rows.rows, "most_rows": most_rows, "script": Markup(script)}  # noqa: S704 - ours
    file.writelines(body.generate(**values, **ended))
    file.write("\n")


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    """Give the hash by which a Content-Security-Policy allows exactly this text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
