"""The run: a queue, workers, and a shutdown in stages (no new rows, wait for calls in flight, cancel, flush)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from rolecall.engine.context import RunContext
from rolecall.engine.directory.role_reader import RoleReader
from rolecall.engine.prior_reader import PriorReader, due_rows
from rolecall.engine.recorders import OutcomeRecorder, PauseRecorder
from rolecall.engine.row_call import RowTarget
from rolecall.engine.row_processor import EvidenceReader, RowProcessor
from rolecall.engine.row_queue import RoomCache, RowQueue
from rolecall.engine.stop_signal import StopReason, StopSignal
from rolecall.engine.throttle.adaptive_concurrency import max_rows
from rolecall.engine.throttle.admission import CallKind
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import RowOutcome
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.operations import Operation
from rolecall.store.base import FencedError, RunStore, StoreError
from rolecall.store.batch_writer import BatchWriter


class RunHooks(NamedTuple):
    """What a caller adds to a run."""

    before_row: Callable[[], Awaitable[object]] | None = None
    """Awaited before each row is taken from the queue."""
    on_durable: Callable[[Sequence[RowOutcome]], None] | None = None
    """Called with outcomes once they are on disk."""


NO_HOOKS = RunHooks()


async def process_rows(
    store: RunStore, client: Client, operation: Operation, context: RunContext, hooks: RunHooks = NO_HOOKS
) -> None:
    """Process every due row, or as many as the stop allows; everything is in the store on return.

    A store that cannot be written stops the run with StopReason.STORE. Raise FencedError where another process has
    taken over: then nothing was written after that.
    """
    settings = context.settings
    try:
        async with BatchWriter(store, hooks.on_durable) as journal:
            recorder, pauses = OutcomeRecorder(journal, context), PauseRecorder(journal, context.clock)
            reader = RoleReader(ReadClient(client, context), operation)
            rows = (
                PriorReader(journal, reader, operation, recorder, context).rows()
                if settings.read_roles
                else due_rows(journal, context)
            )
            admission = context.admission
            async with RowQueue(rows, RoomCache() if settings.room_cache else None) as queue:
                target = RowTarget.create(client, operation, queue, journal, context)
                processor = RowProcessor(target, recorder, EvidenceReader(reader, operation, context))
                with (
                    admission.observed_by(context.events, CallKind.CHANGE),
                    admission.observed_by(pauses, CallKind.CHANGE),
                ):
                    workers = [
                        asyncio.create_task(_work(queue, processor, context.stop, hooks), name=f"worker-{number}")
                        for number in range(max_rows(settings.concurrency))
                    ]
                    await _shut_down_in_stages(workers, processor, context, pauses)
    except FencedError:
        raise
    except StoreError as failure:
        context.stop.request(StopReason.STORE, str(failure))


async def _work(queue: RowQueue, processor: RowProcessor, stop: StopSignal, hooks: RunHooks) -> None:
    while stop.reason is None:
        if hooks.before_row is not None:
            await hooks.before_row()
        if (row := await queue.next()) is None:
            break
        await processor.process(row)


async def _shut_down_in_stages(
    workers: Iterable[asyncio.Task[None]], processor: RowProcessor, context: RunContext, pauses: PauseRecorder
) -> None:
    """Wait for the workers; once the stop is requested, only for those with a call in flight."""
    requested = asyncio.create_task(context.stop.wait(), name="stop")
    running = set(workers)
    try:
        while running and not requested.done():
            done, running = await asyncio.wait({*running, requested}, return_when=asyncio.FIRST_COMPLETED)
            running.discard(requested)
            _raise_first(done - {requested})
        for worker in running - processor.calling:
            worker.cancel()
        if running:
            pauses.shutting_down(context.settings.shutdown_timeout)
            _, running = await asyncio.wait(running, timeout=context.settings.shutdown_timeout)
    finally:
        for task in (requested, *running):
            task.cancel()
        results = await asyncio.gather(requested, *workers, return_exceptions=True)
    _raise_first_of(results)


def _raise_first(done: Iterable[asyncio.Task[None]]) -> None:
    for task in done:
        task.result()


def _raise_first_of(results: Iterable[object]) -> None:
    for result in results:
        if isinstance(result, Exception):
            raise result
