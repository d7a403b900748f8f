"""Standard output and standard error, for people: lines that can do no harm to a terminal."""

import sys
from contextlib import suppress

from worker.commands.terminal.signals import end_at_once
from worker.plain import plain


def say(line: str) -> None:
    """Say one line of a result on stdout. Raises OSError where it cannot be written; a reader who has left is none."""
    with suppress(BrokenPipeError, ValueError):
        print(plain(line), flush=True)  # noqa: T201 - this is the place that prints


def tell(line: str) -> None:
    """Say one line on stderr, beside the results."""
    with suppress(OSError, ValueError):  # nobody reads it any more; the run goes on
        print(plain(line), file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints


def warn(line: str) -> None:
    """Say one line of warning on stderr."""
    tell(f"warning: {line}")


def ask(question: str) -> bool:
    """Put a question to a person; anything but yes is no."""
    with end_at_once(), suppress(OSError, ValueError):
        print(plain(question), end=" [y/N] ", file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    return False


def can_ask() -> bool:
    """Tell whether there is a person to put a question to."""
    return sys.stdin.isatty() and sys.stderr.isatty()
