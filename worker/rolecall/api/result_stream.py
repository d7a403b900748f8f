"""One call of the library from the rows to the last result, in a task that owns all that the run needs."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rolecall.api.blocking_executor import BlockingExecutor
from rolecall.api.handover import ResultQueue
from rolecall.api.row_ingest import RowInputs, import_rows
from rolecall.api.workspace import Workspace
from rolecall.app.open_run import LEDGER, REPORTED, Run, open_run
from rolecall.app.out_folder import make_private_directory
from rolecall.engine.clock import Clock
from rolecall.engine.context import RunContext
from rolecall.engine.dispatcher import RunHooks, process_rows
from rolecall.engine.events import EngineEvents, EventLogger
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopReason, StopSignal
from rolecall.models import Outcome, Result, RowOutcome
from rolecall.rocketchat.client import Client, Credentials, Transport
from rolecall.rocketchat.operations import Operation
from rolecall.rocketchat.preflight import Account, fetch_current_user, parse_account
from rolecall.rocketchat.url import proxy_for
from rolecall.store.base import Identity, RunStore, StoreError
from rolecall.store.sqlite.store import SqliteStore

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


class OpenRun(NamedTuple):
    """What a session has open."""

    disk: BlockingExecutor
    run: Run
    reader: RunStore
    """The same ledger once more: the first is the journal's alone while rows are sent."""


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
        async with BlockingExecutor() as disk:
            files = await self._open(disk)
            await disk.call(files.run.ledger.note, **{REPORTED: "no"})
            await import_rows(disk, files.run.ledger, files.run.identity, order.rows)
            due, _ = await disk.call(files.reader.count_due, retry_failed=order.settings.retry_failed)
            if not due:
                await self._tell_known(files)
                return
            async with _connected(order.workspace, order.settings.outage_timeout, order.log) as (client, account):
                await self._tell_known(files)
                recorded = await self._send(files, client, account, due)
            if self.stop.reason is not None and not self.left:
                await self._tell_rest(files, recorded=recorded)

    async def _open(self, disk: BlockingExecutor) -> OpenRun:
        if self._order.folder is None:
            folder = await disk.keep(_temporary_folder())
        else:
            folder = await disk.call(make_private_directory, self._order.folder)
        # The digest is that of a job file: there is none.
        identity = Identity(self._order.workspace.url, self._order.operation.name, "")
        run = await disk.keep(open_run(folder, identity))
        return OpenRun(disk, run, await disk.keep(_reading(folder / LEDGER)))

    async def _tell_known(self, files: OpenRun) -> None:
        """Tell the rows that need no call: invalid ones, duplicates, and what an earlier session has settled."""
        results = files.reader.results()
        while chunk := await files.disk.call(lambda: list(islice(results, CHUNK))):
            await self._tell(result for result in chunk if result.line is not None and not self._is_due(result.outcome))

    async def _send(self, files: OpenRun, client: Client, account: Account, due: int) -> bool:
        """Send what is due and tell each row once its outcome is on disk; False when the end could not be recorded."""
        order, clock, durable = self._order, self._clock, ResultQueue[RowOutcome]()
        log = order.log.bind(run=files.run.folder.name)
        context = RunContext.create(order.settings, log, clock=clock, stop=self.stop)
        events = context.events
        self._sending = True
        await self._begin(files, events, account, due)
        began = clock.now()
        work = asyncio.create_task(
            process_rows(
                files.run.ledger,
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
                self._results.put(await files.disk.call(files.reader.results_by_key, keys))
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
            recorded = await self._end(files)
            events.session_ended(clock.now() - began, context.outcomes)
            self._sending = False
        return recorded

    async def _begin(self, files: OpenRun, events: EngineEvents, account: Account, due: int) -> None:
        ledger = files.run.ledger
        resumed = bool(await files.disk.call(ledger.sessions))
        await files.disk.call(ledger.open_session, account.username, self._clock.wall_ms())
        events.session_started(files.run.identity, files.run.folder, account.username, due, resumed=resumed)

    async def _end(self, files: OpenRun) -> bool:
        """Write down how the session ended, if that can still be written."""
        try:
            await files.disk.call(files.run.ledger.close_session, self.stop.reason or "", self._clock.wall_ms())
        except StoreError as failure:
            self.stop.request(StopReason.STORE, str(failure))
            return False
        return True

    async def _tell_rest(self, files: OpenRun, *, recorded: bool) -> None:
        """Tell the rows that are still due and were not told yet: a session that is stopped leaves some."""
        place, retry_failed = 0, self._order.settings.retry_failed
        while found := await files.disk.call(files.reader.due, place, CHUNK, retry_failed=retry_failed):
            place = found[-1][0]
            keys = [row.key for _, row in found if row.key not in self._told]
            results = await files.disk.call(files.reader.results_by_key, keys)
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
        """Tell whether a row of this outcome is sent (again)."""
        again = outcome is Outcome.FAILED and self._order.settings.retry_failed
        return again or outcome in (Outcome.NOT_ATTEMPTED, Outcome.UNKNOWN)


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="rolecall-") as path:
        yield Path(path)


@contextmanager
def _reading(path: Path) -> Iterator[RunStore]:
    with closing(SqliteStore(path)) as ledger:
        yield ledger


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
