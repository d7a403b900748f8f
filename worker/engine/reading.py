"""Reading calls, with the same care as the changes: each route paced by its own window, retried, outages waited out.

A reading call changes nothing, so it has no intent and no doubt: it is asked again as often as its attempts allow.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from itertools import count
from typing import Any, TypeVar

from worker.engine.attempts import RetryBudget, try_again
from worker.engine.breaker import Breaker
from worker.engine.clock import Clock
from worker.engine.concurrency import Concurrency
from worker.engine.events import Events
from worker.engine.gate import Gate
from worker.engine.pacing import Pacing
from worker.engine.rate import EvenRate
from worker.engine.reasons import StopReason
from worker.engine.settings import Settings
from worker.engine.stop import Stop
from worker.engine.turnstile import Turnstile
from worker.workspace.answers import Reading, Verdict, classify_reading
from worker.workspace.client import Client
from worker.workspace.meanings import FORBIDDEN, Scope, Then
from worker.workspace.preflight import ME, is_rocket_chat, knows_us

T = TypeVar("T")

PAGE = 100
"""Entries asked for at once: what a workspace allows unless its administrator says otherwise."""


class Stopped(Exception):
    """The reading ended before its end; the stop that it was given says why."""


class Reader:
    """Reads from one workspace; one for a command, shared by its tasks."""

    def __init__(self, client: Client, settings: Settings, *, stop: Stop, clock: Clock, events: Events) -> None:
        self._client = client
        self._settings = settings
        self._stop = stop
        self._clock = clock
        self._events = events
        self._rate = EvenRate(settings.rate)
        self._concurrency = Concurrency(settings.concurrency)
        self._budget = RetryBudget(clock)
        self._breaker = Breaker(
            clock,
            settings.outage_patience,
            first_pause=settings.backoff,
            on_open=events.outage,
            on_close=events.recovered,
            on_give_up=self._give_up,
        )
        self._gates: dict[str, Gate] = {}
        self._calls = count()

    async def read(self, path: str, **query: str) -> Reading:
        """Read one thing; the verdict says why where there is no body. Raises Stopped."""
        number = next(self._calls)
        read = await self._attempt(number, path, query)

        async def again() -> Verdict:
            nonlocal read
            read = await self._attempt(number, path, query)
            return read.verdict

        if read.verdict.meaning.then is Then.RETRY:
            await try_again(
                read.verdict,
                again,
                most=self._settings.attempts,
                backoff=self._settings.backoff,
                budget=self._budget,
                on_retry=lambda verdict, seconds: self._events.reading_again(path, verdict, seconds),
            )
        if read.verdict.meaning.then is Then.SETTLE:
            self._budget.good_answer()
        return read

    async def entries(self, path: str, key: str, **query: str) -> AsyncIterator[dict[str, object] | Verdict]:
        """Read a paged list, the array `key` of each answer, entry by entry; a Verdict is the last where it broke off.

        A list that has become shorter is read again from so much before: entries have moved up, some of them to a page
        that was read already. So an entry may come twice.
        """
        offset, total = 0, 1
        while offset < total:
            read = await self.read(path, **query, offset=str(offset), count=str(PAGE))
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

    async def _attempt(self, number: int, path: str, query: dict[str, str]) -> Reading:
        """Make one attempt that counts: 'too many requests' and faults of a workspace that is away do not.

        `number`: of the thing that is read, the same for each of its attempts.
        """
        gate = self._gate(path)
        while True:
            if self._stop.reason is not None:
                raise Stopped
            probing = await gate.enter()
            try:
                reply = await self._client.get_listing(path, **query)
            except BaseException:
                gate.withdraw(probing=probing)
                raise
            read = classify_reading(reply)
            meaning = read.verdict.meaning
            gate.leave(number, reply, read.verdict, probing=probing)
            if probing and meaning.scope is Scope.WORKSPACE and is_rocket_chat(await self._client.get(ME)):
                gate.workspace_is_there()  # it is this listing that is sick: too long, or too slow for a proxy
            if meaning.then is Then.STOP:
                return await self._without_permission(read)
            if meaning.then is not Then.HOLD and not (gate.outage and meaning.scope is Scope.WORKSPACE):
                return read

    async def _without_permission(self, read: Reading) -> Reading:
        """Tell a missing permission, which 8.x also says with a 401, from credentials that are not accepted."""
        if knows_us(await self._client.get(ME)):
            return read._replace(verdict=read.verdict._replace(meaning=FORBIDDEN))
        self._stop.ask(StopReason.CREDENTIALS, read.verdict.message)
        raise Stopped

    def _give_up(self) -> None:
        self._stop.ask(StopReason.OUTAGE)

    def _gate(self, path: str) -> Gate:
        """Give the gate of a route: its window is its own, everything else is shared."""
        gate = self._gates.get(path)
        if gate is None:
            patience = self._settings.outage_patience
            gate = self._gates[path] = Gate(
                self._concurrency,
                self._breaker,
                Turnstile(Pacing(self._rate, patience=patience), self._clock, self._events.held),
                self._clock,
                patience=patience,
                on_give_up=self._give_up,
                on_overload=self._events.overloaded,
            )
        return gate


async def until_stopped(work: Coroutine[Any, Any, T], stop: Stop) -> T:
    """Await the work; raises Stopped as soon as the end is asked for, whatever the work is waiting for."""
    task, asked = asyncio.ensure_future(work), asyncio.create_task(stop.asked())
    try:
        await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Stopped
        return task.result()
    finally:
        asked.cancel()
        task.cancel()
        await asyncio.gather(asked, task, return_exceptions=True)
