"""The circuit breaker: when the workspace is away, rows wait and lose no attempt.

Closed, it counts faults of the workspace in a row. Open, it lets one row at a time through as a probe, with growing
pauses; the first answer closes it and all go on at once. After `patience` the run gives up.
"""

import asyncio
from collections.abc import Callable

from rolecall.engine.clock import Clock
from rolecall.models import OutageStatus

THRESHOLD = 5
"""Faults in a row that make an outage."""
MAX_PAUSE = 15.0
"""Seconds between probes at which doubling ends."""


class CircuitBreaker:
    """Open while the workspace is away."""

    def __init__(
        self,
        clock: Clock,
        patience: float,
        *,
        first_pause: float = 0.5,
        on_open: Callable[[], None],
        on_close: Callable[[float], None],
        on_give_up: Callable[[], None],
    ) -> None:
        """Take the callbacks: outage begins, outage ended after so many seconds, patience is over.

        `first_pause`: seconds before the first probe, doubled each time.
        """
        self._clock = clock
        self._patience = patience
        self._on_open, self._on_close, self._on_give_up = on_open, on_close, on_give_up
        self._in_a_row = 0
        self._rows: set[int] = set()
        self._opened_at: float | None = None
        self._first_pause = self._pause = first_pause
        self._probe_at = 0.0
        self._probe = asyncio.Lock()
        self._closed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """True during an outage."""
        return self._opened_at is not None

    def outage(self, now: float) -> OutageStatus | None:
        """Tell of the outage, for those who show it; None where there is none."""
        if self._opened_at is None:
            return None
        away = now - self._opened_at
        return OutageStatus(away, max(0.0, self._probe_at - now), max(0.0, self._patience - away))

    async def admit(self) -> bool:
        """Return when a call may leave; True when it is a probe, of which there is one at a time."""
        if self._opened_at is None:
            return False
        await self._probe.acquire()
        self._probe_at = self._clock.now() + self._pause
        try:
            async with asyncio.timeout(self._pause):
                await self._closed.wait()
        except TimeoutError:
            return True
        except BaseException:
            self._probe.release()
            raise
        self._probe.release()
        return False

    def withdraw(self, *, probing: bool) -> None:
        """Note that an admitted call did not leave."""
        if probing:
            self._probe.release()

    def answered(self, *, probing: bool) -> None:
        """Note that the workspace itself has answered, whatever it said."""
        self._in_a_row = 0
        self._rows.clear()
        if probing:
            self._probe.release()
        if self._opened_at is not None:
            away = self._clock.now() - self._opened_at
            self._opened_at = None
            self._closed.set()
            self._on_close(away)

    def failed(self, key: int, *, reached: bool, probing: bool) -> None:
        """Note a fault of the workspace for one row; `reached` when something took the request.

        One row's faults alone make an outage only where nothing was reached: else the row may be the trouble.
        """
        self._in_a_row += 1
        if len(self._rows) < THRESHOLD:
            self._rows.add(key)
        if probing:
            self._pause = min(self._pause * 2, MAX_PAUSE)
            self._probe.release()
        if self._opened_at is None:
            if self._in_a_row >= THRESHOLD and (len(self._rows) > 1 or not reached):
                self._opened_at = self._clock.now()
                self._pause = self._first_pause
                self._closed.clear()
                self._on_open()
        elif self._clock.now() - self._opened_at >= self._patience:
            self._on_give_up()
