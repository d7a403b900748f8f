"""Defects of intents and of what is committed."""

from typing import Any

from rolecall.engine import row_call
from rolecall.engine.recorders import OutcomeRecorder
from rolecall.store.batch_writer import BatchWriter
from tests.simulation.defects.registry import Replacement, defect


@defect
def _intent_not_awaited() -> list[Replacement]:
    """Send before the intent is durable."""

    async def write_intent(self: BatchWriter, intent: Any) -> None:
        self._intents.append(intent)
        self._has_work.set()

    return [(BatchWriter, "write_intent", write_intent)]


@defect
def _failed_commit_ignored() -> list[Replacement]:
    """Go on after a commit that failed."""
    right = BatchWriter._commit

    async def commit(self: BatchWriter) -> None:
        await right(self)
        self._failure = None

    def raise_failure(self: BatchWriter) -> None:
        return None

    async def flush(self: BatchWriter) -> None:
        try:
            await right_flush(self)
        except Exception:
            return

    right_flush = BatchWriter.flush
    return [
        (BatchWriter, "_commit", commit),
        (BatchWriter, "_raise_failure", raise_failure),
        (BatchWriter, "flush", flush),
    ]


@defect
def _doubt_forgotten_after_a_kill() -> list[Replacement]:
    """Forget the in-doubt mark after a kill."""
    right, right_room, right_user = BatchWriter.fetch_due, BatchWriter.due_in_room, BatchWriter.due_of_user

    def without_doubt(fetch: Any) -> Any:
        async def fetch_due(self: BatchWriter, *what: Any, **how: Any) -> Any:
            return [(place, row._replace(in_doubt=False)) for place, row in await fetch(self, *what, **how)]

        return fetch_due

    return [
        (BatchWriter, "fetch_due", without_doubt(right)),
        (BatchWriter, "due_in_room", without_doubt(right_room)),
        (BatchWriter, "due_of_user", without_doubt(right_user)),
    ]


@defect
def _no_rollback_on_cancellation() -> list[Replacement]:
    """Drop the rollback of an intent on cancellation."""

    def cancel_prepared(self: row_call.RowCall) -> None:
        self.is_prepared = False

    return [(row_call.RowCall, "cancel_prepared", cancel_prepared)]


@defect
def _rollback_of_a_lost_answer() -> list[Replacement]:
    """Roll an intent back although the call may have been carried out."""

    def doubt(self: row_call.RowCall) -> None:
        return None

    return [(row_call.RowCall, "_doubt", doubt)]


@defect
def _settled_twice() -> list[Replacement]:
    """Settle a row twice."""
    right = OutcomeRecorder.record

    def record(self: OutcomeRecorder, row: Any, outcome: Any) -> None:
        right(self, row, outcome)
        right(self, row, outcome)

    return [(OutcomeRecorder, "record", record)]


@defect
def _outcome_not_written() -> list[Replacement]:
    """Lose the outcomes of rows that were not sent."""
    right = OutcomeRecorder.record

    def record(self: OutcomeRecorder, row: Any, outcome: Any) -> None:
        if outcome.duration_ms is not None:
            right(self, row, outcome)

    return [(OutcomeRecorder, "record", record)]
