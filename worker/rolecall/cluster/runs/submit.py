"""Submit a job: import it into the database, count what it would take, confirm it, and release its shards."""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from rolecall.app.connection import AppContext, LazyConnection
from rolecall.app.errors import OperatorError
from rolecall.app.job_names import JobPages
from rolecall.app.run_directory import RUN_REASON, Run, on_thread
from rolecall.app.run_job import RunRequest, prepare_rows
from rolecall.cluster.database import operator_sql, worker_sql
from rolecall.cluster.database.job_queue import JobQueue, shard_job
from rolecall.cluster.database.operator_database import OperatorDatabase, register_workspace
from rolecall.cluster.runs.records import name_of
from rolecall.cluster.runs.settings import ENGINE, SUBMITTED_AS, settings_to_json
from rolecall.cluster.runs.shard_size import choose_shard_size
from rolecall.cluster.workspaces_file import WorkspaceEntry
from rolecall.engine.settings import Settings
from rolecall.file_access import OpenDirectory
from rolecall.models import Advice
from rolecall.store.postgres.connection import database_errors
from rolecall.store.postgres.runs import NewRun, create_run
from rolecall.store.postgres.store import open_store
from rolecall.store.records import Identity

JOB = "job"
"""The key of the job's name among the settings of a run."""
_LOCK_TIMEOUT = b"SET lock_timeout = '30s'"
"""A worker that froze while it imported the rows of a run must not keep another one from it for ever."""
MAX_JOBS = 1000
"""Jobs that are added at once."""


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """What is submitted, beside its rows."""

    entry: WorkspaceEntry
    run: RunRequest
    job_name: str = ""
    parent: int | None = None
    """The run that it undoes."""
    shard_rows: int | None = None
    """Rows of a shard, about; None for a number that suits the live workers."""
    further: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of the run."""


class Submitted(NamedTuple):
    """A run that workers can begin."""

    run_id: int
    rows: int
    """Rows to send; 0 where nothing is to be done."""
    rooms: int
    shards: int
    workspace: str
    operation: str


class UnreleasedRun(NamedTuple):
    """A run whose rows are being imported."""

    run_id: int
    run: Run


async def submit_rows(
    database: OperatorDatabase,
    identity: Identity,
    rows: Callable[[], JobPages],
    request: SubmitRequest,
    context: AppContext,
) -> Submitted:
    """Import the rows, confirm them, and release them. A run that is not released leaves nothing in the database.

    Raises OperatorError for an unfinished run of the same job, unless the request is to start anew, and RolecallError
    for everything else that ends it.
    """
    await register_workspace(database, request.entry)
    if not request.run.anew:
        await require_no_unfinished_run(database, identity, request.entry.name)
    shard_rows = request.shard_rows or await choose_shard_size(database, request.entry.name, rows)
    async with _new_run(database, identity, request, context.settings, shard_rows) as new:
        return await import_and_release(database, new, rows, request, context)


async def import_and_release(
    database: OperatorDatabase,
    new: UnreleasedRun,
    rows: Callable[[], JobPages],
    request: SubmitRequest,
    context: AppContext,
) -> Submitted:
    """Import the rows of a run, let the operator or the limits confirm them, and release it. Raises RolecallError."""
    identity = new.run.identity
    async with LazyConnection(context) as lazy:
        prepared = await prepare_rows(new.run, rows, request.run, context, lazy)
        if request.run.reason:
            await new.run.store.set_meta(**{RUN_REASON: request.run.reason})
        account = "" if prepared is None else prepared.connection.account.username
        shards = await release_run(database, new.run_id, identity, request, account)
        due, rooms = (0, 0) if prepared is None else (prepared.due, prepared.rooms)
        return Submitted(new.run_id, due, rooms, shards, request.entry.name, identity.operation)


async def require_no_unfinished_run(database: OperatorDatabase, identity: Identity, workspace: str) -> None:
    """Raise OperatorError where a run of the same job has rows that are due, or has not ended."""
    values = {"workspace": workspace, "operation": identity.operation, "digest": identity.job_digest}
    for (run_id,) in await database.fetch(operator_sql.SAME_JOB, **values):
        text = f"The database has an unfinished run of this job: {name_of(run_id)}. Nothing was sent."
        raise OperatorError(text, Advice.RESUME_RUN)


async def release_run(
    database: OperatorDatabase, run_id: int, identity: Identity, request: SubmitRequest, account: str
) -> int:
    """Release a run and add the jobs of its shards, in one transaction; return their number.

    `account`: who prepared it, for the record; the workers send with their own. Raises OperatorError where the same job
    was released meanwhile.
    """
    workspace = request.entry.name
    settings = orjson.dumps({SUBMITTED_AS: account}).decode()
    with database_errors(database.config):
        async with database.connection.transaction():
            await database.fetch(operator_sql.LOCK_JOB, job=" ".join(identity))
            if not request.run.anew:
                await require_no_unfinished_run(database, identity, workspace)
            await _require_not_undone(database, run_id, identity, request.parent)
            values = {"run": run_id, "settings": settings, "digest": identity.job_digest}
            released = await database.fetch(operator_sql.RELEASE, **values)
            if not released:
                raise OperatorError(f"{name_of(run_id).capitalize()} was stopped before it was released.")
            shards = await add_shard_jobs(database, run_id, workspace)
            if not shards:
                await database.fetch(worker_sql.END_RUN, run=run_id)
            return shards


async def _require_not_undone(database: OperatorDatabase, run_id: int, identity: Identity, parent: int | None) -> None:
    """Raise OperatorError where another undo of the same run was released since this one was prepared."""
    if parent is None:
        return
    values = {"parent": parent, "digest": identity.job_digest, "run": run_id}
    for (other,) in await database.fetch(operator_sql.UNDONE_BY, **values):
        raise OperatorError(f"{name_of(parent).capitalize()} was undone meanwhile, by {name_of(other)}.")


async def add_shard_jobs(database: OperatorDatabase, run_id: int, workspace: str) -> int:
    """Add a job for each shard of a run that has due rows, in the transaction of the connection; return the number."""
    shards = await database.fetch(operator_sql.SHARDS_TO_DO, run=run_id)
    jobs = [shard_job(workspace, shard) for (shard,) in shards]
    for start in range(0, len(jobs), MAX_JOBS):
        await JobQueue(database.connection, database.config).defer(jobs[start : start + MAX_JOBS])
    return len(jobs)


@asynccontextmanager
async def _new_run(
    database: OperatorDatabase, identity: Identity, request: SubmitRequest, settings: Settings, shard_rows: int
) -> AsyncIterator[UnreleasedRun]:
    """Create a run that is deleted again where the block raises."""
    values = {ENGINE: settings_to_json(settings), JOB: request.job_name, **request.further}
    new = NewRun(
        request.entry.name, round(await database.read_time() * 1000), values, request.run.reason, request.parent
    )
    async with database.connection.transaction():  # so that no other command sees the run without its lock
        run_id = await create_run(database.connection, database.config, new)
        await database.fetch(operator_sql.LOCK_SUBMISSION, run=run_id)
    try:
        async with open_unreleased(database, run_id, identity, shard_rows) as opened:
            yield opened
    except BaseException:
        if not database.connection.closed:
            await database.fetch(operator_sql.DISCARD, run=run_id)
        raise


@asynccontextmanager
async def open_unreleased(
    database: OperatorDatabase, run_id: int, identity: Identity, shard_rows: int
) -> AsyncIterator[UnreleasedRun]:
    """Open a run whose rows are to be imported; the log of the preparation is in a directory that is removed again."""
    opened = open_store(database.config, run_id, shard_rows=shard_rows)
    async with on_thread(_temporary_directory()) as directory, opened as store:
        await store.connection.execute(_LOCK_TIMEOUT)
        yield UnreleasedRun(run_id, Run(directory, identity, store))


@contextmanager
def _temporary_directory() -> Iterator[OpenDirectory]:
    """Create a directory, and remove it with its content."""
    with tempfile.TemporaryDirectory(prefix="rolecall-submit-") as path, OpenDirectory(Path(path)) as directory:
        yield directory
