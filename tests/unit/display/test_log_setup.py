"""Logs: one event in two sanitised forms, without the token; a full disk does not end a run."""

import errno
import io
import json
import os
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rolecall.display.log_setup import MAX_VALUE_LENGTH, LogForm, open_logs
from rolecall.display.screen_lines import ROUTINE_EVENTS
from rolecall.text import UNSAFE

TOKEN = "s3cr3t-T0ken_abc"


def logged(path: Path, *, hide: str = TOKEN, **values: Any) -> tuple[str, str]:
    """Log one event; return the text on the terminal and the text of the file."""
    terminal = io.StringIO()
    open_logs(terminal, path, hide=hide).warning("something", **values)
    return terminal.getvalue(), path.read_text("utf-8")


def test_an_event_has_two_forms(tmp_path: Path) -> None:
    """The terminal shows time of day, level, event and values; the file has all fields as one line of JSON."""
    human, line = logged(tmp_path / "log", rows=3, detail="words", empty="", missing=None)
    event = json.loads(line)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert event["event"] == "something"
    assert event["level"] == "warning"
    assert (event["rows"], event["detail"], event["empty"], event["missing"]) == (3, "words", "", None)
    assert event["timestamp"].endswith("Z")
    assert "something" in human
    assert f"{datetime.fromisoformat(event['timestamp']).astimezone():%H:%M:%S}" in human
    assert "rows=3" in human
    assert "detail=words" in human
    assert "empty" not in human
    assert "missing" not in human
    assert "\x1b" not in human


def test_json_for_the_terminal_too(tmp_path: Path) -> None:
    """With `LogForm.JSON` the terminal gets the same lines as the file."""
    terminal = io.StringIO()
    log = open_logs(terminal, tmp_path / "log", hide=TOKEN, form=LogForm.JSON)
    log.info("something", rows=3)
    log.warning("else", detail=f"two\nlines {TOKEN}")
    assert terminal.getvalue() == (tmp_path / "log").read_text("utf-8")
    assert [json.loads(line)["event"] for line in terminal.getvalue().splitlines()] == ["something", "else"]


def test_what_is_bound_is_in_every_line(tmp_path: Path) -> None:
    """The run's name is in each line of the file, and not on the terminal."""
    terminal = io.StringIO()
    log = open_logs(terminal, tmp_path / "log", hide=TOKEN).bind(run="2024-01-01T00-00-00Z")
    log.info("something")
    assert json.loads((tmp_path / "log").read_text())["run"] == "2024-01-01T00-00-00Z"
    assert "2024-01-01T00-00-00Z" not in terminal.getvalue()


@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_each_level_is_written(tmp_path: Path, level: str) -> None:
    """Info, warnings and errors go to both targets; debug to neither."""
    terminal = io.StringIO()
    log = open_logs(terminal, tmp_path / "log", hide=TOKEN)
    getattr(log, level)("something")
    log.debug("nothing")
    assert json.loads((tmp_path / "log").read_text())["level"] == level
    assert "nothing" not in terminal.getvalue()


class TokenInText:
    """A value whose text contains the token."""

    def __str__(self) -> str:
        return f"odd {TOKEN}"

    __repr__ = __str__


