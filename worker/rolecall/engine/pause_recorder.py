"""Records the times in which no request is sent as rows of the run store, for `status` and the reports."""

from rolecall.engine.clock import Clock
from rolecall.engine.events import PauseFilter
from rolecall.engine.throttle.observer import AdmissionObserver
from rolecall.engine.throttle.route_limiter import Delay, DelayReason
from rolecall.models import RateLimitStatus
from rolecall.store.base import Pause, PauseEnd, PauseKind
from rolecall.store.batch_writer import BatchWriter


class PauseRecorder(AdmissionObserver):
    """Writes rate limit pauses, outages and the shutdown of one session."""

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
