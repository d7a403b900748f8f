"""The standard streams: kept usable, with sanitised lines for people on them; what is shown, and questions."""

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, TextIO

from rolecall.cli.terminal import early_interrupt
from rolecall.cli.terminal.early_interrupt import SIGNALS
from rolecall.text import sanitise, wrap_words

if TYPE_CHECKING:
    from rolecall.models import Json

MAX_ANSWER_LENGTH = 1024
MIN_TERMINAL_WIDTH = 80
"""Columns of a terminal that does not report its width."""
INTERRUPTED_TEXT = "interrupted"
_json_lines = [False]
"""Whether stderr has JSON lines only; one value."""


class OutputMode(NamedTuple):
    """What is shown, and in which form."""

    quiet: bool = False
    """Only what ends with another exit code than 0."""
    log_format: str = "console"
    """Of the log lines on stderr: `console` or `json`."""
    json: bool = False
    """The result as one JSON document on stdout."""

    @property
    def json_lines(self) -> bool:
        """Whether stderr has JSON lines only."""
        return self.log_format == "json"


def reopen_std_streams() -> None:
    """Open the null device in place of a closed standard stream, so that no file of ours gets its number.

    Characters that a stream cannot encode are written as escapes.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - open as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_std_streams() -> None:
    """Flush stdout and stderr. If that fails, point them at the null device: the shutdown would exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_result(line: str) -> None:
    """Print one line of a result on stdout. Raises OSError if it cannot be written; a closed pipe is ignored."""
    with suppress(BrokenPipeError, ValueError):
        print(_for_terminal(sanitise(line), sys.stdout), flush=True)  # noqa: T201 - this is the place that prints


def print_json(document: "Json") -> None:
    """Print a result as one JSON document on stdout. Raises OSError if it cannot be written."""
    from rolecall.files.output.text_files import format_json

    with suppress(BrokenPipeError, ValueError):
        print(format_json(document, indent=True), flush=True)  # noqa: T201 - this is the place that prints


def select_json_lines(json_lines: bool) -> None:
    """Select whether every line on stderr is a JSON event from now on, as with `--log-format json`."""
    _json_lines[:] = [json_lines]
    early_interrupt.INTERRUPTED[:] = [
        f"{_as_event('error', 'error', INTERRUPTED_TEXT, exit_code=early_interrupt.EXIT_CODE)}\n".encode()
        if json_lines
        else early_interrupt.PLAIN_LINE
    ]


def print_info(line: str) -> None:
    """Print one line on stderr, beside the results."""
    _print_line(_as_event("notice", "info", line) if _json_lines[0] else line)


def print_warning(line: str) -> None:
    """Print one line of warning on stderr."""
    _print_line(_as_event("notice", "warning", line) if _json_lines[0] else f"warning: {line}")


def print_error(line: str, exit_code: int, command: str = "rolecall") -> None:
    """Print why a command ends with this exit code, on stderr."""
    _print_line(_as_event("error", "error", line, exit_code=exit_code) if _json_lines[0] else f"{command}: {line}")


def print_interruption() -> None:
    """Print that the command was interrupted, unless a line says so already."""
    if early_interrupt.INTERRUPTED[0]:
        mark_interruption_reported()
        print_error(f"{INTERRUPTED_TEXT}.", early_interrupt.EXIT_CODE)


def mark_interruption_reported() -> None:
    """Record that a line says that the command was interrupted: neither this nor a later signal prints another."""
    early_interrupt.INTERRUPTED[:] = [b""]


def _print_line(line: str) -> None:
    with suppress(OSError, ValueError):  # without a reader the run continues
        text = sanitise(line) if _json_lines[0] else _for_terminal(sanitise(line), sys.stderr)
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints


def _for_terminal(line: str, stream: TextIO) -> str:
    """Return a line as it goes to a stream: on a terminal it is broken between words."""
    if not stream.isatty():
        return line
    try:
        width = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        width = 0
    return wrap_words(line, width or MIN_TERMINAL_WIDTH)


def _as_event(event: str, level: str, detail: str, **values: object) -> str:
    """Return a line for people as a JSON event, with the fields of the log's events."""
    import json  # here: most commands print none, and it is slow to import

    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    fields = {"event": event, "detail": sanitise(detail), **values, "level": level, "timestamp": now}
    return json.dumps(fields, ensure_ascii=False)


def has_terminal() -> bool:
    """Return whether `confirm` can ask a person."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def confirm(question: str) -> bool | None:
    """Ask a person at the controlling terminal; any answer but yes is no, None without such a terminal.

    Where stdin, stdout and stderr go does not matter: a pipe beside a person at a terminal is no consent.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(terminal, "r+b", buffering=0) as opened, interrupt_immediately(), suppress(OSError):
        if os.tcgetpgrp(terminal) != os.getpgrp():  # in the background reading would stop the process
            return None
        width = os.get_terminal_size(terminal).columns or MIN_TERMINAL_WIDTH
        opened.write(f"{wrap_words(f'{sanitise(question)} [y/N]', width - 2)} ".encode())
        try:
            return opened.read(MAX_ANSWER_LENGTH).strip().lower() in (b"y", b"yes")
        except KeyboardInterrupt:
            opened.write(b"\n")  # what is printed next begins a line
            raise
    return False


@contextmanager
def interrupt_immediately() -> Iterator[None]:
    """Let each of the signals raise KeyboardInterrupt in the block, which blocks the event loop."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
