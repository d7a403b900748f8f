"""The HTTP sessions of a lane with its workspace, each with the limits and the account of its runs.

Their calls leave in slots of the own rate that are leased from the database.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from rolecall.app.connection import AppContext, Connection, connect
from rolecall.app.errors import OperatorError
from rolecall.app.observer import NullObserver
from rolecall.cluster.database import worker_sql
from rolecall.cluster.database.lease import database_clock, lease_moments
from rolecall.cluster.database.worker_database import WorkerDatabase
from rolecall.cluster.workspaces_file import WorkspaceEntry
from rolecall.engine.events import EventLogger
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopSignal
from rolecall.engine.throttle.admission import CallKind
from rolecall.engine.throttle.rate_slots import LeasedSlots
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials


class SlotLeaser:
    """The slots of one kind of calls to a workspace. Without the database no slot is leased, and no call leaves."""

    def __init__(self, workspace: str, kind: CallKind) -> None:
        self._workspace = workspace
        self._kind = kind
        self._wanted = asyncio.Event()
        self.slots = LeasedSlots(self._wanted.set)

    async def run(self, database: WorkerDatabase) -> None:
        """Lease slots whenever calls wait for them, until cancelled. Raises StoreError."""
        self._wanted.set()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if count := self.slots.wanted:
                self.slots.add(await self._lease(database, count))

    async def _lease(self, database: WorkerDatabase, count: int) -> list[float]:
        interval = self.slots.interval
        found = await database.fetch(
            worker_sql.LEASE_SLOTS,
            workspace=self._workspace,
            kind=self._kind.name.lower(),
            count=count,
            interval=interval,
        )
        ((first, now),) = found
        database.record_clock(now)
        return lease_moments(first, count, interval, database.clock)


class SessionRequest(NamedTuple):
    """What a shard needs of a session."""

    settings: Settings
    database: WorkerDatabase
    stop: StopSignal
    log: EventLogger


@dataclass(eq=False)
class WorkspaceSession:
    """An HTTP session that is open."""

    limits: tuple[object, ...]
    """The settings that its limits are built from."""
    credentials: Credentials
    connection: Connection
    stack: AsyncExitStack
    users: int = 0
    """Shards that use it."""
    is_current: bool = True


@dataclass(eq=False)
class WorkspaceSessions:
    """The sessions of one lane: one is current; a former one is closed once no shard uses it."""

    entry: WorkspaceEntry
    environ: Mapping[str, str]
    warn: Callable[[str], None]
    concurrency: int | None
    """Calls in flight; None for what each run says."""
    timeouts: Mapping[str, float]
    """Of the connection, see ConnectionConfig."""
    open_client: Callable[[ConnectionConfig, Credentials], Client] = Client
    """Opens an HTTP session."""
    leasers: Mapping[CallKind, SlotLeaser] = field(init=False)
    _current: WorkspaceSession | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _rates: list[float] = field(default_factory=list)
    """The own rates of the shards that are processed."""

    def __post_init__(self) -> None:
        self.leasers = {kind: SlotLeaser(self.entry.name, kind) for kind in CallKind}

    async def acquire(self, request: SessionRequest) -> WorkspaceSession:
        """Return a session for a shard; `release` must follow. Raises RolecallError.

        It is a new one for other limits, or where the token has changed.
        """
        async with self._opening:
            credentials = self.entry.load_credentials(self.environ, self.warn)
            settings = replace(request.settings, concurrency=self.concurrency or request.settings.concurrency)
            limits = (settings.concurrency, settings.outage_timeout, settings.retry_backoff)
            session = self._current
            if session is None or (session.limits, session.credentials) != (limits, credentials):
                await self.retire()
                session = await self._open(request._replace(settings=settings), limits, credentials)
            session.users += 1
            if settings.rate is not None:
                self._rates.append(settings.rate)
            self._set_rate()
            return session

    async def release(self, session: WorkspaceSession, settings: Settings) -> None:
        """Record that a shard does not use a session any more."""
        if settings.rate is not None:
            self._rates.remove(settings.rate)
        if self._rates:
            self._set_rate()
        session.users -= 1
        if not session.users and not session.is_current:
            await session.stack.aclose()

    async def retire(self) -> None:
        """Let the next shard open a new session."""
        session, self._current = self._current, None
        if session is not None:
            session.is_current = False
            if not session.users:
                await session.stack.aclose()

    def has_new_token(self, session: WorkspaceSession) -> bool:
        """Return whether the token was replaced since a session was opened."""
        with suppress(OperatorError):
            return self.entry.load_credentials(self.environ, self.warn) != session.credentials
        return False

    def _set_rate(self) -> None:
        """Keep to the lowest rate of the shards that are processed."""
        for leaser in self.leasers.values():
            leaser.slots.set_rate(min(self._rates, default=None))

    async def _open(
        self, request: SessionRequest, limits: tuple[object, ...], credentials: Credentials
    ) -> WorkspaceSession:
        observer = NullObserver(request.log)
        context = AppContext(
            self.entry.connection(**self.timeouts),
            credentials,
            request.settings,
            observer,
            request.stop,
            self.open_client,
        )
        rates = {kind: leaser.slots for kind, leaser in self.leasers.items()}
        stack = AsyncExitStack()
        clock = database_clock(request.database.clock)
        connection = await stack.enter_async_context(connect(context, rates, clock))
        self._current = WorkspaceSession(limits, credentials, connection, stack)
        return self._current
