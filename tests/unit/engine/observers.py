"""Observers of the engine for tests."""

from rolecall.engine.throttle.observer import AdmissionObserver
from rolecall.engine.throttle.route_schedule import Delay
from rolecall.models import RateLimitStatus


class RecordingObserver(AdmissionObserver):
    """Records each event in a word, with the seconds of an outage that ended."""

    def __init__(self) -> None:
        self.events: list[str | float] = []
        self.delays: list[tuple[Delay, RateLimitStatus | None]] = []

    def outage_started(self) -> None:
        """Record it."""
        self.events.append("open")

    def outage_ended(self, seconds: float) -> None:
        """Record its seconds."""
        self.events.append(seconds)

    def overloaded(self, allowed: int) -> None:
        """Record the new limit."""
        self.events.append(f"overload {allowed}")

    def delayed(self, delay: Delay, allowance: RateLimitStatus | None) -> None:
        """Record it apart from the other events."""
        self.delays.append((delay, allowance))

    def gave_up(self) -> None:
        """Record it."""
        self.events.append("give up")
