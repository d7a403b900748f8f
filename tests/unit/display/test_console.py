"""The console on a closed pipe: the process goes on, and the caller gets an error that it can ignore."""

import io
import os

import pytest

from rolecall.display.console import TextConsole


def test_a_closed_pipe_raises_and_does_not_end_the_process() -> None:
    """Printing to a pipe without a reader raises BrokenPipeError; Rich itself would raise SystemExit."""
    ours, theirs = os.pipe()
    os.close(ours)
    with open(theirs, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor has no path
        with pytest.raises(BrokenPipeError):
            TextConsole(file).print("x" * 100_000)
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())  # what is still buffered is discarded


@pytest.mark.parametrize("text", ["[bold]text[/]", ":smile:"])
def test_text_is_printed_as_it_is(text: str) -> None:
    """Markup and emoji codes are text."""
    file = io.StringIO()
    TextConsole(file).print(text)
    assert file.getvalue() == f"{text}\n"
