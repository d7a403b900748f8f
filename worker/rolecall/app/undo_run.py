"""An undo from a run's folder to its exit code: a run of its own that gives back what the other took."""

import hashlib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from rolecall.app.connection import operator_errors
from rolecall.app.open_run import Run, open_existing_run, open_run
from rolecall.app.out_folder import make_private_directory
from rolecall.app.run_job import RunRequest, run_rows
from rolecall.app.verify_run import UNDO_FOLDER, operation_of, refuse_other_workspace
from rolecall.cli.config.credentials import Login
from rolecall.cli.exit_codes import ExitCode, OperatorError
from rolecall.cli.terminal import console
from rolecall.engine.directory.role_verify import CONFIRMED_BY_READING
from rolecall.models import Outcome, Row
from rolecall.rocketchat.error_table import CONFIRMED_ON_RETRY
from rolecall.rocketchat.url import workspace_url
from rolecall.store.base import Identity
from rolecall.text import plural, rfc3339

INFERRED = (CONFIRMED_ON_RETRY.reason, CONFIRMED_BY_READING)
"""Reasons of rows that most probably this run has changed: their answers were lost."""


async def undo(
    folder: Path, request: RunRequest, login: Login, environ: Mapping[str, str], *, inferred: bool
) -> ExitCode:
    """Give back what the run in `folder` took; `inferred` rows too. Raises Refusal where there is nothing to undo.

    The undo is a run in the folder below, so the same command goes on with it; the other run is held meanwhile.
    """
    with operator_errors():
        async with open_existing_run(folder) as done:
            operation = operation_of(done)
            refuse_other_workspace(done, workspace_url(login.url, allow_http=request.reach.allow_http))
            digest, rows = await _digest(done, operation.done, inferred=inferred)
            if not rows:
                raise OperatorError(f"{await _nothing(done, operation.done)} Nothing was sent.")
            identity = Identity(done.identity.workspace, operation.inverse.name, digest)
            with _own_folder(folder / UNDO_FOLDER):
                async with open_run(folder / UNDO_FOLDER, identity) as run:
                    left = await _left_out(done, operation.done, inferred=inferred)
                    if not request.voice.quiet and left:
                        console.print_info(left)
                    asked = replace(request, operation=operation.inverse)
                    await _refuse_done_twice(run, identity, retry_failed=asked.settings.retry_failed)
                    rows_to_undo = lambda: _rows(done, operation.done, inferred=inferred)  # noqa: E731
                    return await run_rows(run, rows_to_undo, asked, login, environ)


@contextmanager
def _own_folder(path: Path) -> Iterator[None]:
    """Make the undo's folder; one in which nothing was begun does not stay."""
    make_private_directory(path)
    try:
        yield
    finally:
        with suppress(OSError):  # it holds a run
            path.rmdir()


async def _refuse_done_twice(run: Run, identity: Identity, *, retry_failed: bool) -> None:
    """Refuse where every row was given back already. Raises Refusal."""
    sessions = await run.store.sessions()
    due, _ = await run.store.count_due(retry_failed=retry_failed)
    if await run.store.identity() == identity and sessions and not due:
        when = rfc3339(sessions[-1].ended_at or sessions[-1].started_at)
        refused = sum(count.rows for count in await run.store.counts() if count.outcome is Outcome.FAILED)
        but = f", but for {plural(refused, 'row')} that failed" if refused else ""
        raise OperatorError(
            f"This run was undone already, at {when}{but}: {run.folder} holds the report. Nothing was sent; "
            "--retry-failed sends the rows again that were refused."
        )


async def _left_out(run: Run, outcome: Outcome, *, inferred: bool) -> str:
    """Say which rows the run may have changed that are not undone; empty where there are none."""
    counts = await run.store.counts()
    unsure = sum(count.rows for count in counts if count.outcome is Outcome.UNKNOWN)
    by_inference = sum(count.rows for count in counts if count.outcome is outcome and count.reason in INFERRED)
    left = []
    if by_inference and not inferred:
        left.append(f"{by_inference:,} {outcome} by inference (--include-inferred)")
    if unsure:
        left.append(f"{unsure:,} unknown ('rolecall verify {run.folder}' settles them)")
    return f"Not undone: {', '.join(left)}." if left else ""


async def _nothing(run: Run, outcome: Outcome) -> str:
    inferred = sum(count.rows for count in await run.store.counts() if count.outcome is outcome)
    if inferred:
        rows = plural(inferred, "row")
        return f"In {run.folder} {rows} are {outcome} only by inference: name --include-inferred to undo them."
    return f"The run in {run.folder} has no rows that are {outcome}: there is nothing to undo."


async def _rows(run: Run, outcome: Outcome, *, inferred: bool) -> AsyncGenerator[Sequence[Row], None]:
    """Give the rows that the run is known to have changed, with their lines in its job file."""
    async for page in run.store.results():
        yield [
            Row(result.line or 0, result.room_id, result.user_id, result.extra)
            for result in page
            if result.outcome is outcome and (inferred or result.reason not in INFERRED)
        ]


async def _digest(run: Run, outcome: Outcome, *, inferred: bool) -> tuple[str, int]:
    """Give a digest of the rows to give back, and how many there are: a run that went on later has more."""
    digest, rows = hashlib.sha256(), 0
    async for page in _rows(run, outcome, inferred=inferred):
        for row in page:
            digest.update(f"{row.room_id}\0{row.user_id}\0".encode())
        rows += len(page)
    return digest.hexdigest(), rows
