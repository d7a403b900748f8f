"""The main job from its file to its exit code, as `run` and `demo` do it."""

import asyncio
import sys
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from structlog.typing import FilteringBoundLogger

from worker import __version__
from worker.commands import console, reporting
from worker.commands.credentials import Login
from worker.commands.exits import Exit, Refusal
from worker.commands.folders import choose_folder, open_run
from worker.commands.signals import two_stage_interrupt
from worker.display.logs import open_logs
from worker.engine.clock import Clock
from worker.engine.estimate import estimate
from worker.engine.events import Events
from worker.engine.runner import work_through
from worker.engine.settings import Settings
from worker.engine.stop import STOP_HINTS, Stop, StopReason
from worker.files import Job, UnusableFolder, UnusableJob, open_job
from worker.ledger.interface import Count, Identity, Ledger, LedgerFailed, UnusableLedger
from worker.ledger.lock import RunHeld
from worker.model import NoReply, Reply
from worker.workspace.address import BadAddress, proxy_for, workspace_url
from worker.workspace.client import BadAuthorities, Client, Credentials, Transport
from worker.workspace.limits import asked_wait, server_date
from worker.workspace.operations import REMOVE_LEADER, Operation
from worker.workspace.preflight import Account, BadCredentials, WorkspaceAway, read_account

ME = "/api/v1/me"


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, options and all."""

    job: str
    """Path of the job file; `-` for stdin."""
    out: Path | None
    settings: Settings
    formats: tuple[str, ...] = ()
    assume_yes: bool = False
    allow_http: bool = False
    connect_timeout: float = 10.0
    timeout: float = 30.0
    ca_file: str | None = None
    operation: Operation = REMOVE_LEADER


async def perform(request: Request, login: Login, environ: Mapping[str, str]) -> Exit:
    """Do the job. Raises Refusal for whatever ends it before the first row is sent."""
    try:
        url = workspace_url(login.url, allow_http=request.allow_http)
        with open_job(request.job) as job:
            identity = Identity(url, request.operation.name, job.digest)
            folder = choose_folder(job, identity, request.out, base=Path())
            with open_run(folder, identity) as ledger:
                return await _perform(request, login, environ, job, identity, folder, ledger)
    except (UnusableJob, UnusableFolder, UnusableLedger, BadAddress, BadAuthorities) as refusal:
        raise Refusal(str(refusal)) from None
    except RunHeld as held:
        raise Refusal(str(held), Exit.HELD) from None
    except BadCredentials as refused:
        raise Refusal(f"{refused} Nothing was sent.", Exit.CREDENTIALS) from None
    except (WorkspaceAway, LedgerFailed) as away:
        raise Refusal(str(away), Exit.STOPPED) from None


async def _perform(
    request: Request,
    login: Login,
    environ: Mapping[str, str],
    job: Job,
    identity: Identity,
    folder: Path,
    ledger: Ledger,
) -> Exit:
    if ledger.identity() != identity:
        ledger.take_in(identity, job.rows())
        ledger.note(finished="no")
    rows, rooms = ledger.count_due(retry_failed=request.settings.retry_failed)
    if not rows:
        return _nothing_to_do(ledger, identity, folder, request)
    transport = Transport(
        identity.workspace,
        request.connect_timeout,
        request.timeout,
        proxy_for(identity.workspace, environ),
        request.ca_file,
    )
    async with Client(transport, Credentials(login.user_id, login.token)) as client:
        reply = await _preflight(client, request.settings.outage_patience)
        account = read_account(reply, identity.workspace)
        _confirm(request, identity, account, rows, rooms, reply if isinstance(reply, Reply) else None)
        log = open_logs(sys.stderr, folder / "run.log.jsonl", hide=login.token, colors=sys.stderr.isatty())
        with structlog.contextvars.bound_contextvars(run=folder.name):
            return await _run(request, client, ledger, identity, folder, account, rows, log)


async def _preflight(client: Client, patience: float) -> Reply | NoReply:
    """Ask who we are; where that route's own window is full, once more after it."""
    reply = await client.get(ME)
    if isinstance(reply, Reply) and reply.status == 429:
        wait = min(asked_wait(reply) or 1.0, patience)
        console.tell(f"The workspace limits calls; waiting {wait:.0f} s before the first.")
        await asyncio.sleep(wait)
        reply = await client.get(ME)
    return reply


