"""The simulated server: the sandbox's rules on a clock of its own, as several instances that can restart."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rolecall.sandbox import Fault, Limiter, World
from rolecall.sandbox.exchange import exchange
from rolecall.sandbox.request_handler import Request
from rolecall.sandbox.responses import Response
from rolecall.sandbox.wire_faults import http_date
from tests.unit.engine.virtual import EPOCH


@dataclass(frozen=True)
class ServerClock:
    """How the server's clock differs from true time."""

    skew: float = 0.0
    drift: float = 0.0
    """Seconds in a second."""
    date_skew: float = 0.0
    """Seconds by which the clock of `Date` is ahead of the server's own."""


@dataclass(frozen=True)
class LimiterSettings:
    """The rate limiter of each instance."""

    calls: int
    seconds: float


@dataclass
class Server:
    """One workspace. Times are those of the loop."""

    world: World
    limits: LimiterSettings | None
    instances: int
    clock: ServerClock
    is_down: bool = False
    idle_timeout: float = 5.0
    """Seconds after which an idle connection is closed; 5 is Node's."""
    balances_connections: bool = False
    """The balancer assigns connections to instances, and not each request anew."""
    refusing: set[int] = field(default_factory=set)
    """The instances that accept no token."""
    incarnation: int = 0
    """Counts the restarts: what was in flight before one is lost."""
    arrivals: int = 0
    """Requests of the worker that were handled, in all."""
    _limiters: Sequence[Limiter | None] = ()

    def __post_init__(self) -> None:
        self._start()

    def _start(self) -> None:
        limits = self.limits
        made = [None if limits is None else Limiter(limits.calls, limits.seconds) for _ in range(self.instances)]
        self._limiters = made

    def skew(self, now: float) -> float:
        """Return the server's clock minus true time, as seconds since the epoch minus the loop's time."""
        return EPOCH + self.clock.skew + self.clock.drift * (now - 1000.0)

    @property
    def date_skew(self) -> float:
        """Seconds by which the clock of `Date` is ahead."""
        return self.clock.date_skew

    def receive(
        self, request: Request, fault: Fault | None, now: float, *, connection: int = 0, is_worker: bool = False
    ) -> Response:
        """Handle a request that arrives now; `connection`: the number of its connection."""
        instance = (connection if self.balances_connections else self.arrivals) % self.instances
        limiter = self._limiters[instance]
        self.arrivals += is_worker
        if instance in self.refusing:
            request = request._replace(token="")
        skew = self.skew(now)
        return exchange(self.world, limiter, request, fault, now, skew)

    def use_window(self, route: str, address: str, calls: int, now: float) -> None:
        """Let another client with the same address call a route."""
        limiter = self._limiters[self.arrivals % self.instances]
        if limiter is not None:
            for _ in range(calls):
                limiter.acquire(address, route, now)

    def stop(self) -> None:
        """Stop: what is in flight is lost."""
        self.is_down, self.incarnation = True, self.incarnation + 1

    def restart(self, limits: LimiterSettings | None) -> None:
        """Start again, with new windows and perhaps other limits."""
        self.is_down, self.limits = False, limits
        self._start()

    def date_text(self, seconds: float) -> str:
        """Return epoch seconds in the format of the header `Date`."""
        return http_date(int(seconds))
