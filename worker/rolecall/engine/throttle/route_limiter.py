"""The rate limits of one route: the own rate, the server's window and the pauses that the server demands.

`RouteSchedule` decides when the next call may leave; `RouteLimiter` is the queue in which calls wait for that moment.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import NamedTuple

from rolecall.engine.clock import Clock
from rolecall.engine.throttle.rate_limiter import IDLE_AFTER, LearntRate
from rolecall.engine.throttle.rate_slots import RateSlots
from rolecall.engine.throttle.server_window import NOW, FixedWindowTracker
from rolecall.engine.throttle.window_signs import Exemption
from rolecall.models import NoReply, RateLimitPause, RateLimitStatus, Reply
from rolecall.rocketchat.rate_limit_headers import retry_after, retry_delay, stated_wait

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds of a pause after a 'too many requests' that names no time: doubled each time in a row."""
SHORTEST_PAUSE, DOUBLINGS = 0.05, 7
"""Seconds of any other pause after a 'too many requests', at least: doubled each time in a row, but so often only."""
UNAVAILABLE = 503
"""Some proxies send this instead of 429."""
SHORTEST_WAIT = 0.001
"""Seconds; uvloop's timers count whole milliseconds, so a shorter wait may be none."""

MAX_AHEAD = 1.0
"""Seconds that a call may wait once it is prepared, as the time of its intent is evidence; then it is prepared anew."""

Prepare = Callable[[], Awaitable[object]]
"""Does what must be done before a call leaves."""
Withdraw = Callable[[], object]
"""Undoes that, where the call does not leave soon."""


def do_nothing() -> None:
    """Withdraw nothing."""


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
        self._limiters: tuple[RateSlots, ...] = (rate, learnt.limiter)
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
        allowed = self._rate.allows_ahead and self._learnt.limiter.allows_ahead
        return allowed and self.window.limits_nothing and now >= self._paused_until

    def reserve(self, now: float) -> Delay | None:
        """Admit the next call and count it (None), or return its delay; then `assign_slot` or `cancel_reservation`.

        It may be admitted a little before its slot, to be prepared meanwhile.
        """
        delay = self.server_delay(now)
        if delay is not None:
            return delay
        admitted = max(limiter.next_slot(now) for limiter in self._limiters) - self._rate.lead
        if admitted > now:
            return Delay(admitted, DelayReason.RATE)
        for limiter in self._limiters:
            limiter.reserve(now)
        self.window.record_request(now)
        return None

    def assign_slot(self, now: float, prepared_in: float | None = None) -> float:
        """Return the slot of an admitted call that is prepared: it leaves then, or now where that has passed.

        Infinite where its slot is lost: after `cancel` it waits for another one.

        `prepared_in`: seconds that its preparation took; None where there was nothing to prepare.
        """
        if prepared_in is not None:
            self._rate.record_preparation(prepared_in)
        slots = [limiter.assign_slot(now) for limiter in self._limiters]
        latest = max(slots)
        if latest == math.inf:
            return latest
        for limiter, slot in zip(self._limiters, slots, strict=True):
            if slot < latest:
                limiter.defer(latest)
        return latest

    def renew_slot(self, now: float) -> float:
        """Return another slot for a call whose slot has passed unused."""
        for limiter in self._limiters:
            limiter.reserve(now)
        return self.assign_slot(now)

    def record_departure(self, now: float) -> None:
        """Record that a call that had its slot leaves now."""
        for limiter in self._limiters:
            limiter.record_departure(now)

    def cancel_reservation(self) -> None:
        """Record that an admitted call could not be prepared."""
        for limiter in self._limiters:
            limiter.cancel_reservation()
        self.window.cancel_request()

    def cancel(self) -> None:
        """Record that a call that had its slot did not leave."""
        self.window.cancel_request()

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


