"""Run a job: import its rows with what a parent run left in doubt, send those that are due, write the reports."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rolecall.app import plan_guard
from rolecall.app.connection import AppContext, Connection, LazyConnection, lock_wait
from rolecall.app.errors import OperatorError
from rolecall.app.job_names import JobPages, Pages, with_ids
from rolecall.app.late_imports import prepare_end, prepare_sending
from rolecall.app.observer import Aborted, Resumed, RunPreview, ShuttingDown
from rolecall.app.run_directory import (
    RUN_REASON,
    STALE_REPORTS,
    Run,
    identity_of,
    operation_of,
    reports_up_to_date,
)
from rolecall.app.run_paths import RunKind
from rolecall.app.run_selection import StartOptions, open_or_resume_run
from rolecall.app.send_session import open_session
from rolecall.engine.removal_limits import NO_LIMITS, RemovalLimits
from rolecall.engine.stop_signal import StopReason, StopSignal
from rolecall.files.doubt_columns import RunTarget, belongs_to
from rolecall.files.input.job import Job
from rolecall.files.plan_file import Plan
from rolecall.models import BadRow, CsvStyle, Row
from rolecall.rocketchat.operations import REMOVE_LEADER, Operation
from rolecall.store.base import PAGE_SIZE, StoreError, StoreLoss, StoreLostError, read_pages
from rolecall.store.records import Identity, count_by_outcome

if TYPE_CHECKING:  # the engine and the reports are imported after the preflight
    from rolecall.app.removal_guard import PreparedRun
    from rolecall.app.reports import ReportSummary
    from rolecall.engine.context import RunContext
    from rolecall.engine.events import EventLogger

MAX_NAMED_ROOMS = 3
"""Rooms that the question before a run names."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is run, and which reports are written."""

    operation: Operation = REMOVE_LEADER
    formats: tuple[str, ...] = ()
    """Further forms of the report, of REPORT_FORMATS."""
    plan: Plan | None = None
    """A plan of a check, which the run follows."""
    exit_code_of: "Callable[[RunResult], int] | None" = None
    """Returns the exit code of the command, for the log; None where no command runs the rows."""
    limits: RemovalLimits = NO_LIMITS
    """What the run may take; checked before its first change."""
    reason: str = ""
    """Why the run is made, in the words of the operator; stored and reported."""
    anew: bool = False
    """Start a new run, also beside an unfinished one of the job."""
    is_unattended: bool = False
    """No person can be asked: an unfinished run of the job's former content is continued."""
    csv: CsvStyle | None = None
    """The style of the CSV files; None for that of the last time."""


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
    log: "EventLogger | None" = None
    """The log of its session; its file is open."""
    loss: StoreLoss | None = None
    """What of the store was deleted or moved during the run; after STORE there are reports, from what is still open."""

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
    start = StartOptions(
        out,
        anew=request.anew,
        retry_failed=context.settings.retry_failed,
        continues_edited=request.is_unattended and request.plan is None,
    )
    async with open_or_resume_run(job, identity, start, context.observer, lock_wait(context)) as run:
        return await run_rows(run, lambda: read_pages(job.rows()), request, context)


async def run_rows(run: Run, rows: Callable[[], JobPages], request: RunRequest, context: AppContext) -> RunResult:
    """Import the rows if the run does not have them yet, and send all that are due."""
    async with LazyConnection(context) as lazy:
        prepared = await prepare_rows(run, rows, request, context, lazy)
        return await _nothing_due(run, request) if prepared is None else await send_due(prepared, request)


