"""Puts together, a few times a second, what a display shows; the rows themselves pay nothing for it."""

from collections import Counter, deque
from typing import NamedTuple

from rolecall.engine.clock import Clock
from rolecall.engine.events import EngineEvents
from rolecall.engine.remaining import estimate_remaining
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopSignal
from rolecall.models import Outcome, Progress, is_due
from rolecall.store.base import Count, count_by_outcome

MEASURED_OVER = 10.0
"""Seconds over which 'now' is measured."""
MIN_MEASURED = 1.0
"""Seconds that must have been seen before a speed is told."""


class PriorProgress(NamedTuple):
    """What earlier sessions left, when this one begins."""

    total: int
    """Rows of the job."""
    done: int
    """Rows that need nothing more."""
    outcomes: Counter[Outcome]
    """What those came to."""

    @classmethod
    def of(cls, counts: list[Count], due: int, *, retry_failed: bool) -> "PriorProgress":
        """Tell it from the ledger's counts and the number of rows to be done."""
        total = sum(count.rows for count in counts)
        outcomes = count_by_outcome(count for count in counts if not is_due(count.outcome, retry_failed=retry_failed))
        return cls(total, total - due, outcomes)


class ThroughputMeter:
    """How fast a number grows, lately; time in which it could not grow does not count."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._active = 0.0
        self._last = 0.0

    def note(self, now: float, number: int, *, idle: bool = False) -> float | None:
        """Note the number, and tell its growth a second; None while too little was seen."""
        if self._seen and not idle:
            self._active += now - self._last
        self._last = now
        if len(self._seen) > 1 and self._seen[-1][0] == self._active:
            self._seen.pop()  # a long hold must not make the list long
        self._seen.append((self._active, number))
        while self._active - self._seen[0][0] > MEASURED_OVER and len(self._seen) > 2:
            self._seen.popleft()
        since, before = self._seen[0]
        return (number - before) / (self._active - since) if self._active - since >= MIN_MEASURED else None


class ProgressTracker:
    """Follows one session of a run."""

    def __init__(
        self, earlier: PriorProgress, events: EngineEvents, stop: StopSignal, settings: Settings, clock: Clock
    ) -> None:
        self._earlier = earlier
        self._events = events
        self._stop = stop
        self._rate, self._grace = settings.rate, settings.shutdown_timeout
        self._clock = clock
        self._calls, self._rows = ThroughputMeter(), ThroughputMeter()
        self._stopped_at: float | None = None

    def progress(self) -> Progress:
        """Tell how far the run is; to be asked again and again, for the speeds are measured between the questions."""
        now, view = self._clock.now(), self._events.view()
        outcomes = Counter(self._earlier.outcomes)
        for (outcome, _), rows in self._events.counts.items():
            outcomes[outcome] += rows
        done = self._earlier.done + self._events.counts.total()
        progress = Progress(self._clock.wall(), self._earlier.total, done, outcomes, rate=self._rate)
        if self._stop.reason is not None:
            self._stopped_at = now if self._stopped_at is None else self._stopped_at
            progress = progress._replace(stopping_in=max(0.0, self._stopped_at + self._grace - now))
        if view is None:
            return progress
        idle = view.hold is not None or view.outage is not None
        speed = self._rows.note(now, done, idle=idle) or self._rate
        rows_left = self._earlier.total - done
        known = view.outage is None and self._stop.reason is None
        return progress._replace(
            per_second=self._calls.note(now, view.calls),
            allowance=view.allowance,
            hold=view.hold,
            outage=view.outage,
            under_way=view.under_way,
            overloaded_to=view.overloaded_to,
            remaining=estimate_remaining(rows_left, speed=speed, allowance=view.allowance, hold=view.hold)
            if known
            else None,
        )
