"""One call of the library from the rows to the last result, in a task that owns all that the run needs."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rolecall.api.handover import ResultQueue
from rolecall.api.row_ingest import RowInputs, parse_rows
from rolecall.api.workspace import Workspace
from rolecall.app.open_run import REPORTED, Run, open_run
from rolecall.app.out_folder import make_private_directory
from rolecall.app.threads import on_thread
from rolecall.engine.clock import Clock
from rolecall.engine.context import RunContext
from rolecall.engine.dispatcher import RunHooks, process_rows
from rolecall.engine.events import EngineEvents, EventLogger
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopReason, StopSignal
from rolecall.models import Outcome, Result, RowOutcome, is_due
from rolecall.rocketchat.client import Client, Credentials, Transport
from rolecall.rocketchat.operations import Operation
from rolecall.rocketchat.preflight import Account, fetch_current_user, parse_account
from rolecall.rocketchat.url import proxy_for
from rolecall.store.base import Identity, StoreError

CHUNK = 256
"""Rows that are read from the ledger at once."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a program has asked for."""

    rows: RowInputs
    workspace: Workspace
    operation: Operation
    folder: Path | None
    settings: Settings
    log: EventLogger


class ResultStream:
    """Does what was ordered and hands over one result for each row; `ahead` is how many may wait to be taken."""

    def __init__(self, order: JobRequest, ahead: int) -> None:
        self._order = order
        self._room = asyncio.Semaphore(ahead)
        self._results: ResultQueue[Result] = ResultQueue()
        self._clock = Clock()
        self._told: set[int] = set()
        self._sending = False
        self.left = False
        """True once the program wants no more."""
        self.stop = StopSignal()
        """Why it ends before the last row, if it does."""

    async def take(self) -> list[Result]:
        """Give the results that are there, at least one; nothing at the end."""
        return await self._results.take()

    def taken(self) -> None:
        """Note that the program is done with one result."""
        self._room.release()

    def start(self) -> asyncio.Task[None]:
        """Begin; the task raises whatever ends the session before its work."""
        self._task = asyncio.create_task(self._perform(), name="rolecall")
        self._task.add_done_callback(lambda _: self._results.close())
        return self._task

    def leave(self) -> None:
        """End in stages, because nobody wants the rest: calls under way are awaited, anything else is dropped."""
        self.left = True
        self.stop.request(StopReason.INTERRUPTED)
        if not self._sending:
            self._task.cancel()

    async def _perform(self) -> None:
        order = self._order
        async with self._open() as run:
            await run.store.set_meta(**{REPORTED: "no"})
            async with aclosing(parse_rows(order.rows)) as pages:
                await run.store.import_rows(run.identity, pages)
            due, _ = await run.store.count_due(retry_failed=order.settings.retry_failed)
            if not due:
                await self._tell_known(run)
                return
            async with _connected(order.workspace, order.settings.outage_timeout, order.log) as (client, account):
                await self._tell_known(run)
                recorded = await self._send(run, client, account, due)
            if self.stop.reason is not None and not self.left:
                await self._tell_rest(run, recorded=recorded)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Run]:
        # The digest is that of a job file: there is none.
        identity = Identity(self._order.workspace.url, self._order.operation.name, "")
        if self._order.folder is None:
            async with on_thread(_temporary_folder()) as folder, open_run(folder, identity) as run:
                yield run
        else:
            folder = await asyncio.to_thread(make_private_directory, self._order.folder)
            async with open_run(folder, identity) as run:
                yield run

    async def _tell_known(self, run: Run) -> None:
        """Tell the rows that need no call: invalid ones, duplicates, and what an earlier session has settled."""
        async with aclosing(run.store.results()) as pages:
            async for page in pages:
                await self._tell(
                    result for result in page if result.line is not None and not self._is_due(result.outcome)
                )

    async def _send(self, run: Run, client: Client, account: Account, due: int) -> bool:
        """Send what is due and tell each row once its outcome is on disk; False when the end could not be recorded."""
        order, clock, durable = self._order, self._clock, ResultQueue[RowOutcome]()
        log = order.log.bind(run=run.folder.name)
        context = RunContext.create(order.settings, log, clock=clock, stop=self.stop)
        events = context.events
        self._sending = True
        await self._begin(run, events, account, due)
        began = clock.now()
        work = asyncio.create_task(
            process_rows(
                run.store,
                client,
                order.operation,
                context,
                RunHooks(before_row=self._room.acquire, on_durable=durable.put),
            ),
            name="rolecall work",
        )
        work.add_done_callback(lambda _: durable.close())
        try:
            while settled := await durable.take():
                self._told.update(each.key for each in settled if self._is_due(each.outcome))
                keys = [each.key for each in settled]
                self._results.put(await run.store.results_by_key(keys))
            work.result()
        except asyncio.CancelledError:
            self.stop.request(StopReason.INTERRUPTED)
            raise
        except StoreError as failure:
            self.stop.request(StopReason.STORE, str(failure))
            raise
        finally:
            work.cancel()
            await asyncio.wait({work})
            recorded = await self._end(run)
            events.session_ended(clock.now() - began, context.outcomes)
            self._sending = False
        return recorded

    async def _begin(self, run: Run, events: EngineEvents, account: Account, due: int) -> None:
        store = run.store
        resumed = bool(await store.sessions())
        await store.open_session(account.username, self._clock.wall_ms())
        events.session_started(run.identity, run.folder, account.username, due, resumed=resumed)

    async def _end(self, run: Run) -> bool:
        """Write down how the session ended, if that can still be written."""
        try:
            await run.store.close_session(self.stop.reason or "", self._clock.wall_ms())
        except StoreError as failure:
            self.stop.request(StopReason.STORE, str(failure))
            return False
        return True

    async def _tell_rest(self, run: Run, *, recorded: bool) -> None:
        """Tell the rows that are still due and were not told yet: a session that is stopped leaves some."""
        place, retry_failed = 0, self._order.settings.retry_failed
        while found := await run.store.fetch_due(place, CHUNK, retry_failed=retry_failed):
            place = found[-1][0]
            keys = [row.key for _, row in found if row.key not in self._told]
            results = await run.store.results_by_key(keys)
            await self._tell(result if recorded else self._with_reason(result) for result in results)

    def _with_reason(self, result: Result) -> Result:
        """Say why a row was not attempted, where the ledger could not be told."""
        if result.outcome is not Outcome.NOT_ATTEMPTED or self.stop.reason is None:
            return result
        return result._replace(reason=self.stop.reason.value)

    async def _tell(self, results: Iterable[Result]) -> None:
        for result in results:
            await self._room.acquire()
            self._results.put((result,))

    def _is_due(self, outcome: Outcome) -> bool:
        """Return whether a row of this outcome is sent (again)."""
        return is_due(outcome, retry_failed=self._order.settings.retry_failed)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="rolecall-") as path:
        yield Path(path)


@asynccontextmanager
async def _connected(workspace: Workspace, patience: float, log: EventLogger) -> AsyncIterator[tuple[Client, Account]]:
    """Open a session with the workspace and ask who we are.

    Raises BadAuthorities, BadAddress, BadCredentials and WorkspaceAway.
    """
    url = workspace.url
    proxy = proxy_for(url, os.environ)
    transport = Transport(url, workspace.connect_timeout, workspace.timeout, proxy, workspace.ca_file)

    def tell_of_wait(seconds: float) -> None:
        until = Clock().wall_time_in(seconds)
        log.info("rate limit pause", cause="refused", seconds=round(seconds, 1), until=until)

    async with Client(transport, Credentials(workspace.user_id, workspace.token)) as client:
        yield client, parse_account(await fetch_current_user(client, patience, tell_of_wait), url)
