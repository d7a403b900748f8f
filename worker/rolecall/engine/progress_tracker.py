"""The progress of a session, computed a few times a second for a display; the rows themselves pay nothing for it."""

from collections import Counter, deque
from typing import NamedTuple

from rolecall.engine.context import RunContext
from rolecall.engine.eta import estimate_remaining
from rolecall.models import Outcome, Progress, is_due
from rolecall.store.base import Count, count_by_outcome

MEASURED_OVER = 10.0
"""Seconds over which the present speed is measured."""
MIN_MEASURED = 1.0
"""Seconds that must have been measured before a speed is returned."""


class PriorProgress(NamedTuple):
    """What earlier sessions of the run have done."""

    total: int
    """Rows of the job."""
    done: int
    """Rows that need nothing more."""
    outcomes: Counter[Outcome]
    """Their outcomes."""

    @classmethod
    def of(cls, counts: list[Count], due: int, *, retry_failed: bool) -> "PriorProgress":
        """Return it from the counts of the run store and the number of due rows."""
        total = sum(count.rows for count in counts)
        outcomes = count_by_outcome(count for count in counts if not is_due(count.outcome, retry_failed=retry_failed))
        return cls(total, total - due, outcomes)


class ThroughputMeter:
    """Measures how fast a number grows, lately; time in which it could not grow does not count."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._active = 0.0
        self._last = 0.0

    def record(self, now: float, number: int, *, idle: bool = False) -> float | None:
        """Record the number, and return its growth a second; None while too little was measured."""
        if self._samples and not idle:
            self._active += now - self._last
        self._last = now
        if len(self._samples) > 1 and self._samples[-1][0] == self._active:
            self._samples.pop()  # a long pause must not make the list long
        self._samples.append((self._active, number))
        while self._active - self._samples[0][0] > MEASURED_OVER and len(self._samples) > 2:
            self._samples.popleft()
        since, before = self._samples[0]
        return (number - before) / (self._active - since) if self._active - since >= MIN_MEASURED else None


class ProgressTracker:
    """Follows one session of a run, whose calls go to the route `path`."""

    def __init__(self, prior: PriorProgress, context: RunContext, path: str) -> None:
        self._prior = prior
        self._context = context
        self._path = path
        self._calls, self._rows = ThroughputMeter(), ThroughputMeter()
        self._stopped_at: float | None = None

    def progress(self) -> Progress:
        """Return the progress of the run; to be called repeatedly, because speeds are measured between the calls."""
        context, prior = self._context, self._prior
        now, status = context.clock.now(), context.admission.status(self._path)
        done = prior.done + context.outcomes.total()
        idle = status.pause is not None or status.outage is not None
        speed = self._rows.record(now, done, idle=idle) or context.settings.rate
        known = status.outage is None and context.stop.reason is None
        return Progress(
            at=context.clock.wall(),
            total=prior.total,
            done=done,
            outcomes=prior.outcomes + context.outcomes,
            per_second=self._calls.record(now, status.calls),
            rate=context.settings.rate,
            allowance=status.allowance,
            pause=status.pause,
            outage=status.outage,
            in_flight=status.in_flight,
            overloaded_to=status.overloaded_to,
            stopping_in=self._stopping_in(now),
            remaining=estimate_remaining(
                prior.total - done, speed=speed, allowance=status.allowance, pause=status.pause
            )
            if known
            else None,
        )

    def _stopping_in(self, now: float) -> float | None:
        """Return the seconds until calls in flight are cancelled; None while no stop is requested."""
        if self._context.stop.reason is None:
            return None
        self._stopped_at = now if self._stopped_at is None else self._stopped_at
        return max(0.0, self._stopped_at + self._context.settings.shutdown_timeout - now)
