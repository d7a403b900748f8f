"""When the next call may leave: the run's own rate, the server's window, and holds, in one decision."""

import math
from enum import StrEnum
from typing import NamedTuple

from rolecall.engine.throttle.rate_limiter import PacedRateLimiter
from rolecall.engine.throttle.server_window import NOW, FixedWindowTracker
from rolecall.models import NoReply, Reply
from rolecall.rocketchat.rate_limit_headers import retry_after, retry_delay

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds to stay away after a 'too many requests' that does not say for how long: doubled each time in a row."""


class DelayReason(StrEnum):
    """Why a call must wait."""

    RATE = "rate"
    WINDOW = "window"
    """The server's window is full."""
    ANSWER = "answer"
    """Only an answer that is under way can tell whether there is room."""
    REFUSED = "refused"
    """The server said 'too many requests', or to come back later."""


class Delay(NamedTuple):
    """The next call may not leave yet."""

    until: float
    """Seconds of the run's monotonic clock; infinite when an answer must come first."""
    cause: DelayReason


class RouteSchedule:
    """Decides for one route; told the time, every call and every answer. `patience` bounds each wait, in seconds."""

    def __init__(self, rate: PacedRateLimiter | float | None, *, patience: float = 900.0) -> None:
        """Take the own rate: calls a second, None for unlimited, or one that several routes share."""
        self.window = FixedWindowTracker(patience)
        self._rate = rate if isinstance(rate, PacedRateLimiter) else PacedRateLimiter(rate)
        self._patience = patience
        self._held_until = -math.inf
        self._refusals = 0

    def hold(self, now: float) -> Delay | None:
        """Tell what the server makes the next call wait for; counts nothing, and leaves the own rate aside."""
        if now < self._held_until:
            return Delay(self._held_until, DelayReason.REFUSED)
        opens = self.window.opens_at(now)
        return None if opens == NOW else Delay(opens, DelayReason.ANSWER if opens == math.inf else DelayReason.WINDOW)

    def take(self, now: float) -> Delay | None:
        """Admit the next call and count it (None), or tell what it must wait for; `leave` or `cancel_reservation` must follow.

        It may be admitted a little before its slot of the own rate, to be made ready meanwhile.
        """
        held = self.hold(now)
        if held is not None:
            return held
        admitted = self._rate.slot(now) - self._rate.lead
        if admitted > now:
            return Delay(admitted, DelayReason.RATE)
        self._rate.reserve(now)
        self.window.sent()
        return None

    def leave(self, now: float, made_ready: float | None = None) -> float:
        """Give an admitted call its slot, once it is ready: it leaves then, or now where that has passed.

        `made_ready`: seconds that it took to make it ready; None where there was nothing to do.
        """
        if made_ready is not None:
            self._rate.was_ready_after(made_ready)
        return self._rate.take(now)

    def cancel_reservation(self) -> None:
        """Note that an admitted call could not be made ready."""
        self._rate.forfeit()
        self.window.rollback()

    def rollback(self) -> None:
        """Note that a call that had its slot did not leave after all."""
        self.window.rollback()

    def answered(self, reply: Reply | NoReply, *, refused: bool) -> None:
        """Note a call's end; `refused` when it was 'too many requests'."""
        self.window.answered(reply, refused=refused)
        if isinstance(reply, NoReply):
            return
        if refused:
            self._hold_after_refusal(reply)
            return
        if reply.status < 500:
            self._refusals = 0
        elif (wait := retry_after(reply)) is not None:
            self._hold(reply.received_at, wait)

    def _hold_after_refusal(self, reply: Reply) -> None:
        wait = retry_delay(reply)
        first = reply.received_at >= self._held_until  # the calls in flight beside it are refused too: no more news
        if wait is None and first:
            wait = min(FIRST_PAUSE * 2 ** min(self._refusals, 10), LONGEST_PAUSE)
        if first:
            self._refusals += 1
        if wait is not None:
            self._hold(reply.received_at, wait)

    def _hold(self, now: float, wait: float) -> None:
        self._held_until = max(self._held_until, now + min(wait, self._patience))
