"""`find` from its question to its exit code: read, keep what was read, write the job file."""

import codecs
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TextIO, cast

from worker.commands.exits import Exit, Refusal
from worker.commands.settings.credentials import Login
from worker.commands.terminal import console
from worker.commands.terminal.showing import Voice
from worker.commands.workflows.connection import Connected, Reach, connected, refusals
from worker.commands.workflows.mainjob import expected
from worker.commands.workflows.reading import open_desk, to_its_end
from worker.commands.workflows.reporting import BY_STOP
from worker.commands.workflows.tally import Tally
from worker.engine.finding.question import Exceptions, Question
from worker.engine.finding.search import search
from worker.engine.reasons import StopReason
from worker.engine.settings import Settings
from worker.engine.stop import Stop
from worker.files import replace_atomically
from worker.files.chosen import Columns, fault_of, read_chosen
from worker.files.found import FoundRow, write_found
from worker.files.part import Part
from worker.plain import plural
from worker.workspace.address import workspace_url

WORTH_TELLING = 10.0
"""Seconds that reading must take before anybody is told how long."""
WHY_STOPPED = {
    StopReason.INTERRUPTED: "Interrupted.",
    StopReason.CREDENTIALS: "The workspace refused the credentials; make a new token.",
    StopReason.OUTAGE: "The workspace stayed away.",
}


class Request(NamedTuple):
    """What was asked for, options and all."""

    question: Question
    output: Path | None
    left_out: tuple[str, ...]
    settings: Settings
    reach: Reach
    voice: Voice


def usable(words: Iterable[str]) -> tuple[str, ...]:
    """Give the words of the command line, each once. Raises Refusal for one that can be no id or name."""
    trimmed = tuple(dict.fromkeys(word.strip() for word in words))
    for word in trimmed:
        if fault := "is empty" if word in ("", "@", "#") else fault_of(word):
            raise Refusal(f"{word[:40]!r} {fault}: give an id or a name.")
    return trimmed


def chosen(words: Iterable[str], path: str | None, columns: Columns) -> tuple[str, ...]:
    """Put together what the command line names and what a list has. Raises Refusal and UnusableJob."""
    from_file = read_chosen(path, columns) if path is not None else []
    return tuple(dict.fromkeys((*usable(words), *from_file)))


async def perform(request: Request, login: Login, environ: Mapping[str, str]) -> Exit:
    """Find and write. Raises Refusal for whatever ends it before its work."""
    with refusals():
        url = workspace_url(login.url, allow_http=request.reach.allow_http)
        patience = request.settings.outage_patience
        async with connected(url, login, request.reach, environ, patience, quiet=request.voice.quiet) as connection:
            with Part(_part(request.output), url, request.question.digest) as part:
                stop = await _read(request, connection, part, hide=login.token)
                part.sync()
                if stop.reason is not None:
                    _tell_stop(stop, request.output)
                    return BY_STOP[stop.reason]
                return _write(request, part)


def _part(output: Path | None) -> Path | None:
    return None if output is None else output.with_name(f"{output.name}.part")


async def _read(request: Request, connection: Connected, part: Part, *, hide: str) -> Stop:
    """Ask for everything that is not known yet; the stop tells why it ended early."""
    done = {finding.unit for finding in part.findings()}
    if not request.voice.quiet:
        _tell_start(request, connection, len(done))
    desk = open_desk(connection, request.settings, request.voice, None, hide=hide)
    work = search(desk.reader, request.question, part.add, done=done, at_once=request.settings.concurrency)
    await to_its_end(work, desk.stop)
    return desk.stop


def _tell_start(request: Request, connection: Connected, done: int) -> None:
    """Say what is known already, and how long the rest takes where that is worth a word."""
    if done:
        console.tell(f"Going on with {_part(request.output)}: {done:,} answers are known.")
    noun = "user" if request.question.by_person else "room"
    left = (request.question.units or 0) - done
    expectation = expected(request.settings, connection, left) if left > 0 else None
    if expectation is not None and expectation.seconds >= WORTH_TELLING:
        console.tell(f"Asking for {plural(left, noun)}; {expectation}.")


def _tell_stop(stop: Stop, output: Path | None) -> None:
    kept = (
        "Nothing was written; with --output FILE the same command could go on."
        if output is None
        else f"What was read is kept in {_part(output)}; the same command goes on."
    )
    why = WHY_STOPPED.get(stop.reason, "Stopped.") if stop.reason is not None else ""
    console.tell(f"{why} {kept}")


def _write(request: Request, part: Part) -> Exit:
    """Write the job file, then say what is in it and what could not be seen."""
    exceptions = Exceptions(request.left_out)
    tally = Tally(request.question, exceptions)
    rows = tally.rows_of(part.findings())
    if request.output is None:
        _write_to_stdout(rows)
    else:
        if os.path.lexists(request.output):
            raise Refusal(
                f"{request.output} has appeared meanwhile and is left as it is; move it, then the same command."
            )
        with replace_atomically(request.output) as file:
            write_found(file, rows)
        part.remove()
    for line in tally.warnings():
        console.tell(line)
    code = Exit.ROWS if tally.unseen else Exit.DONE
    if code is not Exit.DONE or not request.voice.quiet:
        say = console.say if request.output is not None else console.tell
        for line in tally.sentences(request.output):
            say(line)
    return code


def _write_to_stdout(rows: Iterable[FoundRow]) -> None:
    """Write the job as UTF-8, whatever the terminal's encoding. Raises Refusal where nobody reads it."""
    try:
        write_found(cast(TextIO, codecs.getwriter("utf-8")(sys.stdout.buffer)), rows)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise Refusal("Nobody read the job to its end.", Exit.STOPPED) from None
