"""Group commit: the event loop hands over intents and outcomes, a thread makes them durable batch by batch.

While one batch waits for the disk the next one gathers, so that a slow disk makes batches larger instead of the
loop slower. A worker has at most one outcome that is not yet durable, because its next intent waits for a batch
that holds it; so after a crash at most `concurrency` rows are in doubt.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from rolecall.models import DueRow, RowOutcome
from rolecall.store.base import Batch, Intent, IntentRollback, RunStore, StoreError


class BatchWriter:
    """The event loop's way to the ledger; every call that touches the disk runs on one thread of its own."""

    def __init__(self, ledger: RunStore, on_durable: Callable[[Sequence[RowOutcome]], None] | None = None) -> None:
        """Take the ledger, and who is told of outcomes once they are on disk."""
        self._ledger = ledger
        self._on_durable = on_durable
        self._settled: list[RowOutcome] = []
        self._withdrawals: list[IntentRollback] = []
        self._intents: list[Intent] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._work = asyncio.Event()
        self._failure: StoreError | None = None
        self._closing = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._writer = asyncio.create_task(self._write(), name="ledger")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Make everything durable that was handed over, then let go of the thread; raises StoreError."""
        self._closing = True
        self._work.set()
        try:
            await asyncio.shield(self._writer)
        except asyncio.CancelledError:  # what was handed over is written all the same
            await self._writer
            raise
        finally:
            self._thread.shutdown()

    async def write_intent(self, intent: Intent) -> None:
        """Return once the intent, and all that was handed over before it, is on disk. Raises StoreError."""
        if self._failure is not None:
            raise self._failure
        durable = self._loop.create_future()
        self._intents.append(intent)
        self._waiters.append(durable)
        self._work.set()
        await durable

    def settle(self, settled: RowOutcome) -> None:
        """Hand over an outcome; it is on disk before the next intent of anybody is."""
        self._settled.append(settled)
        self._work.set()

    def withdraw(self, withdrawal: IntentRollback) -> None:
        """Hand over that an intended request did not leave, or was certainly not carried out."""
        self._intents = [intent for intent in self._intents if intent.key != withdrawal.key]
        self._withdrawals.append(withdrawal)
        self._work.set()

    async def due(self, after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        """Read the next rows to be done; see Ledger.due."""
        return await self._loop.run_in_executor(
            self._thread, lambda: self._ledger.due(after, count, retry_failed=retry_failed)
        )

    async def _write(self) -> None:
        while not (self._closing and not self._gathered()):
            await self._work.wait()
            self._work.clear()
            await asyncio.sleep(0)  # those who are ready in this turn of the loop shall share the batch
            if self._gathered():
                await self._commit()
        if self._failure is not None:
            raise self._failure

    def _gathered(self) -> bool:
        return bool(self._settled or self._withdrawals or self._intents)

    async def _commit(self) -> None:
        batch = Batch(self._settled, self._withdrawals, self._intents)
        waiters, self._waiters = self._waiters, []
        self._settled, self._withdrawals, self._intents = [], [], []
        try:
            if self._failure is None:
                await self._loop.run_in_executor(self._thread, self._ledger.commit, batch)
        except StoreError as failure:
            self._failure = failure
        except Exception as error:  # whatever it is: those who wait must not wait for ever
            self._failure = StoreError(f"The ledger failed: {type(error).__name__}: {error}.")
        if self._failure is None and self._on_durable is not None and batch.settled:
            self._on_durable(batch.settled)
        for waiter in waiters:
            if waiter.done():
                continue
            if self._failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(self._failure)
