"""The state of a run, read from its directory without a lock: the store and whether it is locked."""

import asyncio
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from rolecall.app.run_directory import require_run
from rolecall.engine.progress import estimate_remaining
from rolecall.engine.stop_signal import StopReason
from rolecall.models import OutageStatus, Outcome, Progress, RateLimitPause, RateLimitStatus, is_due
from rolecall.store.records import KILLED_IN_FLIGHT, Count, Identity, Pause, PauseKind, Session, count_by_outcome
from rolecall.store.run_lock import is_locked
from rolecall.store.sqlite.store import open_snapshot

RECENT_SECONDS = 60.0
"""Seconds over which the present speed is measured."""


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
        # After the store is open: a run that ends in between is reported as it was.
        locked = await asyncio.to_thread(is_locked, folder)
        identity, sessions, counts = await store.identity(), await store.sessions(), await store.counts()
        seen = min(RECENT_SECONDS, at - sessions[-1].started_at / 1000) if locked and sessions else 0.0
        lately = await store.count_settled(int((at - seen) * 1000)) if locked else 0
        pauses = await store.open_pauses(int(at * 1000)) if locked else []
    if identity is None:
        return None
    state = _state(sessions, locked=locked)
    if state is not State.RUNNING:
        return RunStatus(folder, identity, state, sessions, progress_at_rest(counts, at))
    live = live_state(pauses, at)
    return RunStatus(folder, identity, state, sessions, progress_under_way(counts, live, lately, seen, at))


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


def progress_under_way(counts: Iterable[Count], live: LiveState, lately: int, seen: float, at: float) -> Progress:
    """Return the progress of a running run; `lately` rows were finished in the last `seen` seconds.

    A row whose call is in flight has no outcome yet, so it is neither unknown nor done.
    """
    counts = list(counts)
    in_flight = sum(count.rows for count in counts if count.reason == KILLED_IN_FLIGHT)
    outcomes = count_by_outcome(count for count in counts if count.reason != KILLED_IN_FLIGHT)
    waiting = outcomes.pop(Outcome.NOT_ATTEMPTED, 0)
    done = outcomes.total()
    left = waiting + in_flight
    speed = lately / seen if seen >= 1 and lately else None
    paused = live.pause is not None and live.allowance is not None
    known = live.outage is None and live.stopping_in is None
    time_left = (
        estimate_remaining(left, speed=None, allowance=live.allowance, pause=live.pause)
        if paused
        else estimate_remaining(left, speed=speed, allowance=None, pause=live.pause)
    )
    return Progress(
        at,
        done + left,
        done,
        outcomes,
        per_second=speed,
        allowance=live.allowance if paused else None,
        pause=live.pause,
        outage=live.outage,
        in_flight=in_flight,
        stopping_in=live.stopping_in,
        remaining=time_left if known else None,
    )


def live_state(pauses: Iterable[Pause], at: float) -> LiveState:
    """Return the state at the moment `at` (epoch seconds) from the pauses that last."""
    state = LiveState()
    for pause in pauses:
        started, left = pause.started_at / 1000, (pause.until or 0) / 1000 - at
        match pause.kind:
            case PauseKind.WINDOW | PauseKind.REFUSED:
                limit = RateLimitStatus(pause.limit, pause.window_seconds, 0, left) if pause.limit else None
                waiting = RateLimitPause(left, refused=pause.kind is PauseKind.REFUSED)
                state = state._replace(pause=waiting, allowance=limit)
            case PauseKind.OUTAGE:
                state = state._replace(outage=OutageStatus(max(0.0, at - started)))
            case PauseKind.SHUTDOWN:
                state = state._replace(stopping_in=max(0.0, left))
    return state
