"""The two forms in which `rolecall status` tells how a run stands."""

from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from rolecall.app.run_status import RunStatus, State
from rolecall.display.console import TextConsole
from rolecall.display.progress_view import format_clock_time, render_bar, render_outcomes, render_progress
from rolecall.engine.stop_signal import STOP_HINTS, StopReason
from rolecall.files.json_codec import format_json
from rolecall.models import Json, Outcome
from rolecall.store.base import Session
from rolecall.text import format_countdown, rfc3339, sanitise

MOST_SESSIONS = 10
"""Sessions that are shown; the JSON form has them all."""


def show(standing: RunStatus, file: TextIO) -> None:
    """Print how a run stands, for people."""
    console = TextConsole(file)
    with suppress(BrokenPipeError):
        for part in _parts(standing, console.width):
            console.print(part, soft_wrap=isinstance(part, Text) and part.no_wrap is True)
        file.flush()


def _parts(standing: RunStatus, width: int) -> Iterator[RenderableType]:
    progress, sessions = standing.progress, standing.sessions
    identity = standing.identity
    account = f" as {sessions[-1].account}" if sessions else ""
    yield Text(sanitise(f"{identity.operation} at {identity.workspace}{account}"), "bold", no_wrap=True)
    if standing.state is State.RUNNING:
        age = format_countdown(progress.at - sessions[-1].started_at / 1000)
        yield Text(f"Running for {age}", "green")
        yield render_progress(progress, width)
    else:
        yield Text(_at_rest(standing), "green" if standing.state is State.FINISHED else "yellow")
        yield render_bar(progress, width)
        yield render_outcomes(progress.outcomes)
    if sessions:
        yield Text()
        yield _sessions(standing)
    yield Text()
    yield Text(sanitise(f"Folder: {standing.folder}"), no_wrap=True)


def _at_rest(standing: RunStatus) -> str:
    if standing.state is State.NOT_BEGUN:
        return "Not begun: no row has been sent"
    if standing.state is State.FINISHED:
        left = standing.progress.total - standing.progress.done
        return "Finished" if not left else "Finished; the same command asks the unknown rows again"
    hint = STOP_HINTS.get(StopReason(standing.stop)) if standing.stop in list(StopReason) else None
    return f"{standing.state.value.capitalize()}: {hint or sanitise(standing.stop)}"


def _sessions(standing: RunStatus) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("session", "from", "to", "account", "end"):
        table.add_column(name, justify="right" if name == "session" else "left", overflow="fold")
    first = max(0, len(standing.sessions) - MOST_SESSIONS)
    now = standing.progress.at
    for number, session in list(enumerate(standing.sessions, start=1))[first:]:
        began = format_clock_time(session.started_at / 1000, now, seconds=True)
        ended = "" if session.ended_at is None else format_clock_time(session.ended_at / 1000, now, seconds=True)
        table.add_row(
            str(number), began, ended, Text(sanitise(session.account)), Text(sanitise(_end(standing, session)))
        )
    return table


def _end(standing: RunStatus, session: Session) -> str:
    """Say how a session ended: `reached the last row`, why it stopped, or that it goes on."""
    if session.ended_at is not None:
        return session.stop or "reached the last row"
    going_on = session is standing.sessions[-1] and standing.state is State.RUNNING
    return "goes on" if going_on else StopReason.KILLED.value


def as_text(standing: RunStatus) -> str:
    """Tell how a run stands as indented JSON, the keys those of summary.json where they mean the same."""
    return format_json(_as_json(standing), indent=True)


def _as_json(standing: RunStatus) -> Json:
    progress, identity = standing.progress, standing.identity
    pause, outage = progress.pause, progress.outage
    return {
        "folder": str(standing.folder),
        "workspace": identity.workspace,
        "operation": identity.operation,
        "state": standing.state.value,
        "stop": standing.stop,
        "rows": progress.total,
        "done": progress.done,
        "underWay": progress.in_flight,
        "outcomes": {outcome.value: progress.outcomes.get(outcome, 0) for outcome in Outcome},
        "perSecond": None if progress.per_second is None else round(progress.per_second, 2),
        "remainingSeconds": None if progress.remaining is None else round(progress.remaining),
        "heldUntil": None if pause is None else rfc3339(round((progress.at + pause.seconds) * 1000)),
        "awaySince": None if outage is None else rfc3339(round((progress.at - outage.seconds) * 1000)),
        "stopping": progress.stopping_in is not None,
        "sessions": [
            {
                "startedAt": rfc3339(session.started_at),
                "endedAt": rfc3339(session.ended_at),
                "account": session.account,
                "stop": session.stop if session.ended_at is not None else _unended(standing, session),
            }
            for session in standing.sessions
        ],
    }


def _unended(standing: RunStatus, session: Session) -> str:
    return "" if _end(standing, session) == "goes on" else StopReason.KILLED.value