def _nothing_to_do(ledger: Ledger, identity: Identity, folder: Path, request: Request) -> Exit:
    counts = ledger.counts()
    ledger.note(finished="yes")
    if not (folder / "report.csv").is_file() or request.formats:
        _write_reports(ledger, identity, folder, request)
    reporting.show(ledger, folder, f"Nothing left to do, nothing was sent. {reporting.in_words(counts)}", sys.stdout)
    return reporting.exit_code(counts, None)


def _confirm(
    request: Request, identity: Identity, account: Account, rows: int, rooms: int, reply: Reply | None
) -> None:
    """Ask a person, where there is one; raises Refusal when the answer is not yes."""
    if request.assume_yes or not console.can_ask():
        return
    date = server_date(reply.headers) if reply is not None else None
    expected = estimate(rows, request.settings.rate, account.limits, date)
    question = (
        f"Remove {rows:,} leader{'' if rows == 1 else 's'} in {rooms:,} group{'' if rooms == 1 else 's'} "
        f"at {identity.workspace} as {account.username}"
    )
    if not console.ask(f"{question}; {expected}?" if expected else f"{question}?"):
        raise Refusal("Nothing was sent.")


async def _run(
    request: Request,
    client: Client,
    ledger: Ledger,
    identity: Identity,
    folder: Path,
    account: Account,
    rows: int,
    log: FilteringBoundLogger,
) -> Exit:
    clock, stop = Clock(), Stop()
    events = Events(log, clock)
    resumed = bool(ledger.sessions())
    ledger.open_session(account.username, clock.wall_ms())
    log.info(
        "run resumed" if resumed else "run started",
        workspace=identity.workspace,
        operation=identity.operation,
        account=account.username,
        rows=rows,
        folder=str(folder),
        version=__version__,
    )
    started = clock.now()
    at_once = await _until_done_or_interrupted(
        work_through(ledger, client, request.operation, request.settings, stop=stop, clock=clock, events=events),
        stop,
        request.settings.grace,
    )
    counts = _close(ledger, stop, clock)
    _tell_end(log, stop, clock.now() - started, events)
    if counts is None or at_once:
        console.tell(f"Stopped at once. What was recorded is safe; the same command goes on. Run: {folder}")
        return reporting.BY_STOP[stop.reason or StopReason.INTERRUPTED]
    if not _write_reports(ledger, identity, folder, request):
        return Exit.STOPPED
    first = f"{STOP_HINTS[stop.reason].capitalize()}. " if stop.reason else ""
    reporting.show(ledger, folder, f"{first}{reporting.in_words(counts)}", sys.stdout)
    return reporting.exit_code(counts, stop.reason)


async def _until_done_or_interrupted(work: Coroutine[None, None, None], stop: Stop, grace: float) -> bool:
    """Await the work; True when a second signal ended it at once."""
    task = asyncio.ensure_future(work)

    def first() -> None:
        stop.ask(StopReason.INTERRUPTED)
        console.tell(f"Stopping: the calls under way have {grace:g} s to be answered. Ctrl-C again ends at once.")

    with two_stage_interrupt(first, task.cancel):
        try:
            await task
        except asyncio.CancelledError:
            return True
    return False


def _close(ledger: Ledger, stop: Stop, clock: Clock) -> Sequence[Count] | None:
    """Write down how the session ended; None where the ledger cannot be written any more."""
    try:
        ledger.close_session(stop.reason or "", clock.wall_ms())
        due, _ = ledger.count_due(retry_failed=False)
        ledger.note(finished="no" if due else "yes")
        return ledger.counts()
    except LedgerFailed as failure:
        stop.ask(StopReason.LEDGER, str(failure))
        console.tell(f"{stop.detail or failure} The run stopped; rows without a recorded outcome are sent again.")
        return None


def _tell_end(log: FilteringBoundLogger, stop: Stop, seconds: float, events: Events) -> None:
    done = {f"{outcome.value}": 0 for outcome, _ in events.counts}
    for (outcome, _), rows in events.counts.items():
        done[outcome.value] += rows
    if stop.reason is None:
        log.info("run ended", seconds=round(seconds, 1), **done)
    else:
        log.warning("run stopped", reason=stop.reason.value, detail=stop.detail, seconds=round(seconds, 1), **done)


def _write_reports(ledger: Ledger, identity: Identity, folder: Path, request: Request) -> bool:
    try:
        reporting.write_reports(ledger, identity, folder, request.formats)
    except (OSError, LedgerFailed) as error:
        console.tell(
            f"The report could not be written into {folder}: {error}. The ledger is safe: "
            f"make room, then 'rolecall report {folder}' writes it."
        )
        return False
    return True
