"""Standard output and standard error, for people: lines that can do no harm to a terminal."""

import signal
import sys

from worker.plain import plain


def tell(line: str) -> None:
    """Say one line on stderr, beside the results."""
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
