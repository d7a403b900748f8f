"""`find` from its question to its exit code: read, keep what was read, write the job file."""

import codecs
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TextIO, cast

from rolecall.app.connection import Connection, Reach, connect, operator_errors
from rolecall.app.find_summary import FindSummary
from rolecall.app.read_session import open_read_session, run_reading
from rolecall.app.reports import BY_STOP
from rolecall.app.run_job import estimate_calls
from rolecall.cli.config.credentials import Login
from rolecall.cli.exit_codes import ExitCode, OperatorError
from rolecall.cli.terminal import console
from rolecall.cli.terminal.progress_reporter import OutputMode
from rolecall.engine.directory.find import search_roles
from rolecall.engine.directory.find_query import Exclusions, FindQuery
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopReason, StopSignal
from rolecall.files.checkpoint import FindCheckpoint
from rolecall.files.input.id_list import ListColumns, find_word_problem, read_id_list
from rolecall.files.output.atomic_write import replace_atomically
from rolecall.files.output.find_csv import write_find_csv
from rolecall.models import RoleAssignment
from rolecall.rocketchat.url import workspace_url
from rolecall.text import plural

WORTH_TELLING = 10.0
"""Seconds that reading must take before anybody is told how long."""
WHY_STOPPED = {
    StopReason.INTERRUPTED: "Interrupted.",
    StopReason.CREDENTIALS: "The workspace refused the credentials; make a new token.",
    StopReason.OUTAGE: "The workspace stayed away.",
    StopReason.RETRY_LATER: "The server asks to wait longer than --outage-timeout; try again after that.",
}


class FindRequest(NamedTuple):
    """What was asked for, options and all."""

    question: FindQuery
    output: Path | None
    left_out: tuple[str, ...]
    settings: Settings
    reach: Reach
    voice: OutputMode


def usable(words: Iterable[str]) -> tuple[str, ...]:
    """Give the words of the command line, each once. Raises Refusal for one that can be no id or name."""
    trimmed = tuple(dict.fromkeys(word.strip() for word in words))
    for word in trimmed:
        if fault := "is empty" if word in ("", "@", "#") else find_word_problem(word):
            raise OperatorError(f"{word[:40]!r} {fault}: give an id or a name.")
    return trimmed


def chosen(words: Iterable[str], path: str | None, columns: ListColumns) -> tuple[str, ...]:
    """Put together what the command line names and what a list has. Raises Refusal and JobFileError."""
    from_file = read_id_list(path, columns) if path is not None else []
    return tuple(dict.fromkeys((*usable(words), *from_file)))


async def find_roles(request: FindRequest, login: Login, environ: Mapping[str, str]) -> ExitCode:
    """Find and write. Raises Refusal for whatever ends it before its work."""
    with operator_errors():
        url = workspace_url(login.url, allow_http=request.reach.allow_http)
        patience = request.settings.outage_timeout
        async with connect(url, login, request.reach, environ, patience, quiet=request.voice.quiet) as connection:
            with FindCheckpoint(_part(request.output), url, request.question.digest) as part:
                stop = await _read(request, connection, part, hide=login.token)
                part.sync()
                if stop.reason is not None:
                    _tell_stop(stop, request.output)
                    return BY_STOP[stop.reason]
                return _write(request, part)


def _part(output: Path | None) -> Path | None:
    return None if output is None else output.with_name(f"{output.name}.part")


async def _read(request: FindRequest, connection: Connection, part: FindCheckpoint, *, hide: str) -> StopSignal:
    """Ask for everything that is not known yet; the stop tells why it ended early."""
    done = {result.target_key for result in part.results()}
    if not request.voice.quiet:
        _tell_start(request, connection, len(done))
    desk = open_read_session(connection, request.settings, request.voice, None, hide=hide)
    work = search_roles(desk.reader, request.question, part.add, done=done, at_once=request.settings.concurrency)
    await run_reading(work, desk.stop)
    return desk.stop


def _tell_start(request: FindRequest, connection: Connection, done: int) -> None:
    """Say what is known already, and how long the rest takes where that is worth a word."""
    if done:
        console.print_info(f"Going on with {_part(request.output)}: {done:,} answers are known.")
    noun = "user" if request.question.by_person else "room"
    left = (request.question.units or 0) - done
    expectation = estimate_calls(request.settings, connection, left) if left > 0 else None
    if expectation is not None and expectation.seconds >= WORTH_TELLING:
        console.print_info(f"Asking for {plural(left, noun)}; {expectation}.")


def _tell_stop(stop: StopSignal, output: Path | None) -> None:
    kept = (
        "Nothing was written; with --out FILE the same command could go on."
        if output is None
        else f"What was read is kept in {_part(output)}; the same command goes on."
    )
    why = WHY_STOPPED.get(stop.reason, "Stopped.") if stop.reason is not None else ""
    console.print_info(f"{why} {kept}")


def _write(request: FindRequest, part: FindCheckpoint) -> ExitCode:
    """Write the job file, then say what is in it and what could not be seen."""
    exceptions = Exclusions(request.left_out)
    tally = FindSummary(request.question, exceptions)
    rows = tally.rows_of(part.results())
    if request.output is None:
        _write_to_stdout(rows)
    else:
        if os.path.lexists(request.output):
            raise OperatorError(
                f"{request.output} has appeared meanwhile and is left as it is; move it, then the same command."
            )
        with replace_atomically(request.output) as file:
            write_find_csv(file, rows)
        part.remove()
    for line in tally.warnings():
        console.print_info(line)
    code = ExitCode.ROWS if tally.unseen else ExitCode.DONE
    if code is not ExitCode.DONE or not request.voice.quiet:
        say = console.print_result if request.output is not None else console.print_info
        for line in tally.sentences(request.output):
            say(line)
    return code


def _write_to_stdout(rows: Iterable[RoleAssignment]) -> None:
    """Write the job as UTF-8, whatever the terminal's encoding. Raises Refusal where nobody reads it."""
    try:
        write_find_csv(cast(TextIO, codecs.getwriter("utf-8")(sys.stdout.buffer)), rows)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise OperatorError("Nobody read the job to its end.", ExitCode.STOPPED) from None
