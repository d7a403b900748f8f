"""Offboarding: find the roles of people who leave, check, run and verify, as one piece of work with one report."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from rolecall.app import removal_guard, retention
from rolecall.app.connection import AppContext, Connection, connect, open_read_session, until_stopped
from rolecall.app.errors import OperatorError
from rolecall.app.job_names import Pages
from rolecall.app.observer import OffboardPreview, RunPreview, UnmatchedExclusions
from rolecall.app.removal_guard import PreparedRun
from rolecall.app.run_directory import LOG_FILE, Run, identity_of, on_thread, open_run
from rolecall.app.run_job import RunRequest, RunResult, import_job, prepare, send_due
from rolecall.app.run_paths import RunKind, make_job_directory, make_private_directory, new_run_directory
from rolecall.app.verify_run import VerifyResult, verify_rows
from rolecall.engine.directory.find_query import Exclusions
from rolecall.engine.directory.leavers import Person, RolesWanted, look_up_people
from rolecall.engine.removal_limits import NO_LIMITS, RemovalLimits
from rolecall.models import CsvStyle, Row
from rolecall.rocketchat.operations import OPERATIONS, Operation, Role
from rolecall.rocketchat.responses import ROOM_TYPES
from rolecall.store.run_lock import RunLock

ALL_ROLES = tuple(Role)
ALL_KINDS: tuple[Literal["groups", "channels"], ...] = ("groups", "channels")


@dataclass(frozen=True, slots=True)
class OffboardRequest:
    """Who leaves, and what is taken from them."""

    people: tuple[str, ...]
    """Ids, `@names`, addresses; a bare word is an id or a username."""
    name: str
    """Of the list: the directory of its runs has this name."""
    roles: tuple[Role, ...] = ALL_ROLES
    kinds: tuple[str, ...] = ALL_KINDS
    excluded: tuple[str, ...] = ()
    """Users and rooms that are left out, by id or name."""
    limits: RemovalLimits = NO_LIMITS
    """What each operation may take."""
    reason: str = ""
    formats: tuple[str, ...] = ()
    keep_days: int | None = None
    """Older folders of this list are deleted; None keeps all."""
    csv: CsvStyle | None = None
    """The style of the CSV files."""
    ignores_missing: bool = False
    """People whom the workspace does not have are no failure."""
    exit_code_of: Callable[[RunResult], int] | None = None
    """Returns the exit code of one run, for its log."""

    @property
    def operations(self) -> list[Operation]:
        """The operations, in the order in which they are run."""
        return [OPERATIONS[f"{kind}.remove{role.title()}"] for kind in self.kinds for role in self.roles]


class OperationResult(NamedTuple):
    """How one operation of an offboarding ended."""

    run: RunResult
    verified: VerifyResult | None
    """None where the run stopped early, or where nothing was to be read back."""


class RoleRow(NamedTuple):
    """One role of a person in a room."""

    person: str
    room_id: str
    room_name: str
    user_id: str
    username: str


@dataclass(slots=True)
class Offboarding:
    """An offboarding at work, and its result."""

    folder: Path
    request: OffboardRequest
    connection: Connection
    started_at: int
    """UTC, milliseconds since the epoch."""
    people: Sequence[Person]
    rows: Mapping[str, Sequence[RoleRow]]
    """The rows of each operation, by its name; operations without rows are missing."""
    runs: Mapping[str, Run]
    """The open runs, by operation."""
    results: dict[str, OperationResult]
    pruned: int = 0
    """Older folders that were deleted."""


@asynccontextmanager
async def open_offboarding(
    request: OffboardRequest, out: Path | None, context: AppContext
) -> AsyncIterator[Offboarding]:
    """Find what is to be taken and open its runs, in `out` or in a directory of their own. One at a time for each list.

    Raises RunLockedError while another process works on this list, and RolecallError for everything that ends it
    before the first row is sent; the directories that were created for it are removed then.
    """
    parent = await asyncio.to_thread(_make_parent, request.name, out)
    async with on_thread(RunLock(parent)), connect(context) as connection, AsyncExitStack() as stack:
        started = datetime.now(UTC)
        pruned = 0
        if out is None and request.keep_days is not None:
            pruned = await asyncio.to_thread(retention.prune, parent, request.keep_days, started)
        folder = out
        if folder is None:
            kind = RunKind.OFFBOARDING
            folder = await asyncio.to_thread(new_run_directory, Path(), request.name, started, kind)
        work = Offboarding(folder, request, connection, round(started.timestamp() * 1000), (), {}, {}, {}, pruned)
        stack.push_async_callback(_remove_untouched, work)
        work.people = await _look_up(work, context)
        exclusions = Exclusions(request.excluded)
        work.rows = _rows_by_operation(request, work.people, exclusions)
        if unmatched := tuple(word for word, rows in exclusions.left_out.items() if not rows):
            context.observer.notice(UnmatchedExclusions(unmatched))
        work.runs = {
            name: await stack.enter_async_context(_open_run(work, OPERATIONS[name], rows, context))
            for name, rows in work.rows.items()
        }
        yield work


async def run_offboarding(work: Offboarding, context: AppContext) -> None:
    """Check, run and verify each operation; the results are in `work`, also after an early stop.

    Raises RolecallError for everything that ends it before the first row is sent.
    """
    counted = {name: await _prepare(work, run, context) for name, run in work.runs.items()}
    due = {name: each for name, each in counted.items() if each.due}
    await _require_consent(work, due, context)
    for name, run in work.runs.items():
        if name in due and context.stop.reason is None:
            chosen = work.request
            request = RunRequest(
                run.operation, chosen.formats, exit_code_of=chosen.exit_code_of, reason=chosen.reason, csv=chosen.csv
            )
            prepared = await _prepare(work, run, context)  # again: its log is that of the run which is sent
            work.results[name] = OperationResult(await send_due(prepared, request), None)
    session = open_read_session(context, work.connection, work.folder / LOG_FILE)
    for name, result in work.results.items():
        if context.stop.reason is None:
            run = work.runs[name]
            verified = await verify_rows(run, run.operation, session, context)
            work.results[name] = result._replace(verified=verified)


def _make_parent(name: str, out: Path | None) -> Path:
    return make_private_directory(out) if out else make_job_directory(Path(), name, RunKind.OFFBOARDING)


async def _look_up(work: Offboarding, context: AppContext) -> list[Person]:
    session = open_read_session(context, work.connection, work.folder / LOG_FILE)
    wanted = RolesWanted(work.request.roles, work.request.kinds)
    search = look_up_people(session.reader, work.request.people, wanted, at_once=context.settings.concurrency)
    return await until_stopped(search, session.stop)


def _rows_by_operation(
    request: OffboardRequest, people: Sequence[Person], exclusions: Exclusions
) -> dict[str, list[RoleRow]]:
    rows = dict[str, list[RoleRow]]()
    for operation in request.operations:
        for person in people:
            user = person.user
            for room in (user.rooms or ()) if user is not None else ():
                if user is None or room.kind != ROOM_TYPES[operation.kind] or operation.role not in room.roles:
                    continue
                if exclusions.keeps(user.user_id, user.username, room.room_id, room.room_name):
                    row = RoleRow(person.word, room.room_id, room.room_name, user.user_id, user.username)
                    rows.setdefault(operation.name, []).append(row)
    return rows


@asynccontextmanager
async def _open_run(
    work: Offboarding, operation: Operation, rows: Sequence[RoleRow], context: AppContext
) -> AsyncIterator[Run]:
    """Open the run of one operation, with its rows."""
    folder = await asyncio.to_thread(make_private_directory, work.folder / operation.name)
    digest = hashlib.sha256("".join(f"{row.room_id}\0{row.user_id}\0" for row in rows).encode()).hexdigest()
    identity = identity_of(RunKind.RUN, context.connection.url, operation, digest)
    async with open_run(folder, identity) as run:
        await import_job(run, _pages(rows), RunRequest(operation))
        yield run


async def _pages(rows: Sequence[RoleRow]) -> Pages:
    yield [_job_row(line, row) for line, row in enumerate(rows, start=1)]


def _job_row(line: int, row: RoleRow) -> Row:
    extra = {"person": row.person, "roomName": row.room_name, "userName": row.username}
    return Row(line, row.room_id, row.user_id, extra, room_name=row.room_name, username=row.username)


async def _prepare(work: Offboarding, run: Run, context: AppContext) -> PreparedRun:
    due = await run.store.count_due(retry_failed=context.settings.retry_failed)
    return prepare(run, work.connection, RunRequest(run.operation), context, due)


async def _require_consent(work: Offboarding, due: Mapping[str, PreparedRun], context: AppContext) -> None:
    """Raise OperatorError where an operation would take too much, or where the operator declines."""
    previews, workspace, account = [], context.connection.url, work.connection.account.username
    for prepared in due.values():
        operation = prepared.run.operation
        forecast = await removal_guard.count_removals(prepared, work.request.limits)
        if forecast is not None:
            removal_guard.require_allowed(forecast, operation)
        estimate = work.connection.estimate(context.settings, prepared.due)
        previews.append(
            RunPreview(operation, workspace, account, prepared.due, prepared.rooms, estimate, forecast=forecast)
        )
    if previews and not context.observer.confirm(OffboardPreview(len(work.people), previews)):
        raise OperatorError("Nothing was sent.")


async def _remove_untouched(work: Offboarding) -> None:
    """Remove the directory of an offboarding that ended before its first row and has no report."""
    await asyncio.to_thread(retention.remove_untouched, work.folder, work.rows, (LOG_FILE,))
