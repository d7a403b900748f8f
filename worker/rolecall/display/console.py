"""The console for all output to terminals and pipes, and the summary at the end of a run on it."""

from collections.abc import Sequence
from typing import NamedTuple, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rolecall.models import OUTCOMES, Outcome
from rolecall.text import sanitise


class TextConsole(Console):
    """A Rich console for text from other sources: no markup, no highlighting, no emoji codes.

    Raises BrokenPipeError on a closed pipe. Rich itself would end the process with code 1, but the exit code has to
    say how the rows ended. Never hides the cursor: after SIGKILL or Ctrl-Z it would stay hidden.
    """

    def __init__(self, file: TextIO) -> None:
        super().__init__(file=file, highlight=False, markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError."""
        raise BrokenPipeError

    def show_cursor(self, show: bool = True) -> bool:
        """Do nothing, and return that nothing was written."""
        return False


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
        # Not wrapped: a path that is broken over two lines cannot be copied.
        console.print(Text(sanitise(sentence)), soft_wrap=True)
