"""The results of one run for a program: sent in a task of its own, yielded once they are on disk."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Generic, TypeVar

from rolecall.app.connection import AppContext, Connection, LazyConnection
from rolecall.app.errors import RunStopped
from rolecall.app.job_names import with_ids
from rolecall.app.removal_guard import PreparedRun, count_removals, require_allowed
from rolecall.app.removed_rows import settle_removed_rows
from rolecall.app.run_directory import STALE_REPORTS, Run
from rolecall.app.run_job import with_own_doubts
from rolecall.app.send_session import open_session
from rolecall.app.undo_run import Undo
from rolecall.engine.context import RunContext
from rolecall.engine.dispatcher import RunHooks, process_rows
from rolecall.engine.removal_limits import NO_LIMITS, RemovalLimits
from rolecall.engine.stop_signal import StopReason
from rolecall.models import Outcome, Result, RowOutcome, is_due
from rolecall.rocketchat.operations import Operation
from rolecall.store.base import StoreError

T = TypeVar("T")

MIN_AHEAD = 64
"""Results that may wait for a slow program; more where that many calls are in flight at once."""
PAGE_SIZE = 256
"""Rows that are read from the store at once."""

OpenRun = Callable[[], AbstractAsyncContextManager[Undo]]
"""Opens the run with its operation and its rows."""


async def stream_results(
    open_run: OpenRun, app: AppContext, limits: RemovalLimits = NO_LIMITS
) -> AsyncGenerator[Result, None]:
    """Run the rows and yield one result for each. Raises RunStopped after the last one if the run was stopped."""
    stream = ResultStream(open_run, app, limits)
    task = stream.start()
    try:
        while results := await stream.next_batch():
            for result in results:
                yield result
                stream.ack()
    finally:
        await _end(task, stream)
    if app.stop.reason is not None:
        raise RunStopped(app.stop.reason, app.stop.detail)


async def _end(task: asyncio.Task[None], stream: "ResultStream") -> None:
    """Await the end of the run, and request it where the run continues; another cancellation ends it at once.

    Raises what the run raised, or CancelledError.
    """
    second: asyncio.CancelledError | None = None
    if not task.done():
        stream.cancel()
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as cancelled:
            if second is None:
                task.cancel()
            second = cancelled
    if second is not None:
        raise second
    if not (task.cancelled() and stream.is_cancelled):
        task.result()


class ResultQueue(Generic[T]):
    """Unbounded FIFO queue whose reader gets everything at once; the producer must bound it."""

    def __init__(self) -> None:
        self._values: list[T] = []
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, values: Iterable[T]) -> None:
        """Add some values."""
        self._values.extend(values)
        self._changed.set()

    def close(self) -> None:
        """Add nothing from now on."""
        self._closed = True
        self._changed.set()

    async def get_all(self) -> list[T]:
        """Return the values since the last call, at least one; empty once the queue is closed and empty."""
        while not (self._values or self._closed):
            self._changed.clear()
            await self._changed.wait()
        values, self._values = self._values, []
        return values


class ResultStream:
    """Runs the rows in a task and provides their results."""

    def __init__(self, open_run: OpenRun, app: AppContext, limits: RemovalLimits) -> None:
        self._open_run = open_run
        self._app = app
        self._limits = limits
        self._slots = asyncio.Semaphore(max(MIN_AHEAD, 4 * app.settings.concurrency))
        self._results: ResultQueue[Result] = ResultQueue()
        self._still_due: set[int] = set()
        """Keys of rows that were yielded and are due again, such as unknown ones."""
        self._sending = False
        self.is_cancelled = False
        """True once the program wants no more results."""

    async def next_batch(self) -> list[Result]:
        """Return the results that are ready, at least one; empty at the end."""
        return await self._results.get_all()

    def ack(self) -> None:
        """Acknowledge one result: the program is done with it."""
        self._slots.release()

    def start(self) -> asyncio.Task[None]:
        """Start the run; the task raises what ends it before its work."""
        self._task = asyncio.create_task(self._run(), name="rolecall")
        self._task.add_done_callback(lambda _: self._results.close())
        return self._task

    def cancel(self) -> None:
        """End the run in stages: calls in flight are awaited, everything else is dropped."""
        self.is_cancelled = True
        self._app.stop.request(StopReason.INTERRUPTED)
        if not self._sending:
            self._task.cancel()

    async def _run(self) -> None:
        app = self._app
        async with self._open_run() as (run, operation, rows):
            async with LazyConnection(app) as lazy:
                async with aclosing(with_ids(rows(), run, lazy, app, log_file=None)) as pages:
                    await run.store.import_rows(run.identity, with_own_doubts(pages, run.identity), meta=STALE_REPORTS)
                due = await run.store.count_due(retry_failed=app.settings.retry_failed)
                if not due[0] and not await run.store.count_removed_in_doubt():
                    await self._yield_finished(run)
                    return
                prepared = self._prepare(run, await lazy.get(), due)
                if (forecast := await count_removals(prepared, self._limits)) is not None:
                    require_allowed(forecast, operation)
                await self._yield_finished(run)
                is_recorded = await self._send(prepared, operation)
            if app.stop.reason is not None and not self.is_cancelled:
                await self._yield_rest(run, is_recorded=is_recorded)

    async def _yield_finished(self, run: Run) -> None:
        """Provide the rows that need no call: invalid ones, duplicates, and those of earlier sessions."""
        async with aclosing(run.store.results()) as pages:
            async for page in pages:
                await self._put(row for row in page if row.line is not None and not self._is_due(row.outcome))

    def _prepare(self, run: Run, connection: Connection, due: tuple[int, int]) -> PreparedRun:
        app = self._app
        log = app.observer.open_log(None, hide=app.credentials.token).bind(run=run.folder.name)
        context = RunContext.create(
            app.settings, log, stop=app.stop, admission=connection.admission, caller=connection.caller
        )
        return PreparedRun(run, connection, app, context, log, *due)

    async def _send(self, prepared: PreparedRun, operation: Operation) -> bool:
        """Send what is due and provide each row once it is on disk; False when the end could not be recorded."""
        run, connection, app, context, _, due, _ = prepared
        durable = ResultQueue[RowOutcome]()
        hooks = RunHooks(before_row=self._slots.acquire, on_durable=durable.put)
        self._sending = True
        async with open_session(run, connection.account.username, due, context) as session:
            await settle_removed_rows(run, connection, operation, context)
            work = asyncio.create_task(
                process_rows(run.store, connection.client, operation, context, hooks), name="rolecall work"
            )
            work.add_done_callback(lambda _: durable.close())
            try:
                while outcomes := await durable.get_all():
                    self._still_due.update(row.key for row in outcomes if self._is_due(row.outcome))
                    self._results.put(await run.store.results_by_key([row.key for row in outcomes]))
                work.result()
            except asyncio.CancelledError:
                app.stop.request(StopReason.INTERRUPTED)
                raise
            except StoreError as failure:
                app.stop.request(StopReason.STORE, str(failure))
                raise
            finally:
                work.cancel()
                await asyncio.wait({work})
        self._sending = False
        context.events.session_ended(session.seconds, context.outcomes, run.folder)
        return session.is_recorded

    async def _yield_rest(self, run: Run, *, is_recorded: bool) -> None:
        """Provide the rows that are still due and were not yielded yet: a session that is stopped leaves some."""
        place, retry_failed = 0, self._app.settings.retry_failed
        while rows := await run.store.fetch_due(place, PAGE_SIZE, retry_failed=retry_failed):
            place = rows[-1][0]
            keys = [row.key for _, row in rows if row.key not in self._still_due]
            results = await run.store.results_by_key(keys)
            await self._put(result if is_recorded else self._with_reason(result) for result in results)

    def _with_reason(self, result: Result) -> Result:
        """Set why a row was not attempted, where the store could not record it."""
        reason = self._app.stop.reason
        if result.outcome is not Outcome.NOT_ATTEMPTED or reason is None:
            return result
        return result._replace(reason=reason.value)

    async def _put(self, results: Iterable[Result]) -> None:
        for result in results:
            await self._slots.acquire()
            self._results.put((result,))

    def _is_due(self, outcome: Outcome) -> bool:
        return is_due(outcome, retry_failed=self._app.settings.retry_failed)
