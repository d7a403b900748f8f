"""The result of an offboarding, as text and as JSON."""

from collections.abc import Iterator

from rolecall.app.offboard_report import OffboardResult
from rolecall.app.reasons import REASON_HINTS
from rolecall.cli.exit_codes import ExitCode
from rolecall.cli.terminal import console
from rolecall.cli.terminal.progress_reporter import ProgressReporter
from rolecall.cli.views.run_view import format_not_joined, format_outcomes, format_stop, is_shown, print_rows
from rolecall.display.console import SummaryLine
from rolecall.engine.directory.find_query import GAP_HINTS
from rolecall.engine.stop_signal import StopReason
from rolecall.models import Json
from rolecall.text import plural

MAX_NAMES = 10
"""People that are named; the report has them all."""


def show_offboarding(result: OffboardResult, code: ExitCode, reporter: ProgressReporter) -> None:
    """Print how an offboarding ended; with --quiet only where the exit code is not 0."""
    if result.report_error:
        reporter.print_urgent(f"A report below {result.folder} could not be written: {result.report_error}.")
    if reporter.mode.json:
        console.print_json(offboarding_json(result, code))
    elif is_shown(code, reporter.mode):
        hints = GAP_HINTS | REASON_HINTS
        lines = [
            SummaryLine(count.outcome, count.reason, count.rows, hints.get(count.reason, "")) for count in result.counts
        ]
        print_rows(lines, list(_sentences(result)))
    if result.stop is StopReason.INTERRUPTED:
        console.mark_interruption_reported()


def offboarding_json(result: OffboardResult, code: ExitCode) -> Json:
    """Return an offboarding as JSON: the content of its summary.json, the folder, the exit code."""
    return {**result.to_json(), "folder": str(result.folder), "exitCode": int(code)}


def _sentences(result: OffboardResult) -> Iterator[str]:
    if result.stop is not None:
        yield format_stop(result.stop, "offboarding")
    found = result.people_by_state["found"]
    people = f"{found:,} of {plural(len(result.people), 'person', 'people')} found"
    rows = format_outcomes(result.counts) if result.counts else "none of them has one of these roles."
    yield f"{people}. {rows}"
    for why, persons in (("Not found", result.missing), ("Roles not readable", result.unreadable)):
        if persons:
            more = f" and {len(persons) - MAX_NAMES:,} more" if len(persons) > MAX_NAMES else ""
            yield f"{why}: {', '.join(person.word for person in persons[:MAX_NAMES])}{more}"
    for name, each in result.results.items():
        if each.verified is not None and each.verified.listed:
            yield f"{name}: {plural(each.verified.listed, 'row')} not as reported: {each.verified.rows_file}"
    for name, each in result.results.items():
        if each.run.summary is not None and each.run.summary.rooms_not_joined:
            yield f"{name}: {format_not_joined(each.run.summary)}"
    if result.pruned:
        yield f"Deleted: {plural(result.pruned, 'older folder')}."
    yield f"Report: {result.folder / 'report.csv'}"
    yield f"On one page: {result.folder / 'report.html'}"
