"""Undo a run: a run of its own, below the other's directory, that restores the roles which the other removed."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rolecall.app.connection import AppContext, lock_wait
from rolecall.app.job_names import JobPages
from rolecall.app.observer import NotUndone
from rolecall.app.run_directory import (
    Run,
    on_thread,
    open_existing_run,
    open_run,
    operation_of,
    require_change,
    require_workspace,
)
from rolecall.app.run_job import RunRequest, RunResult, run_rows
from rolecall.app.run_paths import make_private_directory
from rolecall.app.undo_decision import PastUndo, UndoState, refusal_of
from rolecall.app.verify_run import UNDO_FOLDER
from rolecall.models import Evidence, Outcome, Row
from rolecall.rocketchat.operations import Operation
from rolecall.store.base import RunStore
from rolecall.store.records import Identity, count_by_outcome
from rolecall.store.sqlite.store import FILE_NAME
from rolecall.text import rfc3339


class Undo(NamedTuple):
    """An undo that is open: a run of its own."""

    run: Run
    operation: Operation
    rows: Callable[[], JobPages]
    """Reads the rows to undo, page by page."""


async def undo_run(folder: Path, request: RunRequest, context: AppContext, *, inferred: bool = False) -> RunResult:
    """Undo the run in `folder`; see `open_undo`. The same call continues an unfinished undo."""
    async with open_undo(folder, context, inferred=inferred) as undo:
        return await run_rows(undo.run, undo.rows, replace(request, operation=undo.operation), context)


@asynccontextmanager
async def open_undo(folder: Path, context: AppContext, *, inferred: bool = False) -> AsyncIterator[Undo]:
    """Open the undo of the run in `folder`, with `inferred` also of the rows whose change is only inferred.

    It is a run in a directory below; the other run stays locked meanwhile. Raises OperatorError where there is nothing
    to undo, and what opening a run raises.
    """
    async with open_existing_run(folder) as done:
        operation = require_change(done)
        require_workspace(done, context.connection.url)
        identity, state = await identity_of_undo(done.store, done.identity, done.folder, inferred=inferred)
        waiting = lock_wait(context)
        async with on_thread(_undo_directory(folder / UNDO_FOLDER)) as path, open_run(path, identity, waiting) as run:
            past = await _past_undo(run, identity, retry_failed=context.settings.retry_failed)
            if (refusal := refusal_of(state._replace(past=past))) is not None:
                raise refusal
            if state.left_out or state.unknown:
                context.observer.notice(NotUndone(done.folder, operation.done, state.left_out, state.unknown))
            yield Undo(run, operation.inverse, lambda: rows_to_undo(done.store, operation.done, inferred=inferred))


async def identity_of_undo(
    store: RunStore, identity: Identity, name: Path | str, *, inferred: bool
) -> tuple[Identity, UndoState]:
    """Return the identity of the undo of a run, and what decides about it. Raises OperatorError without a row."""
    operation = operation_of(identity)
    digest, rows = await _digest(store, operation.done, inferred=inferred)
    state = await _state(store, operation.done, name, inferred=inferred)
    if not rows and (refusal := refusal_of(state)) is not None:
        raise refusal
    return Identity(identity.workspace, operation.inverse.name, digest), state


@contextmanager
def _undo_directory(path: Path) -> Iterator[Path]:
    """Create the undo's directory; it is removed again if nothing was started in it."""
    make_private_directory(path)
    try:
        yield path
    finally:
        with suppress(OSError):  # it has a run
            path.rmdir()


async def _state(store: RunStore, outcome: Outcome, name: Path | str, *, inferred: bool) -> UndoState:
    """Return what the run has recorded of the rows that it changed, or may have changed."""
    outcomes = count_by_outcome(await store.counts())
    only_inferred = (await store.evidence_counts())[outcome, Evidence.INFERRED]
    return UndoState(
        name,
        outcome,
        outcomes[outcome] - only_inferred,
        only_inferred,
        outcomes[Outcome.UNKNOWN],
        with_inferred=inferred,
    )


async def _past_undo(run: Run, identity: Identity, *, retry_failed: bool) -> PastUndo | None:
    """Return the undo in the directory of `run`; None if it is of other rows, or has some to send."""
    sessions = await run.store.sessions()
    due, _ = await run.store.count_due(retry_failed=retry_failed)
    if await run.store.identity() != identity or not sessions or due:
        return None
    failed = count_by_outcome(await run.store.counts())[Outcome.FAILED]
    ended_at = rfc3339(sessions[-1].ended_at or sessions[-1].started_at) or ""
    return PastUndo(run.folder, ended_at, failed, await asyncio.to_thread(_reverted_in, run.folder))


def _reverted_in(folder: Path) -> Path | None:
    """Return the last undo below an undo, if it takes the undo back; None where there is none, or it is undone too."""
    last, is_reverted = folder, False
    while (last / UNDO_FOLDER / FILE_NAME).is_file():
        last, is_reverted = last / UNDO_FOLDER, not is_reverted
    return last if is_reverted else None


async def rows_to_undo(store: RunStore, outcome: Outcome, *, inferred: bool) -> JobPages:
    """Yield the rows that the run is known to have changed, page by page, with their lines in its job file."""
    async for page in store.results():
        yield [
            Row(result.line or 0, result.room_id, result.user_id, result.extra, result.room_name, result.username)
            for result in page
            if result.outcome is outcome and (inferred or result.evidence != Evidence.INFERRED)
        ]


async def _digest(store: RunStore, outcome: Outcome, *, inferred: bool) -> tuple[str, int]:
    """Return a digest of the rows to undo, and their number: a run that was continued later has more."""
    digest, rows = hashlib.sha256(), 0
    async for page in rows_to_undo(store, outcome, inferred=inferred):
        for row in page:
            digest.update(f"{row.room_id}\0{row.user_id}\0".encode())
        rows += len(page)
    return digest.hexdigest(), rows
