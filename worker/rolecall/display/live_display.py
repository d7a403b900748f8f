"""Live progress at the bottom of a terminal, with log lines above it."""

import select
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TextIO

from rich.text import Text

from rolecall.display.console import TextConsole
from rolecall.display.progress_view import render_progress
from rolecall.models import Progress
from rolecall.text import sanitise

MAX_BUFFERED_LINES = 1000
"""Lines that are kept while the terminal accepts no output; the run's log file has all of them."""
ERASE_LINE, LINE_UP = "\x1b[2K", "\x1b[1A"


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
        self._drawn: list[int] = []
        """The columns of each drawn line."""
        self._broken = False
        self._lines: deque[str] = deque(maxlen=MAX_BUFFERED_LINES)
        self._partial_line = ""

    def print_line(self, sentence: str) -> None:
        """Print one line above the progress, at once; the next `draw` draws the progress again."""
        with suppress(OSError, ValueError):
            self.write(f"{sanitise(sentence)}\n")
            self._print_lines()

    def write(self, text: str) -> None:
        """Buffer text for the lines above the progress; an incomplete line waits for its end."""
        *lines, self._partial_line = (self._partial_line + text).split("\n")
        self._lines.extend(lines)

    def flush(self) -> None:
        """Print the buffered lines; while progress is drawn, the next `draw` does it. Raises OSError."""
        if not self._drawn:
            self._print_lines()

    def draw(self, progress: Progress) -> None:
        """Draw the progress again. Does nothing on a terminal that is broken or that accepts no output."""
        if self._broken or not self._is_writable():
            return
        try:
            self._print_lines()
            width = self._console.width
            with self._console.capture() as captured:
                self._console.print(render_progress(progress, width))
            lines = captured.get().rstrip("\n")
            self._write(self._erasure() + lines)
            self._drawn = [_columns(line) for line in lines.split("\n")]
        except (OSError, ValueError):
            self._broken, self._drawn = True, []
            self._console = TextConsole(self._file)  # the old one keeps what it could not write

    def erase(self) -> None:
        """Erase the progress, and print the lines that are still buffered."""
        with suppress(OSError, ValueError):
            if self._drawn:
                self._write(self._erasure())
            self._print_lines()
        self._drawn = []

    def _print_lines(self) -> None:
        """Print what is buffered in place of the progress."""
        if not self._lines:
            return
        lines = list(self._lines)
        self._lines.clear()
        with self._console.capture() as captured:
            for line in lines:
                self._console.print_wrapped(line)
        self._write(self._erasure() + captured.get())
        self._drawn = []

    def _write(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()

    def _erasure(self) -> str:
        """Return the escape sequence that erases the progress.

        A terminal that was made narrower has broken its lines: each then covers more than one row.
        """
        if not self._drawn:
            return ""
        width = max(1, self._console.width)
        rows = sum(max(1, -(-columns // width)) for columns in self._drawn)
        return "\r" + ERASE_LINE + (LINE_UP + ERASE_LINE) * (rows - 1)

    def _is_writable(self) -> bool:
        """Return whether the terminal accepts output now: Ctrl-S stops it until Ctrl-Q."""
        try:
            return bool(select.select([], [self._file], [], 0)[1])
        except (OSError, ValueError):
            return True  # no descriptor, or a broken one: the write itself shows it


def _columns(line: str) -> int:
    return Text.from_ansi(line).cell_len
