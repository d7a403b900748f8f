"""A verification from a run's folder to its exit code."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from worker.commands.exits import Exit, Refusal
from worker.commands.settings.credentials import Login
from worker.commands.terminal import console
from worker.commands.terminal.showing import Voice
from worker.commands.workflows import reporting
from worker.commands.workflows.connection import Reach, connected, refusals
from worker.commands.workflows.reading import Desk, open_desk, to_its_end
from worker.engine.holding import LEDGER, Run, existing_run
from worker.engine.reasons import STOP_HINTS
from worker.engine.settings import Settings
from worker.engine.verifying import Finding, Verification, Verified
from worker.files.verification import Odd, verification
from worker.model import Outcome
from worker.plain import plural
from worker.workspace.address import workspace_url
from worker.workspace.operations import OPERATIONS, Operation

VERIFY_FILE = "verify.csv"
UNDO_FOLDER = "undo"
"""Below a run's folder: the run that gave back what it took."""
IN_WORDS = {
    Finding.AGREES: "as the report says",
    Finding.DIFFERS: "otherwise",
    Finding.SETTLED: "unknown until now and settled",
    Finding.UNREAD: "not readable",
}
SHOWN = 20
"""Rows that are shown on the terminal; the file has them all."""


class _Incomplete(Exception):
    """Not every row was read back: what an earlier verification has written stays."""


@dataclass(frozen=True, slots=True)
class Request:
    """How a verification was asked for."""

    settings: Settings
    reach: Reach = field(default_factory=Reach)
    voice: Voice = field(default_factory=Voice)


@dataclass(slots=True)
class Tally:
    """What was found, and the first rows of it."""

    found: Counter[Finding] = field(default_factory=Counter)
    first: list[Verified] = field(default_factory=list)


async def verify(folder: Path, request: Request, login: Login, environ: Mapping[str, str]) -> Exit:
    """Read the roles back and compare. Raises Refusal for whatever ends it before the first room is read."""
    with refusals(), existing_run(folder) as run:
        operation = operation_of(run)
        url = workspace_url(login.url, allow_http=request.reach.allow_http)
        refuse_other_workspace(run, url)
        patience, quiet = request.settings.outage_patience, request.voice.quiet
        async with connected(url, login, request.reach, environ, patience, quiet=quiet) as there:
            desk = open_desk(there, request.settings, request.voice, folder / "run.log.jsonl", hide=login.token)
            return await _verify(run, operation, desk, request.settings.concurrency, quiet=quiet)


def operation_of(run: Run) -> Operation:
    """Give the operation of a run; a check, which changed nothing, has none. Raises Refusal."""
    operation = OPERATIONS.get(run.identity.operation)
    if operation is None:
        raise Refusal(f"{run.folder} holds a {run.identity.operation}, which changed nothing; name a run's folder.")
    return operation


def refuse_other_workspace(run: Run, url: str) -> None:
    """Refuse credentials for another workspace than the run's. Raises Refusal."""
    if run.identity.workspace != url:
        raise Refusal(f"{run.folder} holds a run at {run.identity.workspace}, not {url}: set ROCKETCHAT_URL to it.")


async def _verify(run: Run, operation: Operation, desk: Desk, at_once: int, *, quiet: bool) -> Exit:
    reader, stop, clock = desk
    tally, complete = Tally(), False
    with suppress(_Incomplete), verification(run.folder / VERIFY_FILE) as write:

        def on_row(row: Verified) -> None:
            tally.found[row.finding] += 1
            if row.finding in (Finding.DIFFERS, Finding.UNREAD):
                write(_odd(row))
                if len(tally.first) < SHOWN:
                    tally.first.append(row)

        work = Verification(run.ledger, reader, operation, at_once=at_once, clock=clock, on_row=on_row)
        complete = await to_its_end(work.run(), stop)
        if not complete:
            raise _Incomplete
    if tally.found[Finding.SETTLED]:
        reporting.have_aged(run)
        reporting.write_reports(run, ())
    stopped = None if complete else stop.reason
    if stopped is not None:
        hint = STOP_HINTS[stopped].replace("the run", "the verification")
        console.tell(f"{hint.replace('goes on', 'begins it anew').capitalize()}.")
    code = reporting.BY_STOP[stopped] if stopped is not None else _exit_code(tally)
    if code is not Exit.DONE or not quiet:
        for sentence in _sentences(run, operation, tally, complete=complete):
            console.say(sentence)
    return code


def _exit_code(tally: Tally) -> Exit:
    if tally.found[Finding.DIFFERS]:
        return Exit.DIFFERS
    return Exit.ROWS if tally.found[Finding.UNREAD] else Exit.DONE


def _odd(row: Verified) -> Odd:
    _, line, room_id, user_id, outcome, reason, _ = row.pair
    return Odd(line, room_id, user_id, outcome or Outcome.UNKNOWN, reason, row.has_role, row.finding, row.why)


def _sentences(run: Run, operation: Operation, tally: Tally, *, complete: bool) -> Iterator[str]:
    for row in tally.first:
        pair, told = row.pair, row.pair.outcome or Outcome.UNKNOWN
        where = "no longer in the job" if pair.line is None else f"line {pair.line}"
        yield f"{where}, {pair.user_id} in {pair.room_id}: reported {told}, but {_read_back(operation, row)}"
    odd = tally.found[Finding.DIFFERS] + tally.found[Finding.UNREAD]
    if odd > len(tally.first):
        yield f"... and {odd - len(tally.first):,} more"
    parts = ", ".join(f"{rows:,} {words}" for finding, words in IN_WORDS.items() if (rows := tally.found[finding]))
    nothing = "none says anything of a role" if complete else "none so far"
    yield f"{plural(tally.found.total(), 'row')} read back: {parts or nothing}."
    if (run.folder / UNDO_FOLDER / LEDGER).is_file():
        yield f"There is an undo of this run: {run.folder / UNDO_FOLDER}"
    if odd and complete:
        yield f"Rows to look at: {run.folder / VERIFY_FILE}"


def _read_back(operation: Operation, row: Verified) -> str:
    if row.has_role is None:
        return f"it could not be read ({row.why})"
    return f"{'is' if row.has_role else 'is no'} {operation.role} now"
