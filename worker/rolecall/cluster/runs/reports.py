"""The report of a run of the database, its verification and its undo: the use cases of a run on one machine."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rolecall.app import reports
from rolecall.app.connection import AppContext, connect, open_read_session
from rolecall.app.errors import InvalidRunDirectoryError, OperatorError
from rolecall.app.observer import NotUndone
from rolecall.app.reports import ReportSummary
from rolecall.app.run_directory import Run, on_thread, operation_of
from rolecall.app.run_job import RunRequest
from rolecall.app.run_paths import make_private_directory
from rolecall.app.undo_decision import PastUndo, refusal_of
from rolecall.app.undo_run import identity_of_undo, rows_to_undo
from rolecall.app.verify_run import VerifyResult, verify_rows
from rolecall.cluster.database import operator_sql
from rolecall.cluster.database.operator_database import OperatorDatabase, read_clock
from rolecall.cluster.runs.records import RunRecord, RunState, name_of, read_run
from rolecall.cluster.runs.submit import JOB, SubmitRequest, Submitted, submit_rows
from rolecall.cluster.workspaces_file import WorkspaceEntry
from rolecall.file_access import OpenDirectory
from rolecall.models import Advice, CsvStyle, Outcome
from rolecall.store.postgres.connection import DatabaseConfig
from rolecall.store.postgres.schema_version import connect_current
from rolecall.store.postgres.store import PostgresStore
from rolecall.store.records import Session, count_by_outcome
from rolecall.store.run_lock import RunLockedError
from rolecall.store.sqlite.store import FILE_NAME
from rolecall.text import plural, rfc3339

SESSION_GAP_MS = 60_000
"""Sessions of one worker that are less apart are reported as one."""


class WorkerSession(NamedTuple):
    """One start of a shard by a worker."""

    started_at: int
    ended_at: int | None
    stop: str
    account: str
    worker: str
    shard_id: int


class WholeRunStore(PostgresStore):
    """The store of a whole run. Its sessions are those of workers, not one for each start of a shard."""

    async def sessions(self) -> list[Session]:
        """Return the sessions of this run: for each worker one as long as it worked without a break."""
        rows = await self._read(operator_sql.SESSIONS)
        return merge_sessions([WorkerSession(*row) for row in rows])


def merge_sessions(sessions: Sequence[WorkerSession]) -> list[Session]:
    """Return the work of each worker without a break as one session, the one that ended last at the end.

    A start that has no end was cut off, unless a later start of the worker shows that it went on.
    """
    merged: list[WorkerSession] = []
    latest: dict[tuple[str, str], int] = {}
    for session in sessions:
        key = session.worker, session.account
        place = latest.get(key)
        if place is not None and _continues(merged[place], session):
            ended = max(merged[place].ended_at or 0, session.ended_at or 0) if session.ended_at else None
            merged[place] = merged[place]._replace(ended_at=ended, stop=session.stop)
            continue
        latest[key] = len(merged)
        merged.append(session)
    merged.sort(key=lambda each: each.ended_at or each.started_at)
    return [Session(*session[:4]) for session in merged]


def _continues(before: WorkerSession, session: WorkerSession) -> bool:
    if not session.worker or before.ended_at is None:
        return False
    return not before.stop and session.started_at - before.ended_at < SESSION_GAP_MS


@asynccontextmanager
async def open_whole_run(config: DatabaseConfig, run_id: int, directory: Path) -> AsyncIterator[Run]:
    """Open a run whose files are written into a directory, which is created. Raises StoreError, OperatorError."""
    connection = await connect_current(config)
    async with WholeRunStore(connection, config, run_id) as store:
        identity = await store.identity()
        if identity is None:
            raise OperatorError(f"{name_of(run_id).capitalize()} has no rows: they were never imported.")
        if (directory / FILE_NAME).exists():  # one look before the work
            raise InvalidRunDirectoryError(directory, "it contains a run of one machine.", Advice.OTHER_DIRECTORY)
        path = make_private_directory(directory)
        async with on_thread(OpenDirectory(path)) as opened:
            yield Run(opened, identity, store)


async def report_run(
    database: OperatorDatabase, run_id: int, out: Path, formats: Collection[str] = (), style: CsvStyle | None = None
) -> ReportSummary:
    """Write the reports of a run into a directory, as a run on one machine writes them. Only reads the database.

    Raises RunLockedError while workers work on it: rows in flight would be reported as if a worker had died.
    """
    found = await read_run(database, run_id)
    if found.workers:
        workers = plural(len(found.workers), "worker")
        text = f"{found.record.name.capitalize()} is being processed by {workers}: wait for its end, or stop it."
        raise RunLockedError(text)
    async with open_whole_run(database.config, run_id, out) as run:
        return await reports.write_report_files(run, formats, style)


async def verify_database_run(
    database: OperatorDatabase, run_id: int, out: Path, context: AppContext, *, wait: bool = True
) -> VerifyResult:
    """Read the roles of a run back from this machine, and compare them with its report.

    Rows in doubt get their outcome; meanwhile the run cannot be resumed. Raises OperatorError while workers may send,
    and for another workspace; RunLockedError while another command verifies it.
    """
    if not (await database.fetch(operator_sql.LOCK_VERIFICATION, run=run_id))[0][0]:
        raise RunLockedError(f"{name_of(run_id).capitalize()} is being verified by another command; wait for its end.")
    record = await _require_at_rest(database, run_id, "verified")
    require_same_workspace(record, context)
    clock = await read_clock(database)
    opened = open_whole_run(database.config, run_id, out)
    async with opened as run, connect(context, clock=clock) as connection:
        session = open_read_session(context, connection, run.log_file, clock)
        return await verify_rows(run, operation_of(run.identity), session, context, wait=wait)


async def undo_database_run(
    database: OperatorDatabase,
    run_id: int,
    entry: WorkspaceEntry,
    request: RunRequest,
    context: AppContext,
    *,
    inferred: bool = False,
) -> Submitted:
    """Submit the undo of a run: a run of its own, which restores the roles that the other is known to have changed.

    Raises OperatorError where there is nothing to undo, or where it was undone before.
    """
    record = await _require_at_rest(database, run_id, "undone")
    require_same_workspace(record, context)
    connection = await connect_current(database.config)
    async with WholeRunStore(connection, database.config, run_id) as store:
        identity = await store.identity()
        if identity is None:
            raise OperatorError(f"{name_of(run_id).capitalize()} has no rows: there is nothing to undo.")
        operation = operation_of(identity)
        undo, state = await identity_of_undo(store, identity, record.name, inferred=inferred)
        past = await _past_undo(database, run_id, undo.job_digest)
        state = state._replace(past=past)
        if (refusal := refusal_of(state)) is not None:
            raise refusal
        if state.left_out or state.unknown:
            context.observer.notice(NotUndone(record.name, operation.done, state.left_out, state.unknown))
        job_name = f"undo of {record.settings.get(JOB) or name_of(run_id)}"
        run_request = replace(request, operation=operation.inverse)
        submission = SubmitRequest(entry, run_request, job_name, run_id)
        return await submit_rows(
            database, undo, lambda: rows_to_undo(store, operation.done, inferred=inferred), submission, context
        )


async def _past_undo(database: OperatorDatabase, run_id: int, digest: str) -> PastUndo | None:
    """Return the undo of exactly these rows that has ended; None where there is none, or it has rows to send."""
    for undo_id, undo_digest in await database.fetch(operator_sql.UNDO_OF, run=run_id):
        if undo_digest != digest:
            return None
        undo = await read_run(database, undo_id)
        if undo.state is not RunState.FINISHED:
            text = f"The undo of {name_of(run_id)} is {name_of(undo_id)}, which is {undo.state}. Nothing was sent."
            raise OperatorError(text, Advice.RESUME_RUN if undo.state is RunState.STOPPED else None)
        outcomes = count_by_outcome(undo.counts)
        ended_at = rfc3339(undo.record.ended_at) or ""
        reverted = await _reverted_in(database, undo_id)
        return PastUndo(name_of(undo_id), ended_at, outcomes[Outcome.FAILED], reverted)
    return None


async def _reverted_in(database: OperatorDatabase, undo_id: int) -> str | None:
    """Return the last undo of an undo, if it takes the undo back; None where there is none, or it is undone too."""
    last, is_reverted = undo_id, False
    while rows := await database.fetch(operator_sql.UNDO_OF, run=last):
        last, is_reverted = rows[0][0], not is_reverted
    return name_of(last) if is_reverted else None


async def _require_at_rest(database: OperatorDatabase, run_id: int, verb: str) -> RunRecord:
    """Return a run to which no worker sends anything. Raises OperatorError."""
    found = await read_run(database, run_id)
    if found.state not in (RunState.STOPPED, RunState.FINISHED):
        text = f"{name_of(run_id).capitalize()} is {found.state}: it can be {verb} once it has finished or is stopped."
        raise OperatorError(text)
    if found.workers:
        workers = plural(len(found.workers), "worker")
        text = f"{name_of(run_id).capitalize()} is {found.state}, and {workers} may have calls in flight: wait some"
        raise OperatorError(f"{text} seconds; a worker that died counts for 30.")
    return found.record


def require_same_workspace(record: RunRecord, context: AppContext) -> None:
    """Raise OperatorError where the credentials are for another workspace than that of the run."""
    if record.url != context.connection.url:
        text = f"{record.name.capitalize()} is a run at {record.url}, not {context.connection.url}."
        raise OperatorError(text, Advice.CHECK_URL)
