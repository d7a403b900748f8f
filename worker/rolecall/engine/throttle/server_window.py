"""The server's fixed window: how many calls it still takes, and when it takes more.

Rocket.Chat counts calls in a window that starts with the first call after the old one ran out; refused calls count
too. The fastest correct client sends the whole remainder at once and waits for the reset. Several instances behind
a balancer count each on its own; windows are told apart by their resets, and a call is only sent while every known
window has room for it, whichever instance it may meet.
"""

import math
from typing import NamedTuple

from rolecall.engine.throttle.server_clock import ServerClock
from rolecall.models import NoReply, RateLimitStatus, Reply
from rolecall.rocketchat.rate_limit_headers import Limits, parse_limits, server_date

SAME_WINDOW = 0.1
"""Seconds by which the resets that one window's answers tell may differ (each is computed anew)."""
SAFETY = 0.002
"""Seconds that are waited beyond a reset."""
NOW = -math.inf
"""Opening time of a window that has room."""


class WindowState(NamedTuple):
    """One window of one server instance, as its answers tell."""

    reset_at: float
    """When it ends: epoch seconds of the server's clock."""
    left: int
    """Calls that it still takes, less what is in flight."""
    known_since: float
    """When its first answer came, on our clock."""


class FixedWindowTracker:
    """The room that one route's windows have; asked before each call, told of each call and each answer.

    `patience`: seconds after which a window is not believed to last on, whatever its headers say.
    """

    def __init__(self, patience: float = math.inf) -> None:
        self._patience = patience
        self._clock = ServerClock()
        self._windows: list[WindowState] = []
        self._last_ended: WindowState | None = None
        self._in_flight = 0
        self._learnt = False
        self._limit: int | None = None
        self._sent_since_reset = 0
        self.calls = 0
        """Calls that have left, in all."""

    @property
    def limit(self) -> int | None:
        """Calls in a window; None while none is known."""
        return self._limit

    @property
    def in_flight(self) -> int:
        """Calls that await their answers."""
        return self._in_flight

    def allowance(self, now: float) -> RateLimitStatus | None:
        """Tell what the fullest known window still takes, for those who show it; None where no limit is known."""
        if self._limit is None:
            return None
        self._drop_ended(now)
        length = self._clock.window_length
        if not self._windows:
            return RateLimitStatus(self._limit, length, max(0, self._limit - self._sent_since_reset), length or 0.0)
        window = min(self._windows, key=lambda known: known.left)
        return RateLimitStatus(
            self._limit, length, max(0, window.left - self._in_flight), max(0.0, self._ends(window, now) - now)
        )

    def opens_at(self, now: float) -> float:
        """Tell when the next call may leave: NOW, a moment of our clock, or infinity when an answer must come first."""
        self._drop_ended(now)
        if self._windows:
            full = [window for window in self._windows if window.left <= self._in_flight]
            return min(self._ends(window, now) for window in full) if full else NOW
        if self._learnt and self._limit is None:
            return NOW
        # Unknown, or a new window of which no answer has told yet: the limit is what the last one had. One call goes
        # alone where it is not sure that the old window has ended.
        sure = self._limit is not None and not self._clock.guess_is_open
        room = (self._limit or 0) - self._sent_since_reset if sure else 0
        return NOW if room > 0 or self._in_flight == 0 else math.inf

    def sent(self) -> None:
        """Note that a call leaves."""
        self._in_flight += 1
        self._sent_since_reset += 1
        self.calls += 1

    def rollback(self) -> None:
        """Note that a call did not leave after all."""
        self._in_flight -= 1
        self._sent_since_reset -= 1
        self.calls -= 1

    def answered(self, reply: Reply | NoReply, *, refused: bool = False) -> None:
        """Note that a call has come to its end, and learn from its headers; `refused` by 'too many requests'."""
        self._in_flight -= 1
        if isinstance(reply, NoReply):
            if reply.maybe_sent:  # the server may have counted it
                self._windows = [window._replace(left=window.left - 1) for window in self._windows]
            return
        limits = parse_limits(reply.headers)
        if limits is not None or self._limit is not None:
            date = server_date(reply.headers)
            if date is not None:
                self._clock.saw_date(date, reply.sent_at, reply.received_at)
        if limits is not None:
            if refused and self._last_ended is not None and _same(self._last_ended, limits):
                self._clock.distrust_windows()  # it has not ended: what was concluded about the clock is wrong
            self._learn(limits, reply, refused=refused)
        elif reply.status < 429:
            # Rocket.Chat itself has answered without a window: this account is not limited (any more).
            self._learnt, self._limit = True, None
            self._windows.clear()

    def _learn(self, limits: Limits, reply: Reply, *, refused: bool) -> None:
        self._learnt, self._limit = True, limits.limit
        if limits.remaining == limits.limit - 1 and not refused:
            self._clock.saw_window_open(limits.reset_at, reply.sent_at, reply.received_at)
        window = WindowState(limits.reset_at, limits.remaining, reply.received_at)
        if self._ends(window, reply.received_at) <= reply.received_at:
            return  # it had ended before its answer came
        for index, known in enumerate(self._windows):
            if _same(known, limits):
                last = max(known.reset_at, limits.reset_at)
                self._windows[index] = known._replace(reset_at=last, left=min(known.left, limits.remaining))
                return
        self._windows.append(window)

    def _drop_ended(self, now: float) -> None:
        for window in [window for window in self._windows if self._ends(window, now) <= now]:
            self._windows.remove(window)
            self._last_ended = window
            if not self._windows:
                self._sent_since_reset = self._in_flight

    def _ends(self, window: WindowState, now: float) -> float:
        """Tell when a window has surely ended, on our clock."""
        end = self._clock.ours(window.reset_at, now)
        return now if end is None else min(end + SAFETY, window.known_since + self._patience)


def _same(window: WindowState, limits: Limits) -> bool:
    return abs(window.reset_at - limits.reset_at) <= SAME_WINDOW
