"""Wait for the end of a run that workers process."""

import asyncio
from collections.abc import Callable

from rolecall.cluster.database.operator_database import OperatorDatabase
from rolecall.cluster.runs.records import ListedDatabaseRun, RunState, read_run
from rolecall.engine.stop_signal import StopSignal
from rolecall.models import Progress

POLL_SECONDS = 1.0
"""Seconds between two looks at the run."""


class RunWait:
    """Follows a run until it has ended; its `progress` is that of the latest look."""

    def __init__(self, database: OperatorDatabase, run: ListedDatabaseRun) -> None:
        self._database = database
        self.run = run
        """As it was at the latest look."""

    def progress(self) -> Progress:
        """Return the progress at the latest look."""
        return self.run.progress

    @property
    def is_over(self) -> bool:
        """Whether no worker sends a further row of the run."""
        return self.run.state is RunState.FINISHED or (self.run.state is RunState.STOPPED and not self.run.workers)

    async def until_over(self, stop: StopSignal, on_problem: Callable[[str], None]) -> bool:
        """Look again and again; return False where the stop is requested before the end. Raises StoreError.

        `on_problem` receives why the run does not go on, each time that this changes.
        """
        problem = ""
        while not self.is_over:
            if self.run.problem != problem:
                problem = self.run.problem
                on_problem(problem)
            if stop.reason is not None:
                return False
            requested = asyncio.ensure_future(stop.wait())
            await asyncio.wait([requested], timeout=POLL_SECONDS)
            requested.cancel()
            self.run = await read_run(self._database, self.run.record.run_id)
        return True
