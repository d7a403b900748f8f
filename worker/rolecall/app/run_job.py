"""Run a job: import its rows, send those that are due, write the reports."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import structlog

from rolecall.app import plan_guard, reports
from rolecall.app.connection import AppContext, Connection, connect
from rolecall.app.errors import OperatorError, RunStopped
from rolecall.app.observer import Aborted, RunPreview, ShuttingDown
from rolecall.app.reports import ReportSummary
from rolecall.app.run_directory import (
    Run,
    identity_of,
    mark_reports_stale,
    open_or_resume_run,
    reports_up_to_date,
)
from rolecall.app.run_paths import RunKind
from rolecall.engine.context import RunContext
from rolecall.engine.dispatcher import process_rows
from rolecall.engine.events import EventLogger
from rolecall.engine.progress_tracker import PriorProgress, ProgressTracker
from rolecall.engine.stop_signal import StopReason, StopSignal
from rolecall.files.input.job import Job
from rolecall.files.plan_file import Plan
from rolecall.models import BadRow, Row
from rolecall.rocketchat.operations import REMOVE_LEADER, Operation
from rolecall.store.base import StoreError, read_pages

Pages = AsyncGenerator[Sequence[Row | BadRow], None]
"""Rows, page by page."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is run, and which reports are written."""

    operation: Operation = REMOVE_LEADER
    formats: tuple[str, ...] = ()
    """Further forms of the report: `jsonl`, `json`."""
    plan: Plan | None = None
    """A plan of a check, which the run follows."""


class RunResult(NamedTuple):
    """How a run ended."""

    folder: Path
    summary: ReportSummary | None
    """None where the store cannot be read any more."""
    stop: StopReason | None = None
    """Why it ended before its last row."""
    detail: str = ""
    """The server's or the system's words on that; may be empty."""
    sent: bool = True
    """False where nothing was left to do."""
    recorded: bool = True
    """False where the end of the session could not be recorded; there are no reports then."""
    report_error: str = ""
    """Why the reports could not be written."""

    @property
    def is_success(self) -> bool:
        """Whether every row ended as wanted and the reports say so."""
        complete = self.stop is None and self.recorded and not self.report_error
        return complete and self.summary is not None and not self.summary.has_failures


async def run_job(job: Job, out: Path | None, request: RunRequest, context: AppContext) -> RunResult:
    """Run the job, in `out` or in a directory of its own; continue its unfinished run.

    Raises RolecallError or OSError for everything that ends it before the first row is sent.
    """
    identity = identity_of(RunKind.RUN, context.connection.url, request.operation, job.digest)
    if request.plan is not None:
        plan_guard.require_fitting_plan(request.plan, identity)
    retry_failed = context.settings.retry_failed
    async with open_or_resume_run(job, identity, out, retry_failed=retry_failed, base=Path()) as run:
        return await run_rows(run, lambda: read_pages(job.rows()), request, context)


async def run_rows(run: Run, rows: Callable[[], Pages], request: RunRequest, context: AppContext) -> RunResult:
    """Import the rows if the run does not have them yet, and send all that are due."""
    await plan_guard.require_same_plan(request.plan, run)
    if await run.store.identity() != run.identity:
        await _import(run, rows(), request, context.stop)
    if request.plan is not None and not await run.store.sessions():
        await plan_guard.require_planned_pairs(request.plan, run, request.operation)
    due, rooms = await run.store.count_due(retry_failed=context.settings.retry_failed)
    if not due:
        return await _nothing_due(run, request.formats)
    async with connect(context) as connection:
        if request.plan is not None:
            plan_guard.require_same_account(request.plan, connection.account)
        workspace, account = run.identity.workspace, connection.account.username
        estimate = connection.estimate(context.settings, due)
        if not context.observer.confirm(RunPreview(request.operation, workspace, account, due, rooms, estimate)):
            raise OperatorError("Nothing was sent.")
        log = context.observer.open_log(run.log_file, hide=context.credentials.token)
        with structlog.contextvars.bound_contextvars(run=run.folder.name):
            return await SendSession(run, connection, request, context, log).send(due)


