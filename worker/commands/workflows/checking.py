"""A check from its job file to its exit code, as `check` and `run --dry-run` do it."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from worker.commands.exits import Exit
from worker.commands.settings.credentials import Login
from worker.commands.terminal import console
from worker.commands.terminal.showing import Voice
from worker.commands.terminal.signals import end_at_once
from worker.commands.workflows import planning, reporting
from worker.commands.workflows.connection import Connected, Reach, connected, refusals
from worker.commands.workflows.folders import chosen_run
from worker.commands.workflows.mainjob import expected
from worker.commands.workflows.reading import Desk, open_desk, to_its_end
from worker.engine.checking import Check
from worker.engine.holding import Run
from worker.engine.reasons import STOP_HINTS
from worker.engine.settings import Settings
from worker.files import Job, open_job, rfc3339
from worker.files.outfolder import CHECKS
from worker.files.plan import Header, write_plan
from worker.ledger.interface import Count, Identity, Session
from worker.model import Outcome
from worker.plain import plural
from worker.workspace.address import workspace_url
from worker.workspace.meanings import ROOM_NOT_JOINED
from worker.workspace.operations import REMOVE_LEADER, Operation
from worker.workspace.preflight import INFO, read_version

CHECK_OF = "check of "
"""Stands before the operation's name in the ledger of a check, so that nobody takes it for a run."""


@dataclass(frozen=True, slots=True)
class Question:
    """How a check was asked for."""

    settings: Settings
    operation: Operation = REMOVE_LEADER
    formats: tuple[str, ...] = ()
    plan: Path | None = None
    """Where the plan shall be written."""
    reach: Reach = field(default_factory=Reach)
    voice: Voice = field(default_factory=Voice)


class Preflight(NamedTuple):
    """What was told before the first room was read."""

    connection: Connected
    version: str


async def check(job_file: str, out: Path | None, question: Question, login: Login, environ: Mapping[str, str]) -> Exit:
    """Predict what a run would come to. Raises Refusal for whatever ends it before the first room is read."""
    with refusals():
        if question.plan is not None:
            planning.refuse_taken(question.plan)
        url = workspace_url(login.url, allow_http=question.reach.allow_http)
        with open_job(job_file) as job:
            identity = Identity(url, CHECK_OF + question.operation.name, job.digest)
            with chosen_run(job, identity, out, base=Path(), kind=CHECKS) as run:
                _take_in(run, job)
                patience, voice = question.settings.outage_patience, question.voice
                async with connected(url, login, question.reach, environ, patience, quiet=voice.quiet) as there:
                    desk = open_desk(there, question.settings, voice, run.folder / "run.log.jsonl", hide=login.token)
                    return await _check(run, there, desk, question, job_file)


def _take_in(run: Run, job: Job) -> None:
    """Make the job's rows the ledger's; a check that came to its end is made anew."""
    with end_at_once():
        run.ledger.take_in(run.identity, job.rows())
        run.ledger.drop_former()
    sessions = run.ledger.sessions()
    if sessions and _is_complete(sessions[-1]):
        run.ledger.forget_outcomes()


async def _check(run: Run, there: Connected, desk: Desk, question: Question, job_file: str) -> Exit:
    reader, stop, clock = desk
    run.ledger.open_session(there.account.username, clock.wall_ms())
    version = ""

    async def work() -> None:
        nonlocal version
        version = read_version((await reader.read(INFO)).body or {})
        at_once = question.settings.concurrency
        await Check(run.ledger, reader, question.operation, there.account, at_once=at_once, clock=clock).run()

    complete = await to_its_end(work(), stop)
    run.ledger.close_session(stop.reason or "", clock.wall_ms())
    reporting.write_predictions(run, question.formats)
    counts = run.ledger.counts()
    if stop.reason is not None and not complete:
        first = f"{STOP_HINTS[stop.reason].replace('the run', 'the check').capitalize()}. Nothing was changed."
        reporting.show(run, f"{first} {reporting.in_words(counts)}", sys.stdout)
        return reporting.BY_STOP[stop.reason]
    sentences = list(_sentences(run, Preflight(there, version), question, counts))
    if question.plan is not None:
        _write_plan(run, there, question)
        sentences.append(f"Plan: {question.plan}")
    code = _exit_code(counts)
    if code is not Exit.DONE or not question.voice.quiet:
        reporting.show(run, f"Predicted; nothing was changed. {reporting.in_words(counts)}", sys.stdout, sentences)
        if question.plan is not None:
            console.say(f"Next: rolecall run {job_file} --plan {question.plan}")
    return code


def _exit_code(counts: Sequence[Count]) -> Exit:
    if any(count.outcome is Outcome.NOT_ATTEMPTED for count in counts):
        return Exit.ROWS
    return reporting.exit_code(counts, None)


def _write_plan(run: Run, there: Connected, question: Question) -> None:
    if question.plan is None:
        return
    workspace, _, digest = run.identity
    checked_at = rfc3339(_began(run.ledger.sessions())) or ""
    account = there.account
    header = Header(workspace, question.operation.name, account.user_id, account.username, digest, checked_at)
    write_plan(question.plan, header, run.ledger.results())


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


def _sentences(run: Run, preflight: Preflight, question: Question, counts: Iterable[Count]) -> Iterable[str]:
    account, operation = preflight.connection.account, question.operation
    limits = f"limited to {account.limits.limit} calls in a window" if account.limits else "not limited"
    server = f"Rocket.Chat {preflight.version}" if preflight.version else "Rocket.Chat"
    roles = ", ".join(account.roles) or "none"
    yield f"{run.identity.workspace}: {server}. {account.username}: roles {roles}; {limits} by the workspace."
    done = sum(count.rows for count in counts if count.outcome is operation.done)
    rooms, _ = run.ledger.count_rooms_and_users([operation.done])
    if done:
        kind = operation.kind.removesuffix("s")
        yield (f"Members will see {plural(done, 'system message')} in {plural(rooms, kind)}, one for each change.")
    hidden, _ = run.ledger.count_rooms_and_users([Outcome.FAILED], ROOM_NOT_JOINED.reason)
    if hidden:
        yield f"The account has not joined {plural(hidden, 'group')} of this job; it must before the run."
    pairs = sum(count.rows for count in counts if count.outcome not in (Outcome.INVALID, Outcome.DUPLICATE))
    if expectation := expected(question.settings, preflight.connection, pairs):
        yield f"A run of all {pairs:,} pairs takes {expectation}."
    unread = sum(count.rows for count in counts if count.outcome is Outcome.NOT_ATTEMPTED)
    if question.plan is not None and (planned := expected(question.settings, preflight.connection, done + unread)):
        yield f"A run of the plan makes {plural(done + unread, 'call')}: {planned}."
