"""Standard output and standard error, for people: sanitised lines; and questions."""

import os
import sys
from contextlib import suppress

from rolecall.cli.terminal.signals import interrupt_immediately
from rolecall.models import Json
from rolecall.text import sanitise

MAX_ANSWER_LENGTH = 1024


def print_result(line: str) -> None:
    """Print one line of a result on stdout. Raises OSError if it cannot be written; a closed pipe is ignored."""
    with suppress(BrokenPipeError, ValueError):
        print(sanitise(line), flush=True)  # noqa: T201 - this is the place that prints


def print_json(document: Json) -> None:
    """Print a result as one JSON document on stdout. Raises OSError if it cannot be written."""
    from rolecall.files.json_codec import format_json

    with suppress(BrokenPipeError, ValueError):
        print(format_json(document, indent=True), flush=True)  # noqa: T201 - this is the place that prints


def print_info(line: str) -> None:
    """Print one line on stderr, beside the results."""
    with suppress(OSError, ValueError):  # without a reader the run continues
        print(sanitise(line), file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints


def print_warning(line: str) -> None:
    """Print one line of warning on stderr."""
    print_info(f"warning: {line}")


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
        opened.write(f"{sanitise(question)} [y/N] ".encode())
        return opened.read(MAX_ANSWER_LENGTH).strip().lower() in (b"y", b"yes")
    return False
