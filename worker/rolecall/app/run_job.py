"""Run a job: import its rows with what a parent run left in doubt, send those that are due, write the reports."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rolecall.app import plan_guard
from rolecall.app.connection import AppContext, Connection, connect
from rolecall.app.errors import OperatorError, RunStopped
from rolecall.app.observer import Aborted, RunPreview, ShuttingDown
from rolecall.app.run_directory import (
    Run,
    identity_of,
    mark_reports_stale,
    open_or_resume_run,
    reports_up_to_date,
)
from rolecall.app.run_paths import RunKind
from rolecall.engine.context import RunContext
from rolecall.engine.events import EventLogger
from rolecall.engine.progress import PriorProgress, ProgressTracker
from rolecall.engine.stop_signal import StopReason, StopSignal
from rolecall.files.doubt_columns import RunTarget, belongs_to
from rolecall.files.input.job import Job
from rolecall.files.plan_file import Plan
from rolecall.models import BadRow, Row
from rolecall.rocketchat.operations import REMOVE_LEADER, Operation
from rolecall.store.base import StoreError, read_pages
from rolecall.store.records import Identity

if TYPE_CHECKING:  # the engine and the reports are imported while the workspace answers the preflight
    from rolecall.app.reports import ReportSummary

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
    summary: "ReportSummary | None"
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
    async with open_or_resume_run(job, identity, out, retry_failed=retry_failed) as run:
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
        return await _send(run, connection, request, context, due)


async def _import(run: Run, rows: Pages, request: RunRequest, stop: StopSignal) -> None:
    await mark_reports_stale(run)
    plan = request.plan
    async with aclosing(rows):
        pages = with_own_doubts(stop_on_request(rows, stop), run.identity)
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


async def with_own_doubts(
    pages: AsyncIterator[Sequence[Row | BadRow]], identity: Identity
) -> AsyncGenerator[Sequence[Row | BadRow], None]:
    """Return the rows; a doubt that was edited, or is of another workspace or operation, is left out.

    So a check, whose identity is that of no run, takes over no doubt.
    """
    target = RunTarget(identity.workspace, identity.operation)
    async for page in pages:
        yield [_with_own_doubt(row, target) for row in page]


def _with_own_doubt(row: Row | BadRow, target: RunTarget) -> Row | BadRow:
    if isinstance(row, BadRow) or row.doubt is None or belongs_to(row, target):
        return row
    return row._replace(doubt=None)


async def _nothing_due(run: Run, formats: tuple[str, ...]) -> RunResult:
    from rolecall.app import reports

    if formats or not await reports_up_to_date(run):
        await reports.write_reports(run, formats)
    return RunResult(run.folder, await reports.summarise(run), sent=False)


async def _send(run: Run, connection: Connection, request: RunRequest, app: AppContext, due: int) -> RunResult:
    """Send what is due and write the reports. A cancellation ends it at once; what is known is recorded."""
    from rolecall.app import reports
    from rolecall.engine.dispatcher import process_rows

    log = app.observer.open_log(run.log_file, hide=app.credentials.token)
    context = RunContext.create(
        app.settings, log, stop=app.stop, caller=connection.caller, follows_plan=request.plan is not None
    )
    earlier = PriorProgress.of(await run.store.counts(), due, retry_failed=app.settings.retry_failed)
    tracker = ProgressTracker(earlier, context, request.operation.path)
    async with open_session(run, connection.account.username, due, context) as session:
        announcing = asyncio.create_task(_announce_shutdown(app, log), name="announce shutdown")
        preparing = asyncio.create_task(asyncio.to_thread(reports.prepare_html_report), name="prepare the report")
        try:
            async with app.observer.progress(tracker):
                await process_rows(run.store, connection.client, request.operation, context)
        except asyncio.CancelledError:
            app.stop.request(StopReason.INTERRUPTED)
            app.observer.notice(Aborted(run.folder))
            raise
        finally:
            announcing.cancel()
    await asyncio.gather(preparing, return_exceptions=True)  # what fails is reported when the page is written
    return await _result(run, request, app.stop, is_recorded=session.is_recorded)


@dataclass(slots=True)
class SendSession:
    """What is known of a session once it has ended."""

    is_recorded: bool = True
    """False where its end could not be recorded: the store cannot be written any more."""


@asynccontextmanager
async def open_session(run: Run, account: str, due: int, context: RunContext) -> AsyncIterator[SendSession]:
    """Record and log the start of a session with so many due rows, and its end after the block.

    A store that cannot record the end stops the context with StopReason.STORE and raises nothing: the rows that are on
    disk can perhaps still be read.
    """
    session, store, clock = SendSession(), run.store, context.clock
    resumed = bool(await store.sessions())
    await mark_reports_stale(run)
    await store.open_session(account, clock.wall_ms())
    context.events.session_started(run.identity, run.folder, account, due, resumed=resumed)
    started = clock.now()
    try:
        yield session
    finally:
        try:
            await store.close_session(context.stop.reason or "", clock.wall_ms())
        except StoreError as failure:
            context.stop.request(StopReason.STORE, str(failure))
            session.is_recorded = False
        context.events.session_ended(clock.now() - started, context.outcomes)


async def _announce_shutdown(app: AppContext, log: EventLogger) -> None:
    """Report an interruption, from which on the calls in flight have some seconds."""
    await app.stop.wait()
    if app.stop.reason is StopReason.INTERRUPTED:
        seconds = app.settings.shutdown_timeout
        log.info("stopping", shutdown_timeout=seconds)
        app.observer.notice(ShuttingDown(seconds))


async def _result(run: Run, request: RunRequest, stop: StopSignal, *, is_recorded: bool) -> RunResult:
    from rolecall.app import reports

    summary, error = None, ""
    if is_recorded:
        try:
            summary = await reports.write_reports(run, request.formats)
        except (OSError, StoreError) as failure:
            error = str(failure)
    if summary is None:
        with suppress(StoreError):
            summary = await reports.summarise(run)
    return RunResult(run.folder, summary, stop.reason, stop.detail, recorded=is_recorded, report_error=error)
