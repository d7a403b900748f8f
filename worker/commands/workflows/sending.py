"""One session of a run: from the first row that is due to the report, however it ends."""

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from worker.commands.exits import Exit
from worker.commands.terminal.showing import Showing
from worker.commands.terminal.signals import two_stage_interrupt
from worker.commands.workflows import reporting
from worker.engine.clock import Clock
from worker.engine.events import Events
from worker.engine.holding import Run
from worker.engine.reasons import STOP_HINTS, StopReason
from worker.engine.runner import work_through
from worker.engine.settings import Settings
from worker.engine.stop import Stop
from worker.engine.tracker import Earlier, Tracker
from worker.ledger.interface import Count, LedgerFailed
from worker.workspace.client import Client
from worker.workspace.operations import Operation


class Sending(NamedTuple):
    """What a session needs."""

    run: Run
    client: Client
    operation: Operation
    settings: Settings
    formats: Sequence[str]
    log: FilteringBoundLogger
    showing: Showing

    async def send(self, account: str, rows: int) -> Exit:
        """Send what is due, write the reports, show the summary."""
        run, clock, stop = self.run, Clock(), Stop()
        events = Events(self.log, clock)
        earlier = Earlier.of(run.ledger.counts(), rows, retry_failed=self.settings.retry_failed)
        self._open(account, rows, clock, events)
        started = clock.now()
        async with self.showing.following(Tracker(earlier, events, stop, self.settings, clock), self.log):
            work = work_through(
                run.ledger, self.client, self.operation, self.settings, stop=stop, clock=clock, events=events
            )
            at_once = await self._until_done_or_interrupted(work, stop)
        counts = self._close(stop, clock)
        events.ended(stop, clock.now() - started)
        if counts is None or at_once:
            self._tell(f"Stopped at once. What was recorded is safe; the same command goes on. Run: {run.folder}")
            return reporting.BY_STOP[stop.reason or StopReason.INTERRUPTED]
        if not self._write_reports():
            return Exit.STOPPED
        first = f"{STOP_HINTS[stop.reason].capitalize()}. " if stop.reason else ""
        code = reporting.exit_code(counts, stop.reason)
        if code is not Exit.DONE or not self.showing.quiet:
            reporting.show(run, f"{first}{reporting.in_words(counts)}", sys.stdout)
        return code

    def _open(self, account: str, rows: int, clock: Clock, events: Events) -> None:
        resumed = bool(self.run.ledger.sessions())
        reporting.have_aged(self.run)
        self.run.ledger.open_session(account, clock.wall_ms())
        events.began(self.run, account, rows, resumed=resumed)

    def _close(self, stop: Stop, clock: Clock) -> Sequence[Count] | None:
        """Write down how the session ended; None where the ledger cannot be written any more."""
        try:
            self.run.ledger.close_session(stop.reason or "", clock.wall_ms())
            return self.run.ledger.counts()
        except LedgerFailed as failure:
            stop.ask(StopReason.LEDGER, str(failure))
            self._tell(f"{stop.detail or failure} The run stopped; rows without a recorded outcome are sent again.")
            return None

    def _write_reports(self) -> bool:
        try:
            reporting.write_reports(self.run, self.formats)
        except (OSError, LedgerFailed) as error:
            folder = self.run.folder
            self._tell(
                f"The report could not be written into {folder}: {error}. The ledger is safe: "
                f"mend that, then 'rolecall report {folder}' writes it."
            )
            return False
        return True

    def _tell(self, sentence: str) -> None:
        self.showing.tell(sentence, self.log)

    async def _until_done_or_interrupted(self, work: Coroutine[None, None, None], stop: Stop) -> bool:
        """Await the work; True when a second signal ended it at once."""
        task, grace = asyncio.ensure_future(work), self.settings.grace

        def first() -> None:
            stop.ask(StopReason.INTERRUPTED)
            self.log.info("stopping", grace=grace)
            self._tell(f"Stopping: the calls under way have {grace:g} s to be answered. Ctrl-C again ends at once.")

        with two_stage_interrupt(first, task.cancel):
            try:
                await task
            except asyncio.CancelledError:
                return True
        return False
