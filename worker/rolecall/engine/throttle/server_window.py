"""The server's fixed window: how many calls it still accepts, and when it accepts more.

Rocket.Chat counts calls in a window that starts with the first call after the old one ran out; refused calls count
too. The fastest correct client sends the whole remainder at once and waits for the reset. Several instances behind
a balancer count each on its own. Windows are distinguished by their resets, and a call is only sent while every known
window has room for it, because it may reach any instance.
"""

import math
from typing import NamedTuple

from rolecall.engine.throttle.server_clock import ServerClock
from rolecall.models import NoReply, RateLimitStatus, Reply
from rolecall.rocketchat.rate_limit_headers import Limits, parse_limits, server_date

SAME_WINDOW = 0.1
"""Seconds by which the resets of one window may differ between responses (each is computed anew)."""
SAFETY = 0.002
"""Seconds to wait beyond a reset."""
NOW = -math.inf
"""Opening time of a window that has room."""


class WindowState(NamedTuple):
    """One window of one server instance, as its responses show it."""

    reset_at: float
    """When it ends: epoch seconds of the server's clock."""
    left: int
    """Calls that it still accepts; those in flight may not be counted yet."""
    known_since: float
    """When its first response came, on our clock."""


class FixedWindowTracker:
    """The room that one route's windows have.

    `max_wait`: seconds after which a window counts as ended, even if its headers say otherwise.
    """

    def __init__(self, max_wait: float = math.inf) -> None:
        self._max_wait = max_wait
        self._clock = ServerClock()
        self._windows: list[WindowState] = []
        self._last_ended: WindowState | None = None
        self._in_flight = 0
        self._has_learnt = False
        self._limit: int | None = None
        self._sent_since_reset = 0
        self.calls = 0
        """Calls that have left, in all."""

    @property
    def limit(self) -> int | None:
        """Calls in a window; None while not known."""
        return self._limit

    @property
    def in_flight(self) -> int:
        """Calls that wait for their responses."""
        return self._in_flight

    def status(self, now: float) -> RateLimitStatus | None:
        """Return what the fullest known window still accepts, for displays; None while no limit is known."""
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
        """Return when the next call may leave: NOW, a moment of our clock, or infinity: a response decides."""
        self._drop_ended(now)
        if self._windows:
            full = [window for window in self._windows if window.left <= self._in_flight]
            return min(self._ends(window, now) for window in full) if full else NOW
        if self._has_learnt and self._limit is None:
            return NOW
        # No window is known, or a new one without a response yet: assume the limit of the last one. One call leaves
        # alone where the end of the old window is not certain.
        certain = self._limit is not None and not self._clock.is_guess_unconfirmed
        room = (self._limit or 0) - self._sent_since_reset if certain else 0
        return NOW if room > 0 or self._in_flight == 0 else math.inf

    def record_request(self) -> None:
        """Count a call that leaves."""
        self._in_flight += 1
        self._sent_since_reset += 1
        self.calls += 1

    def cancel_request(self) -> None:
        """Take back a call that did not leave."""
        self._in_flight -= 1
        self._sent_since_reset -= 1
        self.calls -= 1

    def record_response(self, reply: Reply | NoReply, *, refused: bool = False) -> None:
        """Record the end of a call and learn from its headers; `refused`: it was 'too many requests'."""
        self._in_flight -= 1
        if isinstance(reply, NoReply):
            if reply.maybe_sent:  # the server may have counted it
                self._windows = [window._replace(left=window.left - 1) for window in self._windows]
            return
        limits = parse_limits(reply.headers)
        if limits is not None or self._limit is not None:
            date = server_date(reply.headers)
            if date is not None:
                self._clock.record_date(date, reply.sent_at, reply.received_at)
        if limits is not None:
            if refused and self._last_ended is not None and _is_same(self._last_ended, limits):
                self._clock.drop_guess()  # that window has not ended: the conclusion about the clock was wrong
            self._learn(limits, reply, refused=refused)
        elif reply.status < 429:
            # Rocket.Chat itself has answered without a window: this account is not limited (any more).
            self._has_learnt, self._limit = True, None
            self._windows.clear()

    def _learn(self, limits: Limits, reply: Reply, *, refused: bool) -> None:
        self._has_learnt, self._limit = True, limits.limit
        if limits.remaining == limits.limit - 1 and not refused:
            self._clock.record_window_start(limits.reset_at, reply.sent_at, reply.received_at)
        window = WindowState(limits.reset_at, limits.remaining, reply.received_at)
        if self._ends(window, reply.received_at) <= reply.received_at:
            return  # it had ended before its response came
        for index, known in enumerate(self._windows):
            if _is_same(known, limits):
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
        """Return when a window has surely ended, on our clock."""
        end = self._clock.to_local(window.reset_at, now)
        return now if end is None else min(end + SAFETY, window.known_since + self._max_wait)


def _is_same(window: WindowState, limits: Limits) -> bool:
    return abs(window.reset_at - limits.reset_at) <= SAME_WINDOW
