"""Results, contexts and pages for the tests of the HTML report."""

import io
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from rolecall.display.html_report import ReportContext, SessionSpan, WaitStats, html_report
from rolecall.display.html_report.run_stats import RunStats
from rolecall.models import Json, Outcome, Result

START = 1_772_357_400_000
"""1 March 2026, 09:30:00 UTC."""


def result(number: int = 0, outcome: Outcome = Outcome.REMOVED, reason: str = "", **fields: Any) -> Result:
    """Return the result of a row that was answered `number` seconds after the start."""
    at = START + 1_000 * number
    pair = (f"room{number % 7}", f"user{number}")
    made = Result(number + 2, *pair, outcome, reason, 200, "", "", 1, at, at + 40, 38, {})
    return made._replace(**fields)


def context(rows: int, **fields: Any) -> ReportContext:
    """Return the context of a run of one session that reached its end."""
    made = ReportContext(
        workspace="https://chat.example.org",
        operation="groups.removeLeader",
        run="20260301T093000Z",
        rows=rows,
        spans=[SessionSpan(START, START + 60_000, "", "bulk.bot")],
        hints={"room_archived": "unarchive the group", "killed": "the worker was killed"},
        links=["report.csv", "summary.json"],
        waits=WaitStats(),
        is_retryable=lambda result: result.outcome is Outcome.FAILED,
        version="1.2.3",
    )
    return made._replace(**fields)


def written(results: Sequence[Result], max_rows: int = 100_000, **fields: Any) -> str:
    """Return the text of a page."""
    file = io.StringIO()
    with html_report(file, context(len(results), **fields), max_rows) as write:
        for each in results:
            write(each)
    return file.getvalue()


def data(text: str, name: str) -> Json:
    """Return the JSON in a script element of a page."""
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def collected(results: Iterable[Result]) -> RunStats:
    """Return the statistics of results."""
    stats = RunStats()
    for each in results:
        stats.add(each)
    return stats
