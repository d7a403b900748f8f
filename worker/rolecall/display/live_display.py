"""A terminal with a picture at its foot: log lines go above it, and it leaves no trace when it goes."""

import select
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from rolecall.display.progress_view import render_progress
from rolecall.models import Progress
from rolecall.text import sanitise

MOST_WAITING = 1000
"""Lines that are kept for a terminal that takes none at the moment; the run's log file has them all."""


def can_draw(file: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether a picture can be drawn: on a terminal that can move its cursor."""
    return file.isatty() and environ.get("TERM", "") not in ("", "dumb", "unknown")


class _Console(Console):
    """Leaves the process and the cursor alone.

    Rich ends the process where its reader has gone, and hides the cursor: after SIGKILL or Ctrl-Z nobody would show it.
    """

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError

    def show_cursor(self, show: bool = True) -> bool:
        return False


class LiveDisplay:
    """The only one to write to its terminal while it is open. Nothing of it ever raises but `flush`: OSError."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._console = self._new_console()
        self._live: Live | None = None
        self._broken = False
        self._waiting: deque[str] = deque(maxlen=MOST_WAITING)
        self._unfinished = ""

    def _new_console(self) -> Console:
        return _Console(file=self._file, highlight=False, markup=False, emoji=False)

    def tell(self, sentence: str) -> None:
        """Say one sentence above the picture."""
        with suppress(OSError, ValueError):
            self.write(f"{sanitise(sentence)}\n")
            self._show_lines()

    def write(self, text: str) -> None:
        """Take the text of lines that shall stand above the picture."""
        *lines, self._unfinished = (self._unfinished + text).split("\n")
        self._waiting.extend(lines)

    def flush(self) -> None:
        """Show the lines, with the next picture where there is one. Raises OSError where nothing can be shown."""
        if self._live is None:
            self._show_lines()

    def _show_lines(self) -> None:
        if self._waiting:
            text = Text.from_ansi("\n".join(self._waiting))
            self._waiting.clear()
            # Never wrapped by us: a path that is broken over two lines cannot be copied.
            self._console.print(text, soft_wrap=True)

    def draw(self, progress: Progress) -> None:
        """Draw the picture anew. A terminal that is broken is left alone; one that is stopped misses a picture."""
        if self._broken or not self._takes_more():
            return
        try:
            self._show_lines()
            shown = render_progress(progress, self._console.width)
            if self._live is None:
                self._live = Live(
                    console=self._console,
                    auto_refresh=False,
                    transient=True,
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._live.start()
            self._live.update(shown, refresh=True)
        except (OSError, ValueError):
            self._broken, self._live = True, None
            self._console = self._new_console()  # the old one holds what it could not write

    def erase(self) -> None:
        """Take the picture away, and show what still waits."""
        live, self._live = self._live, None
        with suppress(OSError, ValueError):
            if live is not None:
                live.stop()
            self._show_lines()

    def _takes_more(self) -> bool:
        """Tell whether the terminal would take a picture now: a person may have stopped it by Ctrl-S."""
        try:
            return bool(select.select([], [self._file], [], 0)[1])
        except (OSError, ValueError):
            return True  # no descriptor to ask, or a broken one: writing will tell
