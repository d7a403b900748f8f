"""What happens in a run, for those who act on it: log events, and the counts that a display shows.

There is no event for a row that went well: the ledger is the record.
"""

from collections import Counter
from datetime import UTC, datetime
from typing import Protocol

from worker.engine.clock import Clock
from worker.engine.pacing import Cause, Wait
from worker.model import Outcome, Pending, Settled
from worker.workspace.answers import Verdict

WORTH_TELLING = 1.0
"""Seconds that a wait must last before anybody is told of it."""


class Log(Protocol):
    """The part of a structlog logger that the engine uses."""

    def bind(self, **values: object) -> "Log":
        """Give a logger that adds these values to each of its events."""

    def info(self, event: str, **values: object) -> object:
        """Tell of something that was to be expected."""

    def warning(self, event: str, **values: object) -> object:
        """Tell of something that a person may want to look at."""


class Events:
    """Tells what happens, and keeps the counts of this session."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._held_until = float("-inf")
        self.counts: Counter[tuple[Outcome, str]] = Counter()

    def held(self, wait: Wait) -> None:
        """Tell that all calls wait for the server's window, once for each hold."""
        if wait.cause not in (Cause.WINDOW, Cause.REFUSED) or wait.until <= self._held_until + WORTH_TELLING:
            return
        seconds = wait.until - self._clock.now()
        if seconds >= WORTH_TELLING:
            self._held_until = wait.until
            until = datetime.fromtimestamp(self._clock.wall() + seconds, UTC)
            self._log.info(
                "held", cause=wait.cause.value, seconds=round(seconds, 1), until=until.isoformat(timespec="seconds")
            )

    def outage(self) -> None:
        """Tell that the workspace is away: probes only, from now on."""
        self._log.warning("outage began")

    def recovered(self, seconds: float) -> None:
        """Tell that the workspace answers again."""
        self._log.info("outage ended", seconds=round(seconds, 1))

    def overloaded(self, allowed: int) -> None:
        """Tell that the workspace shows overload, and how many calls may be in flight from now on."""
        self._log.warning("overload", concurrency=allowed)

    def retrying(self, row: Pending, verdict: Verdict, seconds: float) -> None:
        """Tell that a row will be attempted again."""
        reason, status = verdict.meaning.reason, verdict.status
        log = self._about(row)
        log.info("retrying", reason=reason, status=status, seconds=round(seconds, 2))

    def reading_again(self, path: str, verdict: Verdict, seconds: float) -> None:
        """Tell that something will be read again."""
        reason, status = verdict.meaning.reason, verdict.status
        self._log.info("reading again", path=path, reason=reason, status=status, seconds=round(seconds, 2))

    def settled(self, row: Pending, settled: Settled) -> None:
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

    def _about(self, row: Pending) -> Log:
        return self._log.bind(line=row.line, room_id=row.room_id, user_id=row.user_id)
