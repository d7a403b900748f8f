"""The state of a run, as text and as JSON."""

from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from rolecall.app.reports import session_json
from rolecall.app.run_status import RunStatus, State
from rolecall.cli.views.run_view import progress_json
from rolecall.display.console import TextConsole
from rolecall.display.progress_view import format_clock_time, render_bar, render_outcomes, render_progress
from rolecall.engine.stop_signal import STOP_HINTS, StopReason
from rolecall.models import Json
from rolecall.store.records import Session
from rolecall.text import format_countdown, rfc3339, sanitise

MAX_SESSIONS = 10
"""Sessions that are shown; the JSON document has them all."""


def show(status: RunStatus, file: TextIO) -> None:
    """Print the state of a run, for people."""
    console = TextConsole(file)
    with suppress(BrokenPipeError):
        for part in _parts(status, console.width):
            console.print(part, soft_wrap=isinstance(part, Text) and part.no_wrap is True)
        file.flush()


def _parts(status: RunStatus, width: int) -> Iterator[RenderableType]:
    progress, sessions = status.progress, status.sessions
    identity = status.identity
    account = f" as {sessions[-1].account}" if sessions else ""
    yield Text(sanitise(f"{identity.operation} at {identity.workspace}{account}"), "bold", no_wrap=True)
    if status.state is State.RUNNING:
        age = format_countdown(progress.at - sessions[-1].started_at / 1000)
        yield Text(f"Running for {age}", "green")
        yield render_progress(progress, width)
    else:
        yield Text(_ended(status), "green" if status.state is State.FINISHED else "yellow")
        yield render_bar(progress, width)
        yield render_outcomes(progress.outcomes)
    if sessions:
        yield Text()
        yield _sessions(status)
    yield Text()
    yield Text(sanitise(f"Folder: {status.folder}"), no_wrap=True)


def _ended(status: RunStatus) -> str:
    if status.state is State.NOT_BEGUN:
        return "Not begun: no row has been sent"
    if status.state is State.FINISHED:
        left = status.progress.total - status.progress.done
        return "Finished" if not left else "Finished; the same command sends the unknown rows again"
    hint = STOP_HINTS.get(StopReason(status.stop)) if status.stop in list(StopReason) else None
    return f"{status.state.value.capitalize()}: {hint or sanitise(status.stop)}"


def _sessions(status: RunStatus) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("session", "from", "to", "account", "end"):
        table.add_column(name, justify="right" if name == "session" else "left", overflow="fold")
    first = max(0, len(status.sessions) - MAX_SESSIONS)
    now = status.progress.at
    for number, session in list(enumerate(status.sessions, start=1))[first:]:
        began = format_clock_time(session.started_at / 1000, now, seconds=True)
        ended = "" if session.ended_at is None else format_clock_time(session.ended_at / 1000, now, seconds=True)
        table.add_row(str(number), began, ended, Text(sanitise(session.account)), Text(sanitise(_end(status, session))))
    return table


def _end(status: RunStatus, session: Session) -> str:
    """Return how a session ended: `reached the last row`, why it stopped, or that it is running."""
    if session.ended_at is not None:
        return session.stop or "reached the last row"
    is_running = session is status.sessions[-1] and status.state is State.RUNNING
    return "running" if is_running else session.stop_reason


def status_json(status: RunStatus) -> Json:
    """Return the state of a run as JSON; keys with the meaning of those in summary.json have the same names."""
    progress, identity = status.progress, status.identity
    pause, outage = progress.pause, progress.outage
    return {
        "folder": str(status.folder),
        "workspace": identity.workspace,
        "operation": identity.operation,
        "state": status.state.value,
        "stop": status.stop,
        **progress_json(progress),
        "pausedUntil": None if pause is None else rfc3339(round((progress.at + pause.seconds) * 1000)),
        "outageSince": None if outage is None else rfc3339(round((progress.at - outage.seconds) * 1000)),
        "stopping": progress.stopping_in is not None,
        "sessions": [
            {**session_json(session), **({"stop": ""} if _end(status, session) == "running" else {})}
            for session in status.sessions
        ],
    }
