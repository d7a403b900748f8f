"""The rates of calls: the own rate, evenly spaced and without a burst above it, and that of a hidden limiter.

A hidden limiter sends no headers, such as nginx `limit_req`: its rate is searched between the accepted and the refused
rates, and a little above again and again, so that it recovers. The bucket of such a limiter is full at each refusal, so
what it accepted between two refusals is its rate.
"""

import math
import re
from collections import deque
from typing import NamedTuple

from rolecall.models import RolecallError


class JitterTolerance(NamedTuple):
    """Tolerance for scheduling jitter from timers, commits and the network."""

    headroom: float
    """Share by which slots lie further apart than configured."""
    catch_up: float
    """Seconds of lateness that later slots make up for."""


EXACT = JitterTolerance(0.007, 0.003)
"""Catches up with less than the headroom of one second, so that no second has a call too many."""
COARSE_FROM = 50.0
"""Calls a second from which on a fiftieth more is a whole call."""
COARSE = JitterTolerance(0.002, 0.016)
"""Less of the rate is lost, and still no second has more than a fiftieth too many."""
IDLE_AFTER = 0.010
"""Seconds after which an unused slot is lost; a late timer is less late than that."""
MAX_LEAD = 0.100
"""Most seconds before its slot at which a call is prepared."""

RECENT = 5.0
"""Seconds after an accepted call within which a refusal may be a limiter's; later it is an outage's."""
MAX_CUTS = 2
"""Refusals in a row that cut the rate; one more is an outage's, unless a limiter has shown itself just before."""
TRIAL = 3
"""Calls that are accepted at one rate before a higher one is tried."""
ENOUGH = 8
"""Calls accepted between two refusals that are a measurement."""
CLOSE = 1.06
"""The search ends where the lowest refused rate is less than this multiple of the highest accepted one."""
SHORTEST_MEASURE = 0.1
"""Seconds over which an unlimited rate is measured at the first refusal, at least."""
BELOW, UNMEASURED_CUT, MAX_CUT = 0.98, 0.95, 0.9
"""Factors of a measured rate, of one that was refused too soon to be measured, and of the deepest single cut."""
STEP = 1.25
"""A found rate is searched anew up to this multiple."""
FIRST_PATIENCE, MAX_PATIENCE = 16, 256
"""Calls accepted at a found rate before it is searched anew: doubled by each refusal, the first again after success."""
UNLIMITED_FROM = 10_000.0
"""Calls a second that no run reaches: the limiter counts as gone."""


class InvalidRateError(RolecallError, ValueError):
    """The text is not a rate; the message is one line for a person."""


def parse_rate(text: str) -> float | None:
    """Parse `10/s`, `600/m`, `3600/h` or `unlimited` to calls a second; None is unlimited. Raise InvalidRateError."""
    if text.strip().lower() == "unlimited":
        return None
    found = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*/\s*(s|m|h)\s*", text, re.IGNORECASE)
    rate = float(found[1]) / {"s": 1, "m": 60, "h": 3600}[found[2].lower()] if found else 0.0
    if rate <= 0:
        raise InvalidRateError(f"{text!r} is not a rate: write 10/s, 600/m, 3600/h or unlimited")
    return rate


def tolerance_of(per_second: float | None) -> JitterTolerance:
    """Return the tolerance for a rate."""
    return EXACT if per_second is not None and per_second < COARSE_FROM else COARSE


class PreparationTime:
    """The smoothed time that the preparation of a call takes, as the retransmission timer of TCP (RFC 6298)."""

    def __init__(self) -> None:
        self._usual = self._deviation = 0.0

    @property
    def lead(self) -> float:
        """Seconds that a preparation takes, but for rare cases: the smoothed time and four of its deviations."""
        return min(self._usual + 4 * self._deviation, MAX_LEAD)

    def record(self, seconds: float) -> None:
        """Record how long one took."""
        if not self._usual:
            self._usual, self._deviation = seconds, seconds / 2
            return
        self._deviation += (abs(seconds - self._usual) - self._deviation) / 4
        self._usual += (seconds - self._usual) / 8


