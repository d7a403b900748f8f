"""When the next call of one route may leave: the own rate, the server's window and the pauses that it demands."""

import math
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from rolecall.engine.throttle.rate_limiter import LearntRate
from rolecall.engine.throttle.rate_slots import RateSlots
from rolecall.engine.throttle.server_window import NOW, FixedWindowTracker
from rolecall.engine.throttle.window_signs import Exemption
from rolecall.models import NoReply, Reply
from rolecall.rocketchat.rate_limit_headers import retry_after, retry_delay, stated_wait

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds of a pause after a 'too many requests' that names no time: doubled each time in a row."""
SHORTEST_PAUSE, DOUBLINGS = 0.05, 7
"""Seconds of any other pause after a 'too many requests', at least: doubled each time in a row, but so often only."""
UNAVAILABLE = 503
"""Some proxies send this instead of 429."""


class DelayReason(StrEnum):
    """Why a call must wait."""

    RATE = "rate"
    WINDOW = "window"
    """The server's window is full."""
    ANSWER = "answer"
    """Only a response that is on its way can show whether there is room."""
    REFUSED = "refused"
    """The server sent 'too many requests', or a Retry-After."""


class Delay(NamedTuple):
    """The next call may not leave yet."""

    until: float
    """Seconds of the run's monotonic clock; infinite when a response, or the lease of a slot, must come first.
    A response may shorten it."""
    reason: DelayReason


class RouteSchedule:
    """Decides for one route; it is given the time, each call and each response. `max_wait` bounds each wait (seconds).

    `rate`: the own rate; `learnt`: the rate of a hidden limiter. A call keeps to both; several routes may share them.
    """

    def __init__(
        self,
        rate: RateSlots,
        learnt: LearntRate,
        *,
        max_wait: float = 900.0,
        exemption: Exemption | None = None,
        own_offset: Callable[[], float] | None = None,
    ) -> None:
        self.window = FixedWindowTracker(max_wait, exemption, own_offset)
        self._rate = rate
        self._learnt = learnt
        self._learnt_slots = learnt.limiter
        self._max_wait = max_wait
        self._paused_until = -math.inf
        self._refusals = 0
        self._unexplained = 0
        """Refusals in a row that named no time while no call passed."""

    def server_delay(self, now: float) -> Delay | None:
        """Return the delay that the server demands; counts nothing, and leaves the own rate aside."""
        if now < self._paused_until:
            return Delay(self._paused_until, DelayReason.REFUSED)
        opens = self.window.opens_at(now)
        if opens == NOW:
            return None
        is_full = opens < math.inf and self.window.is_known
        return Delay(opens, DelayReason.WINDOW if is_full else DelayReason.ANSWER)

    def is_open(self, now: float) -> bool:
        """Return whether nothing limits the calls of this route: no rate, no window and no pause."""
        allowed = self._rate.allows_ahead and self._learnt_slots.allows_ahead
        return allowed and self.window.limits_nothing and now >= self._paused_until

    def reserve(self, now: float) -> Delay | None:
        """Admit the next call and count it (None), or return its delay; then `assign_slot` or `cancel_reservation`.

        It may be admitted a little before its slot, to be prepared meanwhile.
        """
        delay = self.server_delay(now)
        if delay is not None:
            return delay
        admitted = max(self._rate.next_slot(now), self._learnt_slots.next_slot(now)) - self._rate.lead
        if admitted > now:
            return Delay(admitted, DelayReason.RATE)
        self._reserve_slots(now)
        self.window.record_request(now)
        return None

    def first_slot(self, now: float) -> float:
        """Return the slot that `assign_slot` would return; infinite where none is known."""
        return max(self._rate.first_slot(now), self._learnt_slots.first_slot(now))

    def assign_slot(self, now: float, prepared_in: float | None = None) -> float:
        """Return the slot of an admitted call that is prepared: it leaves then, or now where that has passed.

        Infinite where its slot is lost: after `cancel` it waits for another one.

        `prepared_in`: seconds that its preparation took; None where there was nothing to prepare.
        """
        if prepared_in is not None:
            self._rate.record_preparation(prepared_in)
        own, learnt = self._rate.assign_slot(now), self._learnt_slots.assign_slot(now)
        if own < learnt:
            self._rate.defer(learnt)
        elif learnt < own < math.inf:
            self._learnt_slots.defer(own)
        return max(own, learnt)

    def renew_slot(self, now: float) -> float:
        """Return another slot for a call whose slot has passed unused."""
        self._reserve_slots(now)
        return self.assign_slot(now)

    def record_departure(self, now: float) -> None:
        """Record that a call that had its slot leaves now."""
        self._rate.record_departure(now)
        self._learnt_slots.record_departure(now)

    def cancel_reservation(self) -> None:
        """Record that an admitted call could not be prepared."""
        self._rate.cancel_reservation()
        self._learnt_slots.cancel_reservation()
        self.window.cancel_request()

    def cancel(self) -> None:
        """Record that a call that had its slot did not leave."""
        self.window.cancel_request()

    def _reserve_slots(self, now: float) -> None:
        self._rate.reserve(now)
        self._learnt_slots.reserve(now)

    def record_response(self, reply: Reply | NoReply, *, refused: bool) -> None:
        """Record the end of a call; `refused`: it was 'too many requests'."""
        self.window.record_response(reply, refused=refused)
        if isinstance(reply, NoReply):
            return
        if refused:
            self._pause_after_refusal(reply)
        elif reply.status < 500:
            self._refusals = self._unexplained = 0
            self._learnt.record_acceptance(reply.sent_at, reply.received_at)
        elif (seconds := retry_after(reply)) is not None:
            self._pause(reply.received_at, seconds)
        elif reply.status == UNAVAILABLE:
            self._learnt.record_refusal(reply.sent_at, reply.received_at)

    def _pause_after_refusal(self, reply: Reply) -> None:
        wait = stated_wait(reply)
        seconds = retry_delay(reply) if wait is None else self.window.ends_after(reply, wait)
        is_first = reply.received_at >= self._paused_until  # calls in flight beside it are refused too: nothing new
        if seconds is None:
            passes = self._learnt.record_refusal(reply.sent_at, reply.received_at)
            if not is_first:
                return
            if not passes:
                seconds = min(FIRST_PAUSE * 2 ** min(self._unexplained, 10), LONGEST_PAUSE)
                self._unexplained += 1
        if is_first:
            self._refusals += 1
        shortest = SHORTEST_PAUSE * 2 ** min(max(0, self._refusals - 1), DOUBLINGS)
        self._pause(reply.received_at, max(seconds or 0.0, shortest))

    def _pause(self, now: float, seconds: float) -> None:
        self._paused_until = max(self._paused_until, now + min(seconds, self._max_wait))
