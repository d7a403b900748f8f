"""The standard streams: kept usable, with sanitised lines for people on them; what is shown, and questions."""

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from rolecall.cli.terminal.early_interrupt import SIGNALS
from rolecall.models import Json
from rolecall.text import sanitise

"""The signals that end the command."""
MAX_ANSWER_LENGTH = 1024


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
        print(sanitise(line), flush=True)  # noqa: T201 - this is the place that prints


def print_json(document: Json) -> None:
    """Print a result as one JSON document on stdout. Raises OSError if it cannot be written."""
    from rolecall.files.output.text_files import format_json

    with suppress(BrokenPipeError, ValueError):
        print(format_json(document, indent=True), flush=True)  # noqa: T201 - this is the place that prints


def print_info(line: str) -> None:
    """Print one line on stderr, beside the results."""
    with suppress(OSError, ValueError):  # without a reader the run continues
        print(sanitise(line), file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints


def print_warning(line: str) -> None:
    """Print one line of warning on stderr."""
    print_info(f"warning: {line}")


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
        opened.write(f"{sanitise(question)} [y/N] ".encode())
        return opened.read(MAX_ANSWER_LENGTH).strip().lower() in (b"y", b"yes")
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