class PacedRateLimiter:
    """Next-slot pacing: each call has its slot, one interval after the slot before; idle time is not saved up.

    A token bucket would admit twice the limit in its first window, and so break the limit of a fixed-window server.

    A call is admitted (`reserve`) a little before its slot, so that it can be prepared, and gets the next slot once it
    is prepared (`assign_slot`, else `cancel_reservation`). So calls leave evenly however long each preparation takes.
    """

    def __init__(self, per_second: float | None) -> None:
        tolerance = tolerance_of(per_second)
        self._own_interval = 0.0 if per_second is None else (1.0 + tolerance.headroom) / per_second
        self._interval = self._own_interval
        self._catch_up = tolerance.catch_up
        self._next = float("-inf")
        self._reserved = 0
        self._preparation = PreparationTime()

    @property
    def allows_ahead(self) -> bool:
        """True while calls may leave at any moment, so that they may be prepared before one of them can."""
        return not self._interval

    @property
    def lead(self) -> float:
        """Seconds before its slot at which a call may be admitted: what its preparation takes, but for rare cases."""
        return self._preparation.lead

    def add_queue(self, queue: object) -> None:
        """Do nothing: the next slot is always known."""

    def slow_down(self, per_second: float) -> None:
        """Leave at most so many calls a second from now on, and never more than configured."""
        interval = max(self._own_interval, 1.0 / per_second)
        self._next += interval - self._interval
        self._interval = interval

    def defer(self, slot: float) -> None:
        """Record that the call that just got its slot leaves in a later one, because another limiter demands it."""
        self._next = max(self._next, slot + self._interval)

    def record_departure(self, now: float) -> None:
        """Record when a call left. A hidden limiter may refuse one that follows too soon, so lateness stays lost."""
        if self._interval > self._own_interval:
            self._next = max(self._next, now + self._interval)

    def record_preparation(self, seconds: float) -> None:
        """Record how long the preparation of a call took."""
        self._preparation.record(seconds)

    def next_slot(self, now: float) -> float:
        """Return when the next call may leave, behind those that are being prepared."""
        if not self._reserved:
            return self._next
        return self.first_slot(now) + self._reserved * self._interval

    def reserve(self, now: float) -> None:
        """Record that a call is admitted; slots that passed unused are lost."""
        if self._interval and not self._reserved and now - self._next > IDLE_AFTER:
            self._next = now
        self._reserved += 1

    def cancel_reservation(self) -> None:
        """Record that an admitted call will not leave."""
        self._reserved -= 1

    def first_slot(self, now: float) -> float:
        """Return the slot that `assign_slot` would return."""
        is_slowed = self._interval > self._own_interval
        return max(self._next, now if is_slowed else now - self._catch_up)

    def assign_slot(self, now: float) -> float:
        """Return the slot of an admitted call that is prepared: it may leave then, or now where that has passed."""
        self._reserved -= 1
        slot = self.first_slot(now)
        self._next = slot + self._interval
        return slot


class LearntLimit(NamedTuple):
    """What is known of a hidden limiter; all rates in calls a second."""

    rate: float
    """The rate that was set last."""
    since: float
    """When it was set."""
    accepted_rate: float = 0.0
    """The highest rate at which `TRIAL` calls were accepted."""
    refused_rate: float = math.inf
    """The lowest rate at which a call was refused."""
    is_found: bool = False
    """True after the search, until the rate is searched anew."""
    patience: int = FIRST_PATIENCE
    """Calls that must be accepted before it is searched anew."""


