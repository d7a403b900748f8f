"""Make the rows of a scheduled run: search the roles or read the stored job, look up names, check the guard."""

import asyncio
import base64
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rolecall.app import find_roles
from rolecall.app.connection import AppContext
from rolecall.app.errors import OperatorError, OutputError, RunStopped
from rolecall.app.find_roles import FindRequest, FindResult
from rolecall.app.job_names import JobPages
from rolecall.app.run_directory import identity_of, on_thread
from rolecall.app.run_job import RunRequest
from rolecall.app.run_paths import RunKind
from rolecall.cluster.database import operator_sql
from rolecall.cluster.database.operator_database import OperatorDatabase, open_operator_database
from rolecall.cluster.runs.records import REFUSED
from rolecall.cluster.runs.settings import (
    ENGINE,
    LIMITS,
    OPERATION,
    REASON,
    SHARD_ROWS_KEY,
    limits_from_json,
    settings_from_json,
)
from rolecall.cluster.runs.shard_size import choose_shard_size
from rolecall.cluster.runs.submit import SubmitRequest, import_and_release, open_unreleased
from rolecall.cluster.schedules.schedules import REMOVED
from rolecall.cluster.workspaces_file import OtherWorkspaceError, WorkspaceEntry
from rolecall.engine.directory.find_query import FindQuery
from rolecall.files.input.job import Job, ReadOptions, open_job
from rolecall.models import RoleAssignment, RolecallError
from rolecall.rocketchat.connection_config import WorkspaceUnavailableError
from rolecall.rocketchat.operations import OPERATIONS, Operation, Role
from rolecall.store.base import StoreError, read_pages
from rolecall.store.postgres.connection import DatabaseConfig
from rolecall.text import sanitise

FIND, JOB_FILE = "find", "job"
"""The kinds of a schedule's source."""
NO_ROWS = "none"
"""The digest of a job without a row."""
MAX_SOURCE_SIZE = 16 * 1024 * 1024
"""Bytes of a job file that is stored with a schedule."""
WORKSPACE_AWAY = (WorkspaceUnavailableError, RunStopped, StoreError, OutputError, OSError)
"""What may pass: the run is made later."""


def job_source(path: Path, content: bytes, options: ReadOptions) -> dict[str, object]:
    """Return a job file as the source of a schedule: its content is stored. Raises OperatorError for a large one."""
    if len(content) > MAX_SOURCE_SIZE:
        raise OperatorError(f"{path} is larger than {MAX_SOURCE_SIZE // 1024**2} MB: submit it instead.")
    encoded = base64.b64encode(content).decode()
    return {"source": JOB_FILE, "name": sanitise(path.name), "options": list(options), "content": encoded}


def find_source(query: FindQuery, excluded: Iterable[str]) -> dict[str, object]:
    """Return a search as the source of a schedule."""
    return {
        "source": FIND,
        "role": query.role.value,
        "kind": query.kind,
        "users": list(query.people),
        "rooms": list(query.rooms),
        "deactivated": query.deactivated,
        "excluded": list(excluded),
    }


def query_of(source: Mapping[str, Any]) -> FindQuery:
    """Return the query of a search that is the source of a schedule. Raises KeyError, ValueError."""
    people, rooms = tuple(source["users"]), tuple(source["rooms"])
    return FindQuery(Role(source["role"]), source["kind"], people, rooms, deactivated=bool(source["deactivated"]))


