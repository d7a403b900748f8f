"""The own rate of calls as slots: what a route needs of it, and slots that are leased from a shared schedule.

A rate that several processes share cannot be paced by one of them: each leases slots, a few at a time, for the calls
that wait. A leased slot is a moment; a slot that passes unused is lost.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from rolecall.engine.throttle.rate_limiter import IDLE_AFTER, PreparationTime, tolerance_of

MAX_LEASED = 0.25
"""Seconds of the rate that one lease covers, at most: what a process that dies wastes."""


class SlotQueue(Protocol):
    """Calls of one route that wait for slots."""

    @property
    def queued(self) -> int:
        """Calls that wait."""

    def look_anew(self) -> None:
        """Let the first of them look whether it may leave now."""


class RateSlots(Protocol):
    """The slots of the own rate, of which each call needs one. See PacedRateLimiter, which paces one process."""

    @property
    def allows_ahead(self) -> bool:
        """True while calls may leave at any moment, so that they may be prepared before one of them can."""

    @property
    def lead(self) -> float:
        """Seconds before its slot at which a call may be admitted, to be prepared meanwhile."""

    def add_queue(self, queue: SlotQueue) -> None:
        """Serve the calls of one more route."""

    def record_preparation(self, seconds: float) -> None:
        """Record how long the preparation of a call took."""

    def next_slot(self, now: float) -> float:
        """Return when the next call may leave, behind those that are being prepared.

        It is infinite where that is not known yet; the queues then look anew once it is.
        """

    def reserve(self, now: float) -> None:
        """Record that a call is admitted."""

    def cancel_reservation(self) -> None:
        """Record that an admitted call will not leave."""

    def first_slot(self, now: float) -> float:
        """Return the slot that `assign_slot` would return."""

    def assign_slot(self, now: float) -> float:
        """Return the slot of an admitted call that is prepared: it may leave then, or now where that has passed."""

    def defer(self, slot: float) -> None:
        """Record that the call that just got its slot leaves in a later one, because another limiter demands it."""

    def record_departure(self, now: float) -> None:
        """Record when a call left."""


class LeasedSlots:
    """Slots of a rate that several processes share; `lease` is called where more are wanted, see `wanted`.

    Decides only: what calls `add` has made the lease. All moments are of the run's monotonic clock.
    """

    def __init__(self, lease: Callable[[], None]) -> None:
        self._lease = lease
        self._queues: list[SlotQueue] = []
        self._slots: deque[float] = deque()
        self._reserved = 0
        self._preparation = PreparationTime()
        self._interval = 0.0
        self._catch_up = 0.0

    @property
    def allows_ahead(self) -> bool:
        """False: the commit of an intent also shows that another process has stopped the run, or taken it over."""
        return False

    @property
    def interval(self) -> float:
        """Seconds from slot to slot over all processes; 0 where the rate is unlimited."""
        return self._interval

    def set_rate(self, per_second: float | None) -> None:
        """Set the rate of all processes together; None is unlimited. Slots of another rate are lost."""
        tolerance = tolerance_of(per_second)
        interval = 0.0 if per_second is None else (1.0 + tolerance.headroom) / per_second
        if interval != self._interval:
            self._slots = deque(list(self._slots)[: self._reserved])
        self._interval, self._catch_up = interval, tolerance.catch_up

    @property
    def lead(self) -> float:
        """Seconds before its slot at which a call may be admitted."""
        return self._preparation.lead

    @property
    def wanted(self) -> int:
        """Slots to lease now: one for each call that waits, those of MAX_LEASED at most; 0 where none waits."""
        if not self._interval:
            return 0
        waiting = sum(queue.queued for queue in self._queues) + self._reserved - len(self._slots)
        return max(0, min(waiting, max(1, int(MAX_LEASED / self._interval))))

    def add_queue(self, queue: SlotQueue) -> None:
        """Serve the calls of one more route."""
        self._queues.append(queue)

    def add(self, slots: Sequence[float]) -> None:
        """Add slots that were leased, in their order; calls that wait look anew."""
        self._slots.extend(slots)
        for queue in self._queues:
            queue.look_anew()

    def record_preparation(self, seconds: float) -> None:
        """Record how long the preparation of a call took."""
        self._preparation.record(seconds)

    def next_slot(self, now: float) -> float:
        """Return the first slot behind those of the calls that are being prepared; infinite where none is leased."""
        if not self._interval:
            return -math.inf
        while len(self._slots) > self._reserved and self._slots[self._reserved] < now - IDLE_AFTER:
            del self._slots[self._reserved]
        if len(self._slots) > self._reserved:
            return self._slots[self._reserved]
        self._lease()
        return math.inf

    def reserve(self, now: float) -> None:
        """Record that a call is admitted; the next slots are leased while it is prepared."""
        self._reserved += 1
        if self._interval and len(self._slots) <= self._reserved:
            self._lease()

    def cancel_reservation(self) -> None:
        """Record that an admitted call will not leave; its slot is the next call's."""
        self._reserved -= 1

    def first_slot(self, now: float) -> float:
        """Return the first slot that has not passed; infinite where none is leased. Slots that passed are lost."""
        if not self._interval:
            return now
        while self._slots and self._slots[0] < now - self._catch_up:
            self._slots.popleft()
        return self._slots[0] if self._slots else math.inf

    def assign_slot(self, now: float) -> float:
        """Return the slot of an admitted call that is prepared; infinite where it has passed and none is leased.

        A slot that passed is lost: a call that made up for it could leave beside those of other processes.
        """
        self._reserved -= 1
        slot = self.first_slot(now)
        if self._slots and self._interval:
            self._slots.popleft()
        return slot

    def defer(self, slot: float) -> None:
        """Do nothing: its slot is lost."""

    def record_departure(self, now: float) -> None:
        """Do nothing: its slot was its own."""
