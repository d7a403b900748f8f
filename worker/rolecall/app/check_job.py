"""A check from its job file to its exit code, as `check` and `run --dry-run` do it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from rolecall.app import plan_guard, reports
from rolecall.app.connection import Connection, Reach, connect, operator_errors
from rolecall.app.open_run import Run
from rolecall.app.out_folder import CHECKS
from rolecall.app.read_session import ReadSession, open_read_session, run_reading
from rolecall.app.run_directory import open_or_resume_run
from rolecall.app.run_job import estimate_calls
from rolecall.app.threads import on_thread
from rolecall.cli.config.credentials import Login
from rolecall.cli.exit_codes import ExitCode
from rolecall.cli.terminal import console
from rolecall.cli.terminal.progress_reporter import OutputMode
from rolecall.cli.terminal.signals import cancelled_by_signals
from rolecall.engine.directory.role_check import RoleCheck
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import STOP_HINTS
from rolecall.files.input.job import DETECT_ALL, Job, ReadOptions, open_job
from rolecall.files.plan_file import PlanHeader, open_plan_file
from rolecall.models import Outcome
from rolecall.rocketchat.error_table import ROOM_NOT_JOINED
from rolecall.rocketchat.operations import REMOVE_LEADER, Operation
from rolecall.rocketchat.preflight import INFO, parse_version
from rolecall.rocketchat.url import workspace_url
from rolecall.store.base import Count, Identity, Session, read_pages
from rolecall.text import plural, rfc3339

CHECK_OF = "check of "
"""Stands before the operation's name in the ledger of a check, so that nobody takes it for a run."""


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """How a check was asked for."""

    settings: Settings
    operation: Operation = REMOVE_LEADER
    formats: tuple[str, ...] = ()
    plan: Path | None = None
    """Where the plan shall be written."""
    reach: Reach = field(default_factory=Reach)
    voice: OutputMode = field(default_factory=OutputMode)
    reading: ReadOptions = DETECT_ALL


class Preflight(NamedTuple):
    """What was told before the first room was read."""

    connection: Connection
    version: str


async def check(
    job_file: str, out: Path | None, question: CheckRequest, login: Login, environ: Mapping[str, str]
) -> ExitCode:
    """Predict what a run would come to. Raises Refusal for whatever ends it before the first room is read."""
    with operator_errors():
        if question.plan is not None:
            plan_guard.refuse_taken(question.plan)
        url = workspace_url(login.url, allow_http=question.reach.allow_http)
        with open_job(job_file, None, question.reading, console.print_warning) as job:
            identity = Identity(url, CHECK_OF + question.operation.name, job.digest)
            async with open_or_resume_run(job, identity, out, base=Path(), kind=CHECKS) as run:
                await _take_in(run, job)
                patience, voice = question.settings.outage_timeout, question.voice
                async with connect(url, login, question.reach, environ, patience, quiet=voice.quiet) as there:
                    desk = open_read_session(
                        there, question.settings, voice, run.folder / "run.log.jsonl", hide=login.token
                    )
                    return await _check(run, there, desk, question, job_file)


async def _take_in(run: Run, job: Job) -> None:
    """Make the job's rows the ledger's; a check that came to its end is made anew."""
    with cancelled_by_signals():
        await run.store.import_rows(run.identity, read_pages(job.rows()))
        await run.store.delete_removed_pairs()
    sessions = await run.store.sessions()
    if sessions and _is_complete(sessions[-1]):
        await run.store.reset_outcomes()


