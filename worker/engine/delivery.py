"""One row's way: intent on disk, call, verdict, perhaps another attempt, outcome to the ledger.

What must hold at each moment, whatever is cancelled or killed: a request leaves only after its intent is on disk;
an intent is only taken back when its request did not leave or was certainly not carried out.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from worker.engine.attempts import RetryBudget, try_again
from worker.engine.clock import Clock
from worker.engine.events import Events
from worker.engine.failures import Failures
from worker.engine.feed import Feed
from worker.engine.gate import Gate
from worker.engine.membership import Membership
from worker.engine.reasons import StopReason
from worker.engine.rooms import Closed
from worker.engine.stop import Stop
from worker.ledger.interface import Intent, Withdrawal
from worker.ledger.journal import Journal
from worker.model import NoReply, Outcome, Pending, Reply, Settled
from worker.workspace.answers import Verdict, classify
from worker.workspace.meanings import NOT_AWAITED, Scope, Then
from worker.workspace.operations import Operation

Call = Callable[[str, str], Awaitable[Reply | NoReply]]
"""Sends the request for a room and a user."""


class Stopping(Exception):
    """The run ends; this row goes no further in this session."""


@dataclass(slots=True)
class Course:
    """How far one row has come in this session."""

    attempts: int
    """Attempts that count, those of earlier sessions included."""
    doubtful: bool
    """An attempt may have been carried out whose answer is not known."""
    last: Verdict | None = None
    started_at: float = 0.0
    """When the last call left, on the run's monotonic clock."""

    def learn(self, verdict: Verdict) -> None:
        """Keep what an answer says of the row; a hold says nothing of it."""
        self.doubtful = self.doubtful or verdict.meaning.maybe_done
        if verdict.meaning.then is not Then.HOLD:
            self.last = verdict


