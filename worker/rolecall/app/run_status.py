"""The state of a run, read from its directory without a lock: the store, the lock and the end of its log."""

import asyncio
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from rolecall.app.run_directory import LOG_FILE, require_run
from rolecall.engine.eta import estimate_remaining
from rolecall.engine.stop_signal import StopReason
from rolecall.files.run_log import read_last_events
from rolecall.models import Json, OutageStatus, Outcome, Progress, RateLimitPause, RateLimitStatus, is_due
from rolecall.store.base import Count, Identity, Session, count_by_outcome
from rolecall.store.run_lock import is_locked
from rolecall.store.sqlite.store import open_snapshot

RECENT_SECONDS = 60.0
"""Seconds over which the present speed is measured."""
NOT_RECORDED = "killed_in_flight"
"""Reason of a row whose call is in flight, or whose outcome is not recorded."""


class State(StrEnum):
    """Whether a run is running, and how it ended."""

    RUNNING = "running"
    """A process works on it."""
    FINISHED = "finished"
    """Its last session reached the last row."""
    STOPPED = "stopped"
    """Its last session ended before, with a reason."""
    KILLED = "killed"
    """Its last session did not record its end."""
    NOT_BEGUN = "not_begun"
    """No session has started yet."""


class LiveState(NamedTuple):
    """What the log shows of the present moment."""

    pause: RateLimitPause | None = None
    allowance: RateLimitStatus | None = None
    outage: OutageStatus | None = None
    stopping_in: float | None = None


class RunStatus(NamedTuple):
    """The state of a run at one moment."""

    folder: Path
    identity: Identity
    state: State
    sessions: list[Session]
    progress: Progress

    @property
    def stop(self) -> str:
        """Why the last session ended before its last row, as in the report; empty if it did not."""
        if self.state is State.KILLED:
            return StopReason.KILLED.value
        return self.sessions[-1].stop if self.sessions and self.state is State.STOPPED else ""


async def read_status(folder: Path, at: float) -> RunStatus | None:
    """Return the state of the run in a directory at the moment `at` (epoch seconds); None before its job is imported.

    Raises InvalidStoreError, StoreError and OSError.
    """
    await asyncio.to_thread(require_run, folder)
    async with open_snapshot(folder) as store:
        locked = is_locked(folder)  # after the store is open: a run that ends in between is reported as it was
        identity, sessions, counts = await store.identity(), await store.sessions(), await store.counts()
        seen = min(RECENT_SECONDS, at - sessions[-1].started_at / 1000) if locked and sessions else 0.0
        lately = await store.count_settled(int((at - seen) * 1000)) if locked else 0
    if identity is None:
        return None
    state = _state(sessions, locked=locked)
    if state is not State.RUNNING:
        return RunStatus(folder, identity, state, sessions, progress_at_rest(counts, at))
    news = replay_log_tail(read_last_events(folder / LOG_FILE), at)
    return RunStatus(folder, identity, state, sessions, progress_under_way(counts, news, lately, seen, at))


def _state(sessions: list[Session], *, locked: bool) -> State:
    if not sessions:
        return State.NOT_BEGUN
    last = sessions[-1]
    if last.ended_at is not None:
        return State.STOPPED if last.stop else State.FINISHED
    return State.RUNNING if locked else State.KILLED


def progress_at_rest(counts: Iterable[Count], at: float) -> Progress:
    """Return the progress of a run that is not running."""
    outcomes = count_by_outcome(counts)
    done = sum(rows for outcome, rows in outcomes.items() if not is_due(outcome, retry_failed=False))
    return Progress(at, outcomes.total(), done, outcomes)


def progress_under_way(counts: Iterable[Count], news: LiveState, lately: int, seen: float, at: float) -> Progress:
    """Return the progress of a running run; `lately` rows were finished in the last `seen` seconds.

    A row whose call is in flight has no outcome yet, so it is neither unknown nor done.
    """
    counts = list(counts)
    under_way = sum(count.rows for count in counts if count.reason == NOT_RECORDED)
    outcomes = count_by_outcome(count for count in counts if count.reason != NOT_RECORDED)
    waiting = outcomes.pop(Outcome.NOT_ATTEMPTED, 0)
    done = outcomes.total()
    left = waiting + under_way
    speed = lately / seen if seen >= 1 and lately else None
    paused = news.pause is not None and news.allowance is not None
    known = news.outage is None and news.stopping_in is None
    time_left = (
        estimate_remaining(left, speed=None, allowance=news.allowance, pause=news.pause)
        if paused
        else estimate_remaining(left, speed=speed, allowance=None, pause=news.pause)
    )
    return Progress(
        at,
        done + left,
        done,
        outcomes,
        per_second=speed,
        allowance=news.allowance if paused else None,
        pause=news.pause,
        outage=news.outage,
        in_flight=under_way,
        stopping_in=news.stopping_in,
        remaining=time_left if known else None,
    )


def replay_log_tail(events: Iterable[Mapping[str, Json]], at: float) -> LiveState:
    """Return the state at the moment `at` from a log's last events, for the session that they end with."""
    news = LiveState()
    for event in events:
        match event.get("event"):
            case "run started" | "run resumed" | "run ended" | "run stopped":
                news = LiveState()
            case "rate limit pause":
                news = _pause(event, at)
            case "outage began":
                news = news._replace(outage=OutageStatus(max(0.0, at - _moment(event.get("timestamp"), at))))
            case "outage ended":
                news = news._replace(outage=None)
            case "stopping":
                end = _moment(event.get("timestamp"), at) + _number(event.get("grace"))
                news = news._replace(stopping_in=max(0.0, end - at))
    return news


def _pause(event: Mapping[str, Json], at: float) -> LiveState:
    """Parse a rate limit pause; one that is over is ignored."""
    seconds = _moment(event.get("until"), at) - at
    if seconds <= 0:
        return LiveState()
    pause = RateLimitPause(seconds, refused=event.get("cause") == "refused")
    limit = int(_number(event.get("limit")))
    window = _number(event.get("window")) or None
    return LiveState(pause, RateLimitStatus(limit, window, 0, seconds) if limit > 0 else None)


def _moment(value: Json, otherwise: float) -> float:
    """Parse a time as epoch seconds; return `otherwise` if it is not one."""
    try:
        return datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return otherwise


def _number(value: Json) -> float:
    return value if isinstance(value, int | float) and math.isfinite(value) else 0.0
