"""The console for all output to terminals and pipes."""

from typing import TextIO

from rich.console import Console


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
