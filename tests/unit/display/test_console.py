"""The console on a closed pipe, and the summary of a run on it: every outcome with its hint, no control characters."""

import io
import os

import pytest

from rolecall.display.console import SummaryLine, TextConsole, print_summary
from rolecall.models import OUTCOMES, Outcome
from rolecall.text import UNSAFE


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


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def shown(*lines: SummaryLine, sentences: tuple[str, ...] = ()) -> str:
    """Return the text of a summary in a file."""
    file = io.StringIO()
    print_summary(lines, sentences, file)
    return file.getvalue()


def test_each_outcome_has_its_style() -> None:
    """Every outcome has a style."""
    assert set(OUTCOMES) == set(Outcome)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_line_says_how_many_why_and_what_to_do(outcome: Outcome) -> None:
    """Rows, outcome, reason and hint are in one line, large numbers with commas."""
    text = shown(SummaryLine(outcome, "why_so", 1_234_567, "do this"))
    (line,) = [line for line in text.splitlines() if outcome.value in line]
    assert line.rstrip().split(maxsplit=3) == ["1,234,567", outcome.value, "why_so", "do this"]


def test_sentences_are_never_wrapped() -> None:
    """A long path stays in one line, so that it can be copied."""
    path = "/runs/" + "very long name " * 30
    assert f"Report: {path}report.csv\n" in shown(sentences=(f"Report: {path}report.csv",))


def test_lines_keep_their_order() -> None:
    """The table shows the lines, and the sentences below it, in the given order."""
    text = shown(
        SummaryLine(Outcome.REMOVED, "", 2, ""), SummaryLine(Outcome.FAILED, "x", 1, ""), sentences=("one", "two")
    )
    assert [text.index(word) for word in ("removed", "failed", "one", "two")] == sorted(
        text.index(word) for word in ("removed", "failed", "one", "two")
    )


HOSTILE = [
    "[bold red]not markup[/]",
    "[/]",
    "[link=https://evil.example]click[/link]",
    "\x1b[2J\x1b]8;;https://evil.example\x07click",
    "one\ntwo",
    "a\r\tb",
    "\x9b31m",
    "\u202egnp.exe",
    "\u2028",
    "\ud800",
    ":smile:",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("file_type", [io.StringIO, Terminal])
def test_hostile_text_is_shown_as_text(
    text: str, file_type: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Markup, escape sequences and line breaks in reasons, hints and paths are printed as text, on a terminal too."""
    monkeypatch.setenv("TERM", "dumb")  # no colours, so that any escape sequence would come from the text
    file = file_type()
    print_summary([SummaryLine(Outcome.FAILED, text, 1, text)], [text], file)
    out = file.getvalue()
    assert not set(UNSAFE.findall(out)) - {"\n", "\ufffd"}
    assert out.splitlines()[-1] == UNSAFE.sub("\ufffd", text)


def test_a_file_gets_no_colours() -> None:
    """Redirected output has no escape sequences."""
    assert "\x1b" not in shown(SummaryLine(Outcome.FAILED, "why", 1, "hint"), sentences=("one",))


def test_a_run_without_rows_has_a_summary() -> None:
    """A summary without lines prints its sentences."""
    assert "one" in shown(sentences=("one",))
