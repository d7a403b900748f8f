"""Log setup: structlog events for people on stderr, and as JSON lines in the run's folder.

Each event is built once and rendered twice. Text from a server or a job file is sanitised, and the token is removed
from every value.
"""

import os
from collections.abc import MutableMapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

import orjson
import structlog
from structlog.typing import FilteringBoundLogger, Processor, WrappedLogger

from rolecall.display.screen_lines import ROUTINE_EVENTS, format_for_screen
from rolecall.file_access import Target, in_open_directory
from rolecall.text import sanitise

MAX_VALUE_LENGTH = 300
"""Characters of one value in a log line."""


class LogForm(StrEnum):
    """What the terminal shows of the events; the file always has all of them as JSON lines."""

    LINES = "lines"
    """A line for each event, but for those that are routine."""
    SCREEN = "screen"
    """A sentence for what the live progress does not show."""
    JSON = "json"
    """The same lines as the file."""


class Terminal(Protocol):
    """The part of a text file that log lines need."""

    def write(self, text: str, /) -> object:
        """Write text. Raises OSError."""

    def flush(self) -> object:
        """Flush what was written. Raises OSError."""


class LogSinks:
    """The two targets of each event: a terminal (or a `LiveDisplay`), and the run's log file."""

    def __init__(self, terminal: Terminal | None, path: Target | None) -> None:
        self._terminal = terminal
        self._file = _open_private(path) if path is not None else None

    def msg(self, human: str, line: bytes) -> None:
        """Write one event; an empty `human` is only for the file. A target that fails is not used again.

        A full disk must not end a run.
        """
        if self._terminal is not None and human:
            try:
                print(human, file=self._terminal, flush=True)
            except OSError:
                self._terminal = None
        if self._file is not None:
            try:
                os.write(self._file, line)
            except OSError:
                self._file = None

    info = warning = error = msg


def open_logs(
    terminal: Terminal | None, path: Target | None, *, hide: str, form: LogForm = LogForm.LINES
) -> FilteringBoundLogger:
    """Create the logger of one run. `hide` is the token; JSON lines are appended to the file `path`, mode 0600.

    `form` is that of the terminal's lines. Raises OSError.
    """
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Sanitiser(hide),
        _Renderer(form),
    ]
    logger: FilteringBoundLogger = structlog.wrap_logger(
        LogSinks(terminal, path),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        cache_logger_on_first_use=True,
    )
    return logger


class _Sanitiser:
    """Remove the token and control characters from every text, and limit its length."""

    def __init__(self, hide: str) -> None:
        self._hide = hide

    def __call__(self, logger: WrappedLogger, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for key, value in event.items():
            if value is None or isinstance(value, bool | int | float):
                continue
            text = str(value)
            event[key] = sanitise(text.replace(self._hide, "<hidden>") if self._hide else text, limit=MAX_VALUE_LENGTH)
        return event


class _Renderer:
    """Render an event for people and as a JSON line."""

    def __init__(self, form: LogForm) -> None:
        self._form = form
        self._lines = structlog.dev.ConsoleRenderer(
            colors=False, pad_event_to=14, timestamp_key="clock", sort_keys=False
        )

    def __call__(
        self, logger: WrappedLogger, name: str, event: MutableMapping[str, Any]
    ) -> tuple[tuple[str, bytes], dict[str, Any]]:
        line = orjson.dumps(event, default=str, option=orjson.OPT_APPEND_NEWLINE)
        match self._form:
            case LogForm.JSON:
                return (line.decode().removesuffix("\n"), line), {}
            case LogForm.SCREEN:
                return (format_for_screen(event), line), {}
            case LogForm.LINES:
                return (self._as_line(logger, name, event), line), {}

    def _as_line(self, logger: WrappedLogger, name: str, event: MutableMapping[str, Any]) -> str:
        if event["event"] in ROUTINE_EVENTS:
            return ""
        shown = {
            key: value for key, value in event.items() if key not in ("timestamp", "run") and value not in ("", None)
        }
        shown["clock"] = f"{datetime.fromisoformat(str(event['timestamp'])).astimezone():%H:%M:%S}"
        return str(self._lines(logger, name, shown))


def _open_private(target: Target) -> int:
    """Open a log file for appending. Raises OSError, also for a file of another user and for a pipe."""
    with in_open_directory(target) as file:
        return file.open(os.O_WRONLY | os.O_CREAT | os.O_APPEND)
