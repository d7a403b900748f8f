"""A verification from a run's folder to its exit code."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rolecall.app import reports
from rolecall.app.connection import Reach, connect, operator_errors
from rolecall.app.open_run import Run, open_existing_run
from rolecall.app.read_session import ReadSession, open_read_session, run_reading
from rolecall.cli.config.credentials import Login
from rolecall.cli.exit_codes import ExitCode, OperatorError
from rolecall.cli.terminal import console
from rolecall.cli.terminal.progress_reporter import OutputMode
from rolecall.engine.directory.role_verify import RoleVerification, VerifiedRow, VerifyStatus
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import STOP_HINTS
from rolecall.files.output.verify_csv import VerifyCsvRow, verify_csv
from rolecall.models import Outcome
from rolecall.rocketchat.operations import OPERATIONS, Operation
from rolecall.rocketchat.url import workspace_url
from rolecall.store.sqlite.store import FILE_NAME
from rolecall.text import plural

VERIFY_FILE = "verify.csv"
UNDO_FOLDER = "undo"
"""Below a run's folder: the run that gave back what it took."""
IN_WORDS = {
    VerifyStatus.AGREES: "as the report says",
    VerifyStatus.DIFFERS: "otherwise",
    VerifyStatus.SETTLED: "unknown until now and settled",
    VerifyStatus.UNREAD: "not readable",
}
SHOWN = 20
"""Rows that are shown on the terminal; the file has them all."""


class _Incomplete(Exception):
    """Not every row was read back: what an earlier verification has written stays."""


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """How a verification was asked for."""

    settings: Settings
    reach: Reach = field(default_factory=Reach)
    voice: OutputMode = field(default_factory=OutputMode)


@dataclass(slots=True)
class VerifyStats:
    """What was found, and the first rows of it."""

    found: Counter[VerifyStatus] = field(default_factory=Counter)
    first: list[VerifiedRow] = field(default_factory=list)


async def verify(folder: Path, request: VerifyRequest, login: Login, environ: Mapping[str, str]) -> ExitCode:
    """Read the roles back and compare. Raises Refusal for whatever ends it before the first room is read."""
    with operator_errors():
        async with open_existing_run(folder) as run:
            operation = operation_of(run)
            url = workspace_url(login.url, allow_http=request.reach.allow_http)
            refuse_other_workspace(run, url)
            patience, quiet = request.settings.outage_timeout, request.voice.quiet
            async with connect(url, login, request.reach, environ, patience, quiet=quiet) as there:
                desk = open_read_session(
                    there, request.settings, request.voice, folder / "run.log.jsonl", hide=login.token
                )
                return await _verify(run, operation, desk, request.settings.concurrency, quiet=quiet)


def operation_of(run: Run) -> Operation:
    """Give the operation of a run; a check, which changed nothing, has none. Raises Refusal."""
    operation = OPERATIONS.get(run.identity.operation)
    if operation is None:
        raise OperatorError(
            f"{run.folder} holds a {run.identity.operation}, which changed nothing; name a run's folder."
        )
    return operation


def refuse_other_workspace(run: Run, url: str) -> None:
    """Refuse credentials for another workspace than the run's. Raises Refusal."""
    if run.identity.workspace != url:
        raise OperatorError(
            f"{run.folder} holds a run at {run.identity.workspace}, not {url}: set ROCKETCHAT_URL to it."
        )


async def _verify(run: Run, operation: Operation, desk: ReadSession, at_once: int, *, quiet: bool) -> ExitCode:
    reader, stop, clock = desk
    tally, complete = VerifyStats(), False
    with suppress(_Incomplete), verify_csv(run.folder / VERIFY_FILE) as write:

        def on_row(row: VerifiedRow) -> None:
            tally.found[row.finding] += 1
            if row.finding in (VerifyStatus.DIFFERS, VerifyStatus.UNREAD):
                write(_odd(row))
                if len(tally.first) < SHOWN:
                    tally.first.append(row)

        work = RoleVerification(run.store, reader, operation, at_once=at_once, clock=clock, on_row=on_row)
        complete = await run_reading(work.run(), stop)
        if not complete:
            raise _Incomplete
    if tally.found[VerifyStatus.SETTLED]:
        await reports.mark_reports_stale(run)
        await reports.write_reports(run, ())
    stopped = None if complete else stop.reason
    if stopped is not None:
        hint = STOP_HINTS[stopped].replace("the run", "the verification")
        console.print_info(f"{hint.replace('goes on', 'begins it anew').capitalize()}.")
    code = reports.BY_STOP[stopped] if stopped is not None else _exit_code(tally)
    if code is not ExitCode.DONE or not quiet:
        for sentence in _sentences(run, operation, tally, complete=complete):
            console.print_result(sentence)
    return code


def _exit_code(tally: VerifyStats) -> ExitCode:
    if tally.found[VerifyStatus.DIFFERS]:
        return ExitCode.DIFFERS
    return ExitCode.ROWS if tally.found[VerifyStatus.UNREAD] else ExitCode.DONE


def _odd(row: VerifiedRow) -> VerifyCsvRow:
    _, line, room_id, user_id, outcome, reason, _ = row.pair
    return VerifyCsvRow(line, room_id, user_id, outcome or Outcome.UNKNOWN, reason, row.has_role, row.finding, row.why)


def _sentences(run: Run, operation: Operation, tally: VerifyStats, *, complete: bool) -> Iterator[str]:
    for row in tally.first:
        pair, told = row.pair, row.pair.outcome or Outcome.UNKNOWN
        where = "no longer in the job" if pair.line is None else f"line {pair.line}"
        yield f"{where}, {pair.user_id} in {pair.room_id}: reported {told}, but {_read_back(operation, row)}"
    odd = tally.found[VerifyStatus.DIFFERS] + tally.found[VerifyStatus.UNREAD]
    if odd > len(tally.first):
        yield f"... and {odd - len(tally.first):,} more"
    parts = ", ".join(f"{rows:,} {words}" for finding, words in IN_WORDS.items() if (rows := tally.found[finding]))
    nothing = "none says anything of a role" if complete else "none so far"
    yield f"{plural(tally.found.total(), 'row')} read back: {parts or nothing}."
    if (run.folder / UNDO_FOLDER / FILE_NAME).is_file():
        yield f"There is an undo of this run: {run.folder / UNDO_FOLDER}"
    if odd and complete:
        yield f"Rows to look at: {run.folder / VERIFY_FILE}"


def _read_back(operation: Operation, row: VerifiedRow) -> str:
    if row.has_role is None:
        return f"it could not be read ({row.why})"
    return f"{'is' if row.has_role else 'is no'} {operation.role} now"
