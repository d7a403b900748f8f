"""The end of a run on a terminal: what became of the rows, why, what to do about it, and where the files are."""

from collections.abc import Sequence
from typing import NamedTuple, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rolecall.models import OUTCOMES, Outcome
from rolecall.text import sanitise


class Line(NamedTuple):
    """How many rows came to one outcome for one reason, and what a person can do about it."""

    outcome: Outcome
    reason: str
    rows: int
    hint: str


class _Console(Console):
    """Rich ends the whole process with code 1 when its reader has gone; the exit code says what the rows came to."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def show_summary(lines: Sequence[Line], sentences: Sequence[str], file: TextIO) -> None:
    """Print the table of outcomes, then the sentences, each on a line of its own; colours only on a terminal."""
    console = _Console(file=file, highlight=False, soft_wrap=False)
    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("reason", no_wrap=True)
    table.add_column("what to do", overflow="fold")
    for line in lines:
        outcome = Text(line.outcome.value, OUTCOMES[line.outcome].style)
        table.add_row(f"{line.rows:,}", outcome, Text(sanitise(line.reason)), Text(sanitise(line.hint), "dim"))
    console.print(table)
    console.print()
    for sentence in sentences:
        # Never wrapped: a path that is broken over two lines cannot be copied.
        console.print(Text(sanitise(sentence)), soft_wrap=True)
