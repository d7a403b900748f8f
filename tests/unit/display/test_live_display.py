"""Live progress on a terminal: log lines go above it, it is erased at the end, and a broken terminal raises nothing."""

import io
import os
import termios

import pytest
from rich.console import ConsoleDimensions

from rolecall.cli.terminal.progress_reporter import can_draw
from rolecall.display.console import LOCALE_VARIABLES, TextConsole
from rolecall.display.progress_view import MAX_BUFFERED_LINES, LiveDisplay
from rolecall.models import RateLimitPause
from rolecall.text import UNSAFE
from tests.support.terminal import Screen, seen, terminal
from tests.unit.display.test_progress_view import RUNNING


@pytest.fixture(autouse=True)
def _xterm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


class FakeTerminal(io.StringIO):
    """A terminal that records what was written."""

    def isatty(self) -> bool:
        """Return True."""
        return True

    @property
    def lines(self) -> list[str]:
        """The lines that a person sees now."""
        return seen(self.getvalue())


def test_lines_are_printed_above_the_progress() -> None:
    """Lines that are logged between two draws appear once, in order, above the progress."""
    file = FakeTerminal()
    screen = LiveDisplay(file)
    for number in range(3):
        screen.draw(RUNNING._replace(done=420 + number))
        print(f"line {number}\nand more", file=screen, flush=True)
    screen.draw(RUNNING._replace(done=423))
    assert file.lines[:6] == ["line 0", "and more", "line 1", "and more", "line 2", "and more"]
    assert [line for line in file.lines if "rows" in line] == [file.lines[6]]
    assert "423 of 1,000 rows" in file.lines[6]
    assert len(file.lines) == 10


def test_erase_removes_all_progress() -> None:
    """After `erase` the terminal shows the lines only, and the cursor was never hidden."""
    file = FakeTerminal()
    screen = LiveDisplay(file)
    screen.draw(RUNNING)
    print("before erase", file=screen, flush=True)
    screen.erase()
    print("after erase", file=screen, flush=True)
    assert [line for line in file.lines if line] == ["before erase", "after erase"]
    assert "\x1b[?25" not in file.getvalue()


def test_progress_that_changes_its_height_leaves_no_line() -> None:
    """When the progress has four lines, then three, then four again, only the last version is visible."""
    file = FakeTerminal()
    screen = LiveDisplay(file)
    for progress in (
        RUNNING,
        RUNNING._replace(remaining=None),
        RUNNING._replace(pause=RateLimitPause(9.0, refused=True)),
    ):
        screen.draw(progress)
    assert len([line for line in file.lines if "rows" in line]) == 1
    assert "Paused until" in file.lines[1]


def test_print_line_writes_at_once() -> None:
    """A printed line does not wait for the next draw, and is sanitised."""
    file = FakeTerminal()
    screen = LiveDisplay(file)
    screen.draw(RUNNING)
    screen.print_line("Stopping \x1b[2J\u202e")
    assert file.lines[0] == "Stopping \ufffd[2J\ufffd"
    assert not set(UNSAFE.findall("".join(file.lines))) - {"\ufffd"}


def test_long_lines_are_not_wrapped() -> None:
    """A long path stays in one line, so that it can be copied."""
    file = FakeTerminal()
    screen = LiveDisplay(file)
    print("/very/long/path" * 30, file=screen, flush=True)
    screen.draw(RUNNING)
    assert file.lines[0] == "/very/long/path" * 30


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR the progress is drawn without colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    file = FakeTerminal()
    LiveDisplay(file).draw(RUNNING)
    assert "\x1b[3" not in file.getvalue()
    assert "420 of 1,000 rows" in file.lines[0]


class BrokenTerminal(FakeTerminal):
    """A terminal that was closed."""

    def write(self, text: str) -> int:
        """Fail as a terminal does after it was closed."""
        raise OSError(5, "Input/output error")


def test_a_broken_terminal_raises_nothing() -> None:
    """`draw`, `print_line` and `erase` ignore the error; only `flush` raises it."""
    screen = LiveDisplay(BrokenTerminal())
    screen.draw(RUNNING)
    screen.draw(RUNNING)
    screen.print_line("something")
    screen.erase()
    with pytest.raises(OSError, match="Input/output"):
        print("a line", file=screen, flush=True)


