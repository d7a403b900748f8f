"""Standard output and standard error, for people: sanitised lines; and questions."""

import sys
from contextlib import suppress

from rolecall.cli.terminal.signals import interrupt_immediately
from rolecall.models import Json
from rolecall.text import sanitise


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


def confirm(question: str) -> bool:
    """Ask a person; any answer but yes is no."""
    with interrupt_immediately(), suppress(OSError, ValueError):
        print(sanitise(question), end=" [y/N] ", file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    return False


def is_interactive() -> bool:
    """Return whether there is a person at a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()
