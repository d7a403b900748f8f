"""Reading calls, with the same care as the changes: each route paced by its own window, retried, outages waited out.

A reading call changes nothing, so it has no intent and no doubt: it is asked again as often as its attempts allow.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from itertools import count
from typing import Any, TypeVar

from rolecall.engine.clock import Clock
from rolecall.engine.events import EngineEvents
from rolecall.engine.settings import Settings
from rolecall.engine.stop_reasons import StopReason
from rolecall.engine.stop_signal import StopSignal
from rolecall.engine.throttle.adaptive_concurrency import AdaptiveConcurrencyLimiter
from rolecall.engine.throttle.admission import AdmissionController
from rolecall.engine.throttle.circuit_breaker import CircuitBreaker
from rolecall.engine.throttle.rate_limiter import PacedRateLimiter
from rolecall.engine.throttle.retry import RetryBudget, retry
from rolecall.engine.throttle.route_limiter import RouteLimiter
from rolecall.engine.throttle.route_schedule import RouteSchedule
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.error_table import FORBIDDEN, Action, ErrorScope
from rolecall.rocketchat.preflight import ME, is_authenticated, is_rocketchat_response
from rolecall.rocketchat.response_classifier import CallResult, ReadResult, classify_read

T = TypeVar("T")

PAGE_SIZE = 100
"""Entries asked for at once: what a workspace allows unless its administrator says otherwise."""


class ReadStopped(Exception):  # noqa: N818 - control flow, not an error
    """The reading ended before its end; the stop that it was given says why."""


class ReadClient:
    """Reads from one workspace; one for a command, shared by its tasks."""

    def __init__(
        self, client: Client, settings: Settings, *, stop: StopSignal, clock: Clock, events: EngineEvents
    ) -> None:
        self._client = client
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._events = events
        self._rate = PacedRateLimiter(settings.rate)
        self._concurrency = AdaptiveConcurrencyLimiter(settings.concurrency)
        self._budget = RetryBudget(clock)
        self._breaker = CircuitBreaker(
            clock,
            settings.outage_timeout,
            first_pause=settings.retry_backoff,
            on_open=events.outage,
            on_close=events.recovered,
            on_give_up=self._give_up,
        )
        self._gates: dict[str, AdmissionController] = {}
        self._calls = count()

    async def read(self, path: str, **query: str) -> ReadResult:
        """Read one thing; the verdict says why where there is no body. Raises Stopped."""
        number = next(self._calls)
        read = await self._attempt(number, path, query)

        async def again() -> CallResult:
            nonlocal read
            read = await self._attempt(number, path, query)
            return read.verdict

        if read.verdict.rule.action is Action.RETRY:
            await retry(
                read.verdict,
                again,
                most=self._settings.max_attempts,
                backoff=self._settings.retry_backoff,
                budget=self._budget,
                on_retry=lambda verdict, seconds: self._events.reading_again(path, verdict, seconds),
            )
        if read.verdict.rule.action is Action.FINISH:
            self._budget.good_answer()
        return read

    async def entries(self, path: str, key: str, **query: str) -> AsyncIterator[dict[str, object] | CallResult]:
        """Read a paged list, the array `key` of each answer, entry by entry; a Verdict is the last where it broke off.

        A list that has become shorter is read again from so much before: entries have moved up, some of them to a page
        that was read already. So an entry may come twice.
        """
        offset, total = 0, 1
        while offset < total:
            read = await self.read(path, **query, offset=str(offset), count=str(PAGE_SIZE))
            if read.body is None:
                yield read.verdict
                return
            gone = total - told if offset and isinstance(told := read.body.get("total"), int) else 0
            if gone > 0:
                offset, total = max(0, offset - gone), total - gone
                continue
            page = read.body.get(key)
            found = [entry for entry in page if isinstance(entry, dict)] if isinstance(page, list) else []
            if not found:
                return
            for entry in found:
                yield entry
            offset += len(found)
            told = read.body.get("total")
            total = told if isinstance(told, int) else offset

    async def _attempt(self, number: int, path: str, query: dict[str, str]) -> ReadResult:
        """Make one attempt that counts: 'too many requests' and faults of a workspace that is away do not.

        `number`: of the thing that is read, the same for each of its attempts.
        """
        gate = self._gate(path)
        while True:
            if self._stop.reason is not None:
                raise ReadStopped
            probing = await gate.enter()
            try:
                reply = await self._client.get_listing(path, **query)
            except BaseException:
                gate.withdraw(probing=probing)
                raise
            read = classify_read(reply)
            meaning = read.verdict.rule
            gate.leave(number, reply, read.verdict, probing=probing)
            if probing and meaning.scope is ErrorScope.WORKSPACE and is_rocketchat_response(await self._client.get(ME)):
                gate.confirm_reachable()  # it is this listing that is sick: too long, or too slow for a proxy
            if meaning.action is Action.STOP:
                return await self._without_permission(read)
            if meaning.action is not Action.BACK_OFF and not (gate.outage and meaning.scope is ErrorScope.WORKSPACE):
                return read

    async def _without_permission(self, read: ReadResult) -> ReadResult:
        """Tell a missing permission, which 8.x also says with a 401, from credentials that are not accepted."""
        if is_authenticated(await self._client.get(ME)):
            return read._replace(verdict=read.verdict._replace(rule=FORBIDDEN))
        self._stop.ask(StopReason.CREDENTIALS, read.verdict.message)
        raise ReadStopped

    def _give_up(self) -> None:
        self._stop.ask(StopReason.OUTAGE)

    def _gate(self, path: str) -> AdmissionController:
        """Give the gate of a route: its window is its own, everything else is shared."""
        gate = self._gates.get(path)
        if gate is None:
            patience = self._settings.outage_timeout
            gate = self._gates[path] = AdmissionController(
                self._concurrency,
                self._breaker,
                RouteLimiter(RouteSchedule(self._rate, patience=patience), self._clock, self._events.held),
                self._clock,
                patience=patience,
                on_give_up=self._give_up,
                on_overload=self._events.overloaded,
            )
        return gate


async def run_until_stopped(work: Coroutine[Any, Any, T], stop: StopSignal) -> T:
    """Await the work; raises Stopped as soon as the end is asked for, whatever the work is waiting for."""
    task, asked = asyncio.ensure_future(work), asyncio.create_task(stop.asked())
    try:
        await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ReadStopped
        return task.result()
    finally:
        asked.cancel()
        task.cancel()
        await asyncio.gather(asked, task, return_exceptions=True)
