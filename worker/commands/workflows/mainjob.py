"""The main job from its rows to its exit code, as `run`, `undo` and `demo` do it."""

import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from worker.commands.exits import Exit, Refusal
from worker.commands.settings.credentials import Login
from worker.commands.terminal import console
from worker.commands.terminal.showing import Showing, Voice
from worker.commands.terminal.signals import end_at_once
from worker.commands.workflows import notifying, planning, reporting
from worker.commands.workflows.connection import Connected, Reach, connected, refusals
from worker.commands.workflows.folders import chosen_run
from worker.commands.workflows.monitoring import Monitor
from worker.commands.workflows.sending import Sending
from worker.engine.estimate import Estimate, estimate
from worker.engine.holding import Run
from worker.engine.settings import Settings
from worker.files import open_job
from worker.files.plan import Plan
from worker.ledger.interface import Identity
from worker.model import BadRow, Row
from worker.plain import plural
from worker.workspace.address import workspace_url
from worker.workspace.operations import REMOVE_LEADER, Operation


@dataclass(frozen=True, slots=True)
class Request:
    """How a run was asked for, options and all."""

    settings: Settings
    operation: Operation = REMOVE_LEADER
    formats: tuple[str, ...] = ()
    assume_yes: bool = False
    reach: Reach = field(default_factory=Reach)
    voice: Voice = field(default_factory=Voice)
    plan: Plan | None = None
    """What a check has planned, and the run keeps to."""
    notice: notifying.Notice = field(default_factory=notifying.Notice)
    monitor: Monitor | None = None


async def perform(job_file: str, out: Path | None, request: Request, login: Login, environ: Mapping[str, str]) -> Exit:
    """Do the job in a file. Raises Refusal for whatever ends it before the first row is sent."""
    with refusals():
        url = workspace_url(login.url, allow_http=request.reach.allow_http)
        with open_job(job_file) as job:
            identity = Identity(url, request.operation.name, job.digest)
            if request.plan is not None:
                planning.refuse_other_run(request.plan, identity)
            retry_failed = request.settings.retry_failed
            with chosen_run(job, identity, out, retry_failed=retry_failed, base=Path()) as run:
                return await work_on(run, job.rows, request, login, environ)


async def work_on(
    run: Run, rows: Callable[[], Iterable[Row | BadRow]], request: Request, login: Login, environ: Mapping[str, str]
) -> Exit:
    """Take the rows in where the run does not know them yet, and take all that are due to their outcomes."""
    code = await _work_on(run, rows, request, login, environ)
    if request.monitor is not None:
        request.monitor.ended(code, run)
    return code


async def _work_on(
    run: Run, rows: Callable[[], Iterable[Row | BadRow]], request: Request, login: Login, environ: Mapping[str, str]
) -> Exit:
    planning.refuse_other_plan(request.plan, run)
    if run.ledger.identity() != run.identity:
        _take_in(run, rows(), request)
    if request.plan is not None and not run.ledger.sessions():
        planning.refuse_gaps(request.plan, run, request.operation)
    due, rooms = run.ledger.count_due(retry_failed=request.settings.retry_failed)
    if not due:
        return _nothing_to_do(run, request.formats, quiet=request.voice.quiet)
    patience, quiet = request.settings.outage_patience, request.voice.quiet
    async with connected(run.identity.workspace, login, request.reach, environ, patience, quiet=quiet) as connection:
        if request.plan is not None:
            planning.refuse_other_account(request.plan, connection.account)
        if not request.assume_yes and console.can_ask():
            _confirm(request, run, connection, due, rooms)
        showing = Showing.choose(request.voice, os.environ)
        log = showing.open_log(run.folder / "run.log.jsonl", hide=login.token)
        with structlog.contextvars.bound_contextvars(run=run.folder.name):
            client, formats = connection.client, request.formats
            sending = Sending(run, client, request.operation, request.settings, formats, log, showing)
            code = await sending.send(connection.account.username, due)
            way = notifying.Way(connection.client, request.reach, environ)
            await notifying.tell_end(run, request.notice, code, way, log)
            return code


def _take_in(run: Run, rows: Iterable[Row | BadRow], request: Request) -> None:
    reporting.have_aged(run)
    plan = request.plan
    with end_at_once():
        if plan is None:
            run.ledger.take_in(run.identity, rows)
        else:
            run.ledger.take_in(
                run.identity, rows, planning.known(plan, request.operation), {planning.PLAN: plan.digest}
            )


def _nothing_to_do(run: Run, formats: Collection[str], *, quiet: bool) -> Exit:
    counts = run.ledger.counts()
    if formats or not reporting.are_current(run):
        reporting.write_reports(run, formats)
    code = reporting.exit_code(counts, None)
    if code is not Exit.DONE or not quiet:
        reporting.show(run, f"Nothing left to do, nothing was sent. {reporting.in_words(counts)}", sys.stdout)
    return code


def _confirm(request: Request, run: Run, connection: Connected, rows: int, rooms: int) -> None:
    """Ask a person; raises Refusal when the answer is not yes."""
    question = _question(request.operation, run.identity.workspace, connection.account.username, rows, rooms)
    expectation = expected(request.settings, connection, rows)
    if not console.ask(f"{question}; {expectation}?" if expectation else f"{question}?"):
        raise Refusal("Nothing was sent.")


def _question(operation: Operation, workspace: str, username: str, rows: int, rooms: int) -> str:
    verb, kind = "Add" if operation.gives else "Remove", operation.kind.removesuffix("s")
    what = f"{plural(rows, operation.role)} in {plural(rooms, kind)}"
    return f"{verb} {what} at {workspace} as {username}"


def expected(settings: Settings, connection: Connected, rows: int) -> Estimate | None:
    """Estimate how long so many calls take; None where nothing limits them."""
    return estimate(rows, settings.rate, connection.account.limits, connection.server_date)
