"""One session of a run: from the first row that is due to the report, however it ends."""

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from rolecall.app import reports
from rolecall.app.open_run import Run
from rolecall.cli.exit_codes import ExitCode
from rolecall.cli.terminal.progress_reporter import ProgressReporter
from rolecall.cli.terminal.signals import two_stage_interrupt
from rolecall.engine.clock import Clock
from rolecall.engine.context import RunContext
from rolecall.engine.dispatcher import process_rows
from rolecall.engine.events import EngineEvents
from rolecall.engine.progress_tracker import PriorProgress, ProgressTracker
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import STOP_HINTS, StopReason, StopSignal
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.operations import Operation
from rolecall.store.base import Count, StoreError


class SendSession(NamedTuple):
    """What a session needs."""

    run: Run
    client: Client
    operation: Operation
    settings: Settings
    formats: Sequence[str]
    log: FilteringBoundLogger
    showing: ProgressReporter

    async def send(self, account: str, rows: int) -> ExitCode:
        """Send what is due, write the reports, show the summary."""
        run, context = self.run, RunContext.create(self.settings, self.log)
        clock, stop, events = context.clock, context.stop, context.events
        earlier = PriorProgress.of(await run.store.counts(), rows, retry_failed=self.settings.retry_failed)
        await self._open(account, rows, clock, events)
        started = clock.now()
        async with self.showing.following(ProgressTracker(earlier, context, self.operation.path), self.log):
            work = process_rows(run.store, self.client, self.operation, context)
            at_once = await self._until_done_or_interrupted(work, stop)
        counts = await self._close(stop, clock)
        events.session_ended(clock.now() - started, context.outcomes)
        if counts is None or at_once:
            self._tell(f"Stopped at once. What was recorded is safe; the same command goes on. Run: {run.folder}")
            return reports.BY_STOP[stop.reason or StopReason.INTERRUPTED]
        if not await self._write_reports():
            return ExitCode.STOPPED
        first = f"{STOP_HINTS[stop.reason].capitalize()}. " if stop.reason else ""
        code = reports.exit_code(counts, stop.reason)
        if code is not ExitCode.DONE or not self.showing.quiet:
            await reports.show(run, f"{first}{reports.format_counts(counts)}", sys.stdout)
        return code

    async def _open(self, account: str, rows: int, clock: Clock, events: EngineEvents) -> None:
        resumed = bool(await self.run.store.sessions())
        await reports.mark_reports_stale(self.run)
        await self.run.store.open_session(account, clock.wall_ms())
        events.session_started(self.run.identity, self.run.folder, account, rows, resumed=resumed)

    async def _close(self, stop: StopSignal, clock: Clock) -> Sequence[Count] | None:
        """Write down how the session ended; None where the ledger cannot be written any more."""
        try:
            await self.run.store.close_session(stop.reason or "", clock.wall_ms())
            return await self.run.store.counts()
        except StoreError as failure:
            stop.request(StopReason.STORE, str(failure))
            self._tell(f"{stop.detail or failure} The run stopped; rows without a recorded outcome are sent again.")
            return None

    async def _write_reports(self) -> bool:
        try:
            await reports.write_reports(self.run, self.formats)
        except (OSError, StoreError) as error:
            folder = self.run.folder
            self._tell(
                f"The report could not be written into {folder}: {error}. The ledger is safe: "
                f"mend that, then 'rolecall report {folder}' writes it."
            )
            return False
        return True

    def _tell(self, sentence: str) -> None:
        self.showing.tell(sentence, self.log)

    async def _until_done_or_interrupted(self, work: Coroutine[None, None, None], stop: StopSignal) -> bool:
        """Await the work; True when a second signal ended it at once."""
        task, grace = asyncio.ensure_future(work), self.settings.shutdown_timeout

        def first() -> None:
            stop.request(StopReason.INTERRUPTED)
            self.log.info("stopping", grace=grace)
            self._tell(f"Stopping: the calls under way have {grace:g} s to be answered. Ctrl-C again ends at once.")

        with two_stage_interrupt(first, task.cancel):
            try:
                await task
            except asyncio.CancelledError:
                return True
        return False
