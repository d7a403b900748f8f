"""The circuit breaker: while the workspace is unreachable, rows wait and lose no attempt.

Closed, it counts faults of the workspace in a row. Open, it admits one call at a time as a probe, with growing pauses;
the first response closes it and all calls go on at once. After `max_outage` the observer is notified to give up.
"""

import asyncio

from rolecall.engine.clock import Clock
from rolecall.engine.throttle.observer import AdmissionObserver
from rolecall.models import OutageStatus

THRESHOLD = 5
"""Faults in a row that make an outage."""
MAX_PAUSE = 15.0
"""Seconds between probes at which doubling ends."""


class CircuitBreaker:
    """Open while the workspace is unreachable.

    `max_outage`: seconds after which it gives up. `first_pause`: seconds before the first probe, doubled each time.
    """

    def __init__(
        self, clock: Clock, observer: AdmissionObserver, *, max_outage: float, first_pause: float = 0.5
    ) -> None:
        self._clock = clock
        self._observer = observer
        self._max_outage = max_outage
        self._failures = 0
        self._requests: set[object] = set()
        self._opened_at: float | None = None
        self._first_pause = self._pause = first_pause
        self._probe_at = 0.0
        self._probe = asyncio.Lock()
        self._closed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """True during an outage."""
        return self._opened_at is not None

    def status(self, now: float) -> OutageStatus | None:
        """Return the outage for displays; None where there is none."""
        if self._opened_at is None:
            return None
        elapsed = now - self._opened_at
        return OutageStatus(elapsed, max(0.0, self._probe_at - now), max(0.0, self._max_outage - elapsed))

    async def acquire(self) -> bool:
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

    def cancel(self, *, probing: bool) -> None:
        """Record that an admitted call did not leave."""
        if probing:
            self._probe.release()

    def record_success(self, *, probing: bool) -> None:
        """Record that the workspace itself responded, with success or with a refusal."""
        self._failures = 0
        self._requests.clear()
        if probing:
            self._probe.release()
        if self._opened_at is not None:
            elapsed = self._clock.now() - self._opened_at
            self._opened_at = None
            self._closed.set()
            self._observer.outage_ended(elapsed)

    def record_failure(self, request: object, *, reached: bool, probing: bool) -> None:
        """Record a fault of the workspace; `reached`: something accepted the request.

        `request` is the same for each attempt of one request. Faults of one request alone make an outage only where
        nothing was reached: else that request may be the cause.
        """
        self._failures += 1
        if len(self._requests) < THRESHOLD:
            self._requests.add(request)
        if probing:
            self._pause = min(self._pause * 2, MAX_PAUSE)
            self._probe.release()
        if self._opened_at is None:
            if self._failures >= THRESHOLD and (len(self._requests) > 1 or not reached):
                self._opened_at = self._clock.now()
                self._pause = self._first_pause
                self._closed.clear()
                self._observer.outage_started()
        elif self._clock.now() - self._opened_at >= self._max_outage:
            self._observer.gave_up()
