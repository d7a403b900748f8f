"""The reports of a run, made from its ledger; the same for `run`, `demo` and `report`."""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TextIO

from rolecall.app.open_run import REPORTED, Run
from rolecall.cli.exit_codes import ExitCode
from rolecall.cli.terminal import console
from rolecall.display.summary import Line, show_summary
from rolecall.engine.directory.prediction import PREDICTION_HINTS
from rolecall.engine.directory.role_verify import VERIFICATION_HINTS
from rolecall.engine.stop_reasons import STOP_HINTS, StopReason
from rolecall.files.input.problems import BAD_ROW_REASONS
from rolecall.files.output.atomic_write import write_json
from rolecall.files.output.report import ReportFiles, belongs_in_retry_csv, write_report
from rolecall.files.run_log import read_events
from rolecall.models import Json, Outcome, Result
from rolecall.rocketchat.error_table import HINTS
from rolecall.rocketchat.operations import DONE, NOTHING_TO_DO, OPERATIONS
from rolecall.store.base import Count, Identity, RunStore, Session, count_by_outcome
from rolecall.text import plural, rfc3339
from rolecall.version import __version__

NOT_NEEDED = "not_needed"
"""Reason of a row for which there is nothing to do by the roles that a check has read."""

REASON_HINTS = {
    **HINTS,
    **{reason: hint[0].lower() + hint[1:].rstrip(".") for reason, hint in BAD_ROW_REASONS.items()},
    **{reason.value: hint for reason, hint in STOP_HINTS.items()},
    **PREDICTION_HINTS,
    **VERIFICATION_HINTS,
    NOT_NEEDED: "the roles were read before the run: there is nothing to do, so nothing was sent",
    "killed_in_flight": "the worker was killed while the call was under way; the same command settles it",
    "duplicate_of": "the pair stands in the job file more than once; 'message' names the first line",
}
"""Every reason that a report can give, with what a person can do about it."""

BY_STOP = {
    StopReason.INTERRUPTED: ExitCode.INTERRUPTED,
    StopReason.CREDENTIALS: ExitCode.CREDENTIALS,
    StopReason.NO_SUCH_ROUTE: ExitCode.STOPPED,
    StopReason.MAX_FAILURES: ExitCode.STOPPED,
    StopReason.OUTAGE: ExitCode.STOPPED,
    StopReason.STORE: ExitCode.STOPPED,
}
"""How the command ends for each reason to stop."""

UNSUCCESSFUL = (Outcome.FAILED, Outcome.UNKNOWN, Outcome.INVALID)


def exit_code(counts: Collection[Count], stop: StopReason | None) -> ExitCode:
    """Say how the command ends: by what stopped it, else by the rows."""
    if stop is not None:
        return BY_STOP[stop]
    return ExitCode.ROWS if any(count.outcome in UNSUCCESSFUL for count in counts) else ExitCode.DONE


def reports_up_to_date(run: Run) -> bool:
    """Tell whether the reports say all that the ledger knows."""
    there = all((run.folder / name).is_file() for name in ("report.csv", "report.html"))
    return there and run.ledger.notes().get(REPORTED) == "yes"


def mark_reports_stale(run: Run) -> None:
    """Note that the ledger is about to know more than the reports."""
    run.ledger.note(**{REPORTED: "no"})


def write_reports(run: Run, formats: Collection[str]) -> None:
    """Write report.csv (and what `formats` names), retry.csv, report.html and summary.json.

    Raises OSError, LedgerFailed.
    """
    ledger = run.ledger
    files = ReportFiles(formats, {"report.html": _page(run, formats)})
    write_report(run.folder, ledger.results(), ledger.extra_columns(), files)
    write_json(run.folder / "summary.json", _summary(run.ledger, run.identity))
    run.ledger.note(**{REPORTED: "yes"})


def _page(run: Run, formats: Collection[str]) -> Callable[[TextIO], AbstractContextManager[Callable[[Result], object]]]:
    from rolecall.display.html_report import WAITING, ReportContext, SessionSpan, html_report

    facts = ReportContext(
        workspace=run.identity.workspace,
        operation=run.identity.operation,
        run=run.folder.resolve().name,
        rows=sum(count.rows for count in run.ledger.counts()),
        spans=[SessionSpan(*session) for session in run.ledger.sessions()],
        hints=REASON_HINTS,
        links=["report.csv", *(f"report.{name}" for name in ("jsonl", "json") if name in formats), "summary.json"],
        events=read_events(run.folder / "run.log.jsonl", WAITING),
        worth_another_run=belongs_in_retry_csv,
        version=__version__,
    )
    return partial(html_report, facts=facts)


def write_predictions(run: Run, formats: Collection[str]) -> None:
    """Write the report of a check, in the form of a run's, and summary.json. Raises OSError, LedgerFailed."""
    columns = run.ledger.extra_columns()
    write_report(run.folder, run.ledger.results(), columns, ReportFiles(formats, retry=False))
    write_json(run.folder / "summary.json", _summary(run.ledger, run.identity))


def show(run: Run, first: str, file: TextIO, further: Iterable[str] = ()) -> None:
    """Print the outcomes with their hints, the sentences, and where the files are."""
    folder = run.folder
    lines = [
        Line(count.outcome, count.reason, count.rows, REASON_HINTS.get(count.reason, ""))
        for count in run.ledger.counts()
    ]
    sentences = [first, *further, f"Report: {folder / 'report.csv'}"]
    if (folder / "report.html").is_file():
        sentences.append(f"On one page: {folder / 'report.html'}")
    if (folder / "retry.csv").is_file():
        sentences.append(f"Worth another run: {folder / 'retry.csv'}")
    try:
        show_summary(lines, sentences, file)
        file.flush()
    except BrokenPipeError:
        pass
    except OSError as error:  # the reports are written all the same
        console.print_info(f"The summary could not be shown: {error.strerror}. {' '.join(sentences)}")


def format_counts(counts: Sequence[Count]) -> str:
    """Count the outcomes in one sentence, such as `300 rows: 240 removed, 60 not_leader.`."""
    totals = count_by_outcome(counts)
    parts = ", ".join(f"{rows:,} {outcome.value}" for outcome, rows in totals.items())
    return f"{plural(totals.total(), 'row')}: {parts}."


def _summary(ledger: RunStore, identity: Identity) -> Json:
    counts, sessions = ledger.counts(), ledger.sessions()
    outcomes = count_by_outcome(counts)
    return {
        "workspace": identity.workspace,
        "operation": identity.operation,
        "jobDigest": identity.job_digest,
        "rows": outcomes.total(),
        "outcomes": {outcome.value: outcomes[outcome] for outcome in _outcomes_of(identity.operation)},
        "reasons": [
            {"outcome": count.outcome.value, "reason": count.reason, "rows": count.rows}
            for count in counts
            if count.reason
        ],
        "stop": sessions[-1].why if sessions else "",
        "sessions": [_session(session) for session in sessions],
        "rolecall": __version__,
    }


def _outcomes_of(operation: str) -> list[Outcome]:
    """Give the outcomes that rows of an operation can come to, in the order of the reference."""
    own = OPERATIONS[operation.rpartition(" ")[2]]  # a check names it at its end
    other = (DONE | NOTHING_TO_DO) - {own.done, own.nothing_to_do}
    return [outcome for outcome in Outcome if outcome not in other]


def _session(session: Session) -> Json:
    return {
        "startedAt": rfc3339(session.started_at),
        "endedAt": rfc3339(session.ended_at),
        "account": session.account,
        "stop": session.why,
    }
