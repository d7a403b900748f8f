"""One row from the queue to its outcome: call it, decide its outcome, hand it to the writer, count failures."""

import asyncio

from rolecall.engine.context import RunContext
from rolecall.engine.failure_threshold import FailureCounter
from rolecall.engine.room_cache import RejectedRoom, RoomVisibilityResolver
from rolecall.engine.row_call import RowCall, RowTarget
from rolecall.engine.row_queue import RowQueue
from rolecall.engine.stop_signal import ShutdownRequested, StopReason
from rolecall.engine.throttle.admission import CallKind
from rolecall.engine.throttle.call_executor import CallExecutor
from rolecall.models import DueRow, Outcome, RowOutcome
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.error_table import Action, ErrorScope
from rolecall.rocketchat.operations import Operation
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import COUNTERS
from rolecall.store.base import IntentRollback
from rolecall.store.batch_writer import BatchWriter


class RowProcessor:
    """Processes rows; one for the run, shared by its workers."""

    def __init__(
        self, client: Client, operation: Operation, queue: RowQueue, journal: BatchWriter, context: RunContext
    ) -> None:
        admission, needs_visibility = context.admission, operation.kind == "groups"
        self._queue = queue
        self._journal = journal
        self._context = context
        self._failures = FailureCounter(context.settings.max_failures)
        self._executor = CallExecutor(admission.route(operation.path, CallKind.CHANGE), client, context)
        self.calling: set[asyncio.Task[None] | None] = set()
        """The workers whose request is in flight: the last to be cancelled."""
        self._target = RowTarget(
            client=client,
            operation=operation,
            queue=queue,
            journal=journal,
            context=context,
            visibility=RoomVisibilityResolver(client, admission.side_limiter(COUNTERS)) if needs_visibility else None,
            calling=self.calling,
        )

    async def process(self, row: DueRow) -> None:
        """Process one row to its outcome; it stays due where the run stops first. Raise StoreError."""
        rejection = self._queue.rejection(row)
        if rejection is not None:
            self._skip(row, rejection)
            return
        call = RowCall(self._target, row, row.attempts, row.in_doubt)
        try:
            result = await self._executor.execute(call)
        except ShutdownRequested:
            self._record_unfinished(call)
        except asyncio.CancelledError:
            self._record_unfinished(call)
            raise
        else:
            self._record_finished(call, result)

    def _record_unfinished(self, call: RowCall) -> None:
        """Record what is known of a row that the stop interrupted; without a doubt it is due again."""
        if call.last is None:
            return
        if call.last.rule.action is Action.FINISH or call.in_doubt:
            self._record_outcome(call, call.last)
        else:
            self._journal.rollback_intent(IntentRollback(call.row.key, call.attempts, in_doubt=False))

    def _record_finished(self, call: RowCall, result: CallResult) -> None:
        """Record the outcome of a row, and stop the run where its result is true of every other row."""
        rule = result.rule
        if rule.action is Action.STOP:
            reason = StopReason.NO_SUCH_ROUTE if rule.scope is ErrorScope.ROUTE else StopReason.CREDENTIALS
            self._context.stop.request(reason, result.message)
            self._record_unfinished(call)
            return
        if self._failures.count_forbidden(rule.scope is ErrorScope.CREDENTIALS):
            self._context.stop.request(StopReason.CREDENTIALS, result.message)
        self._record_outcome(call, result)

    def _record_outcome(self, call: RowCall, result: CallResult) -> None:
        rule = result.rule
        outcome, message = rule.outcome, result.message
        if rule.action is not Action.FINISH:
            outcome = Outcome.UNKNOWN if call.in_doubt else Outcome.FAILED
        elif call.in_doubt and outcome is Outcome.FAILED:
            message = f"{message} (an earlier attempt's answer was lost: it may have been carried out)"
        clock = self._context.clock
        self._finish(
            call.row,
            RowOutcome(
                key=call.row.key,
                outcome=outcome,
                reason=rule.reason,
                http_status=result.status,
                error_type=result.error_type,
                message=message,
                finished_at=clock.wall_ms(),
                duration_ms=round((clock.now() - call.started_at) * 1000),
                in_doubt=call.in_doubt and outcome in (Outcome.FAILED, Outcome.UNKNOWN),
            ),
        )

    def _skip(self, row: DueRow, rejection: RejectedRoom) -> None:
        """Record the outcome of a row that is not sent, because its room rejects every request."""
        rule = rejection.result.rule
        outcome = RowOutcome.without_call(
            row.key,
            rule.outcome,
            rule.reason,
            message=f"not sent: the server's answer to line {rejection.line} is true for the whole room",
            finished_at=self._context.clock.wall_ms(),
        )
        self._finish(row, outcome._replace(error_type=rejection.result.error_type))

    def _finish(self, row: DueRow, outcome: RowOutcome) -> None:
        self._journal.write_outcome(outcome)
        self._context.outcomes[outcome.outcome] += 1
        self._context.events.row_finished(row, outcome)
        if self._failures.count(outcome.outcome):
            self._context.stop.request(StopReason.MAX_FAILURES)
