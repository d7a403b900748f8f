"""The attempt loop of all calls: admission, sending, classification, retries."""

import asyncio
import math
from typing import Protocol

from rolecall.engine.context import RunContext
from rolecall.engine.route_health import RouteHealth, pause_before_retry
from rolecall.engine.throttle.admission import RouteAdmission
from rolecall.engine.throttle.retry import RetryPolicy, retry
from rolecall.engine.throttle.route_limiter import Prepare
from rolecall.models import NoReply, Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.error_table import TOO_MANY_REQUESTS, Action, ErrorScope
from rolecall.rocketchat.preflight import ME, is_rocketchat_response
from rolecall.rocketchat.rate_limit_headers import retry_after
from rolecall.rocketchat.response_classifier import CallResult


class Call(Protocol):
    """One request with all its attempts. An attempt runs prepare, send, record_response, then one of the last two."""

    @property
    def prepare(self) -> Prepare | None:
        """Prepare the next attempt, before it leaves; None where there is nothing to prepare."""

    def cancel_prepared(self) -> None:
        """Withdraw what `prepare` did, if it began and the request did not leave."""

    async def send(self) -> Reply | NoReply:
        """Send the request."""

    def record_response(self, reply: Reply | NoReply) -> CallResult:
        """Classify a response, record what it says about the request, and return the result."""

    @property
    def may_be_the_cause(self) -> bool:
        """True where a failed probe may be this request's fault, and no other request would show that."""

    def discard_attempt(self) -> None:
        """Record that the attempt does not count; another one follows."""

    async def complete_attempt(self, result: CallResult) -> CallResult:
        """Record an attempt that counts, and return its result, with a more exact meaning where that is possible."""

    def report_retry(self, result: CallResult, seconds: float) -> None:
        """Report that another attempt follows in so many seconds."""


class CallExecutor:
    """Makes the calls of one route in one run."""

    def __init__(
        self, route: RouteAdmission, client: Client, context: RunContext, *, max_refusals: float = math.inf
    ) -> None:
        """Create the executor of a route; `max_refusals`: 401 or 404 for one call that are final for this call."""
        self._route = route
        self._client = client
        self._clock = context.clock
        self._stop = context.stop
        self._observer = context.events
        self._max_outage = context.settings.outage_timeout
        self._health = RouteHealth(client, context.clock, context.credentials, max_refusals=max_refusals)
        self._policy = RetryPolicy(context.settings.max_attempts, context.settings.retry_backoff, route.retry_budget)

    async def execute(self, call: Call) -> CallResult:
        """Attempt a call until its result is final or no attempt is left. Raise ShutdownRequested."""
        result = await self._attempt(call)
        if result.rule.action is Action.RETRY:

            def on_retry(latest: CallResult, seconds: float) -> None:
                self._stop.raise_if_requested()
                call.report_retry(latest, seconds)

            result = await retry(result, lambda: self._attempt(call), self._policy, on_retry)
        if result.rule.action is Action.FINISH:
            self._route.retry_budget.refill_on_success()
        return result

    async def _attempt(self, call: Call) -> CallResult:
        """Make one attempt that counts. A 401 or 404 does not count unless it is true of every further call."""
        reply, result = await self._send(call)
        if result.rule.action is not Action.STOP:
            return result
        if self._health.has_accepted:
            return await self._repeat_refused(call, reply, result)
        async with self._health.one_at_a_time:
            return await self._repeat_refused(call, reply, result)

    async def _repeat_refused(self, call: Call, reply: Reply | NoReply, result: CallResult) -> CallResult:
        """Repeat a call that was refused with Action.STOP, until its refusal is final or it gets another response."""
        refusals, began_at = 0, self._clock.now()
        while result.rule.action is Action.STOP:
            self._stop.raise_if_requested()
            refusals += 1
            if await self._health.is_final(reply, result, refusals):
                return result
            if self._clock.now() - began_at >= self._max_outage:
                self._observer.gave_up()
                self._stop.raise_if_requested()
            call.discard_attempt()
            seconds = 0.0 if refusals == 1 and self._health.has_accepted else pause_before_retry(refusals)
            call.report_retry(result, seconds)
            await asyncio.sleep(seconds)
            reply, result = await self._send(call)
        return result

    async def _send(self, call: Call) -> tuple[Reply | NoReply, CallResult]:
        """Send a call until a response counts: 'too many requests' and faults during an outage do not."""
        route = self._route
        while True:
            self._stop.raise_if_requested()
            try:
                probing = await route.acquire(call.prepare, call.cancel_prepared)
            except BaseException:
                call.cancel_prepared()
                raise
            try:
                self._stop.raise_if_requested()  # since it was prepared, the run may have been stopped
                reply = await call.send()
            except BaseException:
                route.cancel(probing=probing)
                call.cancel_prepared()
                raise
            result = call.record_response(reply)
            self._health.record_response(reply, result)
            self._observer.record_long_wait(_long_wait(reply, self._max_outage))
            route.record_response(call, reply, result, probing=probing)
            is_fault = result.rule.scope is ErrorScope.WORKSPACE
            if is_fault and probing and call.may_be_the_cause and await self._is_reachable():
                route.confirm_reachable()
            if result.rule.action is not Action.BACK_OFF and not (is_fault and route.in_outage):
                return reply, await call.complete_attempt(result)
            call.discard_attempt()

    async def _is_reachable(self) -> bool:
        return is_rocketchat_response(await self._client.get(ME))


def _long_wait(reply: Reply | NoReply, max_wait: float) -> float | None:
    """Return the seconds of a `Retry-After` that is longer than `max_wait`; None for any other response."""
    if isinstance(reply, NoReply) or (reply.status < 500 and reply.status != TOO_MANY_REQUESTS):
        return None
    seconds = retry_after(reply)
    return seconds if seconds is not None and seconds > max_wait else None