class RouteLimiter:
    """Admits the calls of one route in the order of their arrival. Only the first in the queue watches the clock."""

    def __init__(self, schedule: RouteSchedule, clock: Clock, on_delay: Callable[[Delay], None]) -> None:
        """`on_delay` is called with each delay that the server demands, not with those of the own rate."""
        self._schedule = schedule
        self._clock = clock
        self._on_delay = on_delay
        self._queued = 0
        self._first = asyncio.Lock()
        self._changed = asyncio.Event()

    @property
    def calls(self) -> int:
        """Calls that were admitted, in all."""
        return self._schedule.window.calls

    @property
    def in_flight(self) -> int:
        """Calls that wait for their responses."""
        return self._schedule.window.in_flight

    @property
    def queued(self) -> int:
        """Calls that wait until they are admitted."""
        return self._queued

    def status(self, now: float) -> RateLimitStatus | None:
        """Return what the server's window still accepts; None while no limit is known."""
        return self._schedule.window.status(now)

    def pause(self, now: float) -> RateLimitPause | None:
        """Return the rate limit pause that queued calls wait for; None where none waits for one."""
        delay = self._schedule.server_delay(now) if self._queued else None
        if delay is None or delay.reason is DelayReason.ANSWER:
            return None
        return RateLimitPause(delay.until - now, refused=delay.reason is DelayReason.REFUSED)

    async def acquire(self, prepare: Prepare | None = None, withdraw: Withdraw = do_nothing) -> None:
        """Return when the call may leave; it is counted from then on. `cancel` or `record_response` must follow.

        `prepare` is awaited a little before the call's slot, so that the call leaves in its slot, however long the
        preparation took. Raise what `prepare` raises; the slot is then the next call's. Where the slot has moved far
        away meanwhile, the preparation is withdrawn, and done anew in the slot.
        """
        began = self._clock.now()
        if self._queued or self._schedule.reserve(began) is not None:
            await self._wait_in_queue()
            began = self._clock.now()
        try:
            if prepare is not None:
                await prepare()
        except BaseException:
            self._schedule.cancel_reservation()
            self._changed.set()
            raise
        now = self._clock.now()
        slot = self._schedule.assign_slot(now, None if prepare is None else now - began)
        is_far = MAX_AHEAD < slot - now < math.inf
        if is_far:
            withdraw()
        await self._wait_for_slot(slot)
        if prepare is not None and is_far:
            try:
                await prepare()
            except BaseException:
                self.cancel()
                raise
        self._schedule.record_departure(self._clock.now())

    async def _wait_for_slot(self, slot: float) -> None:
        """Return in the slot of an admitted call, or in another one where that is lost.

        Where the wait is cancelled, so is the call.
        """
        is_admitted, now = True, self._clock.now()
        try:
            while slot > now:
                if slot == math.inf:  # it passed during the preparation, and no other one is leased
                    self.cancel()
                    is_admitted = False
                    await self._wait_in_queue()
                    is_admitted, now = True, self._clock.now()
                    slot = self._schedule.assign_slot(now)
                    continue
                await asyncio.sleep(slot - now)
                now = self._clock.now()
                if now - slot > IDLE_AFTER:  # the process was suspended: calls whose slots passed leave one by one
                    slot = self._schedule.renew_slot(now)
        except BaseException:
            if is_admitted:
                self.cancel()
            raise

    async def _wait_in_queue(self) -> None:
        self._queued += 1
        try:
            async with self._first:
                while (delay := self._schedule.reserve(self._clock.now())) is not None:
                    await self._wait(delay)
        finally:
            self._queued -= 1

    def cancel(self) -> None:
        """Record that an admitted call did not leave."""
        self._schedule.cancel()
        self._changed.set()

    def record_response(self, reply: Reply | NoReply, *, refused: bool) -> None:
        """Record the end of a call; the first in the queue looks anew."""
        self._schedule.record_response(reply, refused=refused)
        self._changed.set()

    def is_open(self) -> bool:
        """Return whether nothing limits the calls of this route now, and none waits."""
        return not self._queued and self._schedule.is_open(self._clock.now())

    def look_anew(self) -> None:
        """Let the first in the queue look whether it may leave now."""
        self._changed.set()

    async def _wait(self, delay: Delay) -> None:
        seconds = delay.until - self._clock.now()
        if delay.reason is not DelayReason.RATE:
            self._on_delay(delay)
        elif seconds < math.inf:
            await asyncio.sleep(max(seconds, SHORTEST_WAIT))
            return
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds if seconds < math.inf else None):
                await self._changed.wait()
        except TimeoutError:
            pass
