"""The main job from its file to its exit code, as `run` and `demo` do it."""

import asyncio
import sys
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from worker.commands import console, reporting
from worker.commands.credentials import Login
from worker.commands.exits import Exit, Refusal
from worker.commands.folders import Run, choose_folder, open_run, starting
from worker.commands.sending import Sending
from worker.commands.signals import cancelled_by_signals, end_at_once
from worker.display.logs import open_logs
from worker.engine.estimate import Estimate, estimate
from worker.engine.settings import Settings
from worker.files import Job, UnusableFolder, UnusableJob, open_job
from worker.ledger.interface import Identity, LedgerFailed, UnusableLedger
from worker.ledger.lock import RunHeld
from worker.model import NoReply, Reply
from worker.workspace.address import BadAddress, proxy_for, workspace_url
from worker.workspace.client import BadAuthorities, Client, Credentials, Transport
from worker.workspace.limits import asked_wait, server_date
from worker.workspace.operations import REMOVE_LEADER, Operation
from worker.workspace.preflight import ME, Account, BadCredentials, WorkspaceAway, read_account


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
            retry_failed = request.settings.retry_failed
            with ExitStack() as stack:
                with starting(job, request.out, base=Path()):
                    folder = choose_folder(job, identity, request.out, retry_failed=retry_failed, base=Path())
                    run = stack.enter_context(open_run(folder, identity))
                return await _perform(request, login, environ, job, run)
    except (UnusableJob, UnusableFolder, UnusableLedger, BadAddress, BadAuthorities) as refusal:
        raise Refusal(str(refusal)) from None
    except RunHeld as held:
        raise Refusal(str(held), Exit.HELD) from None
    except BadCredentials as refused:
        raise Refusal(f"{refused} Nothing was sent.", Exit.CREDENTIALS) from None
    except (WorkspaceAway, LedgerFailed) as away:
        raise Refusal(str(away), Exit.STOPPED) from None
    except OSError as error:
        raise Refusal(f"The run's files cannot be written: {error}.", Exit.STOPPED) from None


async def _perform(request: Request, login: Login, environ: Mapping[str, str], job: Job, run: Run) -> Exit:
    if run.ledger.identity() != run.identity:
        reporting.have_aged(run)
        with end_at_once():
            run.ledger.take_in(run.identity, job.rows())
    rows, rooms = run.ledger.count_due(retry_failed=request.settings.retry_failed)
    if not rows:
        return _nothing_to_do(run, request.formats)
    workspace = run.identity.workspace
    transport = Transport(
        workspace, request.connect_timeout, request.timeout, proxy_for(workspace, environ), request.ca_file
    )
    async with Client(transport, Credentials(login.user_id, login.token)) as client:
        reply = await _preflight(client, request.settings.outage_patience)
        account = read_account(reply, workspace)
        if not request.assume_yes and console.can_ask():
            _confirm(_question(workspace, account, rows, rooms), _expectation(request.settings, account, rows, reply))
        log = open_logs(sys.stderr, run.folder / "run.log.jsonl", hide=login.token, colors=sys.stderr.isatty())
        with structlog.contextvars.bound_contextvars(run=run.folder.name):
            sending = Sending(run, client, request.operation, request.settings, request.formats, log)
            return await sending.send(account.username, rows)


async def _preflight(client: Client, patience: float) -> Reply | NoReply:
    """Ask who we are; where that route's own window is full, once more after it."""
    with cancelled_by_signals():
        reply = await client.get(ME)
        if isinstance(reply, Reply) and reply.status == 429:
            wait = min(asked_wait(reply) or 1.0, patience)
            console.tell(f"The workspace limits calls; waiting {wait:.0f} s before the first.")
            await asyncio.sleep(wait)
            reply = await client.get(ME)
        return reply


def _nothing_to_do(run: Run, formats: Collection[str]) -> Exit:
    counts = run.ledger.counts()
    if formats or not reporting.are_current(run):
        reporting.write_reports(run, formats)
    reporting.show(run, f"Nothing left to do, nothing was sent. {reporting.in_words(counts)}", sys.stdout)
    return reporting.exit_code(counts, None)


def _confirm(question: str, expectation: Estimate | None) -> None:
    """Ask a person; raises Refusal when the answer is not yes."""
    if not console.ask(f"{question}; {expectation}?" if expectation else f"{question}?"):
        raise Refusal("Nothing was sent.")


def _question(workspace: str, account: Account, rows: int, rooms: int) -> str:
    what = f"{rows:,} leader{'' if rows == 1 else 's'} in {rooms:,} group{'' if rooms == 1 else 's'}"
    return f"Remove {what} at {workspace} as {account.username}"


def _expectation(settings: Settings, account: Account, rows: int, reply: Reply | NoReply) -> Estimate | None:
    date = server_date(reply.headers) if isinstance(reply, Reply) else None
    return estimate(rows, settings.rate, account.limits, date)
