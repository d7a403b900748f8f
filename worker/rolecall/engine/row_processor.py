"""One row from the queue to its outcome: call it, collect evidence, settle it, pass it to the recorder.

Evidence is read for a row whose last response does not prove its outcome: system messages, and the role read again.
"""

import asyncio
from typing import NamedTuple

from rolecall.engine.context import RunContext
from rolecall.engine.directory.role_reader import UNREADABLE, RoleReader
from rolecall.engine.recorders import OutcomeRecorder
from rolecall.engine.row_call import RowCall, RowTarget
from rolecall.engine.row_queue import RejectedRoom
from rolecall.engine.settlement import (
    MESSAGE_TOLERANCE,
    Case,
    Ending,
    Messages,
    can_change,
    do_roles_prove,
    ending_of_reading,
    find_change,
    outcome_of,
    reason_of,
    settle,
)
from rolecall.engine.stop_signal import ShutdownRequested, StopReason
from rolecall.engine.throttle.admission import CallKind
from rolecall.engine.throttle.call_executor import CallExecutor
from rolecall.models import DueRow, Outcome, Prior, RowOutcome
from rolecall.rocketchat.error_table import NOT_AWAITED, Action, Answer, ErrorScope
from rolecall.rocketchat.operations import Operation
from rolecall.rocketchat.response_classifier import CallResult

_ENDINGS = {Answer.DONE: Ending.DONE, Answer.NOOP: Ending.NOOP, Answer.REFUSED: Ending.REFUSED}


class LaterEnding(NamedTuple):
    """The ending of a row by a reading after its last attempt."""

    ending: Ending
    is_sure: bool = True
    """False where the role is gone and the user may have left the room."""


class EvidenceReader:
    """Reads evidence for single rows. What cannot be read is no evidence."""

    def __init__(self, reader: RoleReader, operation: Operation, context: RunContext) -> None:
        self._reader = reader
        self._operation = operation
        self._reads_roles = context.settings.read_roles
        self._uses_messages = context.settings.message_evidence

    def reads_messages(self, prior: Prior) -> bool:
        """Return whether messages are read for a row with this prior state."""
        return self._uses_messages and prior.read_at is not None

    async def messages(self, row: DueRow, prior: Prior) -> Messages:
        """Return who made the role change of a row, by the system messages of its room. Raise ShutdownRequested."""
        if not self._uses_messages or prior.read_at is None:
            return Messages.NONE
        since = prior.read_at - MESSAGE_TOLERANCE
        username = row.username
        if not prior.username or row.in_doubt:  # since an earlier session the user may have been renamed
            username = await self._reader.username(row.user_id) or username
        prior = prior._replace(username=prior.username or username)
        if not prior.username:  # messages name users by it
            return Messages.NONE
        messages = await self._reader.messages(row.room_id, since)
        return find_change(messages, prior, self._operation, username)

    async def ending(self, row: DueRow, prior: Prior) -> LaterEnding:
        """Return the ending of a row without an attempt left, by its role as it is read now."""
        if not self._reads_roles or not can_change(prior.state, self._operation):
            return LaterEnding(Ending.EXHAUSTED)
        try:
            readings = await self._reader.in_room(row.room_id, [row.user_id])
        except ShutdownRequested:
            return LaterEnding(Ending.EXHAUSTED)
        reading = readings.get(row.user_id, UNREADABLE)
        return LaterEnding(ending_of_reading(reading.prior.state, self._operation), reading.is_sure)


