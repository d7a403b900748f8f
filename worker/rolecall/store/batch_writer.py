"""Group commit: the event loop hands over intents and outcomes, the store makes them durable batch by batch.

While one batch waits for the disk the next one is collected, so that a slow disk makes batches larger and not the
loop slower. A worker has at most one outcome that is not yet durable, because its next intent waits for a batch
that contains it; so after a crash at most one row of each worker is in doubt, in all `max_rows(concurrency)`.
"""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rolecall.models import DueRow, RowOutcome
from rolecall.store.base import RunStoppedElsewhere, RunStore, StoreError
from rolecall.store.records import Batch, Intent, IntentRollback, Pause, PauseEnd, PriorRecord


class BatchWriter:
    """Writes to the store of a run while it is active; an async context manager."""

    def __init__(self, store: RunStore, on_durable: Callable[[Sequence[RowOutcome]], None] | None = None) -> None:
        """Use the store; `on_durable` receives outcomes once they are durable."""
        self._store = store
        self._on_durable = on_durable
        self._outcomes: list[RowOutcome] = []
        self._rollbacks: list[IntentRollback] = []
        self._intents: list[Intent] = []
        self._pauses: list[Pause | PauseEnd] = []
        self._priors: list[PriorRecord] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._intent_waiters: list[asyncio.Future[None]] = []
        self._has_work = asyncio.Event()
        self._failure: StoreError | None = None
        self._closing = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._write(), name="batch writer")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Make everything durable that was handed over. Raises StoreError."""
        self._closing = True
        self._has_work.set()
        try:
            await asyncio.shield(self._task)
        except asyncio.CancelledError:  # what was handed over is written all the same
            await self._task
            raise

    async def write_intent(self, intent: Intent) -> None:
        """Return once the intent, and all that was handed over before it, is durable.

        Raises StoreError, or RunStoppedElsewhere where the intent is not written because another process has stopped
        the run.
        """
        self._raise_failure()
        self._intents.append(intent)
        await self._wait_in(self._intent_waiters)

    async def flush(self) -> None:
        """Return once everything that was handed over before is durable. Raises StoreError."""
        self._raise_failure()
        await self._wait_in(self._waiters)

    async def _wait_in(self, waiters: list[asyncio.Future[None]]) -> None:
        durable = self._loop.create_future()
        waiters.append(durable)
        self._has_work.set()
        await durable

    def write_outcome(self, outcome: RowOutcome) -> None:
        """Hand over an outcome; it is durable before any later intent is."""
        self._outcomes.append(outcome)
        self._has_work.set()

    def rollback_intent(self, rollback: IntentRollback) -> None:
        """Hand over that an intended request was not sent, or was certainly not carried out."""
        self._intents = [intent for intent in self._intents if intent.key != rollback.key]
        self._rollbacks.append(rollback)
        self._has_work.set()

    def write_pause(self, pause: Pause | PauseEnd) -> None:
        """Hand over the start or the end of a pause."""
        self._pauses.append(pause)
        self._has_work.set()

    def write_prior(self, record: PriorRecord) -> None:
        """Hand over the prior state of a row that is not sent yet."""
        self._priors.append(record)
        self._has_work.set()

    async def fetch_due(self, after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        """Return the next due rows; see RunStore.fetch_due."""
        return await self._store.fetch_due(after, count, retry_failed=retry_failed)

    async def due_in_room(
        self, room_id: str, after: int, count: int, *, retry_failed: bool
    ) -> list[tuple[int, DueRow]]:
        """Return the next due rows of one room; see RunStore.due_in_room."""
        return await self._store.due_in_room(room_id, after, count, retry_failed=retry_failed)

    async def due_of_user(
        self, user_id: str, after: int, count: int, *, retry_failed: bool
    ) -> list[tuple[int, DueRow]]:
        """Return the next due rows of one user; see RunStore.due_of_user."""
        return await self._store.due_of_user(user_id, after, count, retry_failed=retry_failed)

    async def count_due(self, *, retry_failed: bool) -> tuple[int, int]:
        """Return the number of due rows and of their rooms; see RunStore.count_due."""
        return await self._store.count_due(retry_failed=retry_failed)

    async def count_due_users(self, *, retry_failed: bool) -> int:
        """Return the number of users with due rows; see RunStore.count_due_users."""
        return await self._store.count_due_users(retry_failed=retry_failed)

    async def _write(self) -> None:
        while not (self._closing and not self._has_entries()):
            await self._has_work.wait()
            self._has_work.clear()
            await asyncio.sleep(0)  # everything that is ready in this turn of the loop shares the batch
            if self._has_entries():
                await self._commit()
        if self._failure is not None:
            raise self._failure

    def _has_entries(self) -> bool:
        waiters = self._waiters or self._intent_waiters
        return bool(self._outcomes or self._rollbacks or self._intents or self._pauses or self._priors or waiters)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _commit(self) -> None:
        batch = Batch(self._outcomes, self._rollbacks, self._intents, self._pauses, self._priors)
        waiters, intent_waiters = self._waiters, self._intent_waiters
        self._waiters, self._intent_waiters = [], []
        self._outcomes, self._rollbacks, self._intents, self._pauses, self._priors = [], [], [], [], []
        stopped: RunStoppedElsewhere | None = None
        try:
            if self._failure is None and any(batch):
                await self._store.commit(batch)
        except RunStoppedElsewhere as elsewhere:
            stopped = elsewhere
        except StoreError as failure:
            self._failure = failure
        except Exception as error:  # of any kind: the waiters must not wait for ever
            self._failure = StoreError(f"The run store failed: {type(error).__name__}: {error}.")
        if self._failure is None and self._on_durable is not None and batch.outcomes:
            self._on_durable(batch.outcomes)
        _wake(waiters, self._failure)
        _wake(intent_waiters, self._failure or stopped)


def _wake(waiters: Sequence[asyncio.Future[None]], failure: Exception | None) -> None:
    """Wake what waits for a commit; `failure` is raised there."""
    for waiter in waiters:
        if waiter.done():
            continue
        if failure is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(failure)
