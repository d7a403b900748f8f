"""Defects of the engine, each a function of the real code with a wrong one in its place: the judge must find them all.

A defect that is not found is a gap in the world or in the judge.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from rolecall.app import undo_run
from rolecall.engine import dispatcher, prior_reader, row_call, row_processor, settlement
from rolecall.engine.directory import doubt_settlement, role_reader, role_verify
from rolecall.engine.directory.lookups import RoleListing, RoomHolders
from rolecall.engine.recorders import OutcomeRecorder
from rolecall.engine.row_queue import RoomCache
from rolecall.engine.settlement import Messages
from rolecall.engine.throttle import retry, server_window
from rolecall.engine.throttle.adaptive_concurrency import AdaptiveConcurrencyLimiter
from rolecall.engine.throttle.circuit_breaker import CircuitBreaker
from rolecall.engine.throttle.rate_limiter import PacedRateLimiter
from rolecall.engine.throttle.server_clock import ServerClock
from rolecall.engine.throttle.server_window import FixedWindowTracker
from rolecall.engine.throttle.window_signs import Exemption
from rolecall.models import UNKNOWN_PRIOR, NoReply, PriorState
from rolecall.rocketchat.error_table import FORBIDDEN, USER_NOT_IN_ROOM, Action, ErrorScope
from rolecall.rocketchat.operations import DONE, NOTHING_TO_DO
from rolecall.store.batch_writer import BatchWriter
from tests.unit.engine.virtual import EPOCH

Replacement = tuple[Any, str, Any]
"""An object of the real code, the name of its attribute, and what stands there instead."""


class Defect(NamedTuple):
    """A wrong engine."""

    name: str
    replace: Callable[[], list[Replacement]]


_MISSING = object()


@contextmanager
def with_defect(defect: Defect) -> Iterator[None]:
    """Put the wrong functions in their places while the block runs."""
    replacements = defect.replace()
    usual = [(place, name, getattr(place, name, _MISSING)) for place, name, _ in replacements]
    try:
        for place, name, wrong in replacements:
            setattr(place, name, wrong)
        yield
    finally:
        for place, name, right in reversed(usual):
            if right is _MISSING:
                delattr(place, name)  # a built-in function that was hidden
            else:
                setattr(place, name, right)


DEFECTS: list[Defect] = []


def defect(replace: Callable[[], list[Replacement]]) -> Callable[[], list[Replacement]]:
    """Add a defect; the first sentence of its docstring is its name."""
    DEFECTS.append(Defect((replace.__doc__ or "").strip().rstrip("."), replace))
    return replace


# Intents and the store


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


# The classification of responses


def _classifier() -> Any:
    return getattr(row_call, "classify")  # noqa: B009 - the module does not export it


def _reclassified(is_wanted: Callable[[Any], bool], change: Callable[[Any], Any]) -> list[Replacement]:
    right = _classifier()

    def classify(reply: Any, operation: Any) -> Any:
        result = right(reply, operation)
        return result._replace(rule=change(result.rule)) if is_wanted(reply) else result

    return [(row_call, "classify", classify)]


def _not_carried_out(rule: Any) -> Any:
    return rule._replace(maybe_done=False)


def _status(*statuses: int) -> Callable[[Any], bool]:
    return lambda reply: getattr(reply, "status", None) in statuses


@defect
def _gateway_trusted() -> list[Replacement]:
    """Take a 502 as 'not carried out'."""
    return _reclassified(_status(502), _not_carried_out)


@defect
def _redirect_trusted() -> list[Replacement]:
    """Take a redirect as 'not carried out'."""
    return _reclassified(_status(302), _not_carried_out)


@defect
def _untyped_refusal_trusted() -> list[Replacement]:
    """Take an untyped 400 as 'not carried out'."""
    return _reclassified(
        lambda reply: _status(400)(reply) and b"not primary" in reply.body,
        lambda rule: rule._replace(maybe_done=False),
    )


@defect
def _page_403_believed() -> list[Replacement]:
    """Believe the page of a 403."""
    return _reclassified(
        lambda reply: _status(403)(reply) and reply.body[:1] == b"<", lambda _: FORBIDDEN._replace(scope=ErrorScope.ROW)
    )


@defect
def _timeout_not_sent() -> list[Replacement]:
    """Take a timeout as 'not sent'."""
    return _reclassified(lambda reply: isinstance(reply, NoReply) and reply.reason == "timeout", _not_carried_out)


@defect
def _lost_answer_not_sent() -> list[Replacement]:
    """Take a broken connection as 'not sent'."""
    return _reclassified(lambda reply: isinstance(reply, NoReply) and reply.reason == "answer_lost", _not_carried_out)


@defect
def _any_200_believed() -> list[Replacement]:
    """Take every 200 as a success."""
    right = _classifier()

    def classify(reply: Any, operation: Any) -> Any:
        is_200 = getattr(reply, "status", None) == 200
        return right(reply._replace(body=b'{"success":true}') if is_200 else reply, operation)

    return [(row_call, "classify", classify)]


@defect
def _429_counts() -> list[Replacement]:
    """Count a 429 as an attempt."""
    return _reclassified(_status(429), lambda rule: rule._replace(action=Action.RETRY))


@defect
def _refusal_repeated() -> list[Replacement]:
    """Repeat a call that was refused for good."""
    right = _classifier()

    def classify(reply: Any, operation: Any) -> Any:
        result = right(reply, operation)
        if result.rule.action is Action.FINISH and result.status == 400:
            return result._replace(rule=result.rule._replace(action=Action.RETRY))
        return result

    return [(row_call, "classify", classify)]


@defect
def _room_condemned() -> list[Replacement]:
    """Condemn a room for a user who is not a member."""
    reason = USER_NOT_IN_ROOM.reason
    right = _classifier()

    def classify(reply: Any, operation: Any) -> Any:
        result = right(reply, operation)
        if result.rule.reason != reason:
            return result
        return result._replace(rule=result.rule._replace(scope=ErrorScope.ROOM))

    return [(row_call, "classify", classify)]


# Prior states and evidence


@defect
def _prior_skipped_on_resume() -> list[Replacement]:
    """Skip the prior state of a row in doubt on resume."""
    right = row_call.RowCall.start.__func__  # type: ignore[attr-defined]  # a class method

    def start(cls: Any, target: Any, row: Any) -> Any:
        return right(cls, target, row._replace(prior=UNKNOWN_PRIOR) if row.in_doubt else row)

    return [(row_call.RowCall, "start", classmethod(start))]


def _finding(find: Callable[..., Messages]) -> list[Replacement]:
    return [(module, "find_change", find) for module in (row_processor, prior_reader, doubt_settlement)]


@defect
def _absent_message_proves() -> list[Replacement]:
    """Take an absent message as proof."""
    return _finding(lambda messages, prior, operation: Messages.OURS)


@defect
def _message_of_another_account() -> list[Replacement]:
    """Accept another account's message."""
    right = settlement.find_change

    def find(messages: Any, prior: Any, operation: Any) -> Messages:
        return Messages.NONE if right(messages, prior, operation) is Messages.NONE else Messages.OURS

    return _finding(find)


