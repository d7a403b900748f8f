"""The main job from its rows to its exit code, as `run`, `undo` and `demo` do it."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from rolecall.app import metrics, notifications, plan_guard, reports
from rolecall.app.connection import Connection, Reach, connect, operator_errors
from rolecall.app.metrics import MetricsWriter
from rolecall.app.open_run import Run
from rolecall.app.run_directory import open_or_resume_run
from rolecall.app.send_session import SendSession
from rolecall.cli.config.credentials import Login
from rolecall.cli.exit_codes import ExitCode, OperatorError
from rolecall.cli.terminal import console
from rolecall.cli.terminal.progress_reporter import OutputMode, ProgressReporter
from rolecall.cli.terminal.signals import cancelled_by_signals
from rolecall.engine.eta import Estimate, estimate_duration
from rolecall.engine.settings import Settings
from rolecall.files.input.job import DETECT_ALL, ReadOptions, open_job
from rolecall.files.plan_file import Plan
from rolecall.models import BadRow, Row
from rolecall.rocketchat.operations import REMOVE_LEADER, Operation
from rolecall.rocketchat.url import workspace_url
from rolecall.store.base import Identity, read_pages
from rolecall.text import plural


@dataclass(frozen=True, slots=True)
class RunRequest:
    """How a run was asked for, options and all."""

    settings: Settings
    operation: Operation = REMOVE_LEADER
    formats: tuple[str, ...] = ()
    assume_yes: bool = False
    reach: Reach = field(default_factory=Reach)
    voice: OutputMode = field(default_factory=OutputMode)
    plan: Plan | None = None
    """What a check has planned, and the run keeps to."""
    notice: notifications.NotifyConfig = field(default_factory=notifications.NotifyConfig)
    monitor: MetricsWriter | None = None
    reading: ReadOptions = DETECT_ALL


async def run_job(
    job_file: str, out: Path | None, request: RunRequest, login: Login, environ: Mapping[str, str]
) -> ExitCode:
    """Do the job in a file. Raises Refusal for whatever ends it before the first row is sent."""
    with operator_errors():
        url = workspace_url(login.url, allow_http=request.reach.allow_http)
        with open_job(job_file, None, request.reading, console.print_warning) as job:
            identity = Identity(url, request.operation.name, job.digest)
            if request.plan is not None:
                plan_guard.refuse_other_run(request.plan, identity)
            retry_failed = request.settings.retry_failed
            async with open_or_resume_run(job, identity, out, retry_failed=retry_failed, base=Path()) as run:
                return await run_rows(run, lambda: read_pages(job.rows()), request, login, environ)


async def run_rows(
    run: Run,
    rows: Callable[[], AsyncIterator[Sequence[Row | BadRow]]],
    request: RunRequest,
    login: Login,
    environ: Mapping[str, str],
) -> ExitCode:
    """Take the rows in where the run does not know them yet, and take all that are due to their outcomes."""
    code = await _work_on(run, rows, request, login, environ)
    if request.monitor is not None:
        request.monitor.write(code, await metrics.read_counts(run))
    return code


async def _work_on(
    run: Run,
    rows: Callable[[], AsyncIterator[Sequence[Row | BadRow]]],
    request: RunRequest,
    login: Login,
    environ: Mapping[str, str],
) -> ExitCode:
    await plan_guard.refuse_other_plan(request.plan, run)
    if await run.store.identity() != run.identity:
        await _take_in(run, rows(), request)
    if request.plan is not None and not await run.store.sessions():
        await plan_guard.refuse_gaps(request.plan, run, request.operation)
    due, rooms = await run.store.count_due(retry_failed=request.settings.retry_failed)
    if not due:
        return await _nothing_to_do(run, request.formats, quiet=request.voice.quiet)
    patience, quiet = request.settings.outage_timeout, request.voice.quiet
    async with connect(run.identity.workspace, login, request.reach, environ, patience, quiet=quiet) as connection:
        if request.plan is not None:
            plan_guard.refuse_other_account(request.plan, connection.account)
        if not request.assume_yes and console.is_interactive():
            _confirm(request, run, connection, due, rooms)
        showing = ProgressReporter.choose(request.voice, os.environ)
        log = showing.open_log(run.folder / "run.log.jsonl", hide=login.token)
        with structlog.contextvars.bound_contextvars(run=run.folder.name):
            client, formats = connection.client, request.formats
            sending = SendSession(run, client, request.operation, request.settings, formats, log, showing)
            code = await sending.send(connection.account.username, due)
            way = notifications.NotifyTransport(connection.client, request.reach, environ)
            await notifications.notify(run, request.notice, code, way, log)
            return code


async def _take_in(run: Run, rows: AsyncIterator[Sequence[Row | BadRow]], request: RunRequest) -> None:
    await reports.mark_reports_stale(run)
    plan = request.plan
    with cancelled_by_signals():
        if plan is None:
            await run.store.import_rows(run.identity, rows)
        else:
            await run.store.import_rows(
                run.identity, rows, plan_guard.known(plan, request.operation), {plan_guard.PLAN: plan.digest}
            )


async def _nothing_to_do(run: Run, formats: Collection[str], *, quiet: bool) -> ExitCode:
    counts = await run.store.counts()
    if formats or not await reports.reports_up_to_date(run):
        await reports.write_reports(run, formats)
    code = reports.exit_code(counts, None)
    if code is not ExitCode.DONE or not quiet:
        await reports.show(run, f"Nothing left to do, nothing was sent. {reports.format_counts(counts)}", sys.stdout)
    return code


def _confirm(request: RunRequest, run: Run, connection: Connection, rows: int, rooms: int) -> None:
    """Ask a person; raises Refusal when the answer is not yes."""
    question = _question(request.operation, run.identity.workspace, connection.account.username, rows, rooms)
    expectation = estimate_calls(request.settings, connection, rows)
    if not console.confirm(f"{question}; {expectation}?" if expectation else f"{question}?"):
        raise OperatorError("Nothing was sent.")


def _question(operation: Operation, workspace: str, username: str, rows: int, rooms: int) -> str:
    verb, kind = "Add" if operation.adds else "Remove", operation.kind.removesuffix("s")
    what = f"{plural(rows, operation.role)} in {plural(rooms, kind)}"
    return f"{verb} {what} at {workspace} as {username}"


def estimate_calls(settings: Settings, connection: Connection, rows: int) -> Estimate | None:
    """Estimate how long so many calls take; None where nothing limits them."""
    return estimate_duration(rows, settings.rate, connection.account.limits, connection.server_date)
