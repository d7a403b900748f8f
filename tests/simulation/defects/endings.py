"""Defects of stopping, waiting and ending."""

import asyncio
from typing import Any

from rolecall.engine import dispatcher
from rolecall.engine.row_queue import RoomCache
from rolecall.engine.throttle import retry
from rolecall.engine.throttle.adaptive_concurrency import Places
from rolecall.engine.throttle.circuit_breaker import CircuitBreaker
from rolecall.store.batch_writer import BatchWriter
from tests.simulation.defects.registry import Replacement, defect


@defect
def _stop_ignored() -> list[Replacement]:
    """Start new rows after an interrupt."""
    from rolecall.engine.stop_signal import StopSignal

    async def for_ever(self: StopSignal) -> None:
        await asyncio.get_running_loop().create_future()

    async def work(queue: Any, processor: Any, stop: Any, hooks: Any) -> None:
        while (row := await queue.next()) is not None:
            await processor.process(row)

    return [
        (StopSignal, "wait", for_ever),
        (StopSignal, "raise_if_requested", lambda self: None),
        (dispatcher, "_work", work),
    ]


@defect
def _breaker_stays_closed() -> list[Replacement]:
    """Wait for ever on a breaker that no call can close: no probe leaves."""

    async def acquire(self: CircuitBreaker) -> bool:
        if self.is_open:
            await self._closed.wait()
        return False

    return [(CircuitBreaker, "acquire", acquire)]


@defect
def _probe_not_released() -> list[Replacement]:
    """Keep the place of a probe that failed."""

    def record_failure(self: CircuitBreaker, request: object, *, reached: bool, probing: bool) -> None:
        right(self, request, reached=reached, probing=False)

    right = CircuitBreaker.record_failure
    return [(CircuitBreaker, "record_failure", record_failure)]


@defect
def _place_not_released() -> list[Replacement]:
    """Keep the place of a call that was cancelled or lost."""
    right = Places.release

    def release(self: Places) -> None:
        if self._waiters:
            self._in_use -= 1
            return
        right(self)

    return [(Places, "release", release)]


@defect
def _parked_rows_forgotten() -> list[Replacement]:
    """Forget the rows that wait for the first row of their room."""
    right = RoomCache.record_response

    def record_response(self: RoomCache, row: Any, result: Any) -> Any:
        released = right(self, row, result)
        return released[:-1]

    return [(RoomCache, "record_response", record_response)]


@defect
def _retries_without_end() -> list[Replacement]:
    """Retry without an end."""
    return [(retry, "stop_after_attempt", lambda attempts: lambda state: False)]


@defect
def _chunk_skips_a_row() -> list[Replacement]:
    """Skip the first row of each further chunk."""
    right = BatchWriter.fetch_due

    async def fetch_due(self: BatchWriter, after: int, count: int, *, retry_failed: bool) -> Any:
        return await right(self, after + (after > 0), count, retry_failed=retry_failed)

    return [(BatchWriter, "fetch_due", fetch_due)]