@defect
def _message_of_another_user() -> list[Replacement]:
    """Accept a message about another user."""
    right = settlement.find_change

    def find(messages: Any, prior: Any, operation: Any) -> Messages:
        return right([each._replace(username=prior.username) for each in messages], prior, operation)

    return _finding(find)


@defect
def _old_messages_believed() -> list[Replacement]:
    """Believe messages that are older than the reading."""
    right = settlement.find_change

    def find(messages: Any, prior: Any, operation: Any) -> Messages:
        return right(messages, prior._replace(read_at=0 if prior.read_at is not None else None), operation)

    right_messages = role_reader.RoleReader.messages

    async def messages(self: Any, room_id: str, since: int) -> Any:
        return await right_messages(self, room_id, 0)

    return [*_finding(find), (role_reader.RoleReader, "messages", messages)]


@defect
def _only_the_present_account() -> list[Replacement]:
    """Know only the present account after a resume as another one."""
    right = settlement.find_change

    def find(messages: Any, prior: Any, operation: Any) -> Messages:
        return right(messages, prior._replace(accounts=prior.accounts[-1:]), operation)

    return _finding(find)


@defect
def _doubt_ignored() -> list[Replacement]:
    """Settle a row in doubt by 'nothing to do' alone."""
    right = settlement.settle

    def settle(case: Any) -> Any:
        return right(case._replace(in_doubt=False) if case.ending is settlement.Ending.NOOP else case)

    return [(row_processor, "settle", settle)]


@defect
def _roles_prove_for_ever() -> list[Replacement]:
    """Take a role that is gone as proof, however long ago the attempt was."""

    def prove(attempted_at: Any, now: int) -> bool:
        return attempted_at is not None

    return [(module, "do_roles_prove", prove) for module in (row_processor, prior_reader, doubt_settlement)]


