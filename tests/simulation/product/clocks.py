"""The clocks of the process, replaced before any other module of a simulation is imported.

Many modules have a clock under a name of their own, such as a default argument: afterwards it is too late.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EPOCH = 1_780_000_000.0
"""Seconds since the epoch at the start of each simulation."""

_real_time, _real_monotonic = time.time, time.monotonic
_virtual: list[Callable[[], float]] = []
"""The clock of the simulation that is played: the seconds since its start. Empty where none is."""


def replace_clocks() -> None:
    """Let `time.time` and `time.monotonic` return virtual time, as long as one is set."""
    time.time, time.monotonic = _time, _monotonic


@contextmanager
def virtual_time(now: Callable[[], float]) -> Iterator[None]:
    """Set the virtual time for the block; `now` returns the seconds since the start of the simulation."""
    _virtual.append(now)
    try:
        yield
    finally:
        _virtual.remove(now)


def _time() -> float:
    return EPOCH + _virtual[-1]() if _virtual else _real_time()


def _monotonic() -> float:
    return _virtual[-1]() if _virtual else _real_monotonic()