def test_a_closed_file_raises_nothing() -> None:
    """A closed file object is ignored like a broken terminal."""
    file = FakeTerminal()
    screen = LiveDisplay(file)
    screen.draw(RUNNING)
    file.close()
    screen.draw(RUNNING)
    screen.print_line("something")
    screen.erase()


def test_a_real_terminal_that_closes_raises_nothing() -> None:
    """`draw` and `erase` ignore that a real terminal was closed."""
    with terminal() as (ours, theirs), os.fdopen(os.dup(theirs), "w", encoding="utf-8") as file:
        screen = LiveDisplay(file)
        screen.draw(RUNNING)
        os.close(ours)
        for _ in range(3):
            screen.draw(RUNNING)
        screen.erase()
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())  # what is still buffered is discarded


def test_a_stopped_terminal_does_not_block() -> None:
    """After Ctrl-S neither `draw` nor a log line blocks; after Ctrl-Q the lines are printed."""
    with terminal() as (ours, theirs), os.fdopen(os.dup(theirs), "w", encoding="utf-8") as file:
        screen = LiveDisplay(file)
        screen.draw(RUNNING)
        os.read(ours, 65536)
        termios.tcflow(theirs, termios.TCOOFF)
        for number in range(MAX_BUFFERED_LINES):
            print(f"line {number}", file=screen, flush=True)
            screen.draw(RUNNING)
        termios.tcflow(theirs, termios.TCOON)
        screen.erase()
        shown = b""
        while f"line {MAX_BUFFERED_LINES - 1}\r\n".encode() not in shown:
            shown += os.read(ours, 65536)
    assert b"line 0\r\n" in shown


@pytest.mark.parametrize(
    ("file", "term", "can"),
    [
        (FakeTerminal(), "xterm-256color", True),
        (FakeTerminal(), "dumb", False),
        (FakeTerminal(), "unknown", False),
        (FakeTerminal(), "", False),
        (io.StringIO(), "xterm", False),
    ],
)
def test_where_progress_can_be_drawn(file: io.StringIO, term: str, can: bool) -> None:
    """Progress is drawn only on a terminal that can move its cursor."""
    assert can_draw(file, {"TERM": term}) is can


@pytest.mark.parametrize("widths", [(120, 60), (120, 37, 120), (80, 79, 41, 20), (40, 120), (100, 100)])
def test_a_resize_leaves_no_ghost(widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal that breaks its lines anew, the progress stands once after each change of the width, and goes."""
    size = [widths[0]]
    monkeypatch.setattr(TextConsole, "size", property(lambda _: ConsoleDimensions(size[0], 30)))
    file, screen = FakeTerminal(), Screen(widths[0])
    display, shown = LiveDisplay(file), 0

    def show() -> None:
        nonlocal shown
        screen.feed(file.getvalue()[shown:])
        shown = len(file.getvalue())

    display.print_line("a line before")
    for number, width in enumerate(widths):
        size[0] = width
        screen.resize(width)
        display.draw(RUNNING._replace(done=420 + number))
        show()
        assert " ".join(screen.lines).count("rows, 42 %") == 1, screen.lines
        assert sum("calls in flight" in line for line in screen.lines) <= 1
    display.erase()
    show()
    assert [line for line in screen.lines if line] == ["a line before"]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_word_is_broken(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentences above the progress are broken between words at the width of the terminal."""
    monkeypatch.setattr(TextConsole, "size", property(lambda _: ConsoleDimensions(width, 30)))
    file, sentence = FakeTerminal(), "The workspace does not answer. One probe at a time is sent until it does. " * 3
    LiveDisplay(file).print_line(sentence)
    assert file.getvalue().split() == sentence.split()
    assert max(map(len, file.lines)) <= width


@pytest.mark.parametrize(
    ("environ", "ascii_only"),
    [
        ({"LANG": "C"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
        ({"LANG": "POSIX"}, True),
        ({"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, True),
        ({"LANG": "de_DE.UTF-8"}, False),
        ({"LC_CTYPE": "de_DE.UTF-8"}, False),
        ({}, False),
    ],
)
def test_a_locale_without_utf8_gets_ascii(
    environ: dict[str, str], ascii_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With LANG=C the progress is drawn with ASCII characters, although Python writes UTF-8 there."""
    for name in LOCALE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    file = FakeTerminal()
    LiveDisplay(file).draw(RUNNING)
    assert file.getvalue().isascii() is ascii_only