@pytest.mark.parametrize(
    "value",
    [
        TOKEN,
        f"X-Auth-Token: {TOKEN}, again {TOKEN}",
        "x" * (MAX_VALUE_LENGTH - 5) + TOKEN,
        TOKEN + "\x1b[31m",
        [TOKEN],
        {"headers": {"X-Auth-Token": TOKEN}},
        ValueError(f"bad header {TOKEN}"),
        TokenInText(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_token_is_in_neither_form(tmp_path: Path, value: object) -> None:
    """The token is removed from both forms, for every type of value."""
    human, line = logged(tmp_path / "log", detail=value)
    assert "s3cr3t" not in human
    assert "s3cr3t" not in line
    assert json.loads(line)["event"] == "something"


def test_the_token_in_an_event_is_hidden(tmp_path: Path) -> None:
    """The event name is sanitised like its values."""
    terminal = io.StringIO()
    open_logs(terminal, tmp_path / "log", hide=TOKEN).info(f"sent {TOKEN}")
    assert "sent <hidden>" in terminal.getvalue()
    assert json.loads((tmp_path / "log").read_text())["event"] == "sent <hidden>"


def test_no_token_hides_nothing(tmp_path: Path) -> None:
    """An empty token replaces nothing."""
    assert json.loads(logged(tmp_path / "log", hide="", detail="words")[1])["detail"] == "words"


HOSTILE = [
    "\x1b[2J\x1b]0;owned\x07",
    "first\nsecond level=error",
    "a\r\nb",
    "\x9b31m",
    "\u202egnp.exe",
    "\u2028\u2029",
    "\x00",
    "\x7f",
    "\ud800",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
@pytest.mark.parametrize("wrap", [str, lambda text: [text]], ids=["text", "list"])
def test_control_characters_are_replaced(tmp_path: Path, text: str, wrap: Callable[[str], object]) -> None:
    """Text from a server cannot move the cursor, forge a line or reverse text, in either form."""
    human, line = logged(tmp_path / "log", detail=wrap(text))
    json.loads(line)
    assert not set(UNSAFE.findall(human)) - {"\n", "\ufffd"}
    assert human.count("\n") == 1
    assert not set(UNSAFE.findall(line)) - {"\n", "\ufffd"}
    assert not set(UNSAFE.findall(str(json.loads(line)["detail"]))) - {"\ufffd"}


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    """A long value is cut in both forms."""
    human, line = logged(tmp_path / "log", detail="w" * 100_000)
    assert len(json.loads(line)["detail"]) == MAX_VALUE_LENGTH
    assert len(human) < MAX_VALUE_LENGTH + 200


@settings(deadline=None)
@given(values=st.dictionaries(st.sampled_from(["a", "b", "detail"]), st.text(), max_size=3), event=st.text())
def test_any_text_can_be_logged(values: dict[str, str], event: str) -> None:
    """Logging any text does not fail and prints no unsafe character; routine events are not printed."""
    terminal = io.StringIO()
    assume(event not in ROUTINE_EVENTS)
    open_logs(terminal, None, hide=TOKEN).info(event, **values)
    assert not set(UNSAFE.findall(terminal.getvalue())) - {"\n", "\ufffd"}
    assert terminal.getvalue().count("\n") == 1


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_only_the_owner_can_read_the_file(tmp_path: Path, umask: int) -> None:
    """The file has mode 0600 under any umask."""
    old = os.umask(umask)
    try:
        logged(tmp_path / "log")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


def test_a_resumed_run_appends_to_its_file(tmp_path: Path) -> None:
    """Lines are appended; those of an earlier session stay."""
    logged(tmp_path / "log", session=1)
    _, lines = logged(tmp_path / "log", session=2)
    assert [json.loads(line)["session"] for line in lines.splitlines()] == [1, 2]


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    """A symbolic link at the path of the file is not followed."""
    (tmp_path / "target").write_text("kept")
    (tmp_path / "log").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="log"):
        open_logs(None, tmp_path / "log", hide=TOKEN)
    assert (tmp_path / "target").read_text() == "kept"


def test_a_full_disk_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the file cannot be written, events still go to the terminal."""

    def fail(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    terminal = io.StringIO()
    log = open_logs(terminal, tmp_path / "log", hide=TOKEN)
    monkeypatch.setattr(os, "write", fail)
    log.info("first")
    log.info("second")
    assert "first" in terminal.getvalue()
    assert "second" in terminal.getvalue()


class BrokenTerminal(io.StringIO):
    """A terminal that cannot be written to."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    def write(self, text: str) -> int:
        """Raise the error."""
        raise self._error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), BrokenPipeError(32, "Broken pipe")])
def test_a_broken_terminal_does_not_end_the_run(tmp_path: Path, error: OSError) -> None:
    """If stderr is a full disk or a closed pipe, the run continues and its file is still written."""
    log = open_logs(BrokenTerminal(error), tmp_path / "log", hide=TOKEN)
    log.info("first")
    log.info("second")
    assert [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()] == ["first", "second"]


def test_without_a_terminal_and_a_file_nothing_happens() -> None:
    """Logging without any target raises nothing."""
    open_logs(None, None, hide=TOKEN).info("something", rows=1)


def shown(form: LogForm, event: str, **values: Any) -> str:
    """Return what the terminal shows of one event."""
    terminal = io.StringIO()
    open_logs(terminal, None, hide="", form=form).info(event, **values)
    return terminal.getvalue()


@pytest.mark.parametrize("event", sorted(ROUTINE_EVENTS))
def test_routine_events_are_only_in_the_log(tmp_path: Path, event: str) -> None:
    """Failed rows and retries go into the log file and JSON lines; a person sees their number in the progress."""
    terminal = io.StringIO()
    open_logs(terminal, tmp_path / "log", hide="").info(event, reason="why")
    assert terminal.getvalue() == "" == shown(LogForm.SCREEN, event, reason="why")
    assert json.loads((tmp_path / "log").read_text())["event"] == event
    assert json.loads(shown(LogForm.JSON, event, reason="why"))["reason"] == "why"


@pytest.mark.parametrize(
    ("event", "values", "sentence"),
    [
        ("run started", {"rows": 3, "account": "bot", "folder": "runs/a"}, "3 rows to send as bot. Run: runs/a"),
        ("run resumed", {"rows": 1, "account": "b", "folder": "a"}, "Continued: 1 row to send as b. Run: a"),
        ("outage began", {}, "The workspace does not answer. One probe at a time is sent until it does."),
        ("outage ended", {"seconds": 72.0}, "The workspace answers again, after 1 min 12 s."),
        ("long retry-after", {"until": "14:00"}, "The workspace asks to wait until 14:00 (Retry-After)."),
        ("notified", {"target": "#ops"}, "The end was posted to #ops."),
        (
            "notification failed",
            {"target": "#ops", "reason": "timeout", "detail": "late"},
            "The message to #ops was not posted (timeout): late.",
        ),
        ("notice", {"detail": "a sentence"}, "a sentence"),
        ("rate limit pause", {"cause": "window"}, None),
        ("overload", {"concurrency": 4}, None),
        ("run ended", {"seconds": 3.0}, None),
    ],
)
def test_beside_the_progress_events_are_sentences(event: str, values: dict[str, Any], sentence: str | None) -> None:
    """Beside the live progress stand sentences, and only for what it does not show."""
    line = shown(LogForm.SCREEN, event, **values)
    assert (line.split(" ", 1)[1] == f"{sentence}\n") if sentence else line == ""