class RowProcessor:
    """Processes rows; one for the run, shared by its workers."""

    def __init__(self, target: RowTarget, recorder: OutcomeRecorder, evidence: EvidenceReader) -> None:
        route = target.context.admission.route(target.operation.path, CallKind.CHANGE)
        self._target = target
        self._recorder = recorder
        self._evidence = evidence
        self._executor = CallExecutor(route, target.client, target.context)

    @property
    def calling(self) -> set[asyncio.Task[None] | None]:
        """The workers whose request is in flight: the last to be cancelled."""
        return self._target.calling

    async def process(self, row: DueRow) -> None:
        """Process one row to its outcome; it stays due where the run stops first. Raise StoreError."""
        rejection = self._target.queue.rejection(row)
        if rejection is not None:
            self._skip(row, rejection)
            return
        call = RowCall.start(self._target, row)
        try:
            result = await self._executor.execute(call)
            await self._finish(call, result)
        except ShutdownRequested:
            self._record_unfinished(call)
        except asyncio.CancelledError:
            self._record_unfinished(call)
            raise

    def _record_unfinished(self, call: RowCall) -> None:
        """Record what is known of a row that the stop interrupted; without a doubt it is due again."""
        if call.last is None:
            return
        answer = call.last.rule.answer
        if answer is Answer.NOOP and call.in_doubt and self._evidence.reads_messages(call.prior):
            # Whose call it was, the messages will show when the run is resumed.
            self._record(call, call.last, Outcome.UNKNOWN, NOT_AWAITED.reason, "")
        elif answer in _ENDINGS:
            self._settle(call, call.last, _ENDINGS[answer], Messages.NONE)
        elif call.in_doubt:
            self._record(call, call.last, Outcome.UNKNOWN, call.last.rule.reason, "")
        else:
            call.roll_back()

    async def _finish(self, call: RowCall, result: CallResult) -> None:
        """Settle a row by its last result, and stop the run where that result is true of every other row."""
        rule, context = result.rule, self._target.context
        if rule.action is Action.STOP:
            reason = StopReason.NO_SUCH_ROUTE if rule.scope is ErrorScope.ROUTE else StopReason.CREDENTIALS
            context.stop.request(reason, result.message)
            self._record_unfinished(call)
            return
        self._recorder.count_forbidden(rule.scope is ErrorScope.CREDENTIALS, result.message)
        ending = _ENDINGS.get(rule.answer)
        is_sure = True
        if ending is None and call.in_doubt:
            ending, is_sure = await self._evidence.ending(call.row, call.prior)
        ending = ending or Ending.EXHAUSTED
        needs_messages = self._needs_messages(call, ending)
        messages = await self._evidence.messages(call.row, call.prior) if needs_messages else Messages.NONE
        self._settle(call, result, ending, messages, is_sure=is_sure)

    def _needs_messages(self, call: RowCall, ending: Ending) -> bool:
        """Return whether the outcome depends on what the system messages show."""
        is_known = can_change(call.prior.state, self._target.operation)
        return (
            (ending is Ending.NOOP and (call.in_doubt or is_known))
            or (ending is Ending.AS_WANTED and call.in_doubt)
            or (ending in (Ending.REFUSED, Ending.UNCHANGED) and call.in_doubt and is_known)
        )

    def _settle(
        self, call: RowCall, result: CallResult, ending: Ending, messages: Messages, *, is_sure: bool = True
    ) -> None:
        operation = self._target.operation
        case = Case(
            can_change=can_change(call.prior.state, operation),
            in_doubt=call.in_doubt,
            ending=ending,
            messages=messages,
            roles_prove=is_sure and do_roles_prove(call.doubted_at, self._target.context.clock.wall_ms()),
            only_refusals=call.only_refusals,
        )
        settlement = settle(case)
        reason = reason_of(settlement, operation, result.rule.reason)
        self._record(call, result, outcome_of(settlement.verdict, operation), reason, settlement.evidence or "")

    def _record(self, call: RowCall, result: CallResult, outcome: Outcome, reason: str, evidence: str) -> None:
        clock, message = self._target.context.clock, result.message
        if call.in_doubt and outcome is Outcome.UNKNOWN and result.rule.answer is Answer.REFUSED:
            message = f"{message} (the response to an earlier attempt was lost: it may have been carried out)"
        self._recorder.record(
            call.row,
            RowOutcome(
                key=call.row.key,
                outcome=outcome,
                reason=reason,
                http_status=result.status,
                error_type=result.error_type,
                message=message,
                finished_at=clock.wall_ms(),
                duration_ms=round((clock.now() - call.started_at) * 1000),
                in_doubt=outcome is Outcome.UNKNOWN,
                evidence=evidence,
            ),
        )

    def _skip(self, row: DueRow, rejection: RejectedRoom) -> None:
        """Record the outcome of a row that is not sent, because its room rejects every request."""
        rule = rejection.result.rule
        outcome = RowOutcome.without_call(
            row.key,
            rule.outcome,
            rule.reason,
            finished_at=self._target.context.clock.wall_ms(),
            error_type=rejection.result.error_type,
            message=f"not sent: the server's answer to line {rejection.line} is true for the whole room",
        )
        self._recorder.record(row, outcome)
