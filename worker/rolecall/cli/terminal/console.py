"""Standard output and standard error, for people: lines that can do no harm to a terminal."""

import sys
from contextlib import suppress

from rolecall.cli.terminal.signals import interrupt_immediately
from rolecall.text import sanitise


def print_result(line: str) -> None:
    """Say one line of a result on stdout. Raises OSError where it cannot be written; a reader who has left is none."""
    with suppress(BrokenPipeError, ValueError):
        print(sanitise(line), flush=True)  # noqa: T201 - this is the place that prints


def print_info(line: str) -> None:
    """Say one line on stderr, beside the results."""
    with suppress(OSError, ValueError):  # nobody reads it any more; the run goes on
        print(sanitise(line), file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints


def print_warning(line: str) -> None:
    """Say one line of warning on stderr."""
    print_info(f"warning: {line}")


def confirm(question: str) -> bool:
    """Put a question to a person; anything but yes is no."""
    with interrupt_immediately(), suppress(OSError, ValueError):
        print(sanitise(question), end=" [y/N] ", file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    return False


def is_interactive() -> bool:
    """Tell whether there is a person to put a question to."""
    return sys.stdin.isatty() and sys.stderr.isatty()