async def _check(run: Run, there: Connection, desk: ReadSession, question: CheckRequest, job_file: str) -> ExitCode:
    reader, stop, clock = desk
    await run.store.open_session(there.account.username, clock.wall_ms())
    version = ""

    async def work() -> None:
        nonlocal version
        version = parse_version((await reader.read(INFO)).body or {})
        at_once = question.settings.concurrency
        await RoleCheck(run.store, reader, question.operation, there.account, at_once=at_once, clock=clock).run()

    complete = await run_reading(work(), stop)
    await run.store.close_session(stop.reason or "", clock.wall_ms())
    await reports.write_predictions(run, question.formats)
    counts = await run.store.counts()
    if stop.reason is not None and not complete:
        first = f"{STOP_HINTS[stop.reason].replace('the run', 'the check').capitalize()}. Nothing was changed."
        await reports.show(run, f"{first} {reports.format_counts(counts)}", sys.stdout)
        return reports.BY_STOP[stop.reason]
    sentences = [sentence async for sentence in _sentences(run, Preflight(there, version), question, counts)]
    if question.plan is not None:
        await _write_plan(run, there, question)
        sentences.append(f"Plan: {question.plan}")
    code = _exit_code(counts)
    if code is not ExitCode.DONE or not question.voice.quiet:
        await reports.show(
            run, f"Predicted; nothing was changed. {reports.format_counts(counts)}", sys.stdout, sentences
        )
        if question.plan is not None:
            console.print_result(f"Next: rolecall run {job_file} --plan {question.plan}")
    return code


def _exit_code(counts: Sequence[Count]) -> ExitCode:
    if any(count.outcome is Outcome.NOT_ATTEMPTED for count in counts):
        return ExitCode.ROWS
    return reports.exit_code(counts, None)


async def _write_plan(run: Run, there: Connection, question: CheckRequest) -> None:
    if question.plan is None:
        return
    workspace, _, digest = run.identity
    checked_at = rfc3339(_began(await run.store.sessions())) or ""
    account = there.account
    header = PlanHeader(workspace, question.operation.name, account.user_id, account.username, digest, checked_at)
    async with on_thread(open_plan_file(question.plan, header)) as write, aclosing(run.store.results()) as pages:
        async for page in pages:
            await asyncio.to_thread(write, page)


def _began(sessions: Sequence[Session]) -> int:
    """Tell when the oldest prediction may have been made: after an interruption a check goes on."""
    began = sessions[-1].started_at
    for session in reversed(sessions[:-1]):
        if _is_complete(session):
            break
        began = session.started_at
    return began


def _is_complete(session: Session) -> bool:
    return session.ended_at is not None and not session.stop


async def _sentences(
    run: Run, preflight: Preflight, question: CheckRequest, counts: Iterable[Count]
) -> AsyncIterator[str]:
    account, operation = preflight.connection.account, question.operation
    limits = f"limited to {account.limits.limit} calls in a window" if account.limits else "not limited"
    server = f"Rocket.Chat {preflight.version}" if preflight.version else "Rocket.Chat"
    roles = ", ".join(account.roles) or "none"
    yield f"{run.identity.workspace}: {server}. {account.username}: roles {roles}; {limits} by the workspace."
    done = sum(count.rows for count in counts if count.outcome is operation.done)
    rooms, _ = await run.store.count_rooms_and_users([operation.done])
    if done:
        kind = operation.kind.removesuffix("s")
        yield (f"Members will see {plural(done, 'system message')} in {plural(rooms, kind)}, one for each change.")
    hidden, _ = await run.store.count_rooms_and_users([Outcome.FAILED], ROOM_NOT_JOINED.reason)
    if hidden:
        yield f"The account has not joined {plural(hidden, 'group')} of this job; it must before the run."
    pairs = sum(count.rows for count in counts if count.outcome not in (Outcome.INVALID, Outcome.DUPLICATE))
    if expectation := estimate_calls(question.settings, preflight.connection, pairs):
        yield f"A run of all {pairs:,} pairs takes {expectation}."
    unread = sum(count.rows for count in counts if count.outcome is Outcome.NOT_ATTEMPTED)
    if question.plan is not None and (
        planned := estimate_calls(question.settings, preflight.connection, done + unread)
    ):
        yield f"A run of the plan makes {plural(done + unread, 'call')}: {planned}."
