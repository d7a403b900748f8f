"""One start of a shard in a lane: from its job to the end of its job."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from rolecall.app.connection import Connection
from rolecall.app.errors import RunStopped
from rolecall.app.not_joined import record_hidden_rooms
from rolecall.cluster.database import worker_sql
from rolecall.cluster.database.job_queue import QueuedJob
from rolecall.cluster.database.worker_database import ShardInfo, StoreConnections, WorkerDatabase
from rolecall.cluster.runs.settings import ENGINE, settings_from_json
from rolecall.cluster.worker.shard_work import ShardEnd, ShardStop, ShardWork, stop_run
from rolecall.cluster.worker.workspace_session import SessionRequest, WorkspaceSession, WorkspaceSessions
from rolecall.cluster.workspaces_file import OtherWorkspaceError
from rolecall.engine.context import RunContext
from rolecall.engine.events import EventLogger
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopReason
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import Outcome, RolecallError, RowOutcome
from rolecall.rocketchat.connection_config import AuthenticationError, InvalidUrlError, WorkspaceUnavailableError
from rolecall.store.base import StoreError
from rolecall.store.postgres.reading import ShardLease
from rolecall.store.postgres.runs import take_shard
from rolecall.store.postgres.store import PostgresStore
from rolecall.store.rows import to_text

NEARLY_DONE = 3.0
"""Rows that are left, as a multiple of the calls in flight, from which on the next shard is begun."""


@dataclass(eq=False)
class LaneState:
    """What the shards of a lane share: since when their workspace is away, and what was refused."""

    away_since: float | None = None
    """Since when the workspace is away for this worker."""
    has_other_url: bool = False
    """True while the runs of the workspace are for another URL than the worker has: it can send none of their rows."""
    _refused: set[tuple[int, str]] = field(default_factory=set)

    def is_new_refusal(self, run: int, detail: str) -> bool:
        """Record why a run is refused; return False where it was recorded before."""
        is_new = (run, detail) not in self._refused
        self._refused.add((run, detail))
        return is_new


@dataclass(eq=False)
class ShardRun:
    """A shard that this worker has begun."""

    job: QueuedJob
    database: WorkerDatabase
    worker_id: str
    sessions: WorkspaceSessions
    connections: StoreConnections
    stop: ShardStop
    shared: LaneState
    log: EventLogger
    wake: asyncio.Event
    """Set once the next shard may be begun."""
    info: ShardInfo | None = None
    """None until it is read."""
    context: "RunContext | None" = None
    """None until its rows are processed."""
    left: int = 0
    """Rows that are not finished."""
    is_nearly_done: bool = field(default=False, init=False)
    """True once so few rows are left that the next shard may be begun, so that no slot of the rate is lost."""

    @property
    def rows(self) -> int:
        """Rows that it has finished."""
        return 0 if self.context is None else self.context.outcomes.total()

    @property
    def unknown(self) -> int:
        """Rows that became unknown."""
        return 0 if self.context is None else self.context.outcomes[Outcome.UNKNOWN]

    async def run(self) -> ShardEnd:
        """Process the shard, and return how it ended. Raises StoreError where the database is away."""
        try:
            info = await self.database.shard(int(self.job.arguments["shard"]))
            if info is None or info.is_done:
                return ShardEnd.DONE
            if info.stop:
                return ShardEnd.STOPPED
            self.info, self.log = info, self.log.bind(run=info.run_id, shard=info.shard_id)
            entry = self.sessions.entry
            self.shared.has_other_url = info.url != entry.url
            if self.shared.has_other_url:
                return await self._refuse(info, OtherWorkspaceError(info.url, entry))
            return await self._with_session(info)
        finally:
            self.is_nearly_done = True
            self.wake.set()

    async def _refuse(self, info: ShardInfo, reason: object) -> ShardEnd:
        """Leave the shard to other workers; the reason is recorded with the run, and logged once for it."""
        await self.database.record_refusal(info.run_id, to_text(str(reason)))
        if self.shared.is_new_refusal(info.run_id, str(reason)):
            self.log.warning("shard refused", detail=str(reason))
        return ShardEnd.REFUSED

    async def _with_session(self, info: ShardInfo) -> ShardEnd:
        settings = settings_from_json(info.settings.get(ENGINE, {}))
        if info.rate is not None:
            settings = replace(settings, rate=info.rate)
        try:
            session = await self.sessions.acquire(SessionRequest(settings, self.database, self.stop, self.log))
        except (WorkspaceUnavailableError, InvalidUrlError) as error:  # nothing usable answers: it did to 'submit'
            return await self._away(info, settings, str(error))
        except AuthenticationError as error:
            await stop_run(self.database, info.run_id, StopReason.CREDENTIALS, str(error), self.log)
            return ShardEnd.STOPPED
        except RunStopped:
            return ShardEnd.PUT_BACK
        except RolecallError as error:
            return await self._refuse(info, error)
        self.shared.away_since = None
        try:
            account = session.connection.account
            owner = await self.database.claim_account(info, account.user_id)
            if owner not in (account.user_id, account.username):
                return await self._refuse(info, f"the run is of the account {owner}, not of {account.username}")
            return await self._with_store(info, session, settings)
        finally:
            await self.sessions.release(session, settings)

    async def _with_store(self, info: ShardInfo, session: WorkspaceSession, settings: Settings) -> ShardEnd:
        lease = ShardLease(info.shard_id, *self.job.token, self.worker_id)
        if await take_shard(self.database.connection, self.database.config, lease) is None:
            return ShardEnd.LOST
        work = ShardWork(
            info,
            self.job.token,
            session.connection,
            self.database,
            self.stop,
            self.log,
            partial(self.sessions.has_new_token, session),
        )
        end = None
        try:
            async with self.connections.acquire() as connection:
                config, on_stop = self.database.config, self.stop.request_by_word
                store = PostgresStore(connection, config, info.run_id, lease, on_stop=on_stop)
                end = await self._process(store, work, settings)
        finally:
            if end not in (ShardEnd.DONE, ShardEnd.LOST):  # a stopped run is at rest once no worker has its shards
                with suppress(StoreError):
                    await self.database.release_shard(info.shard_id, self.job.token)
        if end is ShardEnd.AWAY:
            self.shared.away_since = asyncio.get_running_loop().time()
        if end is ShardEnd.AWAY or self.stop.reason is StopReason.CREDENTIALS:
            await self.sessions.retire()  # the next shard is begun only once the workspace answers, or with a new token
        return end

    async def _process(self, store: PostgresStore, work: ShardWork, settings: Settings) -> ShardEnd:
        concurrency = self.sessions.concurrency or settings.concurrency
        self.context = work.context(replace(settings, concurrency=concurrency))
        self.left, _ = await store.count_due(retry_failed=settings.retry_failed)

        def on_durable(outcomes: Sequence[RowOutcome]) -> None:
            self.left -= len(outcomes)
            if not self.is_nearly_done and self.left <= NEARLY_DONE * concurrency:
                self.is_nearly_done = True
                self.wake.set()

        end = await work.process(store, self.context, on_durable)
        if end is ShardEnd.DONE:
            await record_end(store, self.database, work.connection, self.context)
        return end

    async def _away(self, info: ShardInfo, settings: Settings, detail: str) -> ShardEnd:
        """Leave the shard to others; stop the run where the workspace gave no answer to any worker for too long."""
        now, seconds = asyncio.get_running_loop().time(), settings.outage_timeout
        if self.shared.away_since is None:
            self.shared.away_since = now
            self.log.warning("workspace away", detail=detail)
        elif now - self.shared.away_since >= seconds and not await self.database.answered_within(
            info.workspace, seconds
        ):
            await stop_run(self.database, info.run_id, StopReason.OUTAGE, detail, self.log)
            return ShardEnd.STOPPED
        return ShardEnd.AWAY


async def record_end(
    store: PostgresStore, database: WorkerDatabase, connection: Connection, context: RunContext
) -> None:
    """Store the rooms with the run, once every shard of it is done; a failure loses only this list.

    `store`: that of the shard, whose connection to the database is used.
    """
    with suppress(StoreError):
        ((has_ended,),) = await database.fetch(worker_sql.HAS_ENDED, run=store.run_id)
        if has_ended:
            whole = PostgresStore(store.connection, database.config, store.run_id)
            reads = ReadClient(connection.client, context)
            await record_hidden_rooms(whole, reads, connection, context.stop)
