"""The server's fixed window: how many calls it still accepts, and when it accepts more.

Rocket.Chat counts calls in a window that starts with the first call after the old one ran out; refused calls count
too. The fastest correct client sends the whole remainder at once and waits for the reset. Several instances behind
a balancer count each on its own. Windows are distinguished by their resets, and a call is only sent while every known
window has room for it, because it may reach any instance.

The first call into a new window goes alone: the server's clock may have been set back, and then the old window goes on.
That costs no time, because the new window begins with this call.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from rolecall.engine.throttle.server_clock import TOLERANCE, ServerClock
from rolecall.engine.throttle.window_signs import Exemption, SharedWindowDetector
from rolecall.models import NoReply, RateLimitStatus, Reply
from rolecall.rocketchat.error_table import TOO_MANY_REQUESTS
from rolecall.rocketchat.rate_limit_headers import MAX_WINDOW, Limits, parse_limits, server_date, stated_wait

SAME_WINDOW = 0.1
"""Seconds by which the resets of one window may differ between responses (each is computed anew)."""
SAFETY = 0.002
"""Seconds to wait beyond a reset."""
SCOUT_TIMEOUT, ROUND_TRIPS = 1.0, 2.0
"""Seconds, and round trips, after which another call follows one that went alone and is not answered yet."""
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
    lateness: float = 0.0
    """Seconds by which a later response had a later reset than the first one."""
    full_since: float = math.inf
    """When `Remaining: 0` came, on our clock."""
    earlier: int = 0
    """Calls in it that were counted before the first of ours, as far as that is known."""


class FixedWindowTracker:
    """The room that one route's windows have.

    `max_wait`: seconds after which a window counts as ended, even if its headers say otherwise. `own_offset` returns
    the own wall clock minus the monotonic clock; None leaves it aside.
    """

    def __init__(
        self,
        max_wait: float = math.inf,
        exemption: Exemption | None = None,
        own_offset: Callable[[], float] | None = None,
    ) -> None:
        self._own_offset = own_offset
        self._max_wait = max_wait
        self._exemption = exemption or Exemption()
        self._clock = ServerClock()
        self._sharing = SharedWindowDetector()
        self._windows: list[WindowState] = []
        self._last_ended: WindowState | None = None
        self._in_flight = 0
        self._has_learnt = False
        self._limit: int | None = None
        self._sent_since_reset = 0
        self._last_request_at = -math.inf
        self._round_trip = 0.0
        self._is_probing = False
        self._is_questioning = False
        self.calls = 0
        """Calls that have left, in all."""

    @property
    def in_flight(self) -> int:
        """Calls that wait for their responses."""
        return self._in_flight

    def status(self, now: float) -> RateLimitStatus | None:
        """Return what the fullest known window still accepts, for displays; None while no limit is known."""
        if self._limit is None or self._exemption.is_proven:
            return None
        self._drop_ended(now)
        length = self._clock.window_length
        if not self._windows:
            return RateLimitStatus(self._limit, length, max(0, self._limit - self._sent_since_reset), length or 0.0)
        window = min(self._windows, key=lambda known: known.left)
        ends = self._ends(window, now)
        ends_in = max(0.0, ends - now) if ends < math.inf else length or 0.0
        return RateLimitStatus(self._limit, length, max(0, window.left - self._in_flight), ends_in)

    @property
    def is_known(self) -> bool:
        """True while a response has shown the window that is open."""
        return bool(self._windows)

    @property
    def limits_nothing(self) -> bool:
        """True where a response has shown that the server limits no call of this account."""
        return self._exemption.is_proven or (self._has_learnt and self._limit is None)

    def opens_at(self, now: float) -> float:
        """Return when the next call may leave: NOW, a moment of our clock, or infinity: a response decides."""
        if self.limits_nothing:
            return NOW
        self._drop_ended(now)
        if self._windows:
            return self._opens_in_known_windows(now)
        return self._opens_in_new_window(now)

    def _opens_in_new_window(self, now: float) -> float:
        """Return when a call may leave into a window that no response has shown yet."""
        if self._in_flight == 0:
            return NOW
        if self._limit is None or self._sharing.is_shared or self._sent_since_reset >= self._limit:
            return math.inf
        if self._last_ended is not None and self._in_flight < self._last_ended.left:
            return NOW  # they fit into the old window too
        overdue_at = self._last_request_at + max(SCOUT_TIMEOUT, ROUND_TRIPS * self._round_trip)
        return NOW if overdue_at <= now else overdue_at

    def _opens_in_known_windows(self, now: float) -> float:
        full = [window for window in self._windows if window.left <= self._in_flight]
        if not full:
            left = min(window.left for window in self._windows)
            waits = self._sharing.is_shared and self._in_flight >= self._sharing.max_in_flight(left)
            return math.inf if waits else NOW
        if self._in_flight == 0 and (self._exemption.may_probe or self._questions_date):
            return NOW
        ends = min(self._ends(window, now) for window in full)
        # While no end is known, one call finds out.
        return NOW if ends == math.inf and self._in_flight == 0 else ends

    @property
    def _questions_date(self) -> bool:
        """True where one call may be refused: "wait N seconds" shows whether `Date` is of the limiter's clock."""
        return self._clock.is_date_doubtful(self._own_offset() if self._own_offset is not None else None)

    def record_request(self, now: float) -> None:
        """Count a call that leaves."""
        self._last_request_at = now
        if self._in_flight == 0 and self._windows and any(window.left <= 0 for window in self._windows):
            self._is_questioning = self._questions_date
            self._clock.record_question()
            if self._exemption.may_probe:
                self._exemption.start_probe()
                self._is_probing = True
        self._in_flight += 1
        self._sent_since_reset += 1
        self.calls += 1

    def cancel_request(self) -> None:
        """Take back a call that did not leave."""
        self._in_flight -= 1
        self._sent_since_reset -= 1
        self.calls -= 1
        self._end_probe()

    def record_response(self, reply: Reply | NoReply, *, refused: bool = False) -> None:
        """Record the end of a call and learn from its headers; `refused`: it was 'too many requests'."""
        if self._windows and isinstance(reply, Reply):
            self._drop_ended(reply.received_at)  # while this call still counts as sent since then
        self._in_flight -= 1
        if isinstance(reply, NoReply):
            self._end_probe()
            if reply.maybe_sent:  # the server may have counted it
                self._windows = [window._replace(left=window.left - 1) for window in self._windows]
            return
        self._round_trip = reply.received_at - reply.sent_at
        refused = refused or reply.status == TOO_MANY_REQUESTS
        if refused:
            self._exemption.record_refusal()
        limits = parse_limits(reply.headers, max_past=MAX_WINDOW)
        if limits is not None or self._limit is not None:
            date = server_date(reply.headers)
            if date is not None:
                self._clock.record_date(date, reply.sent_at, reply.received_at)
        if limits is not None:
            self._learn(limits, reply, refused=refused)
        elif _shows_no_limit(reply, is_first=not self._has_learnt):
            # Rocket.Chat itself has answered without a window: this account is not limited (any more).
            self._has_learnt, self._limit = True, None
            self._windows.clear()
        self._end_probe()

    def ends_after(self, reply: Reply, wait: float) -> float:
        """Return the seconds until the end of the window that refused a call, which said "wait N seconds".

        Those are rounded up: where the clock agrees, it knows the end better.
        """
        limits = parse_limits(reply.headers, max_past=MAX_WINDOW)
        if limits is None:
            return wait
        window = WindowState(limits.reset_at, 0, reply.received_at)
        seconds = self._ends(window, reply.received_at) - reply.received_at
        return seconds if wait - 1.0 - TOLERANCE <= seconds <= wait + TOLERANCE else wait

    def _learn(self, limits: Limits, reply: Reply, *, refused: bool) -> None:
        self._has_learnt, self._limit = True, limits.limit
        has_ended = self._last_ended is not None and _is_same(self._last_ended, limits)
        self._clock.record_reset(limits.reset_at, reply.sent_at, reply.received_at)
        if refused:
            wait = stated_wait(reply)
            was_corrected = wait is not None and self._clock.record_refusal(
                limits.reset_at, wait, reply.sent_at, reply.received_at
            )
            if has_ended and not was_corrected:
                self._clock.record_wrong_end(reply.sent_at, reply.received_at)
            elif self._is_questioning and not was_corrected:
                self._clock.record_right_date(reply.sent_at, reply.received_at)
        elif limits.remaining == limits.limit - 1:
            self._clock.record_window_start(limits.reset_at, reply.sent_at, reply.received_at)
        full_since = reply.received_at if limits.remaining == 0 else math.inf
        window = WindowState(limits.reset_at, limits.remaining, reply.received_at, full_since=full_since)
        if self._ends(window, reply.received_at) <= reply.received_at:
            return  # it had ended before its response came
        place = next((place for place, known in enumerate(self._windows) if _is_same(known, limits)), None)
        if place is None:
            known = self._add(window, counted=limits.limit - limits.remaining)
        else:
            known = self._windows[place]
            if window.left == 0 and not refused and reply.sent_at >= known.full_since:
                self._exemption.record_acceptance()
            self._windows[place] = known._replace(
                reset_at=max(known.reset_at, window.reset_at),
                lateness=known.lateness + max(0.0, window.reset_at - known.reset_at),
                left=min(known.left, window.left),
                full_since=min(known.full_since, window.full_since),
            )
        if not has_ended:
            self._sharing.record_count(limits.limit - limits.remaining - known.earlier, self._sent_since_reset)

    def _add(self, window: WindowState, *, counted: int) -> WindowState:
        if self._ends(window, window.known_since) == math.inf:
            self._windows.clear()  # the end of the old one was not known; this is the sign of it
        is_only = not self._windows
        earlier = self._sharing.record_window(counted, self._sent_since_reset, is_only=is_only)
        self._windows.append(window._replace(earlier=earlier))
        return self._windows[-1]

    def _end_probe(self) -> None:
        self._is_questioning = False
        if self._is_probing:
            self._is_probing = False
            self._exemption.end_probe()

    def _drop_ended(self, now: float) -> None:
        for window in [window for window in self._windows if self._ends(window, now) <= now]:
            self._windows.remove(window)
            self._last_ended = window
            if not self._windows:
                self._sent_since_reset = self._in_flight
                self._sharing.record_end()

    def _ends(self, window: WindowState, now: float) -> float:
        """Return when a window has surely ended, on our clock; infinity while that is not known."""
        end = self._clock.to_local(window.reset_at + self._clock.reset_precision, now)
        longest = window.known_since + min(self._max_wait, self._clock.longest_window + window.lateness + SAFETY)
        if end is None:
            return longest if longest <= now else math.inf
        return min(end + SAFETY, longest)


def _is_same(window: WindowState, limits: Limits) -> bool:
    return abs(window.reset_at - limits.reset_at) <= SAME_WINDOW


def _shows_no_limit(reply: Reply, *, is_first: bool) -> bool:
    """Return whether a response without usable headers shows that Rocket.Chat does not limit this account.

    Only its own JSON shows it: pages and JSON of proxies have no such headers either. Once a limit is known, only its
    success: schema errors have none.
    """
    if is_first:
        return reply.status < TOO_MANY_REQUESTS and b'"success":' in reply.body
    return reply.status == 200 and "X-RateLimit-Limit" not in reply.headers and b'"success":true' in reply.body
