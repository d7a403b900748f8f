"""Check a job: predict the outcome of each row from the roles in the workspace; nothing is changed."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rolecall.app import plan_guard, removal_guard, reports
from rolecall.app.connection import (
    AppContext,
    Connection,
    LazyConnection,
    ReadSession,
    lock_wait,
    open_read_session,
    run_reading,
)
from rolecall.app.job_names import JobPages, with_ids
from rolecall.app.not_joined import record_hidden_rooms
from rolecall.app.reports import ReportSummary
from rolecall.app.run_directory import Run, identity_of, on_thread
from rolecall.app.run_job import with_own_doubts
from rolecall.app.run_paths import RunKind
from rolecall.app.run_selection import StartOptions, open_or_resume_run
from rolecall.engine.directory.removal_forecast import RemovalForecast
from rolecall.engine.directory.role_check import RoleCheck
from rolecall.engine.progress import Estimate
from rolecall.engine.removal_limits import NO_LIMITS, RemovalLimits
from rolecall.engine.stop_signal import StopReason
from rolecall.files.input.job import Job
from rolecall.files.plan_file import NEVER_SENT, PlanHeader, open_plan_file
from rolecall.models import CsvStyle, Outcome, Result
from rolecall.rocketchat.operations import REMOVE_LEADER, Operation
from rolecall.rocketchat.preflight import INFO, Account, parse_version
from rolecall.store.base import read_pages
from rolecall.store.records import Session, count_by_outcome
from rolecall.text import rfc3339


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What is checked, and what is written."""

    operation: Operation = REMOVE_LEADER
    formats: tuple[str, ...] = ()
    plan: Path | None = None
    """Where the plan is written."""
    csv: CsvStyle | None = None
    """The style of the CSV files; None for that of the last time."""
    limits: RemovalLimits | None = None
    """What a run may take, for which the removals are counted; None does not count them."""


class Work(NamedTuple):
    """A number of calls, and how long they take."""

    calls: int
    estimate: Estimate | None
    """None where nothing limits the calls."""


class CheckResult(NamedTuple):
    """What a check predicts."""

    summary: ReportSummary
    operation: Operation
    account: Account
    version: str
    """The server's version; empty where it is not known."""
    stop: StopReason | None
    """Why the check ended before its last row; None for a complete one."""
    changed_rooms: int
    """Rooms in which a run would change something."""
    whole_job: Work
    """A run of every pair."""
    planned: Work
    """A run of the plan."""
    plan: Path | None
    removals: RemovalForecast | None = None
    """What a run would take; None for an operation that adds a role, and where the rooms were not read."""

    @property
    def changes(self) -> int:
        """Rows that a run would change."""
        return count_by_outcome(self.summary.counts)[self.operation.predicted]


async def check_job(job: Job, out: Path | None, request: CheckRequest, context: AppContext) -> CheckResult:
    """Predict what a run of the job would do, in `out` or in a directory of its own; continue its unfinished check.

    Raises RolecallError or OSError for everything that ends it before the first room is read.
    """
    if request.plan is not None:
        plan_guard.require_writable_plan(request.plan)
    identity = identity_of(RunKind.CHECK, context.connection.url, request.operation, job.digest)
    async with open_or_resume_run(job, identity, StartOptions(out), context.observer, lock_wait(context)) as run:
        return await check_rows(run, read_pages(job.rows()), request, context)


async def check_rows(run: Run, rows: JobPages, request: CheckRequest, context: AppContext) -> CheckResult:
    """Import the rows and predict the outcome of each; a check that was complete starts again."""
    async with LazyConnection(context) as lazy:
        await _import(run, rows, lazy, context)
        connection = await lazy.get()
        session = open_read_session(context, connection, run.log_file)
        return await _check(run, connection, session, request, context)


async def _import(run: Run, rows: JobPages, connection: LazyConnection, context: AppContext) -> None:
    sessions = await run.store.sessions()
    if sessions and _is_complete(sessions[-1]):
        await run.store.reset_outcomes()  # before the import: doubts are imported for rows without an outcome
        await run.store.delete_names()
    async with aclosing(with_ids(rows, run, connection, context, log_file=run.log_file)) as pages:
        await run.store.import_rows(run.identity, with_own_doubts(pages, run.identity))
    await run.store.delete_removed_pairs()


async def _check(
    run: Run, connection: Connection, session: ReadSession, request: CheckRequest, context: AppContext
) -> CheckResult:
    reader, stop, clock = session.reader, session.stop, session.clock
    await run.store.open_session(connection.account.username, clock.wall_ms())
    version, removals = "", None

    async def work() -> None:
        nonlocal version, removals
        version = parse_version((await reader.read(INFO)).body or {})
        uses_messages = context.settings.message_evidence
        check = RoleCheck(
            run.store,
            reader,
            request.operation,
            connection.account,
            clock,
            message_evidence=uses_messages,
            limits=request.limits or NO_LIMITS,
        )
        await check.run(at_once=context.settings.concurrency)
        if request.limits is not None:
            removals = await removal_guard.count_checked_removals(run, check, connection, context.settings)
        await record_hidden_rooms(run.store, reader, connection, stop)

    try:
        complete = await run_reading(work(), stop)
    finally:
        await run.store.close_session(stop.reason or "", clock.wall_ms())
    result = await _result(run, connection, request, context)
    if complete and request.plan is not None:
        await _write_plan(run, connection.account, request.operation, request.plan)
    return result._replace(version=version, stop=None if complete else stop.reason, removals=removals)


async def _result(run: Run, connection: Connection, request: CheckRequest, context: AppContext) -> CheckResult:
    summary = await reports.write_reports(run, request.formats, request.csv)
    outcomes, operation = count_by_outcome(summary.counts), request.operation
    pairs = outcomes.total() - sum(outcomes[outcome] for outcome in NEVER_SENT)
    planned = outcomes[operation.predicted] + outcomes[Outcome.NOT_ATTEMPTED] + outcomes[Outcome.UNKNOWN]
    changed_rooms, _ = await run.store.count_rooms_and_users([operation.predicted])
    return CheckResult(
        summary,
        operation,
        connection.account,
        version="",
        stop=None,
        changed_rooms=changed_rooms,
        whole_job=Work(pairs, connection.estimate(context.settings, pairs)),
        planned=Work(planned, connection.estimate(context.settings, planned)),
        plan=request.plan,
    )


async def _write_plan(run: Run, account: Account, operation: Operation, path: Path) -> None:
    workspace, _, digest = run.identity
    checked_at = rfc3339(_started_at(await run.store.sessions())) or ""
    header = PlanHeader(workspace, operation.name, account.user_id, account.username, digest, checked_at)
    async with on_thread(open_plan_file(path, header)) as write, aclosing(run.store.results()) as pages:
        async for page in pages:
            await asyncio.to_thread(write, [_to_planned(result) for result in page])


def _to_planned(result: Result) -> Result:
    """Return a result as a plan has it: a row in doubt without a prediction is sent, as every row that has none."""
    return result._replace(outcome=Outcome.NOT_ATTEMPTED) if result.outcome is Outcome.UNKNOWN else result


def _started_at(sessions: Sequence[Session]) -> int:
    """Return when the oldest prediction may have been made: an interrupted check is continued."""
    started = sessions[-1].started_at
    for session in reversed(sessions[:-1]):
        if _is_complete(session):
            break
        started = session.started_at
    return started


def _is_complete(session: Session) -> bool:
    return session.ended_at is not None and not session.stop
