"""One row's way: intent on disk, call, verdict, perhaps another attempt, outcome to the ledger.

What must hold at each moment, whatever is cancelled or killed: a request leaves only after its intent is on disk;
an intent is only taken back when its request did not leave or was certainly not carried out.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rolecall.engine.clock import Clock
from rolecall.engine.events import EngineEvents
from rolecall.engine.failure_threshold import FailureCounter
from rolecall.engine.room_cache import RejectedRoom
from rolecall.engine.room_visibility import RoomVisibilityResolver
from rolecall.engine.row_queue import RowQueue
from rolecall.engine.stop_reasons import StopReason
from rolecall.engine.stop_signal import StopSignal
from rolecall.engine.throttle.admission import AdmissionController
from rolecall.engine.throttle.retry import RetryBudget, retry
from rolecall.models import DueRow, NoReply, Outcome, Reply, RowOutcome
from rolecall.rocketchat.error_table import NOT_AWAITED, Action, ErrorScope
from rolecall.rocketchat.operations import Operation
from rolecall.rocketchat.response_classifier import CallResult, classify
from rolecall.store.base import Intent, IntentRollback
from rolecall.store.batch_writer import BatchWriter

SendPair = Callable[[str, str], Awaitable[Reply | NoReply]]
"""Sends the request for a room and a user."""


class ShutdownRequested(Exception):  # noqa: N818 - control flow, not an error
    """The run ends; this row goes no further in this session."""


@dataclass(slots=True)
class RowAttemptState:
    """How far one row has come in this session."""

    attempts: int
    """Attempts that count, those of earlier sessions included."""
    in_doubt: bool
    """An attempt may have been carried out whose answer is not known."""
    last: CallResult | None = None
    started_at: float = 0.0
    """When the last call left, on the run's monotonic clock."""

    def learn(self, verdict: CallResult) -> None:
        """Keep what an answer says of the row; a hold says nothing of it."""
        self.in_doubt = self.in_doubt or verdict.rule.maybe_done
        if verdict.rule.action is not Action.BACK_OFF:
            self.last = verdict