async def prepare_rows(
    run: Run, rows: Callable[[], JobPages], request: RunRequest, context: AppContext, lazy: LazyConnection
) -> "PreparedRun | None":
    """Import the rows if the run does not have them yet, check what it would take, and let the operator confirm it.

    Returns None where no row is due. Raises OperatorError where the run is not allowed, or not confirmed.
    """
    await plan_guard.require_same_plan(request.plan, run)
    retry_failed = context.settings.retry_failed
    if await run.store.identity() != run.identity:
        await import_job(run, with_ids(rows(), run, lazy, context, log_file=run.log_file), request)
    if request.plan is not None and not await run.store.sessions():
        await plan_guard.require_planned_pairs(request.plan, run, request.operation)
    due, rooms = await run.store.count_due(retry_failed=retry_failed)
    if not due and not await run.store.count_removed_in_doubt():
        return None
    preparing = asyncio.create_task(asyncio.to_thread(prepare_sending, context.observer), name="prepare the sending")
    try:
        connection = await lazy.get()
    finally:
        await asyncio.gather(preparing, return_exceptions=True)  # what fails is reported where it is needed
    if request.plan is not None:
        plan_guard.require_same_account(request.plan, connection.account)
    prepared = prepare(run, connection, request, context, (due, rooms))
    preview = await _preview(prepared, request)
    if due and not context.observer.confirm(preview):
        raise OperatorError("Nothing was sent.")
    return prepared


async def _preview(prepared: "PreparedRun", request: RunRequest) -> RunPreview:
    """Return what the run is about to change. Raises RemovalGuardError where it may not."""
    from rolecall.app import removal_guard
    from rolecall.engine.progress import PriorProgress

    run, connection, context, due, rooms = prepared.run, prepared.connection, prepared.app, prepared.due, prepared.rooms
    retry_failed = context.settings.retry_failed
    earlier = PriorProgress.of(await run.store.counts(), due, retry_failed=retry_failed)
    forecast = await removal_guard.count_removals(prepared, request.limits)
    if forecast is not None:
        removal_guard.require_allowed(forecast, request.operation)
    return RunPreview(
        request.operation,
        run.identity.workspace,
        connection.account.username,
        due,
        rooms,
        connection.estimate(context.settings, due),
        resumed=Resumed(run.folder, earlier.done, earlier.total) if await run.store.sessions() else None,
        room_names=await _room_names(run, rooms, retry_failed=retry_failed),
        forecast=forecast,
    )


def prepare(
    run: Run, connection: Connection, request: RunRequest, app: AppContext, due: tuple[int, int]
) -> "PreparedRun":
    """Return a run that can be sent; its events go to the observer's log and to its own. `due`: rows and rooms."""
    from rolecall.app.removal_guard import PreparedRun
    from rolecall.engine.context import RunContext

    log = app.observer.open_log(run.log_file, hide=app.credentials.token)
    context = RunContext.create(
        app.settings,
        log,
        stop=app.stop,
        admission=connection.admission,
        caller=connection.caller,
        follows_plan=request.plan is not None,
    )
    return PreparedRun(run, connection, app, context, log, *due)


async def _room_names(run: Run, rooms: int, *, retry_failed: bool) -> tuple[str, ...]:
    """Return the names of the rooms of the due rows, in job order.

    Empty where the rooms are many, one has no name, or not all are among the first rows.
    """
    if rooms > MAX_NAMED_ROOMS:
        return ()
    first = await run.store.fetch_due(0, PAGE_SIZE, retry_failed=retry_failed)
    names = {row.room_id: row.room_name for _, row in first}
    return tuple(names.values()) if len(names) == rooms and all(names.values()) else ()


async def import_job(run: Run, rows: Pages, request: RunRequest) -> None:
    """Import the rows of a job into the run, whose reports are stale then. Raises what the rows raise."""
    plan = request.plan
    async with aclosing(rows):
        pages = with_own_doubts(rows, run.identity)
        if plan is None:
            await run.store.import_rows(run.identity, pages, meta=STALE_REPORTS)
        else:
            presets = plan_guard.preset_outcomes(plan, request.operation)
            meta = {**STALE_REPORTS, plan_guard.PLAN: plan.digest}
            await run.store.import_rows(run.identity, pages, presets, meta)


async def with_own_doubts(
    pages: AsyncIterator[Sequence[Row | BadRow]], identity: Identity
) -> AsyncGenerator[Sequence[Row | BadRow], None]:
    """Return the rows; a doubt that was edited, or is of another workspace or operation, is left out."""
    target = RunTarget(identity.workspace, operation_of(identity).name)
    async for page in pages:
        yield [_with_own_doubt(row, target) for row in page]


