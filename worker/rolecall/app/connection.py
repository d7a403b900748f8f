"""The connection of a use case to its workspace: who calls, how, and how it can be interrupted."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from rolecall.app.errors import RunStopped
from rolecall.app.observer import NullObserver, Observer, StoreLocked
from rolecall.engine.clock import Clock
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import ShutdownRequested, StopReason, StopSignal, run_until_stopped
from rolecall.file_access import Target
from rolecall.models import Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.rocketchat.preflight import Account, fetch_current_user, may_bypass_rate_limit, parse_account
from rolecall.rocketchat.rate_limit_headers import server_date
from rolecall.store.base import LockWait

if TYPE_CHECKING:  # needed only after the preflight
    from rolecall.engine.context import Caller, RunContext
    from rolecall.engine.progress import Estimate
    from rolecall.engine.throttle.admission import AdmissionController, CallKind
    from rolecall.engine.throttle.rate_slots import RateSlots
    from rolecall.engine.throttle.read_client import ReadClient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AppContext:
    """What every use case needs that calls a workspace."""

    connection: ConnectionConfig
    credentials: Credentials
    settings: Settings = field(default_factory=Settings)
    observer: Observer = field(default_factory=NullObserver)
    stop: StopSignal = field(default_factory=StopSignal)
    """Requested by the caller to end the work early; one for each call of a use case."""
    open_client: Callable[[ConnectionConfig, Credentials], Client] = Client
    """Opens the HTTP session; a simulation has its own."""


def lock_wait(context: AppContext) -> LockWait:
    """Return how long the store waits for another program: as long as for a workspace that is away."""
    loop, observer = asyncio.get_running_loop(), context.observer

    def on_wait(store: Path, seconds: float) -> None:
        loop.call_soon_threadsafe(observer.notice, StoreLocked(store, seconds))

    return LockWait(context.settings.outage_timeout, on_wait, lambda: context.stop.reason is not None)


class Connection(NamedTuple):
    """An HTTP session with a workspace that has accepted the credentials."""

    client: Client
    account: Account
    server_date: float | None
    """The server's clock at the first response: epoch seconds."""
    admission: "AdmissionController"
    """Of all calls of this connection."""
    may_be_exempt: bool = False
    """The account's roles allow it to bypass the rate limit."""

    @property
    def caller(self) -> "Caller":
        """Who makes the calls, for the evidence of their outcomes."""
        from rolecall.engine.context import Caller

        date = self.server_date
        return Caller(self.account.user_id, None if date is None else round(date * 1000), self.may_be_exempt)

    def estimate(self, settings: Settings, calls: int) -> "Estimate | None":
        """Estimate how long so many calls take; None where nothing limits them."""
        from rolecall.engine.progress import estimate_duration

        return estimate_duration(calls, settings.rate, self.account.limits, self.server_date)


@asynccontextmanager
async def connect(
    context: AppContext, rates: "Mapping[CallKind, RateSlots]" = MappingProxyType({}), clock: Clock | None = None
) -> AsyncIterator[Connection]:
    """Connect and read the account; a rate limit is waited out for at most the outage timeout.

    `rates`: the own rates that other processes share; `clock`: that of the admission, a new one if None.
    Raises CaFileError, InvalidUrlError, AuthenticationError, WorkspaceUnavailableError, or RunStopped on a request to
    stop.
    """
    async with context.open_client(context.connection, context.credentials) as client:
        call = fetch_current_user(client, context.settings.outage_timeout, context.observer.waiting)
        reply = await until_stopped(call, context.stop)
        date = server_date(reply.headers) if isinstance(reply, Reply) else None
        account = parse_account(reply, context.connection.url)
        may_be_exempt = await until_stopped(may_bypass_rate_limit(client, account), context.stop)
        from rolecall.engine.throttle.admission import AdmissionController

        admission = AdmissionController.build(
            context.settings, clock or Clock(), may_be_exempt=may_be_exempt, rates=rates
        )
        yield Connection(client, account, date, admission, may_be_exempt)


class LazyConnection:
    """A connection that is made where it is first needed; an async context manager that closes it."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._stack = AsyncExitStack()
        self._connection: Connection | None = None

    async def get(self) -> Connection:
        """Return the connection. Raises what `connect` raises."""
        if self._connection is None:
            self._connection = await self._stack.enter_async_context(connect(self._context))
        return self._connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.__aexit__(*error)


async def until_stopped(work: Coroutine[Any, Any, T], stop: StopSignal) -> T:
    """Await the work. Raises RunStopped as soon as the stop is requested."""
    try:
        return await run_until_stopped(work, stop)
    except ShutdownRequested:
        raise RunStopped(stop.reason or StopReason.INTERRUPTED, stop.detail) from None


class ReadSession(NamedTuple):
    """What a use case needs that only reads."""

    reader: "ReadClient"
    context: "RunContext"

    @property
    def stop(self) -> StopSignal:
        """The signal that ends the reading."""
        return self.context.stop

    @property
    def clock(self) -> Clock:
        """The clock of the session."""
        return self.context.clock


def open_read_session(
    context: AppContext, connection: Connection, log_file: Target | None, clock: Clock | None = None
) -> ReadSession:
    """Create a reader; its events go to the observer's log and to `log_file`. `clock`: that of the rows' times."""
    from rolecall.engine.context import RunContext
    from rolecall.engine.throttle.read_client import ReadClient

    log = context.observer.open_log(log_file, hide=context.credentials.token)
    run_context = RunContext.create(
        context.settings,
        log,
        clock=clock,
        stop=context.stop,
        admission=connection.admission,
        caller=connection.caller,
    )
    return ReadSession(ReadClient(connection.client, run_context), run_context)


async def run_reading(work: Coroutine[Any, Any, None], stop: StopSignal) -> bool:
    """Await the reading; return False when it was stopped before its end, for the reason in `stop`.

    A cancellation stops it too, and is raised.
    """
    try:
        await run_until_stopped(work, stop)
    except ShutdownRequested:
        return False
    except asyncio.CancelledError:
        stop.request(StopReason.INTERRUPTED)
        raise
    return True
