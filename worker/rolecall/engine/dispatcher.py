"""The run: a feed, workers, and an end in stages (no new rows, grace for the calls under way, cancel, flush)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from rolecall.engine.clock import Clock
from rolecall.engine.events import EngineEvents
from rolecall.engine.failure_threshold import FailureCounter
from rolecall.engine.room_cache import RoomCache
from rolecall.engine.room_visibility import RoomVisibilityResolver
from rolecall.engine.row_processor import RowProcessor
from rolecall.engine.row_queue import RowQueue
from rolecall.engine.settings import Settings
from rolecall.engine.stop_reasons import StopReason
from rolecall.engine.stop_signal import StopSignal
from rolecall.engine.throttle.adaptive_concurrency import AdaptiveConcurrencyLimiter
from rolecall.engine.throttle.admission import AdmissionController
from rolecall.engine.throttle.circuit_breaker import CircuitBreaker
from rolecall.engine.throttle.rate_limiter import PacedRateLimiter
from rolecall.engine.throttle.route_limiter import RouteLimiter
from rolecall.engine.throttle.route_schedule import RouteSchedule
from rolecall.models import RowOutcome
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.operations import Operation
from rolecall.rocketchat.preflight import ME, is_rocketchat_response
from rolecall.store.base import RunStore, StoreError
from rolecall.store.batch_writer import BatchWriter


async def process_rows(
    ledger: RunStore,
    client: Client,
    operation: Operation,
    settings: Settings,
    *,
    stop: StopSignal,
    clock: Clock,
    events: EngineEvents,
    ready: Callable[[], Awaitable[object]] | None = None,
    on_durable: Callable[[Sequence[RowOutcome]], None] | None = None,
) -> None:
    """Take every row that is due to its outcome, or as far as `stop` lets it; all is in the ledger on return.

    `ready` is awaited before each row is begun; `on_durable` is told outcomes once the ledger has them on disk.

    A ledger that cannot be written ends the run with StopReason.STORE.
    """
    try:
        async with BatchWriter(ledger, on_durable) as journal:
            rooms = RoomCache() if settings.room_cache else None
            feed = RowQueue(journal, rooms, retry_failed=settings.retry_failed)
            delivery = _delivery(client, operation, settings, feed, journal, stop, clock, events)
            workers = [
                asyncio.create_task(_work(feed, delivery, stop, ready), name=f"worker-{number}")
                for number in range(settings.concurrency)
            ]
            await _end_in_stages(workers, delivery, stop, settings.shutdown_timeout)
    except StoreError as failure:
        stop.ask(StopReason.STORE, str(failure))


async def _work(
    feed: RowQueue, delivery: RowProcessor, stop: StopSignal, ready: Callable[[], Awaitable[object]] | None
) -> None:
    while stop.reason is None:
        if ready is not None:
            await ready()
        if (row := await feed.next()) is None:
            break
        await delivery.deliver(row)


async def _end_in_stages(
    workers: Iterable[asyncio.Task[None]], delivery: RowProcessor, stop: StopSignal, grace: float
) -> None:
    """Wait for the workers; once the end is asked for, only for those whose request is under way, and not for long."""
    asked = asyncio.create_task(stop.asked(), name="stop")
    going = set(workers)
    try:
        while going and not asked.done():
            done, going = await asyncio.wait({*going, asked}, return_when=asyncio.FIRST_COMPLETED)
            going.discard(asked)
            _raise_first(done - {asked})
        for worker in going - delivery.calling:
            worker.cancel()
        if going:
            _, going = await asyncio.wait(going, timeout=grace)
    finally:
        for task in (asked, *going):
            task.cancel()
        ended = await asyncio.gather(asked, *workers, return_exceptions=True)
    _raise_first_of(ended)


def _raise_first(done: Iterable[asyncio.Task[None]]) -> None:
    for task in done:
        task.result()


def _raise_first_of(results: Iterable[object]) -> None:
    for result in results:
        if isinstance(result, Exception):
            raise result


def _delivery(
    client: Client,
    operation: Operation,
    settings: Settings,
    feed: RowQueue,
    journal: BatchWriter,
    stop: StopSignal,
    clock: Clock,
    events: EngineEvents,
) -> RowProcessor:
    """Put the parts together; what is told to whom can be read here."""

    def give_up() -> None:
        stop.ask(StopReason.OUTAGE)

    patience = settings.outage_timeout

    rate = PacedRateLimiter(settings.rate)

    def turnstile() -> RouteLimiter:
        """Make one for a route: its window is its own, the rate is the run's."""
        return RouteLimiter(RouteSchedule(rate, patience=patience), clock, events.held)

    async def is_there() -> bool:
        return is_rocketchat_response(await client.get(ME))

    breaker = CircuitBreaker(
        clock,
        patience,
        first_pause=settings.retry_backoff,
        on_open=events.outage,
        on_close=events.recovered,
        on_give_up=give_up,
    )
    gate = AdmissionController(
        AdaptiveConcurrencyLimiter(settings.concurrency),
        breaker,
        turnstile(),
        clock,
        patience=patience,
        on_give_up=give_up,
        on_overload=events.overloaded,
    )
    events.watch(gate)
    return RowProcessor(
        lambda room_id, user_id: client.post_pair(operation.path, room_id, user_id),
        operation,
        feed=feed,
        gate=gate,
        is_there=is_there,
        journal=journal,
        # A public channel is seen by everybody: there is nothing to explain.
        membership=RoomVisibilityResolver(client, turnstile()) if operation.kind == "groups" else None,
        attempts=settings.max_attempts,
        backoff=settings.retry_backoff,
        failures=FailureCounter(settings.max_failures),
        stop=stop,
        clock=clock,
        events=events,
    )
