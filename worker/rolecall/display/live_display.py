"""Live progress at the bottom of a terminal, with log lines above it."""

import select
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TextIO

from rich.live import Live
from rich.text import Text

from rolecall.display.console import TextConsole
from rolecall.display.progress_view import render_progress
from rolecall.models import Progress
from rolecall.text import sanitise

MAX_BUFFERED_LINES = 1000
"""Lines that are kept while the terminal accepts no output; the run's log file has all of them."""


def can_draw(file: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether progress can be drawn: on a terminal that can move its cursor."""
    return file.isatty() and environ.get("TERM", "") not in ("", "dumb", "unknown")


class LiveDisplay:
    """Progress that is redrawn in place, and erased at the end.

    While it is open, everything else writes to the terminal through it. Only `flush` raises (OSError).
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._console = TextConsole(file)
        self._live: Live | None = None
        self._broken = False
        self._lines: deque[str] = deque(maxlen=MAX_BUFFERED_LINES)
        self._partial_line = ""

    def print_line(self, sentence: str) -> None:
        """Print one line above the progress, at once."""
        with suppress(OSError, ValueError):
            self.write(f"{sanitise(sentence)}\n")
            self._print_lines()

    def write(self, text: str) -> None:
        """Buffer text for the lines above the progress; an incomplete line waits for its end."""
        *lines, self._partial_line = (self._partial_line + text).split("\n")
        self._lines.extend(lines)

    def flush(self) -> None:
        """Print the buffered lines; while progress is drawn, the next `draw` does it. Raises OSError."""
        if self._live is None:
            self._print_lines()

    def _print_lines(self) -> None:
        if self._lines:
            text = Text.from_ansi("\n".join(self._lines))
            self._lines.clear()
            # Not wrapped: a path that is broken over two lines cannot be copied.
            self._console.print(text, soft_wrap=True)

    def draw(self, progress: Progress) -> None:
        """Draw the progress again. Does nothing on a terminal that is broken or that accepts no output."""
        if self._broken or not self._is_writable():
            return
        try:
            self._print_lines()
            view = render_progress(progress, self._console.width)
            if self._live is None:
                self._live = Live(
                    console=self._console,
                    auto_refresh=False,
                    transient=True,
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._live.start()
            self._live.update(view, refresh=True)
        except (OSError, ValueError):
            self._broken, self._live = True, None
            self._console = TextConsole(self._file)  # the old one keeps what it could not write

    def erase(self) -> None:
        """Erase the progress, and print the lines that are still buffered."""
        live, self._live = self._live, None
        with suppress(OSError, ValueError):
            if live is not None:
                live.stop()
            self._print_lines()

    def _is_writable(self) -> bool:
        """Return whether the terminal accepts output now: Ctrl-S stops it until Ctrl-Q."""
        try:
            return bool(select.select([], [self._file], [], 0)[1])
        except (OSError, ValueError):
            return True  # no descriptor, or a broken one: the write itself shows it