async def make_run(config: DatabaseConfig, run_id: int, entry: WorkspaceEntry, context: AppContext) -> bool:
    """Make and release a scheduled run; return False where it must be made later, because something is away.

    A run that cannot be made is ended with the stop `refused` and the reason, which the schedule records as well. A
    run that was made, stopped or deleted before stays as it is. `context`: its settings are those of the run.
    Raises OtherWorkspaceError.
    """
    async with open_operator_database(config._replace(role="rolecall_submit")) as database:
        rows = await database.fetch(operator_sql.SCHEDULED_SOURCE, run=run_id)
        if not rows:
            return True
        is_released, stop, ended_at, settings, source, _, url, schedule, _ = rows[0]
        if is_released or stop or ended_at is not None:
            return True
        if url != entry.url:
            raise OtherWorkspaceError(url, entry)
        try:
            note = await _make(database, run_id, entry, _Plan(settings, source or {}), context)
        except WORKSPACE_AWAY:
            return False
        except Exception as error:  # of any kind: it would be met again and again
            is_known = isinstance(error, RolecallError)
            note = str(error) if is_known else f"internal error: {type(error).__name__}: {error}"
            if not await database.fetch(operator_sql.REFUSE, run=run_id, stop=REFUSED, detail=note):
                return True  # another worker has made it, or it was stopped
        await database.fetch(operator_sql.RECORD_ERROR, name=schedule, error=note)
    return True


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a scheduled run is made of."""

    settings: Mapping[str, Any]
    source: Mapping[str, Any]

    @property
    def operation(self) -> Operation:
        return OPERATIONS[self.settings[OPERATION]]


async def _make(
    database: OperatorDatabase, run_id: int, entry: WorkspaceEntry, plan: _Plan, context: AppContext
) -> str:
    """Import and release the rows; return what an operator should know, which may be empty. Raises RolecallError."""
    if not plan.source:
        raise OperatorError(REMOVED)
    app = replace(context, settings=settings_from_json(plan.settings[ENGINE]))
    limits, reason = limits_from_json(plan.settings[LIMITS]), str(plan.settings.get(REASON, ""))
    run = RunRequest(plan.operation, limits=limits, reason=reason, anew=True, is_unattended=True)
    request = SubmitRequest(entry, run, shard_rows=plan.settings.get(SHARD_ROWS_KEY))
    async with AsyncExitStack() as stack:
        folder = Path(await stack.enter_async_context(on_thread(_temporary_directory())))
        job, note = await _open_source(plan.source, folder, app)
        if job is not None:
            await stack.enter_async_context(on_thread(job))
        identity = identity_of(RunKind.RUN, entry.url, plan.operation, job.digest if job is not None else NO_ROWS)

        def rows() -> JobPages:
            return read_pages(job.rows() if job is not None else ())

        shard_rows = request.shard_rows or await choose_shard_size(database, entry.name, rows)
        async with open_unreleased(database, run_id, identity, shard_rows) as new:
            await import_and_release(database, new, rows, request, app)
    return note


@contextmanager
def _temporary_directory() -> Iterator[str]:
    """Create a directory, and remove it with its content."""
    with tempfile.TemporaryDirectory(prefix="rolecall-schedule-") as path:
        yield path


async def _open_source(source: Mapping[str, Any], folder: Path, app: AppContext) -> tuple[Job | None, str]:
    """Open the stored job, or the one that a search writes, None if it found nothing; with a note for an operator."""
    if source["source"] == JOB_FILE:
        path = folder / Path(source["name"]).name
        await asyncio.to_thread(path.write_bytes, base64.b64decode(source["content"]))
        return await asyncio.to_thread(open_job, str(path), None, ReadOptions(*source["options"])), ""
    path = folder / "found.csv"
    request = FindRequest(query_of(source), tuple(source["excluded"]), path)
    found = await find_roles.find_roles(request, app, _no_output)
    if found.stop is not None:
        raise RunStopped(found.stop)
    return await asyncio.to_thread(open_job, str(path)) if found.rows else None, _gaps(found)


def _no_output(_: Iterable[RoleAssignment]) -> None:
    """Do nothing: the rows go to the file."""


def _gaps(found: FindResult) -> str:
    parts = [f"{reason}: {names}" for reason, names in found.gaps.items()]
    return f"Rows may be missing: {'; '.join(parts)}" if parts else ""
