"""The run's own rate: calls spread evenly, without a burst above it."""

import re

HEADROOM = 1.003
"""Slots lie this much further apart than asked, so that timers that fire late by some milliseconds cannot put one
call too many into a second."""
LATENESS = 0.010
"""Seconds by which a call may leave after its slot without moving the later slots; event loops wake up late."""


class BadRate(ValueError):
    """The text is not a rate; the message is one line for a person."""


def parse_rate(text: str) -> float | None:
    """Read `10/s`, `600/m`, `3600/h` or `unlimited` as calls a second; None is unlimited. Raises BadRate."""
    if text.strip().lower() == "unlimited":
        return None
    found = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*/\s*(s|m|h)\s*", text, re.IGNORECASE)
    rate = float(found[1]) / {"s": 1, "m": 60, "h": 3600}[found[2].lower()] if found else 0.0
    if rate <= 0:
        raise BadRate(f"{text!r} is not a rate: write 10/s, 600/m, 3600/h or unlimited")
    return rate


class EvenRate:
    """Next-slot pacing: each call has its slot, one interval after the slot before; idle time is not saved up.

    A token bucket would let twice the limit through in its first window, and so break a fixed-window server.
    """

    def __init__(self, per_second: float | None) -> None:
        self._interval = 0.0 if per_second is None else HEADROOM / per_second
        self._next = float("-inf")

    def slot(self) -> float:
        """Tell when the next call may leave."""
        return self._next

    def take(self, now: float) -> None:
        """Note that a call leaves now, in the next slot."""
        in_time = now - self._next <= LATENESS
        self._next = (self._next if in_time else now) + self._interval
