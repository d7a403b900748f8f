"""What stands between a row and its call: concurrency, then the breaker, then the turn in time."""

from collections.abc import Callable
from typing import NamedTuple

from rolecall.engine.clock import Clock
from rolecall.engine.throttle.adaptive_concurrency import AdaptiveConcurrencyLimiter
from rolecall.engine.throttle.circuit_breaker import CircuitBreaker
from rolecall.engine.throttle.route_limiter import Prepare, RouteLimiter
from rolecall.models import NoReply, OutageStatus, RateLimitPause, RateLimitStatus, Reply
from rolecall.rocketchat.error_table import Action, ErrorScope
from rolecall.rocketchat.response_classifier import CallResult


class AdmissionStatus(NamedTuple):
    """What stands at the gate at one moment."""

    hold: RateLimitPause | None
    allowance: RateLimitStatus | None
    outage: OutageStatus | None
    calls: int
    """Calls that have left, in all."""
    under_way: int
    """Calls that await their answers."""
    overloaded_to: int | None
    """Calls that may be under way at once, where that is less than asked for."""


class AdmissionController:
    """Admits calls, and hands each answer to those who learn from it."""

    def __init__(
        self,
        concurrency: AdaptiveConcurrencyLimiter,
        breaker: CircuitBreaker,
        turnstile: RouteLimiter,
        clock: Clock,
        *,
        patience: float,
        on_give_up: Callable[[], None],
        on_overload: Callable[[int], None],
    ) -> None:
        """Take the parts.

        `on_give_up` is told after `patience` seconds without one good answer, `on_overload` what is allowed now.
        """
        self._concurrency = concurrency
        self._breaker = breaker
        self._turnstile = turnstile
        self._clock = clock
        self._patience = patience
        self._on_give_up = on_give_up
        self._on_overload = on_overload
        self._troubled_since: float | None = None

    @property
    def outage(self) -> bool:
        """True while the workspace is away."""
        return self._breaker.is_open

    def view(self, now: float) -> AdmissionStatus:
        """Tell how things stand, for those who show it; changes nothing."""
        turnstile, allowed = self._turnstile, self._concurrency.allowed
        return AdmissionStatus(
            turnstile.hold(now),
            turnstile.allowance(now),
            self._breaker.outage(now),
            turnstile.calls,
            turnstile.in_flight,
            allowed if allowed < self._concurrency.most else None,
        )

    def confirm_reachable(self) -> None:
        """Note that the workspace has answered elsewhere: the fault was the row's, not an outage."""
        self._breaker.answered(probing=False)

    async def enter(self, ready: Prepare | None = None) -> bool:
        """Return when a call may leave; True when it is a probe. `leave` or `withdraw` must follow.

        `ready` makes the call ready; it is awaited when all but its slot of the own rate has come.
        """
        await self._concurrency.enter()
        try:
            probing = await self._breaker.admit()
            try:
                await self._turnstile.enter(ready)
            except BaseException:
                self._breaker.withdraw(probing=probing)
                raise
        except BaseException:
            self._concurrency.leave()
            raise
        return probing

    def withdraw(self, *, probing: bool) -> None:
        """Note that an admitted call did not leave."""
        self._turnstile.withdraw()
        self._breaker.withdraw(probing=probing)
        self._concurrency.leave()

    def leave(self, key: int, reply: Reply | NoReply, verdict: CallResult, *, probing: bool) -> None:
        """Note a call's end, and what it said about the workspace."""
        meaning = verdict.rule
        refused = meaning.action is Action.BACK_OFF
        self._turnstile.answered(reply, refused=refused)
        if meaning.scope is ErrorScope.WORKSPACE:
            self._breaker.failed(key, reached=meaning.maybe_done, probing=probing)
        else:
            self._breaker.answered(probing=probing)
        if meaning.action is Action.RETRY:
            self._overloaded()
        elif not refused:
            self._concurrency.relaxed()
            self._troubled_since = None
        if refused or meaning.action is Action.RETRY:
            self._troubled()
        self._concurrency.leave()

    def _overloaded(self) -> None:
        if self._concurrency.overloaded(self._clock.now()):
            self._on_overload(self._concurrency.allowed)

    def _troubled(self) -> None:
        now = self._clock.now()
        if self._troubled_since is None:
            self._troubled_since = now
        elif now - self._troubled_since >= self._patience:
            self._on_give_up()
