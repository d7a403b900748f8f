"""Admission control: the one place that decides whether the next call may leave, and if not, why and until when.

A call passes four limits in this order: concurrency, circuit breaker, the server's window of its route, rate. Where
nothing but the concurrency limits it, it is prepared ahead, while others are in flight: so none waits for the disk.
Changing and reading calls each have a rate, a concurrency limit, a breaker and a retry budget of their own, and share
the learnt rate of a hidden limiter; routes have a server window each. One controller serves one workspace; several
runs may share it.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from enum import Enum, auto
from types import MappingProxyType
from typing import NamedTuple, Self

from rolecall.engine.clock import Clock
from rolecall.engine.settings import Settings
from rolecall.engine.throttle.adaptive_concurrency import AdaptiveConcurrencyLimiter
from rolecall.engine.throttle.circuit_breaker import CircuitBreaker
from rolecall.engine.throttle.observer import AdmissionObserver, ObserverGroup
from rolecall.engine.throttle.rate_limiter import LearntRate, PacedRateLimiter
from rolecall.engine.throttle.rate_slots import RateSlots
from rolecall.engine.throttle.retry import RetryBudget
from rolecall.engine.throttle.route_limiter import MAX_AHEAD, Prepare, RouteLimiter, Withdraw, do_nothing
from rolecall.engine.throttle.route_schedule import Delay, RouteSchedule
from rolecall.engine.throttle.window_signs import Exemption
from rolecall.models import NoReply, OutageStatus, RateLimitPause, RateLimitStatus, Reply
from rolecall.rocketchat.error_table import Action, ErrorScope
from rolecall.rocketchat.response_classifier import CallResult


class CallKind(Enum):
    """Calls of a kind share a rate, a concurrency limit, a circuit breaker and a retry budget."""

    CHANGE = auto()
    READ = auto()


class AdmissionStatus(NamedTuple):
    """Whether the next call of a route may leave at this moment, and what it waits for."""

    pause: RateLimitPause | None
    allowance: RateLimitStatus | None
    outage: OutageStatus | None
    calls: int
    """Calls that have left, in all."""
    in_flight: int
    """Calls that wait for their responses."""
    overloaded_to: int | None
    """Calls that may be in flight, where that is less than configured."""


class CallLimits(NamedTuple):
    """The limits that all calls of one kind share."""

    clock: Clock
    max_outage: float
    """Seconds without a good response, after which the observers are notified to give up."""
    observers: ObserverGroup
    rate: RateSlots
    learnt: LearntRate
    """The rate of a hidden limiter; calls of all kinds share it."""
    exemption: Exemption
    concurrency: AdaptiveConcurrencyLimiter
    breaker: CircuitBreaker
    retry_budget: RetryBudget

    @classmethod
    def build(
        cls, settings: Settings, clock: Clock, learnt: LearntRate, exemption: Exemption, rate: RateSlots | None = None
    ) -> Self:
        """Build the limits of the settings; without `rate` the process paces its calls by itself."""
        observers = ObserverGroup()
        return cls(
            clock=clock,
            max_outage=settings.outage_timeout,
            observers=observers,
            rate=rate or PacedRateLimiter(settings.rate),
            learnt=learnt,
            exemption=exemption,
            concurrency=AdaptiveConcurrencyLimiter(settings.concurrency),
            breaker=CircuitBreaker(
                clock, observers, max_outage=settings.outage_timeout, first_pause=settings.retry_backoff
            ),
            retry_budget=RetryBudget(clock),
        )

    def route_limiter(self, *, limits_rows: bool) -> RouteLimiter:
        """Build the limiter of one route; `limits_rows`: observers get its server limit with each delay."""

        def on_delay(delay: Delay) -> None:
            self.observers.delayed(delay, limiter.status(self.clock.now()) if limits_rows else None)

        schedule = RouteSchedule(
            self.rate, self.learnt, max_wait=self.max_outage, exemption=self.exemption, own_offset=self.clock.offset
        )
        limiter = RouteLimiter(schedule, self.clock, on_delay)
        self.exemption.on_news(limiter.look_anew)
        self.rate.add_queue(limiter)
        return limiter


class RouteAdmission:
    """Admits the calls of one route. Each `acquire` is followed by one `record_response` or `cancel`."""

    def __init__(self, limits: CallLimits, limiter: RouteLimiter) -> None:
        self._limits = limits
        self._concurrency = limits.concurrency
        self._breaker = limits.breaker
        self._limiter = limiter
        self._refused_since: float | None = None

    @property
    def in_outage(self) -> bool:
        """True while the workspace is unreachable."""
        return self._breaker.is_open

    @property
    def retry_budget(self) -> RetryBudget:
        """The budget that retries of this route's calls share with all of their kind."""
        return self._limits.retry_budget

    async def acquire(self, prepare: Prepare | None = None, withdraw: Withdraw = do_nothing) -> bool:
        """Return when a call may leave; True when it is a probe.

        `prepare` prepares the call. It is awaited when all but its slot of the own rate has come; or ahead, while no
        more than the concurrency limits the route. `withdraw` takes that back where the call must wait after all.
        """
        rows, calls = self._concurrency.rows, self._concurrency.calls
        await rows.acquire()
        try:
            if prepare is not None and self._is_open():
                prepare = await self._prepare_ahead(prepare, withdraw)
            else:
                await calls.acquire()
        except BaseException:
            rows.release()
            raise
        probing = False
        try:
            if self._breaker.is_open:
                probing = await self._breaker.acquire()
            await self._limiter.acquire(prepare, withdraw)
        except BaseException:
            self._breaker.cancel(probing=probing)
            self._release()
            raise
        return probing

    async def _prepare_ahead(self, prepare: Prepare, withdraw: Withdraw) -> Prepare | None:
        """Prepare a call, return when it may be in flight, and return what must still be done to prepare it."""
        await prepare()
        if not await self._concurrency.calls.acquire_within(MAX_AHEAD):
            withdraw()
            await self._concurrency.calls.acquire()
        elif self._is_open():
            return None
        else:
            withdraw()
        return prepare

    def _is_open(self) -> bool:
        """Return whether nothing but the concurrency limits this route now."""
        return not self._breaker.is_open and self._limiter.is_open()

    def _release(self) -> None:
        self._concurrency.calls.release()
        self._concurrency.rows.release()

    def cancel(self, *, probing: bool) -> None:
        """Record that an admitted call did not leave, or was cancelled before its response."""
        self._limiter.cancel()
        self._breaker.cancel(probing=probing)
        self._release()

    def record_response(self, request: object, reply: Reply | NoReply, result: CallResult, *, probing: bool) -> None:
        """Record the end of a call in each limit; `request` is the same for each attempt of one request."""
        rule = result.rule
        refused = rule.action is Action.BACK_OFF
        self._limiter.record_response(reply, refused=refused)
        if rule.scope is ErrorScope.WORKSPACE:
            self._breaker.record_failure(request, reached=rule.maybe_done, probing=probing)
        else:
            self._breaker.record_success(probing=probing)
        if rule.action is Action.RETRY and self._concurrency.decrease(self._limits.clock.now()):
            self._limits.observers.overloaded(self._concurrency.allowed)
        if refused or rule.action is Action.RETRY:
            self._give_up_if_too_long()
        else:
            self._concurrency.increase()
            self._refused_since = None
        self._release()

    def confirm_reachable(self) -> None:
        """Record that the workspace responds on another route: the request was the cause, not an outage."""
        self._breaker.record_success(probing=False)

    def status(self, now: float) -> AdmissionStatus:
        """Return the state of this route for displays; changes nothing."""
        allowed = self._concurrency.allowed
        return AdmissionStatus(
            pause=self._limiter.pause(now),
            allowance=self._limiter.status(now),
            outage=self._breaker.status(now),
            calls=self._limiter.calls,
            in_flight=self._limiter.in_flight,
            overloaded_to=allowed if allowed < self._concurrency.maximum else None,
        )

    def _give_up_if_too_long(self) -> None:
        now = self._limits.clock.now()
        if self._refused_since is None:
            self._refused_since = now
        elif now - self._refused_since >= self._limits.max_outage:
            self._limits.observers.gave_up()