class LearntRate:
    """The rate that a hidden limiter accepts; one for all calls to a workspace: such a limiter counts them all."""

    def __init__(self, own_rate: float | None) -> None:
        """Create a rate that limits nothing yet; `own_rate`: calls a second without it, None is unlimited."""
        self.limiter = PacedRateLimiter(None)
        """The slots of the learnt rate. Each call needs one beside that of its own rate."""
        self._own_rate = math.inf if own_rate is None else own_rate
        self._limit: LearntLimit | None = None
        self._before_refusals: LearntLimit | None = None
        """The limit before the present refusals in a row."""
        self._refusals = 0
        """Refusals in a row, without those of calls that left before the last cut."""
        self._slowed_at = -math.inf
        """When a call was accepted after refusals in a row, the last time."""
        self._accepted_at: deque[float] = deque(maxlen=ENOUGH)
        self._last_sent = -math.inf
        """When the last accepted call left."""
        self._accepted = 0
        """Calls accepted at the present rate."""
        self._measured, self._measured_since = 0, 0.0
        """Calls accepted since the last refusal, and when that was."""

    def record_acceptance(self, sent_at: float, now: float) -> None:
        """Record a call that was not refused: raise the rate where enough of them were."""
        if self._refusals:
            self._slowed_at = now
        self._refusals = 0
        self._accepted_at.append(now)
        self._last_sent = max(self._last_sent, sent_at)
        self._measured += 1
        limit = self._limit
        if limit is None or sent_at < limit.since:
            return
        self._accepted += 1
        if self._accepted >= (limit.patience if limit.is_found else TRIAL):
            self._set(_search_higher(limit, now))

    def record_refusal(self, sent_at: float, now: float) -> bool:
        """Cut the rate after a refusal without headers; return False where it is an outage, and not a limiter."""
        if not self._accepted_at or now - self._accepted_at[-1] > RECENT:
            return False
        if self._limit is not None and sent_at < self._limit.since:
            return True  # it left before the last cut
        if not self._refusals:
            self._before_refusals = self._limit
        self._refusals += 1
        if self._refusals > MAX_CUTS:
            is_limiter = now - self._slowed_at <= RECENT
            if not is_limiter:
                self._set(self._before_refusals and self._before_refusals._replace(since=now))
            return is_limiter
        self._set(self._cut(sent_at, now))
        self._measured, self._measured_since = 0, now
        return True

    def _cut(self, sent_at: float, now: float) -> LearntLimit:
        limit = self._limit
        if limit is None:
            own = self._own_rate
            recent = [at for at in self._accepted_at if now - at <= RECENT]  # a break before them shows nothing
            rate = len(recent) / max(now - recent[0], SHORTEST_MEASURE)
            limit = LearntLimit(own if own < math.inf else rate, now, refused_rate=own)
        if limit.is_found:
            is_measured = self._measured >= ENOUGH
            seconds = max(now - self._measured_since, SHORTEST_MEASURE)
            rate = BELOW * self._measured / seconds if is_measured else UNMEASURED_CUT * limit.rate
            rate = min(max(rate, MAX_CUT * limit.rate), BELOW * limit.rate)
            return limit._replace(rate=rate, since=now, patience=_longer(limit.patience))
        # The bucket was full: a call that is refused so long after the last accepted one shows a lower rate. But half
        # of the present one at least: after a break the time between the two shows nothing.
        gap = sent_at - self._last_sent
        shown = max(1.0 / gap, limit.rate / 2) if gap > 0 else math.inf
        return _search_lower(limit, min(limit.refused_rate, shown), now)

    def _set(self, limit: LearntLimit | None) -> None:
        if limit is not None and limit.rate >= min(self._own_rate, UNLIMITED_FROM):
            limit = None
        self._limit, self._accepted = limit, 0
        self.limiter.slow_down(math.inf if limit is None else limit.rate)


def _search_lower(limit: LearntLimit, refused_rate: float, now: float) -> LearntLimit:
    """Return the limit after a refusal: between the two known rates, or half of the refused one."""
    accepted_rate = limit.accepted_rate if limit.accepted_rate < refused_rate else 0.0
    rate = math.sqrt(accepted_rate * refused_rate) if accepted_rate else min(limit.rate, refused_rate / 2)
    return _end_search(LearntLimit(rate, now, accepted_rate, refused_rate, patience=_longer(limit.patience)))


def _search_higher(limit: LearntLimit, now: float) -> LearntLimit:
    """Return the limit after enough accepted calls: a rate between theirs and the refused one, or a step above."""
    is_open = limit.is_found or limit.refused_rate == math.inf
    refused_rate = limit.rate * STEP if is_open else limit.refused_rate
    patience = limit.patience if limit.is_found else FIRST_PATIENCE
    limit = LearntLimit(math.sqrt(limit.rate * refused_rate), now, limit.rate, refused_rate, patience=patience)
    return limit if is_open else _end_search(limit)


def _end_search(limit: LearntLimit) -> LearntLimit:
    if limit.refused_rate >= limit.accepted_rate * CLOSE:
        return limit
    return limit._replace(rate=limit.accepted_rate * BELOW, is_found=True)


def _longer(patience: int) -> int:
    return min(2 * patience, MAX_PATIENCE)
