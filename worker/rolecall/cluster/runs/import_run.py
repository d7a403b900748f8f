"""Bring the run of a directory into the database: identity, outcomes, doubts, sessions, pauses and names."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rolecall.app.errors import OperatorError
from rolecall.app.plan_guard import PLAN
from rolecall.app.run_directory import RUN_REASON, kind_of, operation_of, require_run
from rolecall.app.run_paths import RunKind
from rolecall.app.run_selection import JOB_PATH
from rolecall.cluster.database import operator_sql, worker_sql
from rolecall.cluster.database.operator_database import OperatorDatabase, register_workspace
from rolecall.cluster.runs.records import name_of
from rolecall.cluster.runs.settings import ENGINE, FOLLOWS_PLAN, settings_to_json
from rolecall.cluster.runs.submit import JOB
from rolecall.cluster.workspaces_file import WorkspaceEntry
from rolecall.engine.settings import Settings
from rolecall.models import Advice
from rolecall.store.base import InvalidStoreError
from rolecall.store.postgres import sql
from rolecall.store.postgres.connection import database_errors
from rolecall.store.postgres.run_copy import RunCopy
from rolecall.store.postgres.runs import NewRun, create_run
from rolecall.store.postgres.store import SHARD_ROWS
from rolecall.store.records import Identity
from rolecall.store.sqlite.database import CopiedTable
from rolecall.store.sqlite.store import SqliteStore, open_store
from rolecall.text import sanitise

ROWS_PER_PAGE = 1000


class ImportedRun(NamedTuple):
    """A run that was brought in."""

    run_id: int
    rows: int
    due: int
    """Rows that a worker would send; the run is stopped until it is resumed."""


async def import_run(database: OperatorDatabase, folder: Path, entry: WorkspaceEntry | None) -> ImportedRun:
    """Copy the run of a directory, which stays as it is, into the database, in one transaction.

    `entry`: its workspace, where the database does not know it. Raises RunLockedError while a command works on the
    directory, InvalidStoreError for one without a run, OperatorError for a check and for a run that was brought in
    before.
    """
    await asyncio.to_thread(require_run, folder)
    async with open_store(folder) as (_, store):
        identity, sessions = await store.identity(), await store.sessions()
        if identity is None:
            raise InvalidStoreError(f"{folder} contains a run that has not begun.")
        if kind_of(identity) is RunKind.CHECK:
            raise OperatorError(f"{folder} contains a {identity.operation}, which changed nothing; name a run.")
        workspace = await _workspace_of(database, identity, folder, entry)
        created_at = sessions[0].started_at if sessions else 0
        values = {"workspace": workspace, "digest": identity.job_digest, "operation": identity.operation}
        for (known,) in await database.fetch(operator_sql.IMPORTED_BEFORE, created_at=created_at, **values):
            raise OperatorError(f"{folder} was brought in before: it is {name_of(known)}.")
        meta = dict(await store.get_meta())
        settings = {ENGINE: settings_to_json(Settings()), JOB: sanitise(Path(meta.get(JOB_PATH, "")).name)}
        is_planned = PLAN in meta
        new = NewRun(
            workspace, created_at, {**settings, "imported_from": sanitise(str(folder)), FOLLOWS_PLAN: is_planned}
        )
        new = new._replace(reason=meta.get(RUN_REASON, ""))
        due = (await store.count_due(retry_failed=False))[0]
        with database_errors(database.config):
            async with database.connection.transaction():
                run_id = await create_run(database.connection, database.config, new)
                copy = RunCopy(database.connection, run_id, SHARD_ROWS)
                await _copy_tables(copy, store)
                ended_at = max((each.ended_at or each.started_at for each in sessions), default=created_at)
                await copy.finish(identity, meta, is_finished=not due, at=ended_at)
                if is_planned and sessions:  # a plan is of one account, which may see and do other things
                    await database.fetch(worker_sql.CLAIM_ACCOUNT, run=run_id, account=sessions[-1].account)
        rows = sum(count.rows for count in await store.counts())
    return ImportedRun(run_id, rows, due)


async def _workspace_of(
    database: OperatorDatabase, identity: Identity, folder: Path, entry: WorkspaceEntry | None
) -> str:
    """Return the name of the run's workspace in the database. Raises OperatorError where it is not known."""
    operation_of(identity)
    if entry is not None:
        if entry.url != identity.workspace:
            raise OperatorError(f"{folder} contains a run at {identity.workspace}, and {entry.place} is {entry.url}.")
        await register_workspace(database, entry)
        return entry.name
    for (name,) in await database.fetch(operator_sql.WORKSPACE_OF_URL, url=identity.workspace):
        return str(name)
    text = f"The database does not know the workspace {identity.workspace} yet."
    raise OperatorError(text, Advice.NAME_WORKSPACES)


async def _copy_tables(copy: RunCopy, store: SqliteStore) -> None:
    await copy.begin()
    await copy.add_sessions(_pages(store, CopiedTable.SESSIONS))
    await copy.add_pauses(_pages(store, CopiedTable.PAUSES))
    await copy.add_pairs(_pages(store, CopiedTable.PAIRS))
    await copy.add_rows(sql.COPY_UNSENT, _pages(store, CopiedTable.UNSENT), with_key=True)
    await copy.add_rows(sql.COPY_NAMES, _pages(store, CopiedTable.NAMES), with_key=False)


async def _pages(store: SqliteStore, table: CopiedTable) -> AsyncIterator[Sequence[tuple[Any, ...]]]:
    after = -1
    while rows := await store.copied_rows(table, after, ROWS_PER_PAGE):
        yield rows
        after = rows[-1][0]
