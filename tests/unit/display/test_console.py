"""The console on a closed pipe, and the summary of a run on it: every outcome with its hint, no control characters."""

import io
import os

import pytest
from rich.color_triplet import ColorTriplet
from rich.console import ConsoleDimensions

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


def luminance(colour: ColorTriplet) -> float:
    """Return the relative luminance of a colour, as WCAG defines it."""
    parts = [value / 255 for value in colour]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("style", sorted({properties.style for properties in OUTCOMES.values()} - {"dim"}))
def test_colours_are_readable_on_white_and_on_dark(style: str) -> None:
    """The contrast of each outcome's colour is 3.5 to 1 or better on white, on black and on the usual dark grey."""
    colour = TextConsole(io.StringIO()).get_style(style).color
    assert colour is not None
    light = luminance(colour.get_truecolor())
    dark_grey = luminance(ColorTriplet(41, 41, 41))
    assert min(1.05 / (light + 0.05), (light + 0.05) / (dark_grey + 0.05)) > 3.5


LINES = (
    SummaryLine(Outcome.REMOVED, "", 1_252, ""),
    SummaryLine(Outcome.FAILED, "room_not_joined", 6, "the group exists, but the account is not a member of it " * 2),
)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_on_a_terminal_no_word_is_broken(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each width the words of reasons, hints and sentences stay whole, and no line is longer than the terminal."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(TextConsole, "size", property(lambda _: ConsoleDimensions(width, 30)))
    file, sentence = Terminal(), "300 rows: 252 removed, 27 not_leader, 21 failed, and further words to be broken."
    print_summary(LINES, [sentence], file)
    words = {word for line in LINES for word in (line.outcome.value, line.reason, *line.hint.split()) if word}
    assert words | set(sentence.split()) <= set(file.getvalue().split())
    assert max(map(len, file.getvalue().splitlines())) <= width


def test_a_pipe_gets_one_line_for_each_reason() -> None:
    """Without a terminal a hint is not broken, however long it is."""
    text = shown(*LINES, sentences=("one",))
    assert len(text.splitlines()) == len(LINES) + 3
    assert LINES[1].hint.strip() in text