class AdmissionController:
    """The admission of all calls to one workspace. Built once; runs are given it."""

    def __init__(self, changes: CallLimits, reads: CallLimits) -> None:
        self._limits = {CallKind.CHANGE: changes, CallKind.READ: reads}
        self._routes: dict[tuple[CallKind, str], RouteAdmission] = {}
        self._side_limiters: dict[str, RouteLimiter] = {}

    @classmethod
    def build(
        cls,
        settings: Settings,
        clock: Clock,
        *,
        may_be_exempt: bool = False,
        rates: Mapping[CallKind, RateSlots] = MappingProxyType({}),
    ) -> Self:
        """Build the controller of the settings; `rates`: the own rates that other processes share.

        `may_be_exempt`: the account's roles have the permission `api-bypass-rate-limit`, so that one call may find out
        whether the server enforces its limit.
        """
        learnt = LearntRate(None if settings.rate is None else len(CallKind) * settings.rate)
        exemption = Exemption(is_possible=may_be_exempt)
        return cls(
            changes=CallLimits.build(settings, clock, learnt, exemption, rates.get(CallKind.CHANGE)),
            reads=CallLimits.build(settings, clock, learnt, exemption, rates.get(CallKind.READ)),
        )

    def observed_by(self, observer: AdmissionObserver, kind: CallKind) -> AbstractContextManager[None]:
        """Notify an observer of what happens to calls of this kind, while the block runs."""
        return self._limits[kind].observers.observed_by(observer)

    def route(self, path: str, kind: CallKind) -> RouteAdmission:
        """Return the admission of one route, always the same object."""
        route = self._routes.get((kind, path))
        if route is None:
            limits = self._limits[kind]
            limiter = limits.route_limiter(limits_rows=kind is CallKind.CHANGE)
            route = self._routes[kind, path] = RouteAdmission(limits, limiter)
        return route

    def side_limiter(self, path: str) -> RouteLimiter:
        """Return the limiter of a read that a changing call needs at once, always the same object.

        Such a read takes a slot of the changing calls' rate and keeps to the window of its own route. It may fail
        without harm, so it neither waits for an outage to end nor counts as a sign of one.
        """
        limiter = self._side_limiters.get(path)
        if limiter is None:
            limiter = self._side_limiters[path] = self._limits[CallKind.CHANGE].route_limiter(limits_rows=False)
        return limiter

    def status(self, path: str) -> AdmissionStatus:
        """Return the state of a route of changing calls for displays; changes nothing."""
        now = self._limits[CallKind.CHANGE].clock.now()
        status = self.route(path, CallKind.CHANGE).status(now)
        if status.pause is None and not status.in_flight:
            # Rows may all wait for the window of a side route before they come to this one again.
            pauses = [pause for limiter in self._side_limiters.values() if (pause := limiter.pause(now)) is not None]
            return status._replace(pause=max(pauses, default=None))
        return status
