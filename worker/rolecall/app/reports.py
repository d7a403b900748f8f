"""The reports of a run, made from its ledger; the same for `run`, `demo` and `report`."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import TextIO

from rolecall.app.open_run import REPORTED, Run
from rolecall.app.threads import on_thread
from rolecall.cli.exit_codes import ExitCode
from rolecall.cli.terminal import console
from rolecall.display.summary import SummaryLine, print_summary
from rolecall.engine.directory.prediction import PREDICTION_HINTS
from rolecall.engine.directory.role_verify import VERIFICATION_HINTS
from rolecall.engine.stop_signal import STOP_HINTS, StopReason
from rolecall.files.input.problems import BAD_ROW_REASONS
from rolecall.files.output.atomic_write import write_json
from rolecall.files.output.report import ExtraReport, ReportFiles, belongs_in_retry_csv, open_reports
from rolecall.files.run_log import read_events
from rolecall.models import OUTCOMES, Json, Outcome
from rolecall.rocketchat.error_table import HINTS
from rolecall.rocketchat.operations import OPERATIONS
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
    StopReason.RETRY_LATER: ExitCode.STOPPED,
    StopReason.STORE: ExitCode.STOPPED,
}
"""How the command ends for each reason to stop."""


def exit_code(counts: Collection[Count], stop: StopReason | None) -> ExitCode:
    """Say how the command ends: by what stopped it, else by the rows."""
    if stop is not None:
        return BY_STOP[stop]
    return ExitCode.ROWS if any(OUTCOMES[count.outcome].is_failure for count in counts) else ExitCode.DONE


async def reports_up_to_date(run: Run) -> bool:
    """Return whether the reports contain everything that the store does."""
    there = all((run.folder / name).is_file() for name in ("report.csv", "report.html"))
    return there and (await run.store.get_meta()).get(REPORTED) == "yes"


async def mark_reports_stale(run: Run) -> None:
    """Record that the store is about to contain more than the reports."""
    await run.store.set_meta(**{REPORTED: "no"})


async def write_reports(run: Run, formats: Collection[str]) -> None:
    """Write report.csv (and what `formats` names), retry.csv, report.html and summary.json.

    Raises OSError, StoreError.
    """
    files = ReportFiles(formats, {"report.html": await _page(run, formats)})
    await _write(run, files)
    await run.store.set_meta(**{REPORTED: "yes"})


async def write_predictions(run: Run, formats: Collection[str]) -> None:
    """Write the report of a check, in the form of a run's, and summary.json. Raises OSError, StoreError."""
    await _write(run, ReportFiles(formats, retry=False))


async def _write(run: Run, files: ReportFiles) -> None:
    """Write all files on a thread, a page of rows in memory."""
    reports = open_reports(run.folder, await run.store.extra_columns(), files)
    async with on_thread(reports) as write, aclosing(run.store.results()) as pages:
        async for page in pages:
            await asyncio.to_thread(write, page)
    await asyncio.to_thread(write_json, run.folder / "summary.json", await _summary(run.store, run.identity))


async def _page(run: Run, formats: Collection[str]) -> ExtraReport:
    from rolecall.display.html_report import WAIT_EVENTS, ReportContext, SessionSpan, html_report

    context = ReportContext(
        workspace=run.identity.workspace,
        operation=run.identity.operation,
        run=run.folder.resolve().name,
        rows=sum(count.rows for count in await run.store.counts()),
        spans=[SessionSpan(*session) for session in await run.store.sessions()],
        hints=REASON_HINTS,
        links=["report.csv", *(f"report.{name}" for name in ("jsonl", "json") if name in formats), "summary.json"],
        events=read_events(run.folder / "run.log.jsonl", WAIT_EVENTS),
        is_retryable=belongs_in_retry_csv,
        version=__version__,
    )
    return partial(html_report, context=context)


async def show(run: Run, first: str, file: TextIO, further: Iterable[str] = ()) -> None:
    """Print the outcomes with their hints, the sentences, and where the files are."""
    folder = run.folder
    lines = [
        SummaryLine(count.outcome, count.reason, count.rows, REASON_HINTS.get(count.reason, ""))
        for count in await run.store.counts()
    ]
    sentences = [first, *further, f"Report: {folder / 'report.csv'}"]
    if (folder / "report.html").is_file():
        sentences.append(f"On one page: {folder / 'report.html'}")
    if (folder / "retry.csv").is_file():
        sentences.append(f"Worth another run: {folder / 'retry.csv'}")
    try:
        print_summary(lines, sentences, file)
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


async def _summary(store: RunStore, identity: Identity) -> Json:
    counts, sessions = await store.counts(), await store.sessions()
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
        "stop": sessions[-1].stop_reason if sessions else "",
        "sessions": [_session(session) for session in sessions],
        "rolecall": __version__,
    }


def _outcomes_of(operation: str) -> list[Outcome]:
    """Give the outcomes that rows of an operation can come to, in the order of the reference."""
    own = OPERATIONS[operation.rpartition(" ")[2]]  # a check names it at its end
    return [
        outcome for outcome in Outcome if not OUTCOMES[outcome].is_success or outcome in (own.done, own.nothing_to_do)
    ]


def _session(session: Session) -> Json:
    return {
        "startedAt": rfc3339(session.started_at),
        "endedAt": rfc3339(session.ended_at),
        "account": session.account,
        "stop": session.stop_reason,
    }