class Delivery:
    """Takes rows to their outcomes; one for the run, shared by its workers."""

    def __init__(
        self,
        call: Call,
        operation: Operation,
        *,
        feed: Feed,
        gate: Gate,
        is_there: Callable[[], Awaitable[bool]],
        journal: Journal,
        membership: Membership | None,
        attempts: int,
        backoff: float,
        failures: Failures,
        stop: Stop,
        clock: Clock,
        events: Events,
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

    async def deliver(self, row: Pending) -> None:
        """Take one row to its outcome, or leave it as it is when the run ends first. Raises LedgerFailed."""
        closed = self._feed.closed(row)
        if closed is not None:
            self._settle_unasked(row, closed)
            return
        course = Course(row.attempts, row.doubtful)
        try:
            verdict = await self._attempt(row, course)
            if verdict.meaning.then is Then.RETRY:
                verdict = await self._try_again(row, course, verdict)
        except Stopping:
            self._leave(row, course)
        except asyncio.CancelledError:
            self._leave(row, course)
            raise
        else:
            self._conclude(row, course, verdict)

    async def _try_again(self, row: Pending, course: Course, first: Verdict) -> Verdict:
        def tell(verdict: Verdict, seconds: float) -> None:
            if self._stop.reason is not None:
                raise Stopping
            self._events.retrying(row, verdict, seconds)

        return await try_again(
            first,
            lambda: self._attempt(row, course),
            most=self._attempts,
            backoff=self._backoff,
            budget=self._budget,
            on_retry=tell,
        )

    async def _attempt(self, row: Pending, course: Course) -> Verdict:
        """Make one attempt that counts: 'too many requests' and faults of a workspace that is away do not."""
        while True:
            if self._stop.reason is not None:
                raise Stopping
            probing = await self._enter(row, course)
            try:
                reply = await self._send(row, course)
            except BaseException:
                self._gate.withdraw(probing=probing)
                raise
            verdict = classify(reply, self._operation, doubtful=course.doubtful)
            self._gate.leave(row.key, reply, verdict, probing=probing)
            course.learn(verdict)
            if probing and self._feed.is_empty and verdict.meaning.scope is Scope.WORKSPACE:
                await self._suspect_the_row()
            if self._note(row, course, verdict):
                return await self._look_closer(row, course, verdict)

    async def _suspect_the_row(self) -> None:
        """Close the breaker where the workspace answers elsewhere: it is the row that is sick.

        While other rows wait, one of them shows it as the next probe; the last rows of a job have no others.
        """
        if await self._is_there():
            self._gate.workspace_is_there()

    def _note(self, row: Pending, course: Course, verdict: Verdict) -> bool:
        """Write down what an attempt came to; False when it does not count."""
        meaning = verdict.meaning
        counts = meaning.then is not Then.HOLD and not (self._gate.outage and meaning.scope is Scope.WORKSPACE)
        if not counts:
            course.attempts -= 1
        if not counts or (meaning.then is not Then.SETTLE and not course.doubtful):
            self._journal.withdraw(Withdrawal(row.key, course.attempts, course.doubtful))
        return counts

    async def _enter(self, row: Pending, course: Course) -> bool:
        """Return when the call may leave, its intent on disk; True when it is a probe."""
        before = course.attempts

        async def intend() -> None:
            course.attempts = before + 1
            await self._journal.intend(Intent(row.key, course.attempts, self._clock.wall_ms()))

        try:
            return await self._gate.enter(intend)
        except BaseException:
            if course.attempts > before:
                course.attempts = before
                self._journal.withdraw(Withdrawal(row.key, before, course.doubtful))
            raise

    async def _send(self, row: Pending, course: Course) -> Reply | NoReply:
        worker = asyncio.current_task()
        self.calling.add(worker)
        course.started_at = self._clock.now()
        try:
            return await self._call(row.room_id, row.user_id)
        except asyncio.CancelledError:
            course.doubtful, course.last = True, Verdict(NOT_AWAITED, "", "the run ended before the answer came", None)
            raise
        finally:
            self.calling.discard(worker)

    async def _look_closer(self, row: Pending, course: Course, verdict: Verdict) -> Verdict:
        if self._membership is not None and self._stop.reason is None:
            verdict = course.last = await self._membership.explain(verdict, row.room_id)
        self._feed.answered(row, verdict)
        return verdict

    def _leave(self, row: Pending, course: Course) -> None:
        """Write what is known of a row that goes no further; without a doubt it is simply due again."""
        if course.last is None:
            return
        if course.last.meaning.then is Then.SETTLE or course.doubtful:
            self._settle(row, course, course.last)
        else:
            self._journal.withdraw(Withdrawal(row.key, course.attempts, doubtful=False))

    def _conclude(self, row: Pending, course: Course, verdict: Verdict) -> None:
        meaning = verdict.meaning
        if meaning.then is Then.STOP:
            reason = StopReason.NO_SUCH_ROUTE if meaning.scope is Scope.ROUTE else StopReason.CREDENTIALS
            self._stop.ask(reason, verdict.message)
            self._leave(row, course)
            return
        if meaning.then is Then.SETTLE:
            self._budget.good_answer()
        if self._failures.count_forbidden(meaning.scope is Scope.CREDENTIALS):
            self._stop.ask(StopReason.CREDENTIALS, verdict.message)
        self._settle(row, course, verdict)

    def _settle(self, row: Pending, course: Course, verdict: Verdict) -> None:
        meaning = verdict.meaning
        outcome, message = meaning.outcome, verdict.message
        if meaning.then is not Then.SETTLE:
            outcome = Outcome.UNKNOWN if course.doubtful else Outcome.FAILED
        elif course.doubtful and outcome is Outcome.FAILED:
            message = f"{message} (an earlier attempt's answer was lost: it may have been carried out)"
        duration = round((self._clock.now() - course.started_at) * 1000)
        self._record(
            row,
            Settled(
                row.key,
                outcome,
                meaning.reason,
                verdict.status,
                verdict.error_type,
                message,
                self._clock.wall_ms(),
                duration,
                course.doubtful and outcome in (Outcome.FAILED, Outcome.UNKNOWN),
            ),
        )

    def _settle_unasked(self, row: Pending, closed: Closed) -> None:
        meaning = closed.verdict.meaning
        message = f"not asked: line {closed.line} was told so for the whole room"
        error_type = closed.verdict.error_type
        now = self._clock.wall_ms()
        self._record(
            row, Settled(row.key, meaning.outcome, meaning.reason, None, error_type, message, now, None, doubtful=False)
        )

    def _record(self, row: Pending, settled: Settled) -> None:
        self._journal.settle(settled)
        self._events.settled(row, settled)
        if self._failures.count(settled.outcome):
            self._stop.ask(StopReason.MAX_FAILURES)
