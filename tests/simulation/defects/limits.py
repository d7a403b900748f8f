"""Defects of the limits: window, rate, concurrency."""

from rolecall.engine import dispatcher
from rolecall.engine.throttle import server_window
from rolecall.engine.throttle.adaptive_concurrency import AdaptiveConcurrencyLimiter, Places
from rolecall.engine.throttle.admission import RouteAdmission
from rolecall.engine.throttle.rate_limiter import PacedRateLimiter
from rolecall.engine.throttle.server_clock import ServerClock
from rolecall.engine.throttle.server_window import FixedWindowTracker
from rolecall.engine.throttle.window_signs import Exemption
from tests.simulation.defects.registry import Replacement, defect
from tests.unit.engine.virtual import EPOCH


@defect
def _window_cleared() -> list[Replacement]:
    """Clear the window on an answer without headers."""
    return [(server_window, "_shows_no_limit", lambda reply, *, is_first: "X-RateLimit-Limit" not in reply.headers)]


@defect
def _window_by_the_local_clock() -> list[Replacement]:
    """End a window by the local clock."""
    return [(ServerClock, "to_local", lambda self, server_time, now: server_time - EPOCH)]


@defect
def _calls_in_flight_not_counted() -> list[Replacement]:
    """Forget the calls in flight in the server's window."""
    right = FixedWindowTracker.opens_at

    def opens_at(self: FixedWindowTracker, now: float) -> float:
        in_flight, self._in_flight = self._in_flight, 0
        try:
            return right(self, now)
        finally:
            self._in_flight = in_flight

    return [(FixedWindowTracker, "opens_at", opens_at)]


@defect
def _every_account_exempt() -> list[Replacement]:
    """Take every account as exempt from the server's limit."""
    right = Exemption.__init__

    def create(self: Exemption, *, is_possible: bool = False) -> None:
        right(self, is_possible=is_possible)
        self.is_proven = True

    return [(Exemption, "__init__", create), (Exemption, "record_refusal", lambda self: None)]


@defect
def _rate_not_kept() -> list[Replacement]:
    """Make up for every slot of the own rate that passed."""

    def assign_slot(self: PacedRateLimiter, now: float) -> float:
        self._reserved -= 1
        self._next = self._next if self._next > 0 else now
        slot = self._next
        self._next = slot + self._interval
        return slot

    def reserve(self: PacedRateLimiter, now: float) -> None:
        self._reserved += 1

    return [(PacedRateLimiter, "assign_slot", assign_slot), (PacedRateLimiter, "reserve", reserve)]


@defect
def _too_slow() -> list[Replacement]:
    """Send at half the own rate."""
    right = PacedRateLimiter.__init__

    def create(self: PacedRateLimiter, per_second: float | None) -> None:
        right(self, None if per_second is None else per_second / 2)

    return [(PacedRateLimiter, "__init__", create)]


@defect
def _stale_intents() -> list[Replacement]:
    """Send a prepared call however long it has waited."""

    async def acquire_within(self: Places, seconds: float) -> bool:
        await self.acquire()
        return True

    return [(Places, "acquire_within", acquire_within)]


@defect
def _intents_before_a_pause() -> list[Replacement]:
    """Write intents ahead although the server demands a pause."""

    def is_open(self: RouteAdmission) -> bool:
        return True

    return [(RouteAdmission, "_is_open", is_open)]


@defect
def _concurrency_not_kept() -> list[Replacement]:
    """Start one worker too many, each with a call in flight."""
    right = AdaptiveConcurrencyLimiter.__init__

    def create(self: AdaptiveConcurrencyLimiter, maximum: int) -> None:
        right(self, maximum + 1)

    def range_of(number: int) -> range:
        return range(number + 1)

    return [(AdaptiveConcurrencyLimiter, "__init__", create), (dispatcher, "range", range_of)]
