"""Undo a run: a run of its own, below the other's directory, that restores the roles which the other removed."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rolecall.app.connection import AppContext, lock_wait
from rolecall.app.errors import OperatorError
from rolecall.app.job_names import JobPages
from rolecall.app.observer import NotUndone
from rolecall.app.run_directory import Run, on_thread, open_existing_run, open_run, require_change, require_workspace
from rolecall.app.run_job import RunRequest, RunResult, run_rows
from rolecall.app.run_paths import make_private_directory
from rolecall.app.verify_run import UNDO_FOLDER
from rolecall.models import Advice, Evidence, Outcome, Row
from rolecall.rocketchat.operations import Operation
from rolecall.store.base import RunStore
from rolecall.store.records import Identity
from rolecall.text import plural, rfc3339


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
        digest, rows = await _digest(done, operation.done, inferred=inferred)
        if not rows:
            raise await _nothing_to_undo(done, operation.done)
        identity = Identity(done.identity.workspace, operation.inverse.name, digest)
        waiting = lock_wait(context)
        async with on_thread(_undo_directory(folder / UNDO_FOLDER)) as path, open_run(path, identity, waiting) as run:
            await _notice_not_undone(done, operation.done, context, inferred=inferred)
            await _require_due_rows(run, identity, retry_failed=context.settings.retry_failed)
            yield Undo(run, operation.inverse, lambda: rows_to_undo(done.store, operation.done, inferred=inferred))


@contextmanager
def _undo_directory(path: Path) -> Iterator[Path]:
    """Create the undo's directory; it is removed again if nothing was started in it."""
    make_private_directory(path)
    try:
        yield path
    finally:
        with suppress(OSError):  # it has a run
            path.rmdir()


async def _require_due_rows(run: Run, identity: Identity, *, retry_failed: bool) -> None:
    """Raise OperatorError if every row was undone already."""
    sessions = await run.store.sessions()
    due, _ = await run.store.count_due(retry_failed=retry_failed)
    if await run.store.identity() == identity and sessions and not due:
        when = rfc3339(sessions[-1].ended_at or sessions[-1].started_at)
        failed = sum(count.rows for count in await run.store.counts() if count.outcome is Outcome.FAILED)
        but = f", but for {plural(failed, 'row')} that failed" if failed else ""
        raise OperatorError(
            f"This run was undone already, at {when}{but}: {run.folder} contains the report. Nothing was sent.",
            Advice.RETRY_FAILED,
        )


async def _notice_not_undone(run: Run, outcome: Outcome, context: AppContext, *, inferred: bool) -> None:
    """Report the rows that the run may have changed and that are not undone."""
    counts = await run.store.counts()
    unknown = sum(count.rows for count in counts if count.outcome is Outcome.UNKNOWN)
    left = 0
    if not inferred:
        left = (await run.store.evidence_counts())[outcome, Evidence.INFERRED]
    if left or unknown:
        context.observer.notice(NotUndone(run.folder, outcome, left, unknown))


async def _nothing_to_undo(run: Run, outcome: Outcome) -> OperatorError:
    inferred = sum(count.rows for count in await run.store.counts() if count.outcome is outcome)
    if inferred:
        are = "row is" if inferred == 1 else "rows are"
        text = f"In {run.folder} {inferred:,} {are} {outcome} only by inference: prior role unknown. Nothing was sent."
        return OperatorError(text, Advice.INCLUDE_INFERRED)
    return OperatorError(
        f"The run in {run.folder} has no rows that are {outcome}: there is nothing to undo. Nothing was sent."
    )


async def rows_to_undo(store: RunStore, outcome: Outcome, *, inferred: bool) -> JobPages:
    """Yield the rows that the run is known to have changed, page by page, with their lines in its job file."""
    async for page in store.results():
        yield [
            Row(result.line or 0, result.room_id, result.user_id, result.extra, result.room_name, result.username)
            for result in page
            if result.outcome is outcome and (inferred or result.evidence != Evidence.INFERRED)
        ]


async def _digest(run: Run, outcome: Outcome, *, inferred: bool) -> tuple[str, int]:
    """Return a digest of the rows to undo, and their number: a run that was continued later has more."""
    digest, rows = hashlib.sha256(), 0
    async for page in rows_to_undo(run.store, outcome, inferred=inferred):
        for row in page:
            digest.update(f"{row.room_id}\0{row.user_id}\0".encode())
        rows += len(page)
    return digest.hexdigest(), rows
