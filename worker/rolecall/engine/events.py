"""Log events of a session. There is no event for a row that succeeded: the run store is the record."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from rolecall.engine.clock import Clock
from rolecall.engine.stop_signal import StopReason, StopSignal
from rolecall.engine.throttle.observer import EngineObserver
from rolecall.engine.throttle.route_schedule import Delay, DelayReason
from rolecall.models import DueRow, Outcome, RateLimitStatus, RowOutcome
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.store.records import Identity
from rolecall.text import format_room, format_user
from rolecall.version import __version__

MIN_REPORTED_DELAY = 1.0
"""Seconds from which on a delay is logged."""


class EventLogger(Protocol):
    """The part of a structlog logger that the engine uses."""

    def bind(self, **values: object) -> "EventLogger":
        """Return a logger that adds these values to each of its events."""

    def info(self, event: str, **values: object) -> object:
        """Log an expected event."""

    def warning(self, event: str, **values: object) -> object:
        """Log an event that an operator may want to look at."""


class PauseFilter:
    """Selects the delays that are rate limit pauses worth reporting, each pause once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._paused_until = float("-inf")

    def new_pause(self, delay: Delay) -> float | None:
        """Return the seconds of a new pause; None for a short delay, the own rate, or a pause that was reported."""
        by_server = delay.reason in (DelayReason.WINDOW, DelayReason.REFUSED)
        if not by_server or delay.until <= self._paused_until + MIN_REPORTED_DELAY:
            return None
        seconds = delay.until - self._clock.now()
        if seconds < MIN_REPORTED_DELAY:
            return None
        self._paused_until = delay.until
        return seconds


class EngineEvents(EngineObserver):
    """Logs what happens in a session, and stops it when the engine gives up."""

    def __init__(self, log: EventLogger, clock: Clock, stop: StopSignal) -> None:
        self._log = log
        self._clock = clock
        self._stop = stop
        self._filter = PauseFilter(clock)
        self._long_wait = ""
        self.retries = 0
        """Requests that were repeated after a failed attempt."""
        self.reasons: Counter[str] = Counter()
        """Rows that became failed or unknown, by reason."""

    def session_started(self, identity: Identity, folder: Path, account: str, rows: int, *, resumed: bool) -> None:
        """Log the start of a session with so many due rows."""
        self._log.info(
            "run resumed" if resumed else "run started",
            workspace=identity.workspace,
            operation=identity.operation,
            account=account,
            rows=rows,
            folder=str(folder),
            version=__version__,
        )

    def session_ended(
        self, seconds: float, outcomes: Mapping[Outcome, int], folder: Path, exit_code: int | None = None
    ) -> None:
        """Log the end of a session after so many seconds, with the run's rows by outcome.

        `exit_code` is that of the command; None where no command runs the rows.
        """
        values: dict[str, object] = {"seconds": round(seconds, 1), "folder": str(folder)}
        if exit_code is not None:
            values["exit_code"] = int(exit_code)  # an enumeration would be logged with its name
        values.update((outcome.value, rows) for outcome, rows in outcomes.items() if rows)
        if self._stop.reason is None:
            self._log.info("run ended", **values)
        else:
            self._log.warning("run stopped", reason=self._stop.reason.value, detail=self._stop.detail, **values)

    def shutting_down(self, seconds: float) -> None:
        """Log that nothing new is sent, and that the calls in flight have so many seconds."""
        self._log.info("stopping", shutdown_timeout=seconds)

    def delayed(self, delay: Delay, allowance: RateLimitStatus | None) -> None:
        """Log a rate limit pause, once, with the limit that demands it where that is known."""
        seconds = self._filter.new_pause(delay)
        if seconds is None:
            return
        self._log.info(
            "rate limit pause",
            cause=delay.reason.value,
            seconds=round(seconds, 1),
            until=self._clock.wall_time_in(seconds),
            **({} if allowance is None else {"limit": allowance.limit, "window": allowance.seconds}),
        )

    def outage_started(self) -> None:
        """Log that the workspace is unreachable: only probes from now on."""
        self._log.warning("outage began")

    def outage_ended(self, seconds: float) -> None:
        """Log that the workspace responds again."""
        self._log.info("outage ended", seconds=round(seconds, 1))

    def overloaded(self, allowed: int) -> None:
        """Log that the workspace shows overload, and how many calls may be in flight from now on."""
        self._log.warning("overload", concurrency=allowed)

    def record_long_wait(self, seconds: float | None) -> None:
        """Record a `Retry-After` that is longer than the session waits, and log the first; None for another response.

        Giving up during such a wait is no outage.
        """
        if seconds is None:
            self._long_wait = ""
        elif not self._long_wait:
            until = self._clock.wall_time_in(seconds)
            self._long_wait = f"Retry-After: {seconds:.0f} s, until {until}"
            self._log.warning("long retry-after", seconds=round(seconds), until=until)

    def gave_up(self) -> None:
        """Request the stop of the session; its end is logged with the reason."""
        self._stop.request(StopReason.RETRY_LATER if self._long_wait else StopReason.OUTAGE, self._long_wait)

    def names_resolved(self, found: int, not_found: int, *, done: bool) -> None:
        """Log how many names of the job were looked up, so far or in all."""
        self._log.info("names resolved" if done else "resolving names", found=found, not_found=not_found)

    def retrying(self, row: DueRow, result: CallResult, seconds: float) -> None:
        """Log that a row is attempted again."""
        self.retries += 1
        reason, status = result.rule.reason, result.status
        log = self._bind(row)
        log.info("retrying", reason=reason, status=status, seconds=round(seconds, 2))

    def retrying_read(self, path: str, result: CallResult, seconds: float) -> None:
        """Log that something is read again."""
        self.retries += 1
        reason, status = result.rule.reason, result.status
        self._log.info("retrying read", path=path, reason=reason, status=status, seconds=round(seconds, 2))

    def row_finished(self, row: DueRow, outcome: RowOutcome) -> None:
        """Log a row whose call failed; rows that were not sent are not logged."""
        if outcome.outcome not in (Outcome.FAILED, Outcome.UNKNOWN):
            return
        self.reasons[outcome.reason] += 1
        if outcome.duration_ms is not None:
            log = self._bind(row)
            log.warning(
                f"row {outcome.outcome.value}",
                reason=outcome.reason,
                status=outcome.http_status,
                message=outcome.message,
            )

    def _bind(self, row: DueRow) -> EventLogger:
        names = {"room": format_room("", row.room_name), "user": format_user("", row.username)}
        known = {kind: name for kind, name in names.items() if name}
        return self._log.bind(line=row.line, room_id=row.room_id, user_id=row.user_id, **known)
