"""What happens in a run, for those who act on it: log events, and the counts that a display shows.

There is no event for a row that went well: the ledger is the record.
"""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from rolecall.engine.clock import Clock
from rolecall.engine.stop_signal import StopSignal
from rolecall.engine.throttle.admission import AdmissionController, AdmissionStatus
from rolecall.engine.throttle.route_schedule import Delay, DelayReason
from rolecall.models import DueRow, Outcome, RateLimitPause, RowOutcome
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.store.base import Identity
from rolecall.version import __version__

MIN_REPORTED_DELAY = 1.0
"""Seconds that a wait must last before anybody is told of it."""


class EventLogger(Protocol):
    """The part of a structlog logger that the engine uses."""

    def bind(self, **values: object) -> "EventLogger":
        """Give a logger that adds these values to each of its events."""

    def info(self, event: str, **values: object) -> object:
        """Tell of something that was to be expected."""

    def warning(self, event: str, **values: object) -> object:
        """Tell of something that a person may want to look at."""


class EngineEvents:
    """Tells what happens, and keeps the counts of this session."""

    def __init__(self, log: EventLogger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._held_until = float("-inf")
        self._held_by = DelayReason.WINDOW
        self._gate: AdmissionController | None = None
        self.counts: Counter[tuple[Outcome, str]] = Counter()

    def watch(self, gate: AdmissionController) -> None:
        """Take the gate of the run, so that others can be shown how things stand there."""
        self._gate = gate

    def view(self) -> AdmissionStatus | None:
        """Tell how things stand at the gate; None before the run has one."""
        if self._gate is None:
            return None
        now = self._clock.now()
        view = self._gate.view(now)
        if view.hold is None and not view.under_way and now < self._held_until:
            # Another route's window: the rows wait there before they come to this gate again.
            return view._replace(hold=RateLimitPause(self._held_until - now, self._held_by is DelayReason.REFUSED))
        return view

    def began(self, identity: Identity, folder: Path, account: str, rows: int, *, resumed: bool) -> None:
        """Tell that a session begins, with so many rows that are due."""
        self._log.info(
            "run resumed" if resumed else "run started",
            workspace=identity.workspace,
            operation=identity.operation,
            account=account,
            rows=rows,
            folder=str(folder),
            version=__version__,
        )

    def ended(self, stop: StopSignal, seconds: float) -> None:
        """Tell how a session ended after so many seconds, and what its rows came to."""
        done: Counter[str] = Counter()
        for (outcome, _), rows in self.counts.items():
            done[outcome.value] += rows
        if stop.reason is None:
            self._log.info("run ended", seconds=round(seconds, 1), **done)
        else:
            reason, detail = stop.reason.value, stop.detail
            self._log.warning("run stopped", reason=reason, detail=detail, seconds=round(seconds, 1), **done)

    def held(self, wait: Delay) -> None:
        """Tell that all calls wait for the server's window, once for each hold."""
        if (
            wait.cause not in (DelayReason.WINDOW, DelayReason.REFUSED)
            or wait.until <= self._held_until + MIN_REPORTED_DELAY
        ):
            return
        seconds = wait.until - self._clock.now()
        if seconds >= MIN_REPORTED_DELAY:
            self._held_until, self._held_by = wait.until, wait.cause
            until = datetime.fromtimestamp(self._clock.wall() + seconds, UTC)
            self._log.info(
                "held",
                cause=wait.cause.value,
                seconds=round(seconds, 1),
                until=until.isoformat(timespec="seconds"),
                **self._allowance(),
            )

    def _allowance(self) -> dict[str, object]:
        """Give the limit that holds the calls of the run's own route; nothing where that is not what holds them."""
        view = self._gate.view(self._clock.now()) if self._gate is not None else None
        if view is None or view.hold is None or view.allowance is None:
            return {}
        return {"limit": view.allowance.limit, "window": view.allowance.seconds}

    def outage(self) -> None:
        """Tell that the workspace is away: probes only, from now on."""
        self._log.warning("outage began")

    def recovered(self, seconds: float) -> None:
        """Tell that the workspace answers again."""
        self._log.info("outage ended", seconds=round(seconds, 1))

    def overloaded(self, allowed: int) -> None:
        """Tell that the workspace shows overload, and how many calls may be in flight from now on."""
        self._log.warning("overload", concurrency=allowed)

    def retrying(self, row: DueRow, verdict: CallResult, seconds: float) -> None:
        """Tell that a row will be attempted again."""
        reason, status = verdict.rule.reason, verdict.status
        log = self._about(row)
        log.info("retrying", reason=reason, status=status, seconds=round(seconds, 2))

    def reading_again(self, path: str, verdict: CallResult, seconds: float) -> None:
        """Tell that something will be read again."""
        reason, status = verdict.rule.reason, verdict.status
        self._log.info("reading again", path=path, reason=reason, status=status, seconds=round(seconds, 2))

    def settled(self, row: DueRow, settled: RowOutcome) -> None:
        """Count a row, and tell of it when its call went wrong; a row that was not asked is no news."""
        self.counts[settled.outcome, settled.reason] += 1
        asked = settled.duration_ms is not None
        if asked and settled.outcome in (Outcome.FAILED, Outcome.UNKNOWN):
            log = self._about(row)
            log.warning(
                f"row {settled.outcome.value}",
                reason=settled.reason,
                status=settled.http_status,
                message=settled.message,
            )

    def _about(self, row: DueRow) -> EventLogger:
        return self._log.bind(line=row.line, room_id=row.room_id, user_id=row.user_id)
