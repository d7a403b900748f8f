"""The events of the engine: what it reports while it runs, and to whom."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rolecall.engine.throttle.route_schedule import Delay
from rolecall.models import DueRow, RateLimitStatus, RowOutcome
from rolecall.rocketchat.response_classifier import CallResult


class AdmissionObserver(Protocol):
    """Receives the events that concern every run of an admission controller."""

    def outage_started(self) -> None:
        """Receive that the circuit breaker opened: from now on only probes leave."""

    def outage_ended(self, seconds: float) -> None:
        """Receive that the workspace responds again, after so many seconds."""

    def overloaded(self, allowed: int) -> None:
        """Receive that the workspace shows overload; `allowed` calls may be in flight from now on."""

    def delayed(self, delay: Delay, allowance: RateLimitStatus | None) -> None:
        """Receive that calls wait for the server; `allowance` is the limit of their route where it limits the rows."""

    def gave_up(self) -> None:
        """Receive that no call succeeded for longer than the run waits."""


class EngineObserver(AdmissionObserver, Protocol):
    """Receives the events of one session as well."""

    def retrying(self, row: DueRow, result: CallResult, seconds: float) -> None:
        """Receive that a row is attempted again in so many seconds, because of this result."""

    def retrying_read(self, path: str, result: CallResult, seconds: float) -> None:
        """Receive that something is read again in so many seconds, because of this result."""

    def row_finished(self, row: DueRow, outcome: RowOutcome) -> None:
        """Receive the outcome of a row."""


class ObserverGroup(AdmissionObserver):
    """The observers of all runs that share a limiter; each event reaches each of them once."""

    def __init__(self) -> None:
        self._observers: list[AdmissionObserver] = []

    @contextmanager
    def observed_by(self, observer: AdmissionObserver) -> Iterator[None]:
        """Notify an observer while the block runs; blocks of one observer may overlap."""
        self._observers.append(observer)
        try:
            yield
        finally:
            self._observers.remove(observer)

    def outage_started(self) -> None:
        """Notify each observer that the circuit breaker opened."""
        for observer in self._each():
            observer.outage_started()

    def outage_ended(self, seconds: float) -> None:
        """Notify each observer that the workspace responds again."""
        for observer in self._each():
            observer.outage_ended(seconds)

    def overloaded(self, allowed: int) -> None:
        """Notify each observer of the new concurrency limit."""
        for observer in self._each():
            observer.overloaded(allowed)

    def delayed(self, delay: Delay, allowance: RateLimitStatus | None) -> None:
        """Notify each observer that calls wait for the server."""
        for observer in self._each():
            observer.delayed(delay, allowance)

    def gave_up(self) -> None:
        """Notify each observer that waiting for the workspace is over."""
        for observer in self._each():
            observer.gave_up()

    def _each(self) -> list[AdmissionObserver]:
        return list(dict.fromkeys(self._observers))
