"""Standard output and standard error, for people: lines that can do no harm to a terminal."""

import os
import signal
import sys
from contextlib import suppress

from worker.plain import plain


def hold_standard_streams() -> None:
    """Put /dev/null where a scheduler started us without stdin, stdout or stderr.

    Else the next files that are opened would take their numbers, a ledger among them, and be written to as if they
    were the terminal.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - open to the end


def tell(line: str) -> None:
    """Say one line on stderr, beside the results."""
    with suppress(OSError):  # nobody can be told that nobody can be told
        print(plain(line), file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints


def warn(line: str) -> None:
    """Say one line of warning on stderr."""
    tell(f"warning: {line}")


def ask(question: str) -> bool:
    """Put a question to a person; anything but yes is no."""
    print(plain(question), end=" [y/N] ", file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints
    # The event loop keeps Ctrl-C for its next turn, which would not come before the answer.
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except (OSError, ValueError):
        return False
    finally:
        signal.signal(signal.SIGINT, kept)


def can_ask() -> bool:
    """Tell whether there is a person to put a question to."""
    return sys.stdin.isatty() and sys.stderr.isatty()
