"""A lane: the work of one worker for one workspace, one shard at a time.

It has the HTTP session, the limits and the account. Of the workers behind one address, one is active for a workspace,
and the others stand by.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from rolecall.app.connection import AppContext, Connection, connect
from rolecall.app.errors import OperatorError, RunStopped
from rolecall.app.observer import NullObserver
from rolecall.cluster.database import ShardInfo, WorkerDatabase, database_clock
from rolecall.cluster.job_queue import PROCESS_SHARD, QueuedJob
from rolecall.cluster.lease import HeartbeatLease
from rolecall.cluster.run_settings import ENGINE, settings_from_json
from rolecall.cluster.shard_work import ShardEnd, ShardStop, ShardWork, stop_run
from rolecall.cluster.slot_leaser import SlotLeaser
from rolecall.cluster.workspaces_file import WorkspaceEntry
from rolecall.engine.events import EventLogger
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopReason
from rolecall.engine.throttle.admission import AdmissionStatus, CallKind
from rolecall.rocketchat.connection_config import (
    AuthenticationError,
    ConnectionConfig,
    Credentials,
    WorkspaceUnavailableError,
)
from rolecall.rocketchat.operations import OPERATIONS
from rolecall.store.base import StoreError
from rolecall.store.postgres.connection import Connection as DatabaseConnection
from rolecall.store.postgres.connection import connect as connect_database
from rolecall.store.postgres.runs import take_shard
from rolecall.store.postgres.store import PostgresStore, ShardLease

if TYPE_CHECKING:
    from rolecall.engine.context import RunContext

STANDBY_PAUSE = 2.0
"""Seconds between two attempts to become active."""
AWAY_PAUSE, MAX_AWAY_PAUSE = 2.0, 30.0
"""Seconds until a workspace that is away is tried again: doubled each time."""
ELSEWHERE = 10.0
"""Seconds of an outage after which a shard is left to workers that get answers."""
RECORD_ANSWERS = 5.0
"""Seconds between two records of a workspace that answers."""
REFUSED_PAUSE = 10.0
"""Seconds in which a lane leaves a shard to workers whose account is that of the run."""


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """Who this worker is."""

    worker_id: str
    host: str
    egress: str
    """The address from which its calls come."""


@dataclass(frozen=True, slots=True)
class LaneConfig:
    """What the lanes of a worker have in common."""

    identity: WorkerIdentity
    lease: HeartbeatLease
    environ: Mapping[str, str]
    warn: Callable[[str], None]
    concurrency: int | None = None
    """Calls in flight; None for what each run says."""
    connection_of: Callable[[WorkspaceEntry], ConnectionConfig] = field(default=WorkspaceEntry.connection)


class _Session:
    """An HTTP session with the workspace, for runs with the same limits."""

    def __init__(self, settings: Settings, credentials: Credentials, connection: Connection) -> None:
        self.limits = limits_of(settings)
        self.credentials = credentials
        self.connection = connection


class Start(NamedTuple):
    """One start of a shard, before its token is taken."""

    info: ShardInfo
    job: QueuedJob
    database: WorkerDatabase
    stop: ShardStop
    log: EventLogger


def limits_of(settings: Settings) -> tuple[object, ...]:
    """Return the settings that the limits of a lane are built from."""
    return settings.concurrency, settings.outage_timeout, settings.retry_backoff


class Lane:
    """The work for one workspace in this process."""

    def __init__(self, entry: WorkspaceEntry, config: LaneConfig, log: EventLogger) -> None:
        self.entry = entry
        self.wake = asyncio.Event()
        """Set where a job may wait."""
        self.is_active = False
        """True while it is the active one behind its address."""
        self.stop: ShardStop | None = None
        """Ends the work on the present shard."""
        self.shard: ShardInfo | None = None
        """The present shard."""
        self._config = config
        self._log = log.bind(workspace=entry.name)
        self._leasers = {kind: SlotLeaser(entry.name, kind) for kind in CallKind}
        self._stack = AsyncExitStack()
        self._session: _Session | None = None
        self._store_connection: DatabaseConnection | None = None
        self._pause = 0.0
        self._away_since: float | None = None
        self._is_reported_standby = False
        self._context: RunContext | None = None
        self._calls = 0
        self._rows = 0

    @property
    def is_busy(self) -> bool:
        """True while a shard is processed."""
        return self.shard is not None

    @property
    def rows(self) -> int:
        """Rows that were finished since the start."""
        return self._rows + (0 if self._context is None else self._context.outcomes.total())

    @property
    def name(self) -> str:
        """The name of the workspace."""
        return self.entry.name

    async def serve(self, database: WorkerDatabase, worker: int, draining: asyncio.Event) -> None:
        """Work until drained: on one job after the other. Raises StoreError where the database is away."""
        leasing = [asyncio.create_task(leaser.run(database)) for leaser in self._leasers.values()]
        try:
            while not draining.is_set():
                await self._next(database, worker, draining)
        finally:
            for task in leasing:
                task.cancel()
            await asyncio.gather(*leasing, return_exceptions=True)
            self.is_active = False
            await self._close_store()

    async def close(self) -> None:
        """Close the HTTP session."""
        self._session = None
        await self._stack.aclose()

    async def look_for_stop(self, database: WorkerDatabase) -> None:
        """End the work on the present shard where its run is stopped. Raises StoreError."""
        if self.shard is not None and self.stop is not None:
            word, detail = await database.run_stop(self.shard.run_id)
            if word and self.stop is not None:
                self.stop.request_by_word(word, detail)

    def request_stop(self, detail: str = "") -> None:
        """End the work on the present shard: the calls in flight are awaited."""
        if self.stop is not None:
            self.stop.request(StopReason.INTERRUPTED, detail)

    def _status(self) -> AdmissionStatus | None:
        """Return the state of the changing calls; None while no shard is processed."""
        if self._context is None or self.shard is None:
            return None
        return self._context.admission.status(OPERATIONS[self.shard.operation].path)

    def has_answered(self) -> bool:
        """Return whether calls left since the last look, and the workspace is reachable."""
        status = self._status()
        if status is None or status.outage is not None:
            return False
        calls, self._calls = self._calls, status.calls
        return status.calls != calls

    async def leave_if_others_get_answers(self, database: WorkerDatabase) -> None:
        """End the work on the shard where the workspace is away for this worker alone. Raises StoreError."""
        status = self._status()
        if self.stop is None or status is None or status.outage is None or status.outage.seconds < ELSEWHERE:
            return
        if await database.answered_within(self.name, status.outage.seconds - RECORD_ANSWERS):
            self.stop.request(StopReason.OUTAGE, "the workspace does not answer to this worker; others go on")

    async def _next(self, database: WorkerDatabase, worker: int, draining: asyncio.Event) -> None:
        """Work on the next job, or wait for one."""
        self.wake.clear()
        if self._pause:
            pause, self._pause = self._pause, 0.0
            await _either(draining.wait(), asyncio.sleep(pause))
            return
        if not self.is_active and not await self._become_active(database):
            await _either(draining.wait(), asyncio.sleep(STANDBY_PAUSE))
            return
        job = await database.jobs.fetch(self.name, worker) if self._config.lease.is_fresh else None
        if job is None:
            await _either(draining.wait(), self.wake.wait())
        else:
            await self._run(job, database)

    async def _become_active(self, database: WorkerDatabase) -> bool:
        self.is_active = await database.lock_egress(self.name, self._config.identity.egress)
        if not self.is_active and not self._is_reported_standby:
            self._log.warning(
                "standing by",
                egress=self._config.identity.egress,
                detail="another worker behind the same address works for this workspace; "
                "--egress names an address of its own",
            )
        self._is_reported_standby = not self.is_active
        return self.is_active

    async def _run(self, job: QueuedJob, database: WorkerDatabase) -> None:
        """Work on a job, and end it."""
        if job.task != PROCESS_SHARD:
            self._log.warning("unknown job", task=job.task, detail="a newer version of Rolecall has put it there")
            await database.jobs.finish(job, failed=True)
            return
        try:
            end = await self._run_shard(job, database)
        except StoreError:
            raise
        except Exception as error:  # of any kind: it comes back later, and other shards go on
            self._log.warning("shard failed", **job.arguments, detail=f"{type(error).__name__}: {error}")
            await database.jobs.finish(job, failed=True)
            return
        if end in (ShardEnd.PUT_BACK, ShardEnd.AWAY, ShardEnd.REFUSED):
            await database.jobs.put_back(job)
        else:
            await database.jobs.finish(job)
        if end is ShardEnd.AWAY:
            self._pause_while_away()
        elif end is ShardEnd.REFUSED:
            self._pause = REFUSED_PAUSE
        else:
            self._away_since = None

    def _pause_while_away(self) -> None:
        now = asyncio.get_running_loop().time()
        self._away_since = self._away_since or now
        self._pause = min(AWAY_PAUSE + (now - self._away_since), MAX_AWAY_PAUSE)

    async def _run_shard(self, job: QueuedJob, database: WorkerDatabase) -> ShardEnd:
        info = await database.shard(int(job.arguments["shard"]))
        if info is None or info.is_done:
            return ShardEnd.DONE
        if info.stop:
            return ShardEnd.STOPPED
        log = self._log.bind(run=info.run_id, shard=info.shard_id)
        if info.url != self.entry.url:
            log.warning(
                "shard refused", detail=f"the run is for {info.url}, and {self.entry.place} is {self.entry.url}"
            )
            return ShardEnd.REFUSED
        self.stop, self.shard = ShardStop(self._config.lease), info
        try:
            return await self._process(Start(info, job, database, self.stop, log))
        finally:
            self.stop = self.shard = None

    async def _process(self, start: Start) -> ShardEnd:
        info, log = start.info, start.log
        settings = self._settings_of(info)
        try:
            connection = await self._connect(settings, start)
        except WorkspaceUnavailableError as error:
            return await self._away(start, settings, str(error))
        except AuthenticationError as error:
            await stop_run(start.database, info.run_id, StopReason.CREDENTIALS, str(error), log)
            return ShardEnd.STOPPED
        except RunStopped:
            return ShardEnd.PUT_BACK
        except OperatorError as error:
            log.warning("shard refused", detail=str(error))
            return ShardEnd.REFUSED
        account = connection.account
        if info.account not in ("", account.user_id, account.username):
            log.warning("shard refused", detail=f"the run is of the account {info.account}, not of {account.username}")
            return ShardEnd.REFUSED
        return await self._work(start, connection, settings)

    async def _work(self, start: Start, connection: Connection, settings: Settings) -> ShardEnd:
        info, job, database, stop, log = start
        lease = ShardLease(info.shard_id, *job.token, self._config.identity.worker_id)
        if await take_shard(database.connection, database.config, lease) is None:
            return ShardEnd.LOST
        if self._store_connection is None:
            self._store_connection = await connect_database(database.config)
        store = PostgresStore(self._store_connection, database.config, info.run_id, lease, on_stop=stop.request_by_word)
        work = ShardWork(info, job.token, connection, database, stop, log, self._has_new_token)
        self._context = work.context(settings)
        try:
            end = await work.process(store, self._context)
        finally:
            self._rows, self._context = self.rows, None
        if stop.reason is StopReason.CREDENTIALS:
            await self.close()
        return end

    def _has_new_token(self) -> bool:
        """Return whether the token was replaced since the HTTP session was opened."""
        if self._session is None:
            return False
        with suppress(OperatorError):
            return self.entry.load_credentials(self._config.environ, self._config.warn) != self._session.credentials
        return False

    def _settings_of(self, info: ShardInfo) -> Settings:
        settings = settings_from_json(info.settings.get(ENGINE, {}))
        rate = settings.rate if info.rate is None else info.rate
        for leaser in self._leasers.values():
            leaser.slots.set_rate(rate)
        return replace(settings, rate=rate, concurrency=self._config.concurrency or settings.concurrency)

    async def _connect(self, settings: Settings, start: Start) -> Connection:
        """Return the HTTP session; a new one for other limits, or where the token has changed."""
        credentials = self.entry.load_credentials(self._config.environ, self._config.warn)
        session = self._session
        if session is not None and session.limits == limits_of(settings) and session.credentials == credentials:
            return session.connection
        await self.close()
        observer = NullObserver(start.log)
        context = AppContext(self._config.connection_of(self.entry), credentials, settings, observer, start.stop)
        rates = {kind: leaser.slots for kind, leaser in self._leasers.items()}
        clock = database_clock(start.database.clock)
        connection = await self._stack.enter_async_context(connect(context, rates, clock))
        self._session = _Session(settings, credentials, connection)
        return connection

    async def _away(self, start: Start, settings: Settings, detail: str) -> ShardEnd:
        """Leave the shard to others; stop the run where the workspace gave no answer to any worker for too long."""
        now, seconds, info = asyncio.get_running_loop().time(), settings.outage_timeout, start.info
        if self._away_since is None:
            start.log.warning("workspace away", detail=detail)
        elif now - self._away_since >= seconds and not await start.database.answered_within(info.workspace, seconds):
            await stop_run(start.database, info.run_id, StopReason.OUTAGE, detail, start.log)
            return ShardEnd.STOPPED
        return ShardEnd.AWAY

    async def _close_store(self) -> None:
        connection, self._store_connection = self._store_connection, None
        if connection is not None:
            await connection.close()


async def _either(*waits: object) -> None:
    """Return once one of them is done; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