async def _import(run: Run, rows: Pages, request: RunRequest, stop: StopSignal) -> None:
    await mark_reports_stale(run)
    plan = request.plan
    async with aclosing(rows):
        pages = stop_on_request(rows, stop)
        if plan is None:
            await run.store.import_rows(run.identity, pages)
        else:
            presets = plan_guard.preset_outcomes(plan, request.operation)
            await run.store.import_rows(run.identity, pages, presets, {plan_guard.PLAN: plan.digest})


async def stop_on_request(pages: AsyncIterator[Sequence[Row | BadRow]], stop: StopSignal) -> Pages:
    """Yield the pages. Raises RunStopped once the stop is requested, so that an import is rolled back."""
    async for page in pages:
        if stop.reason is not None:
            raise RunStopped(stop.reason, stop.detail)
        yield page


async def _nothing_due(run: Run, formats: tuple[str, ...]) -> RunResult:
    if formats or not await reports_up_to_date(run):
        await reports.write_reports(run, formats)
    return RunResult(run.folder, await reports.summarise(run), sent=False)


class SendSession(NamedTuple):
    """One session of a run: from the first row that is due to the reports, whatever ends it."""

    run: Run
    connection: Connection
    request: RunRequest
    context: AppContext
    log: EventLogger

    async def send(self, due: int) -> RunResult:
        """Send what is due and write the reports. A cancellation ends it at once; what is known is recorded."""
        app, store, operation = self.context, self.run.store, self.request.operation
        context = RunContext.create(app.settings, self.log, stop=app.stop)
        clock, events = context.clock, context.events
        earlier = PriorProgress.of(await store.counts(), due, retry_failed=app.settings.retry_failed)
        await self._open(due, context)
        started = clock.now()
        announcing = asyncio.create_task(self._announce_shutdown(), name="announce shutdown")
        try:
            async with app.observer.progress(ProgressTracker(earlier, context, operation.path)):
                await process_rows(store, self.connection.client, operation, context)
        except asyncio.CancelledError:
            app.stop.request(StopReason.INTERRUPTED)
            app.observer.notice(Aborted(self.run.folder))
            raise
        finally:
            announcing.cancel()
            recorded = await self._close(context)
            events.session_ended(clock.now() - started, context.outcomes)
        return await self._result(recorded=recorded)

    async def _open(self, due: int, context: RunContext) -> None:
        account = self.connection.account.username
        resumed = bool(await self.run.store.sessions())
        await mark_reports_stale(self.run)
        await self.run.store.open_session(account, context.clock.wall_ms())
        context.events.session_started(self.run.identity, self.run.folder, account, due, resumed=resumed)

    async def _announce_shutdown(self) -> None:
        """Report an interruption, from which on the calls in flight have some seconds."""
        await self.context.stop.wait()
        if self.context.stop.reason is StopReason.INTERRUPTED:
            seconds = self.context.settings.shutdown_timeout
            self.log.info("stopping", grace=seconds)
            self.context.observer.notice(ShuttingDown(seconds))

    async def _close(self, context: RunContext) -> bool:
        """Record how the session ended; False where the store cannot be written any more."""
        stop = context.stop
        try:
            await self.run.store.close_session(stop.reason or "", context.clock.wall_ms())
        except StoreError as failure:
            stop.request(StopReason.STORE, str(failure))
            return False
        return True

    async def _result(self, *, recorded: bool) -> RunResult:
        stop, error = self.context.stop, ""
        summary: ReportSummary | None = None
        if recorded:
            try:
                summary = await reports.write_reports(self.run, self.request.formats)
            except (OSError, StoreError) as failure:
                error = str(failure)
        if summary is None:
            with suppress(StoreError):
                summary = await reports.summarise(self.run)
        return RunResult(self.run.folder, summary, stop.reason, stop.detail, recorded=recorded, report_error=error)
