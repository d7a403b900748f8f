"""The foot of a terminal: lines go above the picture, nothing of it stays, and a broken terminal breaks nothing."""

import io
import os
import termios

import pytest

from rolecall.display.live_display import MOST_WAITING, LiveDisplay, can_draw
from rolecall.models import RateLimitPause
from rolecall.text import UNSAFE
from tests.support.terminal import seen, terminal
from tests.unit.display.test_progress_view import RUNNING


@pytest.fixture(autouse=True)
def _a_usual_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


class Shown(io.StringIO):
    """A terminal that keeps what was written."""

    def isatty(self) -> bool:
        """Say so."""
        return True

    @property
    def lines(self) -> list[str]:
        """What a person sees now."""
        return seen(self.getvalue())


def test_lines_stand_above_the_picture() -> None:
    """Whatever is logged between two pictures stands once, in order, above the one picture."""
    file = Shown()
    screen = LiveDisplay(file)
    for number in range(3):
        screen.draw(RUNNING._replace(done=420 + number))
        print(f"line {number}\nand more", file=screen, flush=True)
    screen.draw(RUNNING._replace(done=423))
    assert file.lines[:6] == ["line 0", "and more", "line 1", "and more", "line 2", "and more"]
    assert [line for line in file.lines if "rows" in line] == [file.lines[6]]
    assert "423 of 1,000 rows" in file.lines[6]
    assert len(file.lines) == 10


def test_nothing_of_the_picture_stays() -> None:
    """Erased, the terminal has the lines and nothing else, and the cursor was never hidden."""
    file = Shown()
    screen = LiveDisplay(file)
    screen.draw(RUNNING)
    print("while it stood", file=screen, flush=True)
    screen.erase()
    print("afterwards", file=screen, flush=True)
    assert [line for line in file.lines if line] == ["while it stood", "afterwards"]
    assert "\x1b[?25" not in file.getvalue()


def test_a_picture_that_changes_its_height_leaves_no_line() -> None:
    """From four lines to three to five: only the last one stands."""
    file = Shown()
    screen = LiveDisplay(file)
    for progress in (
        RUNNING,
        RUNNING._replace(remaining=None),
        RUNNING._replace(pause=RateLimitPause(9.0, refused=True)),
    ):
        screen.draw(progress)
    assert len([line for line in file.lines if "rows" in line]) == 1
    assert "Held until" in file.lines[1]


def test_a_sentence_is_told_at_once() -> None:
    """What a person must know does not wait for the next picture, and does no harm."""
    file = Shown()
    screen = LiveDisplay(file)
    screen.draw(RUNNING)
    screen.tell("Stopping \x1b[2J\u202e")
    assert file.lines[0] == "Stopping \ufffd[2J\ufffd"
    assert not set(UNSAFE.findall("".join(file.lines))) - {"\ufffd"}


def test_long_lines_are_not_wrapped() -> None:
    """A path can be copied."""
    file = Shown()
    screen = LiveDisplay(file)
    print("/very/long/path" * 30, file=screen, flush=True)
    screen.draw(RUNNING)
    assert file.lines[0] == "/very/long/path" * 30


def test_no_colours_where_none_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR the picture moves, but has no colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    file = Shown()
    LiveDisplay(file).draw(RUNNING)
    assert "\x1b[3" not in file.getvalue()
    assert "420 of 1,000 rows" in file.lines[0]


class Gone(Shown):
    """A terminal that is no more."""

    def write(self, text: str) -> int:
        """Fail as a terminal does that was hung up."""
        raise OSError(5, "Input/output error")


def test_a_terminal_that_is_gone_breaks_nothing() -> None:
    """Drawing, telling and erasing go on in silence; only a log line says that it could not be written."""
    screen = LiveDisplay(Gone())
    screen.draw(RUNNING)
    screen.draw(RUNNING)
    screen.tell("something")
    screen.erase()
    with pytest.raises(OSError, match="Input/output"):
        print("a line", file=screen, flush=True)


def test_a_closed_file_breaks_nothing() -> None:
    """The same where the file object itself is closed."""
    file = Shown()
    screen = LiveDisplay(file)
    screen.draw(RUNNING)
    file.close()
    screen.draw(RUNNING)
    screen.tell("something")
    screen.erase()


def test_a_hung_up_terminal_breaks_nothing() -> None:
    """A real terminal whose window was closed in the middle."""
    with terminal() as (ours, theirs), os.fdopen(os.dup(theirs), "w", encoding="utf-8") as file:
        screen = LiveDisplay(file)
        screen.draw(RUNNING)
        os.close(ours)
        for _ in range(3):
            screen.draw(RUNNING)
        screen.erase()
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())  # what it still holds can go


def test_a_stopped_terminal_stops_nobody() -> None:
    """After Ctrl-S neither pictures nor lines wait for the terminal; after Ctrl-Q the lines are there."""
    with terminal() as (ours, theirs), os.fdopen(os.dup(theirs), "w", encoding="utf-8") as file:
        screen = LiveDisplay(file)
        screen.draw(RUNNING)
        os.read(ours, 65536)
        termios.tcflow(theirs, termios.TCOOFF)
        for number in range(MOST_WAITING):
            print(f"line {number}", file=screen, flush=True)
            screen.draw(RUNNING)
        termios.tcflow(theirs, termios.TCOON)
        screen.erase()
        shown = b""
        while f"line {MOST_WAITING - 1}\r\n".encode() not in shown:
            shown += os.read(ours, 65536)
    assert b"line 0\r\n" in shown


@pytest.mark.parametrize(
    ("file", "term", "can"),
    [
        (Shown(), "xterm-256color", True),
        (Shown(), "dumb", False),
        (Shown(), "unknown", False),
        (Shown(), "", False),
        (io.StringIO(), "xterm", False),
    ],
)
def test_where_a_picture_can_be_drawn(file: io.StringIO, term: str, can: bool) -> None:
    """Only on a terminal that can move its cursor."""
    assert can_draw(file, {"TERM": term}) is can
