"""The attempts of one row: intent on disk, request, result, rollback of the intent where nothing was carried out.

Invariants, whenever something is cancelled or killed: a request leaves only after its intent is on disk; an intent is
rolled back only if its request did not leave or was certainly not carried out.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

from rolecall.engine.context import RunContext
from rolecall.engine.directory.lookups import may_be_name, room_name_in_id_column
from rolecall.engine.row_queue import RowQueue
from rolecall.engine.stop_signal import ShutdownRequested
from rolecall.engine.throttle.route_limiter import RouteLimiter
from rolecall.models import UNKNOWN_PRIOR, DueRow, NoReply, Prior, Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.error_table import NOT_AWAITED, ROOM_NOT_FOUND, ROOM_NOT_JOINED, TOO_MANY_REQUESTS, Action
from rolecall.rocketchat.operations import Operation
from rolecall.rocketchat.response_classifier import CallResult, classify, classify_read
from rolecall.rocketchat.responses import COUNTERS, ROOM_INFO, is_joined, is_route_unavailable, parse_room_info
from rolecall.store.base import RunStoppedElsewhere
from rolecall.store.batch_writer import BatchWriter
from rolecall.store.records import Intent, IntentRollback

MAX_UNANSWERED = 3
"""Requests in a row without a usable response, after which the resolver sends no more: they are not worth a delay."""


class RoomVisibilityResolver:
    """Finds out why there is 'no such room', by one or two requests for each room.

    `groups.counters` needs no membership: it distinguishes a group that the account has not joined. A word that is no
    usual id may be the name of a room. No more is sent to a route that is refused.
    """

    def __init__(self, client: Client, kind: str, limiter: Callable[[str], RouteLimiter]) -> None:
        """`limiter` returns the limiter of a route by its path; `kind`: `groups` or `channels`."""
        self._client = client
        self._kind = kind
        self._limiter = limiter
        self._refused: set[str] = set()
        self._unanswered = 0

    async def resolve(self, result: CallResult, room_id: str) -> CallResult:
        """Return the result; where it was `room_not_found`, with `room_not_joined` or with the room of this name."""
        if result.rule is not ROOM_NOT_FOUND:
            return result
        if self._kind == "groups":
            reply = await self._get(COUNTERS, roomId=room_id)
            if reply is not None and is_joined(reply) is False:
                return result._replace(rule=ROOM_NOT_JOINED)
        if may_be_name(room_id):
            reply = await self._get(ROOM_INFO[self._kind], roomName=room_id)
            body = classify_read(reply).body if reply is not None else None
            if body is not None and (room := parse_room_info(self._kind, body)) is not None:
                return result._replace(message=room_name_in_id_column(room_id, room.room_id))
        return result

    async def _get(self, path: str, **query: str) -> Reply | NoReply | None:
        """Send a request; None where the route is refused, or too many had no usable response."""
        if path in self._refused or self._unanswered >= MAX_UNANSWERED:
            return None
        limiter = self._limiter(path)
        await limiter.acquire()
        try:
            reply = await self._client.get(path, **query)
        except BaseException:
            limiter.cancel()
            raise
        limiter.record_response(reply, refused=False)
        is_answered = isinstance(reply, Reply) and reply.status < TOO_MANY_REQUESTS
        self._unanswered = 0 if is_answered else self._unanswered + 1
        if is_route_unavailable(reply):
            self._refused.add(path)
        return reply


class RowTarget(NamedTuple):
    """What the calls of all rows of a run need."""

    client: Client
    operation: Operation
    queue: RowQueue
    journal: BatchWriter
    context: RunContext
    visibility: RoomVisibilityResolver
    calling: set[asyncio.Task[None] | None]
    """The workers whose request is in flight: the last to be cancelled."""

    @classmethod
    def create(
        cls, client: Client, operation: Operation, queue: RowQueue, journal: BatchWriter, context: RunContext
    ) -> Self:
        """Create the target of a run."""
        resolver = RoomVisibilityResolver(client, operation.kind, context.admission.side_limiter)
        return cls(client, operation, queue, journal, context, resolver, set())


@dataclass(eq=False, slots=True)
class RowCall:
    """The call of one row (see `Call`) and its state in this session."""

    target: RowTarget
    row: DueRow
    prior: Prior
    """The prior state, with this session's account among those that sent calls."""
    attempts: int
    """Attempts that count, those of earlier sessions included."""
    in_doubt: bool
    """An attempt may have been carried out whose response is not known."""
    was_doubted: bool = False
    """That is so of an attempt of this session."""
    last: CallResult | None = None
    """The last result that says something about the row; 'too many requests' does not."""
    started_at: float = 0.0
    """When the last request left, on the run's monotonic clock."""
    only_refusals: bool = True
    """Every attempt in doubt got a response with a 4xx status, none in an earlier session."""
    is_prepared: bool = False
    """The intent of the next attempt was written, and its request did not leave yet."""
    attempted_at: int | None = None
    """When the last attempt was intended: UTC, milliseconds since the epoch."""
    doubted_at: int | None = None
    """When the last attempt in doubt was intended."""

    @classmethod
    def start(cls, target: RowTarget, row: DueRow) -> Self:
        """Return the call of a due row, with what earlier sessions left."""
        prior, account = row.prior or UNKNOWN_PRIOR, target.context.caller.account_id
        if account and account not in prior.accounts:
            prior = prior._replace(accounts=(*prior.accounts, account))
        return cls(
            target,
            row,
            prior,
            row.attempts,
            row.in_doubt,
            only_refusals=not row.in_doubt,
            doubted_at=row.attempted_at if row.in_doubt else None,
        )

    async def prepare(self) -> None:
        """Write the intent of an attempt; return once it is on disk. Raise StoreError or ShutdownRequested."""
        self.is_prepared = True
        self.attempts += 1
        context = self.target.context
        intended_at = context.clock.wall_ms()
        try:
            await self.target.journal.write_intent(Intent(self.row.key, self.attempts, intended_at, self.prior))
        except RunStoppedElsewhere as elsewhere:
            context.stop.request_by_word(elsewhere.stop, elsewhere.detail)
            raise ShutdownRequested from None
        self.attempted_at = intended_at

    def cancel_prepared(self) -> None:
        """Roll the intent back, if its request did not leave."""
        if self.is_prepared:
            self.is_prepared = False
            self.attempts -= 1
            self.roll_back()

    async def send(self) -> Reply | NoReply:
        """Send the request; cancelled meanwhile, the row is in doubt."""
        target, worker = self.target, asyncio.current_task()
        target.calling.add(worker)
        self.is_prepared = False
        self.started_at = target.context.clock.now()
        try:
            return await target.client.post_pair(target.operation.path, self.row.room_id, self.row.user_id)
        except asyncio.CancelledError:
            self._doubt()
            self.only_refusals = False
            self.last = CallResult(NOT_AWAITED, "", "the run ended before the answer came", None)
            raise
        finally:
            target.calling.discard(worker)

    def record_response(self, reply: Reply | NoReply) -> CallResult:
        """Classify a response and record what it says about the row."""
        result = classify(reply, self.target.operation)
        if result.rule.maybe_done:
            self._doubt()
            self.only_refusals = self.only_refusals and result.status is not None and 400 <= result.status < 500
        if result.rule.action is not Action.BACK_OFF:
            self.last = result
        return result

    @property
    def may_be_the_cause(self) -> bool:
        """True for the last rows of a job: while others wait, one of them is the next probe."""
        return self.target.queue.is_empty

    def discard_attempt(self) -> None:
        """Take the attempt back; the row stays in doubt where it was."""
        self.attempts -= 1
        self.roll_back()

    async def complete_attempt(self, result: CallResult) -> CallResult:
        """Record an attempt that counts; return its result, with the exact reason behind 'no such room'."""
        if result.rule.action is not Action.FINISH and not result.rule.maybe_done:
            self.roll_back()
        target = self.target
        if result.rule is ROOM_NOT_FOUND and target.context.stop.reason is None:
            result = self.last = await target.visibility.resolve(result, self.row.room_id)
        target.queue.record_response(self.row, result)
        return result

    def report_retry(self, result: CallResult, seconds: float) -> None:
        """Report the next attempt to the session's events."""
        self.target.context.events.retrying(self.row, result, seconds)

    def _doubt(self) -> None:
        """Record that the last attempt may have been carried out."""
        self.in_doubt, self.was_doubted, self.doubted_at = True, True, self.attempted_at

    def roll_back(self) -> None:
        """Roll the last intent back, to the outcome of earlier sessions unless this one may have changed something."""
        row = self.row
        earlier = (None, "") if self.was_doubted else (row.outcome, row.reason)
        rollback = IntentRollback(row.key, self.attempts, self.in_doubt, self.doubted_at, *earlier)
        self.target.journal.rollback_intent(rollback)
