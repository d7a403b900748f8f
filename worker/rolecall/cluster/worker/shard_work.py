"""The work on one shard: its rows are processed as those of a run on one machine, under a lease and behind a fence."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from rolecall.app.connection import Connection
from rolecall.cluster.database import worker_sql
from rolecall.cluster.database.lease import HeartbeatLease, Token, database_clock
from rolecall.cluster.database.worker_database import ShardInfo, WorkerDatabase
from rolecall.cluster.runs.settings import FOLLOWS_PLAN, NEVER_STOPS, has_too_many
from rolecall.engine.context import RunContext
from rolecall.engine.dispatcher import RunHooks, process_rows
from rolecall.engine.events import EventLogger
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopReason, StopSignal
from rolecall.models import Outcome, RowOutcome
from rolecall.rocketchat.operations import OPERATIONS
from rolecall.store.base import FencedError, RunStore, StoreError

LEASE_OLD = "the heartbeat is too old: another worker may take over"
RUN_STOPPING = (StopReason.CREDENTIALS, StopReason.NO_SUCH_ROUTE, StopReason.MAX_FAILURES)
"""What one worker meets and what is true for all."""
AWAY = (StopReason.OUTAGE, StopReason.RETRY_LATER)
"""What may be true for one worker alone."""


class ShardEnd(Enum):
    """How the work on a shard ended, and what becomes of its job."""

    DONE = auto()
    """Every row has an outcome."""
    PUT_BACK = auto()
    """This worker stops; another one goes on at once."""
    STOPPED = auto()
    """The run is stopped; its shards come back when it is resumed."""
    LOST = auto()
    """Another worker has taken over."""
    AWAY = auto()
    """The workspace does not answer to this worker, and to others it does."""
    REFUSED = auto()
    """This worker's account is not that of the run."""


class ShardStop(StopSignal):
    """Ends the work on a shard; before each call it looks at the lease of the worker."""

    def __init__(self, lease: HeartbeatLease) -> None:
        super().__init__()
        self._lease = lease

    def raise_if_requested(self) -> None:
        """Raise ShutdownRequested once the stop is requested, or where the lease is old."""
        if self.reason is None and not self._lease.is_valid:
            self.request(StopReason.INTERRUPTED, LEASE_OLD)
        super().raise_if_requested()


@dataclass(frozen=True, slots=True)
class ShardWork:
    """One start of a shard on this worker."""

    info: ShardInfo
    token: Token
    connection: Connection
    database: WorkerDatabase
    stop: ShardStop
    log: EventLogger
    """With run, shard and worker on each event."""
    has_new_token: Callable[[], bool] = lambda: False
    """Whether the token was replaced since the connection was made."""

    def context(self, settings: Settings) -> RunContext:
        """Return the context of the engine; failures are counted over all workers, so none stops a shard alone."""
        return RunContext.create(
            replace(settings, max_failures=NEVER_STOPS),
            self.log,
            clock=database_clock(self.database.clock),
            stop=self.stop,
            admission=self.connection.admission,
            caller=self.connection.caller,
            follows_plan=bool(self.info.settings.get(FOLLOWS_PLAN)),
        )

    async def process(
        self, store: RunStore, context: RunContext, on_durable: Callable[[Sequence[RowOutcome]], None]
    ) -> ShardEnd:
        """Process the rows of the shard and return how it ended. Raises StoreError where the database is away."""
        clock, started_at = context.clock, context.clock.now()
        self.log.info("shard started", rows=self.info.rows)
        try:
            await store.open_session(self.connection.account.username, clock.wall_ms())
            operation, hooks = OPERATIONS[self.info.operation], RunHooks(on_durable=on_durable)
            await process_rows(store, self.connection.client, operation, context, hooks)
            if self.stop.reason is StopReason.STORE:
                raise StoreError(self.stop.detail)
            await store.close_session(self.stop.reason or "", clock.wall_ms())
            end = await self._end(context)
        except FencedError:
            end = ShardEnd.LOST
        rows: dict[str, object] = {outcome.value: count for outcome, count in context.outcomes.items() if count}
        if self.stop.reason is not None:
            rows |= {"reason": self.stop.reason.value, "detail": self.stop.detail}
        self.log.info("shard ended", end=end.name.lower(), seconds=round(clock.now() - started_at, 1), **rows)
        return end

    async def _end(self, context: RunContext) -> ShardEnd:
        """Record the end of the shard, or the stop of its run."""
        info, stop = self.info, self.stop
        if stop.reason is None:
            await stop_if_failing(self.database, info, context.outcomes[Outcome.UNKNOWN], self.log)
            if await self.database.finish_shard(info, self.token):
                return ShardEnd.DONE
            self.log.warning("shard not finished", detail="rows without an outcome are left, or it was taken over")
            return ShardEnd.PUT_BACK
        if (await self.database.run_stop(info.run_id))[0]:
            return ShardEnd.STOPPED
        if stop.reason is StopReason.CREDENTIALS and self.has_new_token():
            return ShardEnd.PUT_BACK
        if stop.reason in RUN_STOPPING:
            return await self._stop_run(stop.reason, stop.detail)
        if stop.reason in AWAY:
            if await self.database.answered_within(info.workspace, context.settings.outage_timeout):
                return ShardEnd.AWAY
            return await self._stop_run(stop.reason, stop.detail)
        return ShardEnd.PUT_BACK

    async def _stop_run(self, reason: StopReason, detail: str) -> ShardEnd:
        """Stop the run for all workers."""
        await stop_run(self.database, self.info.run_id, reason, detail, self.log)
        return ShardEnd.STOPPED


async def stop_run(database: WorkerDatabase, run: int, reason: StopReason, detail: str, log: EventLogger) -> None:
    """Stop a run for all workers, and log it where it was not stopped before."""
    if await database.stop_run(run, reason.value, detail):
        log.warning("run stopped", reason=reason.value, detail=detail)


async def stop_if_failing(database: WorkerDatabase, info: ShardInfo, unknown: int, log: EventLogger) -> None:
    """Stop a run for all workers where more rows failed than its threshold allows. Raises StoreError.

    `unknown`: rows that became unknown in the shards that this worker processes now.
    """
    ((done, failed),) = await database.fetch(worker_sql.FAILURES, run=info.run_id)
    if has_too_many(info.settings, done, failed + unknown):
        await stop_run(database, info.run_id, StopReason.MAX_FAILURES, "", log)
