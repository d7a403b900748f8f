"""Records of one session in the run store: the outcomes of rows, and the times in which no request is sent.

An outcome is also counted against the failure threshold, and may stop the run.
"""

from rolecall.engine.clock import Clock
from rolecall.engine.context import RunContext
from rolecall.engine.events import PauseFilter
from rolecall.engine.settings import FORBIDDEN_IN_A_ROW, PERCENT_AFTER, FailureThreshold
from rolecall.engine.stop_signal import StopReason
from rolecall.engine.throttle.observer import AdmissionObserver
from rolecall.engine.throttle.route_schedule import Delay, DelayReason
from rolecall.models import DueRow, Outcome, RateLimitStatus, RowOutcome
from rolecall.store.batch_writer import BatchWriter
from rolecall.store.records import Pause, PauseEnd, PauseKind


class FailureCounter:
    """Counts `failed` and `unknown` against the threshold, in this session."""

    def __init__(self, threshold: FailureThreshold) -> None:
        self._threshold = threshold
        self._done = 0
        self._failed = 0
        self._forbidden = 0

    def count(self, outcome: Outcome) -> bool:
        """Count one row; return True when the threshold is exceeded."""
        self._done += 1
        if outcome not in (Outcome.FAILED, Outcome.UNKNOWN):
            return False
        self._failed += 1
        if self._threshold.is_percent:
            return self._done >= PERCENT_AFTER and self._failed * 100 > self._threshold.limit * self._done
        return self._failed > self._threshold.limit

    def count_forbidden(self, forbidden: bool) -> bool:
        """Count refusals of the whole method; return True when there were ten in a row."""
        self._forbidden = self._forbidden + 1 if forbidden else 0
        return self._forbidden >= FORBIDDEN_IN_A_ROW


class OutcomeRecorder:
    """One for a run, shared by everything that finishes rows."""

    def __init__(self, journal: BatchWriter, context: RunContext) -> None:
        self._journal = journal
        self._context = context
        self._failures = FailureCounter(context.settings.max_failures)

    def record(self, row: DueRow, outcome: RowOutcome) -> None:
        """Record the outcome of a row; it stops the run where too many failed."""
        if row.room_name or row.username:
            outcome = outcome._replace(room_name=row.room_name, username=row.username)
        self._journal.write_outcome(outcome)
        self._context.outcomes[outcome.outcome] += 1
        self._context.events.row_finished(row, outcome)
        if self._failures.count(outcome.outcome):
            self._context.stop.request(StopReason.MAX_FAILURES)

    def count_forbidden(self, forbidden: bool, detail: str) -> None:
        """Count refusals of the whole method; ten in a row stop the run."""
        if self._failures.count_forbidden(forbidden):
            self._context.stop.request(StopReason.CREDENTIALS, detail)


class PauseRecorder(AdmissionObserver):
    """Writes rate limit pauses, outages and the shutdown of one session, for `status` and the reports."""

    def __init__(self, journal: BatchWriter, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._filter = PauseFilter(clock)

    def delayed(self, delay: Delay, allowance: RateLimitStatus | None) -> None:
        """Record a rate limit pause, with the limit that demands it where that is known."""
        seconds = self._filter.new_pause(delay)
        if seconds is None:
            return
        now = self._clock.wall_ms()
        kind = PauseKind.REFUSED if delay.reason is DelayReason.REFUSED else PauseKind.WINDOW
        limit, window = (None, None) if allowance is None else (allowance.limit, allowance.seconds)
        self._journal.write_pause(
            Pause(kind, now, until=now + round(seconds * 1000), limit=limit, window_seconds=window)
        )

    def outage_started(self) -> None:
        """Record the start of an outage."""
        self._journal.write_pause(Pause(PauseKind.OUTAGE, self._clock.wall_ms()))

    def outage_ended(self, seconds: float) -> None:
        """Record the end of an outage."""
        self._journal.write_pause(PauseEnd(PauseKind.OUTAGE, self._clock.wall_ms()))

    def overloaded(self, allowed: int) -> None:
        """Do nothing: fewer calls are not a pause."""

    def gave_up(self) -> None:
        """Do nothing: the session records why it ended."""

    def shutting_down(self, seconds: float) -> None:
        """Record that only the responses to the calls in flight are awaited, for so many seconds at most."""
        now = self._clock.wall_ms()
        self._journal.write_pause(Pause(PauseKind.SHUTDOWN, now, until=now + round(seconds * 1000)))