class RowProcessor:
    """Takes rows to their outcomes; one for the run, shared by its workers."""

    def __init__(
        self,
        call: SendPair,
        operation: Operation,
        *,
        feed: RowQueue,
        gate: AdmissionController,
        is_there: Callable[[], Awaitable[bool]],
        journal: BatchWriter,
        membership: RoomVisibilityResolver | None,
        attempts: int,
        backoff: float,
        failures: FailureCounter,
        stop: StopSignal,
        clock: Clock,
        events: EngineEvents,
    ) -> None:
        self._call = call
        self._operation = operation
        self._feed = feed
        self._gate = gate
        self._is_there = is_there
        self._journal = journal
        self._membership = membership
        self._attempts = attempts
        self._backoff = backoff
        self._failures = failures
        self._stop = stop
        self._clock = clock
        self._events = events
        self._budget = RetryBudget(clock)
        self.calling: set[asyncio.Task[None] | None] = set()
        """The workers whose request is under way: the last to be cancelled."""

    async def deliver(self, row: DueRow) -> None:
        """Take one row to its outcome, or leave it as it is when the run ends first. Raises LedgerFailed."""
        closed = self._feed.closed(row)
        if closed is not None:
            self._settle_unasked(row, closed)
            return
        course = RowAttemptState(row.attempts, row.in_doubt)
        try:
            verdict = await self._attempt(row, course)
            if verdict.rule.action is Action.RETRY:
                verdict = await self._try_again(row, course, verdict)
        except ShutdownRequested:
            self._leave(row, course)
        except asyncio.CancelledError:
            self._leave(row, course)
            raise
        else:
            self._conclude(row, course, verdict)

    async def _try_again(self, row: DueRow, course: RowAttemptState, first: CallResult) -> CallResult:
        def tell(verdict: CallResult, seconds: float) -> None:
            if self._stop.reason is not None:
                raise ShutdownRequested
            self._events.retrying(row, verdict, seconds)

        return await retry(
            first,
            lambda: self._attempt(row, course),
            most=self._attempts,
            backoff=self._backoff,
            budget=self._budget,
            on_retry=tell,
        )

    async def _attempt(self, row: DueRow, course: RowAttemptState) -> CallResult:
        """Make one attempt that counts: 'too many requests' and faults of a workspace that is away do not."""
        while True:
            if self._stop.reason is not None:
                raise ShutdownRequested
            probing = await self._enter(row, course)
            try:
                reply = await self._send(row, course)
            except BaseException:
                self._gate.withdraw(probing=probing)
                raise
            verdict = classify(reply, self._operation, in_doubt=course.in_doubt)
            self._gate.leave(row.key, reply, verdict, probing=probing)
            course.learn(verdict)
            if probing and self._feed.is_empty and verdict.rule.scope is ErrorScope.WORKSPACE:
                await self._suspect_the_row()
            if self._note(row, course, verdict):
                return await self._look_closer(row, course, verdict)

    async def _suspect_the_row(self) -> None:
        """Close the breaker where the workspace answers elsewhere: it is the row that is sick.

        While other rows wait, one of them shows it as the next probe; the last rows of a job have no others.
        """
        if await self._is_there():
            self._gate.confirm_reachable()

    def _note(self, row: DueRow, course: RowAttemptState, verdict: CallResult) -> bool:
        """Write down what an attempt came to; False when it does not count."""
        meaning = verdict.rule
        counts = meaning.action is not Action.BACK_OFF and not (
            self._gate.outage and meaning.scope is ErrorScope.WORKSPACE
        )
        if not counts:
            course.attempts -= 1
        if not counts or (meaning.action is not Action.FINISH and not course.in_doubt):
            self._journal.rollback_intent(IntentRollback(row.key, course.attempts, course.in_doubt))
        return counts

    async def _enter(self, row: DueRow, course: RowAttemptState) -> bool:
        """Return when the call may leave, its intent on disk; True when it is a probe."""
        before = course.attempts

        async def write_intent() -> None:
            course.attempts = before + 1
            await self._journal.write_intent(Intent(row.key, course.attempts, self._clock.wall_ms()))

        try:
            return await self._gate.enter(write_intent)
        except BaseException:
            if course.attempts > before:
                course.attempts = before
                self._journal.rollback_intent(IntentRollback(row.key, before, course.in_doubt))
            raise

    async def _send(self, row: DueRow, course: RowAttemptState) -> Reply | NoReply:
        worker = asyncio.current_task()
        self.calling.add(worker)
        course.started_at = self._clock.now()
        try:
            return await self._call(row.room_id, row.user_id)
        except asyncio.CancelledError:
            course.in_doubt, course.last = (
                True,
                CallResult(NOT_AWAITED, "", "the run ended before the answer came", None),
            )
            raise
        finally:
            self.calling.discard(worker)

    async def _look_closer(self, row: DueRow, course: RowAttemptState, verdict: CallResult) -> CallResult:
        if self._membership is not None and self._stop.reason is None:
            verdict = course.last = await self._membership.explain(verdict, row.room_id)
        self._feed.answered(row, verdict)
        return verdict

    def _leave(self, row: DueRow, course: RowAttemptState) -> None:
        """Write what is known of a row that goes no further; without a doubt it is simply due again."""
        if course.last is None:
            return
        if course.last.rule.action is Action.FINISH or course.in_doubt:
            self._settle(row, course, course.last)
        else:
            self._journal.rollback_intent(IntentRollback(row.key, course.attempts, in_doubt=False))

    def _conclude(self, row: DueRow, course: RowAttemptState, verdict: CallResult) -> None:
        meaning = verdict.rule
        if meaning.action is Action.STOP:
            reason = StopReason.NO_SUCH_ROUTE if meaning.scope is ErrorScope.ROUTE else StopReason.CREDENTIALS
            self._stop.ask(reason, verdict.message)
            self._leave(row, course)
            return
        if meaning.action is Action.FINISH:
            self._budget.good_answer()
        if self._failures.count_forbidden(meaning.scope is ErrorScope.CREDENTIALS):
            self._stop.ask(StopReason.CREDENTIALS, verdict.message)
        self._settle(row, course, verdict)

    def _settle(self, row: DueRow, course: RowAttemptState, verdict: CallResult) -> None:
        meaning = verdict.rule
        outcome, message = meaning.outcome, verdict.message
        if meaning.action is not Action.FINISH:
            outcome = Outcome.UNKNOWN if course.in_doubt else Outcome.FAILED
        elif course.in_doubt and outcome is Outcome.FAILED:
            message = f"{message} (an earlier attempt's answer was lost: it may have been carried out)"
        duration = round((self._clock.now() - course.started_at) * 1000)
        self._record(
            row,
            RowOutcome(
                row.key,
                outcome,
                meaning.reason,
                verdict.status,
                verdict.error_type,
                message,
                self._clock.wall_ms(),
                duration,
                course.in_doubt and outcome in (Outcome.FAILED, Outcome.UNKNOWN),
            ),
        )

    def _settle_unasked(self, row: DueRow, closed: RejectedRoom) -> None:
        meaning = closed.verdict.rule
        message = f"not asked: line {closed.line} was told so for the whole room"
        error_type = closed.verdict.error_type
        now = self._clock.wall_ms()
        self._record(
            row,
            RowOutcome(row.key, meaning.outcome, meaning.reason, None, error_type, message, now, None, in_doubt=False),
        )

    def _record(self, row: DueRow, settled: RowOutcome) -> None:
        self._journal.write_outcome(settled)
        self._events.settled(row, settled)
        if self._failures.count(settled.outcome):
            self._stop.ask(StopReason.MAX_FAILURES)