def _with_own_doubt(row: Row | BadRow, target: RunTarget) -> Row | BadRow:
    if isinstance(row, BadRow) or row.doubt is None or belongs_to(row, target):
        return row
    return row._replace(doubt=None)


async def _nothing_due(run: Run, request: RunRequest) -> RunResult:
    from rolecall.app import reports

    if request.formats or request.csv or not await reports_up_to_date(run):
        await reports.write_reports(run, request.formats, request.csv)
    return RunResult(run.folder, await reports.summarise(run), sent=False)


async def send_due(prepared: "PreparedRun", request: RunRequest) -> RunResult:
    """Send what is due and write the reports. A cancellation ends it at once; what is known is recorded."""
    from rolecall.app.not_joined import record_hidden_rooms
    from rolecall.app.removed_rows import settle_removed_rows
    from rolecall.engine.dispatcher import process_rows
    from rolecall.engine.progress import PriorProgress, ProgressTracker
    from rolecall.engine.throttle.read_client import ReadClient

    run, connection, app, context, log, due, _ = prepared
    earlier = PriorProgress.of(await run.store.counts(), due, retry_failed=app.settings.retry_failed)
    tracker = ProgressTracker(earlier, context, request.operation.path)
    if request.reason:
        await run.store.set_meta(**{RUN_REASON: request.reason})
    async with open_session(run, connection.account.username, due, context) as session:
        announcing = asyncio.create_task(_announce_shutdown(app, context), name="announce shutdown")
        preparing = asyncio.create_task(asyncio.to_thread(prepare_end, app.observer), name="prepare the end")
        try:
            async with app.observer.progress(tracker):
                await settle_removed_rows(run, connection, request.operation, context)
                await process_rows(run.store, connection.client, request.operation, context)
        except asyncio.CancelledError:
            app.stop.request(StopReason.INTERRUPTED)
            app.observer.notice(Aborted(run.folder))
            raise
        finally:
            announcing.cancel()
    await asyncio.gather(preparing, return_exceptions=True)  # what fails is reported when the page is written
    counts, code = context.outcomes, None
    try:
        if session.is_recorded and app.stop.reason is None:
            with suppress(StoreError):
                await record_hidden_rooms(run.store, ReadClient(connection.client, context), connection, app.stop)
        result = (await _result(run, request, app.stop, session.failure))._replace(log=log)
        counts = count_by_outcome(result.summary.counts) if result.summary is not None else counts
        code = None if request.exit_code_of is None else request.exit_code_of(result)
    except asyncio.CancelledError:
        app.observer.notice(Aborted(run.folder, is_recorded=True))
        raise
    finally:  # also where a second signal cuts the reports off
        context.events.session_ended(session.seconds, counts, run.folder, code)
    return result


async def _announce_shutdown(app: AppContext, context: "RunContext") -> None:
    """Report an interruption, from which on the calls in flight have some seconds."""
    await app.stop.wait()
    if app.stop.reason is StopReason.INTERRUPTED:
        seconds = app.settings.shutdown_timeout
        context.events.shutting_down(seconds)
        app.observer.notice(ShuttingDown(seconds))


async def _result(run: Run, request: RunRequest, stop: StopSignal, failure: StoreError | None) -> RunResult:
    """Write the reports, where the end of the session is recorded, or where its store was deleted and is still open."""
    from rolecall.app import reports

    loss = failure.loss if isinstance(failure, StoreLostError) else None
    summary, error = None, ""
    if failure is None or loss is StoreLoss.STORE:
        try:
            summary = await reports.write_report_files(run, request.formats, request.csv)
            if failure is None:
                await reports.mark_reports_current(run)
        except (OSError, StoreError) as report_failure:
            error = str(report_failure)
    if summary is None:
        with suppress(StoreError):
            summary = await reports.summarise(run)
    detail = str(failure) if failure is not None else stop.detail
    return RunResult(run.folder, summary, stop.reason, detail, recorded=failure is None, report_error=error, loss=loss)
