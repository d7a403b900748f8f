"""The one place where calls wait for their turn in time, first come first served."""

import asyncio
from collections.abc import Awaitable, Callable

from rolecall.engine.clock import Clock
from rolecall.engine.throttle.route_schedule import Delay, DelayReason, RouteSchedule
from rolecall.models import NoReply, RateLimitPause, RateLimitStatus, Reply

Prepare = Callable[[], Awaitable[object]]
"""Does what must be done before a call leaves."""


SHORTEST_WAIT = 0.001
"""Seconds; for uvloop's timers, which count whole milliseconds, a shorter wait may be none."""


class RouteLimiter:
    """Lets calls through as the pacing allows. Only the first in the queue watches the clock."""

    def __init__(self, pacing: RouteSchedule, clock: Clock, on_wait: Callable[[Delay], None]) -> None:
        self._pacing = pacing
        self._clock = clock
        self._on_wait = on_wait
        self._queued = 0
        self._first = asyncio.Lock()
        self._answer = asyncio.Event()

    @property
    def calls(self) -> int:
        """Calls that were let through, in all."""
        return self._pacing.window.calls

    @property
    def in_flight(self) -> int:
        """Calls that await their answers."""
        return self._pacing.window.in_flight

    def allowance(self, now: float) -> RateLimitStatus | None:
        """Tell what the server's window still takes; None where no limit is known."""
        return self._pacing.window.allowance(now)

    def hold(self, now: float) -> RateLimitPause | None:
        """Tell how long the server makes calls wait that are queued here; None where none does."""
        wait = self._pacing.hold(now) if self._queued else None
        if wait is None or wait.cause is DelayReason.ANSWER:
            return None
        return RateLimitPause(wait.until - now, refused=wait.cause is DelayReason.REFUSED)

    async def enter(self, ready: Prepare | None = None) -> None:
        """Return when the call may leave; it is counted from then on.

        `ready` makes the call ready. It is awaited a little before the call's turn comes, so that the call leaves in
        its slot, however long that took. What it raises is raised, and the turn is the next one's.
        """
        await self._be_admitted()
        began = self._clock.now()
        try:
            if ready is not None:
                await ready()
        except BaseException:
            self._pacing.cancel_reservation()
            self._answer.set()
            raise
        now = self._clock.now()
        slot = self._pacing.leave(now, None if ready is None else now - began)
        try:
            while slot > now:
                await asyncio.sleep(slot - now)
                now = self._clock.now()
        except BaseException:
            self.withdraw()
            raise

    async def _be_admitted(self) -> None:
        if not self._queued and self._pacing.take(self._clock.now()) is None:
            return
        self._queued += 1
        try:
            async with self._first:
                while (wait := self._pacing.take(self._clock.now())) is not None:
                    await self._wait(wait)
        finally:
            self._queued -= 1

    def withdraw(self) -> None:
        """Note that a call that was let through did not leave."""
        self._pacing.rollback()
        self._answer.set()

    def answered(self, reply: Reply | NoReply, *, refused: bool) -> None:
        """Note a call's end; whoever waits looks anew."""
        self._pacing.answered(reply, refused=refused)
        self._answer.set()

    async def _wait(self, wait: Delay) -> None:
        seconds = wait.until - self._clock.now()
        if wait.cause is DelayReason.RATE:
            await asyncio.sleep(max(seconds, SHORTEST_WAIT))
            return
        self._on_wait(wait)
        self._answer.clear()
        try:
            async with asyncio.timeout(seconds if wait.cause is not DelayReason.ANSWER else None):
                await self._answer.wait()
        except TimeoutError:
            pass
