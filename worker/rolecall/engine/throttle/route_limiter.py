"""The queue in which the calls of one route wait until they may leave, see `RouteSchedule`."""

import asyncio
import math
from collections.abc import Awaitable, Callable

from rolecall.engine.clock import Clock
from rolecall.engine.throttle.rate_limiter import IDLE_AFTER
from rolecall.engine.throttle.route_schedule import Delay, DelayReason, RouteSchedule
from rolecall.models import NoReply, RateLimitPause, RateLimitStatus, Reply

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
        preparation took. Raise what `prepare` raises; the slot is then the next call's. Where the next slot has moved
        far away meanwhile, the preparation is withdrawn, and the call queues again.
        """
        while True:
            began = await self._admit()
            try:
                if prepare is not None:
                    await prepare()
            except BaseException:
                self._schedule.cancel_reservation()
                self._changed.set()
                raise
            now = self._clock.now()
            if prepare is None or not MAX_AHEAD < self._schedule.first_slot(now) - now < math.inf:
                break
            self._schedule.cancel_reservation()
            self._changed.set()
            withdraw()
        slot = self._schedule.assign_slot(now, None if prepare is None else now - began)
        await self._wait_for_slot(slot)
        self._schedule.record_departure(self._clock.now())

    async def _admit(self) -> float:
        """Wait until the call is admitted; return when that was."""
        now = self._clock.now()
        if self._queued or self._schedule.reserve(now) is not None:
            await self._wait_in_queue()
            now = self._clock.now()
        return now

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
