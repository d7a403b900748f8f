"""The console for all output to terminals and pipes, and the summary at the end of a run on it."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TextIO

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from rolecall.models import OUTCOMES, Outcome
from rolecall.text import sanitise, wrap_words

COLOURS = {
    "green": "#009900",
    "cyan": "#0090a0",
    "magenta": "#c050c0",
    "yellow": "#b87000",
    "bold yellow": "bold #b87000",
    "bold red": "bold #ff2a2a",
    "bar.back": "color(243)",
    "bar.finished": "#009900",
}
"""The colours of the styles: readable on a white and on a dark background, unlike a terminal's own yellow."""
LOCALE_VARIABLES = ("LC_ALL", "LC_CTYPE", "LANG")
"""The variables that name the character set of the terminal; the first that is set decides."""
COERCED = ("C.UTF-8", "C.utf8", "UTF-8")
MIN_HINT_WIDTH = 56
"""Columns; in a narrower column a hint stands on lines of its own."""
HINT_INDENT = 6
MAX_LINE_LENGTH = 4096
"""Columns of a table that goes into a pipe or a file."""


class TextConsole(Console):
    """A Rich console for text from other sources: no markup, no highlighting, no emoji codes.

    Raises BrokenPipeError on a closed pipe. Rich itself would end the process with code 1, but the exit code has to
    say how the rows ended. Never hides the cursor: after SIGKILL or Ctrl-Z it would stay hidden. In a locale without
    UTF-8 it draws with ASCII characters.
    """

    def __init__(self, file: TextIO, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__(file=file, highlight=False, markup=False, emoji=False, theme=Theme(COLOURS))
        self._is_ascii = self.is_terminal and not has_utf8(environ)

    @property
    def encoding(self) -> str:
        """The character set of what is drawn. Python writes UTF-8 in the locale C too, which says nothing of it."""
        return "ascii" if self._is_ascii else super().encoding

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError."""
        raise BrokenPipeError

    def show_cursor(self, show: bool = True) -> bool:
        """Do nothing, and return that nothing was written."""
        return False

    def print_wrapped(self, line: str, style: str = "") -> None:
        """Print one line; on a terminal it is broken between words only, so that a path can be copied."""
        text = wrap_words(line, self.width) if self.is_terminal else line
        self.print(Text(text, style), soft_wrap=True)


def has_utf8(environ: Mapping[str, str]) -> bool:
    """Return whether the locale uses UTF-8, or none is set.

    Python itself sets LC_CTYPE to one of `COERCED` where the locale is C (PEP 538).
    """
    named = {name: environ.get(name, "") for name in LOCALE_VARIABLES}
    if named["LC_CTYPE"] in COERCED:
        named["LC_CTYPE"] = ""
    locale = next(filter(None, named.values()), "UTF-8").lower()
    return "utf-8" in locale or "utf8" in locale


class SummaryLine(NamedTuple):
    """The number of rows with one outcome for one reason, and what a person can do about them."""

    outcome: Outcome
    reason: str
    rows: int
    hint: str


def print_summary(lines: Sequence[SummaryLine], sentences: Sequence[str], file: TextIO) -> None:
    """Print the table of outcomes, then each sentence on a line of its own. Colours appear on a terminal only.

    Raises OSError, BrokenPipeError on a closed pipe.
    """
    console = TextConsole(file)
    if console.is_terminal:
        console.print()
    taken = sum(max((len(cell) for cell in column), default=0) for column in zip(*map(_cells, lines), strict=True))
    if console.is_terminal and console.width - taken - HINT_INDENT < MIN_HINT_WIDTH:
        _print_stacked(lines, console)
    else:
        _print_table(lines, console)
    if lines:
        console.print()
    for sentence in sentences:
        console.print_wrapped(sanitise(sentence))


def _cells(line: SummaryLine) -> tuple[str, str, str]:
    return f"{line.rows:,}", line.outcome.value, sanitise(line.reason)


def _print_table(lines: Sequence[SummaryLine], console: TextConsole) -> None:
    table = _grid(("rows", "outcome", "reason", "what to do"))
    for line in lines:
        rows, outcome, reason = _cells(line)
        table.add_row(rows, Text(outcome, OUTCOMES[line.outcome].style), Text(reason), Text(sanitise(line.hint)))
    if console.is_terminal:
        console.print(table)
        return
    console.width = MAX_LINE_LENGTH  # one line for each reason, however long: a mail reader wraps it better
    with console.capture() as captured:
        console.print(table)
    for row in captured.get().splitlines():
        console.print(Text(row.rstrip()), soft_wrap=True)


def _print_stacked(lines: Sequence[SummaryLine], console: TextConsole) -> None:
    """Print each hint below its line, for narrow terminals."""
    for line, row in zip(lines, _aligned(lines), strict=True):
        console.print(row)
        if line.hint:
            console.print(Padding(Text(sanitise(line.hint)), (0, 0, 0, HINT_INDENT)))


def _aligned(lines: Sequence[SummaryLine]) -> Iterator[Text]:
    """Yield each line without its hint, in columns."""
    width = max((len(f"{line.rows:,}") for line in lines), default=0)
    outcomes = max((len(line.outcome.value) for line in lines), default=0)
    for line in lines:
        rows, outcome, reason = _cells(line)
        styled = Text(outcome.ljust(outcomes), OUTCOMES[line.outcome].style)
        yield Text.assemble(rows.rjust(max(width, HINT_INDENT - 2)), "  ", styled, "  ", reason)


def _grid(headings: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for heading in headings[:-1]:
        table.add_column(heading, justify="right" if heading == headings[0] else "left", no_wrap=True)
    table.add_column(headings[-1])
    return table