@defect
def _present_role_settles() -> list[Replacement]:
    """Settle a row in doubt at once by a role that is as before."""
    return [(role_verify, "arrives_until", lambda doubt, late_arrival: 0)]


@defect
def _unreadable_means_no_role() -> list[Replacement]:
    """Take a room whose roles cannot be read as one without roles."""
    right = role_reader.RoleReader.holders

    async def holders(self: Any, room_id: str, *, explain: bool = False) -> Any:
        room = await right(self, room_id, explain=explain)
        return RoomHolders({}, None) if isinstance(room, role_reader.Unreadable) else room

    return [(role_reader.RoleReader, "holders", holders)]


@defect
def _role_without_description() -> list[Replacement]:
    """Believe a list of roles that leaves the role out."""

    async def contains(self: RoleListing, role: str) -> bool:
        return True

    return [(RoleListing, "contains", contains)]


@defect
def _stranger_is_settled() -> list[Replacement]:
    """Take a member without roles as a user who is not in the room."""

    async def membership(self: Any, room_id: str, user_ids: Any) -> Any:
        return {user_id: (False, USER_NOT_IN_ROOM.reason, user_id) for user_id in user_ids}

    return [(role_reader.RoleReader, "_membership", membership)]


@defect
def _refusal_after_a_doubt() -> list[Replacement]:
    """Fail a row that was refused after a lost answer."""
    right = settlement.settle

    def settle(case: Any) -> Any:
        is_refused = case.ending is settlement.Ending.EXHAUSTED
        return right(case._replace(in_doubt=False) if is_refused else case)

    return [(row_processor, "settle", settle)]


# Limits


@defect
def _window_cleared() -> list[Replacement]:
    """Clear the window on an answer without headers."""
    return [(server_window, "_shows_no_limit", lambda reply, *, is_first: "X-RateLimit-Limit" not in reply.headers)]


@defect
def _window_by_the_local_clock() -> list[Replacement]:
    """End a window by the local clock."""
    return [(ServerClock, "to_local", lambda self, server_time, now: server_time - EPOCH)]


@defect
def _calls_in_flight_not_counted() -> list[Replacement]:
    """Forget the calls in flight in the server's window."""

    def record_request(self: FixedWindowTracker) -> None:
        self.calls += 1
        self._sent_since_reset += 1

    def cancel_request(self: FixedWindowTracker) -> None:
        self.calls -= 1

    right = FixedWindowTracker.record_response

    def record_response(self: FixedWindowTracker, reply: Any, *, refused: bool = False) -> None:
        right(self, reply, refused=refused)
        self._in_flight = 0

    return [
        (FixedWindowTracker, "record_request", record_request),
        (FixedWindowTracker, "cancel_request", cancel_request),
        (FixedWindowTracker, "record_response", record_response),
    ]


@defect
def _every_account_exempt() -> list[Replacement]:
    """Take every account as exempt from the server's limit."""
    right = Exemption.__init__

    def create(self: Exemption, *, is_possible: bool = False) -> None:
        right(self, is_possible=is_possible)
        self.is_proven = True

    return [(Exemption, "__init__", create), (Exemption, "record_refusal", lambda self: None)]


@defect
def _rate_not_kept() -> list[Replacement]:
    """Make up for every slot of the own rate that passed."""

    def assign_slot(self: PacedRateLimiter, now: float) -> float:
        self._reserved -= 1
        self._next = self._next if self._next > 0 else now
        slot = self._next
        self._next = slot + self._interval
        return slot

    def reserve(self: PacedRateLimiter, now: float) -> None:
        self._reserved += 1

    return [(PacedRateLimiter, "assign_slot", assign_slot), (PacedRateLimiter, "reserve", reserve)]


@defect
def _too_slow() -> list[Replacement]:
    """Send at half the own rate."""
    right = PacedRateLimiter.__init__

    def create(self: PacedRateLimiter, per_second: float | None) -> None:
        right(self, None if per_second is None else per_second / 2)

    return [(PacedRateLimiter, "__init__", create)]


@defect
def _concurrency_not_kept() -> list[Replacement]:
    """Start one worker too many, each with a call in flight."""
    right = AdaptiveConcurrencyLimiter.__init__

    def create(self: AdaptiveConcurrencyLimiter, maximum: int) -> None:
        right(self, maximum + 1)

    def range_of(number: int) -> range:
        return range(number + 1)

    return [(AdaptiveConcurrencyLimiter, "__init__", create), (dispatcher, "range", range_of)]


