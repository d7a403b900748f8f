"""The end of a run on a terminal: every outcome, its hint, and nothing that a server or a file name can do to it."""

import io

import pytest

from rolecall.display.summary import Line, show_summary
from rolecall.models import OUTCOMES, Outcome
from rolecall.text import UNSAFE


class Terminal(io.StringIO):
    """A terminal, as far as anybody asks."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def shown(*lines: Line, sentences: tuple[str, ...] = ()) -> str:
    """Show a summary into a file."""
    file = io.StringIO()
    show_summary(lines, sentences, file)
    return file.getvalue()


def test_each_outcome_has_its_style() -> None:
    """No outcome is forgotten when one is added."""
    assert set(OUTCOMES) == set(Outcome)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_line_says_how_many_why_and_what_to_do(outcome: Outcome) -> None:
    """Rows, outcome, reason and hint stand in one line, large numbers readable."""
    text = shown(Line(outcome, "why_so", 1_234_567, "do this"))
    (line,) = [line for line in text.splitlines() if outcome.value in line]
    assert line.rstrip().split(maxsplit=3) == ["1,234,567", outcome.value, "why_so", "do this"]


def test_sentences_are_never_wrapped() -> None:
    """A path can be copied: however long it is, it stays in one line."""
    path = "/runs/" + "very long name " * 30
    assert f"Report: {path}report.csv\n" in shown(sentences=(f"Report: {path}report.csv",))


def test_lines_keep_their_order() -> None:
    """The table shows the lines, and below it the sentences, as they were given."""
    text = shown(Line(Outcome.REMOVED, "", 2, ""), Line(Outcome.FAILED, "x", 1, ""), sentences=("one", "two"))
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
    """Markup, escape sequences and line breaks in reasons, hints and paths are text, on a terminal too."""
    monkeypatch.setenv("TERM", "dumb")  # no colours, so that each escape sequence would be the text's own
    file = file_type()
    show_summary([Line(Outcome.FAILED, text, 1, text)], [text], file)
    out = file.getvalue()
    assert not set(UNSAFE.findall(out)) - {"\n", "\ufffd"}
    assert out.splitlines()[-1] == UNSAFE.sub("\ufffd", text)


def test_a_file_gets_no_colours() -> None:
    """Output that is redirected has no escape sequences."""
    assert "\x1b" not in shown(Line(Outcome.FAILED, "why", 1, "hint"), sentences=("one",))


def test_nothing_to_show_is_no_fault() -> None:
    """A run without rows has a summary too."""
    assert "one" in shown(sentences=("one",))
