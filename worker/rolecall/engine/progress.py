"""The progress of a session, and estimates of its duration: before it starts, and of the rows that are left.

Progress is computed a few times a second for a display; the rows themselves pay nothing for it.
"""

import math
from collections import Counter, deque
from typing import NamedTuple

from rolecall.engine.context import RunContext
from rolecall.models import Outcome, Progress, RateLimitPause, RateLimitStatus, is_due
from rolecall.rocketchat.rate_limit_headers import Limits
from rolecall.store.records import Count, count_by_outcome
from rolecall.text import format_estimate

USUAL_WINDOW = 60.0
"""Seconds of Rocket.Chat's rate limit window unless an administrator has changed it."""
ROUNDING = 0.001
"""Seconds by which a reset in milliseconds may be rounded."""
MEASURED_OVER = 10.0
"""Seconds over which the present speed is measured."""
MIN_MEASURED = 1.0
"""Seconds that must have been measured before a speed is returned."""


class Estimate(NamedTuple):
    """Expected duration of a number of rows, at the lower of both rates."""

    seconds: float
    per_minute: float
    by_server: bool
    """True where the workspace's limit is the lower one."""
    is_upper_bound: bool = False
    """True while no header has shown the limit of these rows: it may be higher, or not enforced."""

    def __str__(self) -> str:
        whose = "the server's" if self.by_server else "your own"
        about = "at most about" if self.is_upper_bound else "about"
        return f"{about} {format_estimate(self.seconds)} at {whose} {self.per_minute:,.0f} a minute"


def estimate_duration(
    rows: int, rate: float | None, limits: Limits | None, server_date: float | None
) -> Estimate | None:
    """Return the estimate from the own rate and the rate limit headers of the preflight; None without any limit.

    The first window is free, so rows that fit into it take the own rate alone. The headers are those of another route,
    and an account may be exempt from them: what they limit is an upper bound.
    """
    own = Estimate(rows / rate, rate * 60, by_server=False) if rate is not None else None
    if limits is None:
        return own
    length = _window_length(limits, server_date)
    windows = max(0, math.ceil(rows / limits.limit) - 1)
    in_last = rows - windows * limits.limit
    seconds = windows * length + (in_last / rate if rate is not None else 0.0)
    if own is not None and own.seconds >= seconds:
        return own
    if not windows:
        return None  # nothing delays the rows
    return Estimate(seconds, limits.limit / length * 60, by_server=True, is_upper_bound=True)


def _window_length(limits: Limits, server_date: float | None) -> float:
    """Return the seconds of a window: exact from the response that opened it, else the usual ones, or more if seen."""
    if server_date is None:
        return USUAL_WINDOW
    shown = max(1.0, math.floor(limits.reset_at - server_date + ROUNDING))  # `Date` is cut down to the second
    return shown if limits.remaining == limits.limit - 1 else max(shown, USUAL_WINDOW)


def estimate_remaining(
    rows: int, *, speed: float | None, allowance: RateLimitStatus | None, pause: RateLimitPause | None
) -> float | None:
    """Return the seconds until the last of `rows` is finished; None where that cannot be estimated.

    `speed`: rows a second without a rate limit pause; None is unlimited. Where the server's window is the lower
    limit, the number of windows decides: the rest of this one, then full ones, each sent at once.
    """
    if rows <= 0:
        return 0.0
    wait = pause.seconds if pause is not None else 0.0
    sending = rows / speed if speed else 0.0
    if allowance is None:
        return wait + sending if speed else None
    left = 0 if pause is not None else allowance.left
    if rows <= left:
        return sending
    length = allowance.seconds or max(USUAL_WINDOW, allowance.ends_in)
    windows = math.ceil((rows - left) / allowance.limit)
    in_last = rows - left - (windows - 1) * allowance.limit
    last_opens = max(wait, allowance.ends_in) + (windows - 1) * length
    return max(wait + sending, last_opens + (in_last / speed if speed else 0.0))


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
            reasons=dict(context.events.reasons),
            retries=context.events.retries,
        )

    def _stopping_in(self, now: float) -> float | None:
        """Return the seconds until calls in flight are cancelled; None while no stop is requested."""
        if self._context.stop.reason is None:
            return None
        self._stopped_at = now if self._stopped_at is None else self._stopped_at
        return max(0.0, self._stopped_at + self._context.settings.shutdown_timeout - now)