# Stopping, waiting, ending


@defect
def _stop_ignored() -> list[Replacement]:
    """Start new rows after an interrupt."""
    from rolecall.engine.stop_signal import StopSignal

    async def for_ever(self: StopSignal) -> None:
        await asyncio.get_running_loop().create_future()

    async def work(queue: Any, processor: Any, stop: Any, hooks: Any) -> None:
        while (row := await queue.next()) is not None:
            await processor.process(row)

    return [
        (StopSignal, "wait", for_ever),
        (StopSignal, "raise_if_requested", lambda self: None),
        (dispatcher, "_work", work),
    ]


@defect
def _breaker_stays_closed() -> list[Replacement]:
    """Wait for ever on a breaker that nobody closes: no probe leaves."""

    async def acquire(self: CircuitBreaker) -> bool:
        if self.is_open:
            await self._closed.wait()
        return False

    return [(CircuitBreaker, "acquire", acquire)]


@defect
def _probe_not_released() -> list[Replacement]:
    """Keep the place of a probe that failed."""

    def record_failure(self: CircuitBreaker, request: object, *, reached: bool, probing: bool) -> None:
        right(self, request, reached=reached, probing=False)

    right = CircuitBreaker.record_failure
    return [(CircuitBreaker, "record_failure", record_failure)]


@defect
def _place_not_released() -> list[Replacement]:
    """Keep the place of a call that was cancelled or lost."""
    right = AdaptiveConcurrencyLimiter.release

    def release(self: AdaptiveConcurrencyLimiter) -> None:
        if self._waiters:
            self._in_flight -= 1
            return
        right(self)

    return [(AdaptiveConcurrencyLimiter, "release", release)]


@defect
def _parked_rows_forgotten() -> list[Replacement]:
    """Forget the rows that wait for the first row of their room."""
    right = RoomCache.record_response

    def record_response(self: RoomCache, row: Any, result: Any) -> Any:
        released = right(self, row, result)
        return released[:-1]

    return [(RoomCache, "record_response", record_response)]


@defect
def _retries_without_end() -> list[Replacement]:
    """Retry without an end."""
    return [(retry, "stop_after_attempt", lambda attempts: lambda state: False)]


@defect
def _chunk_skips_a_row() -> list[Replacement]:
    """Skip the first row of each further chunk."""
    right = BatchWriter.fetch_due

    async def fetch_due(self: BatchWriter, after: int, count: int, *, retry_failed: bool) -> Any:
        return await right(self, after + (after > 0), count, retry_failed=retry_failed)

    return [(BatchWriter, "fetch_due", fetch_due)]


# Undo and verify


@defect
def _undo_of_inferred_rows() -> list[Replacement]:
    """Undo rows whose change is only inferred."""
    right = undo_run.rows_to_undo

    def rows(store: Any, outcome: Any, *, inferred: bool) -> Any:
        return right(store, outcome, inferred=True)

    from tests.simulation import play

    return [(play, "rows_to_undo", rows), (undo_run, "rows_to_undo", rows)]


@defect
def _undo_of_unchanged_rows() -> list[Replacement]:
    """Undo rows that needed no change."""
    from tests.simulation import play

    async def rows(store: Any, outcome: Any, *, inferred: bool) -> Any:
        async for page in store.results():
            yield [row for row in page if row.outcome in DONE | NOTHING_TO_DO and row.evidence != "inferred"]

    return [(play, "rows_to_undo", rows)]


@defect
def _verify_agrees_always() -> list[Replacement]:
    """Verify agrees with every row."""

    def compare(pair: Any, has_role: bool, operation: Any) -> Any:
        return role_verify.VerifiedRow(pair, role_verify.VerifyStatus.AGREES, operation.adds)

    return [(role_verify, "compare_row", compare)]


@defect
def _verify_reads_the_wrong_state() -> list[Replacement]:
    """Verify takes every user with any role as one with this role."""
    right = role_reader.RoleReader.states_in

    async def states_in(self: Any, room_id: str, room: Any, user_ids: Any) -> Any:
        readings = await right(self, room_id, room, user_ids)
        return {
            user_id: reading._replace(prior=reading.prior._replace(state=PriorState.HAS_ROLE))
            if user_id in room.holders
            else reading
            for user_id, reading in readings.items()
        }

    return [(role_reader.RoleReader, "states_in", states_in)]
