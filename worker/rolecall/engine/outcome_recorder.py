"""Records outcomes of rows: to the store, to the session's counts and events, and against the failure threshold."""

from rolecall.engine.context import RunContext
from rolecall.engine.failure_threshold import FailureCounter
from rolecall.engine.stop_signal import StopReason
from rolecall.models import DueRow, RowOutcome
from rolecall.store.batch_writer import BatchWriter


class OutcomeRecorder:
    """One for a run, shared by everything that finishes rows."""

    def __init__(self, journal: BatchWriter, context: RunContext) -> None:
        self._journal = journal
        self._context = context
        self._failures = FailureCounter(context.settings.max_failures)

    def record(self, row: DueRow, outcome: RowOutcome) -> None:
        """Record the outcome of a row; it stops the run where too many failed."""
        if row.room_name or row.username:
            outcome = outcome._replace(room_name=row.room_name, username=row.username)
        self._journal.write_outcome(outcome)
        self._context.outcomes[outcome.outcome] += 1
        self._context.events.row_finished(row, outcome)
        if self._failures.count(outcome.outcome):
            self._context.stop.request(StopReason.MAX_FAILURES)

    def count_forbidden(self, forbidden: bool, detail: str) -> None:
        """Count refusals of the whole method; ten in a row stop the run."""
        if self._failures.count_forbidden(forbidden):
            self._context.stop.request(StopReason.CREDENTIALS, detail)
