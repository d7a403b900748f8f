"""The run: a feed, workers, and an end in stages (no new rows, grace for the calls under way, cancel, flush)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from worker.engine.breaker import Breaker
from worker.engine.clock import Clock
from worker.engine.concurrency import Concurrency
from worker.engine.delivery import Delivery
from worker.engine.events import Events
from worker.engine.failures import Failures
from worker.engine.feed import Feed
from worker.engine.gate import Gate
from worker.engine.membership import Membership
from worker.engine.pacing import Pacing
from worker.engine.rate import EvenRate
from worker.engine.reasons import StopReason
from worker.engine.rooms import Rooms
from worker.engine.settings import Settings
from worker.engine.stop import Stop
from worker.engine.turnstile import Turnstile
from worker.ledger.interface import Ledger, LedgerFailed
from worker.ledger.journal import Journal
from worker.model import Settled
from worker.workspace.client import Client
from worker.workspace.operations import Operation
from worker.workspace.preflight import ME, is_rocket_chat


async def work_through(
    ledger: Ledger,
    client: Client,
    operation: Operation,
    settings: Settings,
    *,
    stop: Stop,
    clock: Clock,
    events: Events,
    ready: Callable[[], Awaitable[object]] | None = None,
    on_durable: Callable[[Sequence[Settled]], None] | None = None,
) -> None:
    """Take every row that is due to its outcome, or as far as `stop` lets it; all is in the ledger on return.

    `ready` is awaited before each row is begun; `on_durable` is told outcomes once the ledger has them on disk.

    A ledger that cannot be written ends the run with StopReason.LEDGER.
    """
    try:
        async with Journal(ledger, on_durable) as journal:
            rooms = Rooms() if settings.room_cache else None
            feed = Feed(journal, rooms, retry_failed=settings.retry_failed)
            delivery = _delivery(client, operation, settings, feed, journal, stop, clock, events)
            workers = [
                asyncio.create_task(_work(feed, delivery, stop, ready), name=f"worker-{number}")
                for number in range(settings.concurrency)
            ]
            await _end_in_stages(workers, delivery, stop, settings.grace)
    except LedgerFailed as failure:
        stop.ask(StopReason.LEDGER, str(failure))


async def _work(feed: Feed, delivery: Delivery, stop: Stop, ready: Callable[[], Awaitable[object]] | None) -> None:
    while stop.reason is None:
        if ready is not None:
            await ready()
        if (row := await feed.next()) is None:
            break
        await delivery.deliver(row)


async def _end_in_stages(workers: Iterable[asyncio.Task[None]], delivery: Delivery, stop: Stop, grace: float) -> None:
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
    feed: Feed,
    journal: Journal,
    stop: Stop,
    clock: Clock,
    events: Events,
) -> Delivery:
    """Put the parts together; what is told to whom can be read here."""

    def give_up() -> None:
        stop.ask(StopReason.OUTAGE)

    patience = settings.outage_patience

    rate = EvenRate(settings.rate)

    def turnstile() -> Turnstile:
        """Make one for a route: its window is its own, the rate is the run's."""
        return Turnstile(Pacing(rate, patience=patience), clock, events.held)

    async def is_there() -> bool:
        return is_rocket_chat(await client.get(ME))

    breaker = Breaker(
        clock,
        patience,
        first_pause=settings.backoff,
        on_open=events.outage,
        on_close=events.recovered,
        on_give_up=give_up,
    )
    gate = Gate(
        Concurrency(settings.concurrency),
        breaker,
        turnstile(),
        clock,
        patience=patience,
        on_give_up=give_up,
        on_overload=events.overloaded,
    )
    events.watch(gate)
    return Delivery(
        lambda room_id, user_id: client.post_pair(operation.path, room_id, user_id),
        operation,
        feed=feed,
        gate=gate,
        is_there=is_there,
        journal=journal,
        # A public channel is seen by everybody: there is nothing to explain.
        membership=Membership(client, turnstile()) if operation.kind == "groups" else None,
        attempts=settings.attempts,
        backoff=settings.backoff,
        failures=Failures(settings.max_failures),
        stop=stop,
        clock=clock,
        events=events,
    )
