"""Trackers of a server's window of ten calls, and the responses that they get. Moments are of the client's clock."""

import math
from collections.abc import Callable

from rolecall.engine.throttle.server_window import FixedWindowTracker
from rolecall.engine.throttle.window_signs import Exemption
from rolecall.models import Reply
from tests.unit.engine.answers import windowed

SERVER = 1_700_000_000.0
"""The server's clock when the client's shows nought."""


def answer(left: int, ends: float, at: float, status: int = 200) -> Reply:
    """Return the response of a window of ten calls that ends at a moment of our clock."""
    return windowed(10, left, SERVER + ends, SERVER + at, at=at, status=status)


def without(reply: Reply, *names: str) -> Reply:
    """Return a response without these headers."""
    return reply._replace(headers={name: value for name, value in reply.headers.items() if name not in names})


def tracker_with(
    *replies: Reply,
    max_wait: float = math.inf,
    exemption: Exemption | None = None,
    own_offset: Callable[[], float] | None = None,
) -> FixedWindowTracker:
    """Return a tracker that has sent these calls one after the other, and has got these responses."""
    tracker = FixedWindowTracker(max_wait, exemption, own_offset)
    for reply in replies:
        exchange(tracker, reply)
    return tracker


def exchange(tracker: FixedWindowTracker, reply: Reply) -> None:
    """Send a call, and record its response."""
    tracker.record_request(reply.sent_at)
    tracker.record_response(reply)
