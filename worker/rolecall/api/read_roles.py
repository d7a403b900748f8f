"""Read roles from a program: check before a run, verify after it, find who has which role; and write reports."""

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from rolecall.api.change_roles import (
    OperationName,
    RowInputs,
    create_context,
    open_run_in,
    parse_rows,
    require_operation,
)
from rolecall.app.check_job import CheckRequest, check_rows
from rolecall.app.connection import AppContext
from rolecall.app.errors import RunStopped
from rolecall.app.find_roles import FindRequest, FindResult, find_roles, require_words
from rolecall.app.reports import ReportSummary, rewrite_reports
from rolecall.app.run_directory import identity_of
from rolecall.app.run_paths import RunKind
from rolecall.app.verify_run import VerifyResult, verify_run
from rolecall.engine.directory.find_query import FindQuery
from rolecall.engine.events import EventLogger
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopReason
from rolecall.models import ReportFormat, Result, RoleAssignment
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials


class FoundRoles(NamedTuple):
    """Who has the role where."""

    assignments: list[RoleAssignment]
    result: FindResult
    """The counts, and what could not be read, so that assignments may be missing."""


async def check(
    rows: RowInputs,
    *,
    connection: ConnectionConfig,
    credentials: Credentials,
    operation: OperationName = "groups.removeLeader",
    folder: str | PathLike[str] | None = None,
    settings: Settings | None = None,
    log: EventLogger | None = None,
) -> AsyncGenerator[Result, None]:
    """Predict the outcome of each (room, user) pair from the roles in the workspace, and yield it; change nothing.

    The rows are those of `change_roles`; the results come in their order, once all roles are read. A prediction that
    is not possible is `not_attempted`. With a `folder` the same call continues an unfinished check, and the folder has
    its report.

    Raises what `change_roles` raises before anything is sent, and RunStopped where the check ended early.
    """
    chosen, app = require_operation(operation), create_context(connection, credentials, settings, log)
    identity = identity_of(RunKind.CHECK, connection.url, chosen, "")  # the digest is that of a job file
    async with open_run_in(folder, identity, app) as run:
        result = await check_rows(run, parse_rows(rows), CheckRequest(chosen), app)
        _require_complete(result.stop, app)
        async with aclosing(run.store.results()) as pages:
            async for page in pages:
                for row in page:
                    yield row


async def verify(
    folder: str | PathLike[str],
    *,
    connection: ConnectionConfig,
    credentials: Credentials,
    settings: Settings | None = None,
    log: EventLogger | None = None,
    wait: bool = True,
) -> VerifyResult:
    """Read the roles of a run's rows back and compare them with its report; `verify.csv` lists the rows that differ.

    Rows that the run left unknown get their outcome from what is read: at once where the role is as wanted, otherwise
    once no call can arrive any more (`settings.late_arrival` after the last attempt), which is waited for; without
    `wait` they are counted as VerifyStatus.OPEN. Raises RunStopped where it ended early, and what opening a run and
    connecting raise.
    """
    app = create_context(connection, credentials, settings, log)
    result = await verify_run(Path(folder), app, wait=wait)
    _require_complete(result.stop, app)
    return result


async def find(
    query: FindQuery,
    *,
    connection: ConnectionConfig,
    credentials: Credentials,
    exclude: Collection[str] = (),
    settings: Settings | None = None,
    log: EventLogger | None = None,
) -> FoundRoles:
    """Find who has a role in which rooms, without the users and rooms in `exclude` (ids, `@names`, `#names`).

    Each assignment has the `room_id` and the `user_id` of a row for `check` and `change_roles`. All of them are in
    memory. Raises RunStopped where the search ended early, OperatorError for an impossible name, and what connecting
    raises.
    """
    app, assignments = create_context(connection, credentials, settings, log), list[RoleAssignment]()
    result = await find_roles(FindRequest(query, require_words(exclude)), app, assignments.extend)
    _require_complete(result.stop, app)
    return FoundRoles(assignments, result)


async def write_reports(folder: str | PathLike[str], *, formats: Collection[ReportFormat] = ()) -> ReportSummary:
    """Write the reports of the run or the check in `folder` from its store, and return their counts.

    Raises RunLockedError, InvalidStoreError, StoreError and OSError.
    """
    return await rewrite_reports(Path(folder), formats)


def _require_complete(stop: StopReason | None, app: AppContext) -> None:
    """Raise RunStopped where the work ended early."""
    if stop is not None:
        raise RunStopped(stop, app.stop.detail)
