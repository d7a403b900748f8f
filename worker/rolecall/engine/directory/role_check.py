"""A check: reads the roles as a run does, and records the predicted outcome of each row in a store.

A prediction is pure, in the order in which a run decides: what the reading settles without a call (the user, the
membership, the role), the permission, the last owner. A row that an earlier run left in doubt is predicted as a run of
`retry.csv` would settle it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from rolecall.engine.clock import Clock
from rolecall.engine.directory import pair_groups
from rolecall.engine.directory.doubt_settlement import LaterReading, settle_before_sending
from rolecall.engine.directory.removal_forecast import RemovalForecast, forecast_removals
from rolecall.engine.directory.role_reader import (
    ROLES_UNREADABLE,
    UNREADABLE,
    RoleReader,
    RoleReading,
    Unreadable,
    outcome_of_reading,
)
from rolecall.engine.directory.role_verify import is_in_doubt, read_doubts
from rolecall.engine.removal_limits import NO_LIMITS, RemovalLimits
from rolecall.engine.settlement import is_as_wanted
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import OUTCOMES, Outcome, PriorState, RowOutcome
from rolecall.rocketchat.error_table import LAST_OWNER, NOT_ALLOWED
from rolecall.rocketchat.operations import Operation, Role
from rolecall.rocketchat.preflight import Account
from rolecall.rocketchat.responses import PERMISSIONS, RoleHolder, parse_permission
from rolecall.store.base import RunStore
from rolecall.store.records import Batch, Pair

USUALLY_ALLOWED = frozenset({"admin", "owner"})
"""Roles that may change roles in a room unless an administrator has changed that."""


class Prediction(NamedTuple):
    """The predicted outcome of a row."""

    outcome: Outcome
    """NOT_ATTEMPTED where it cannot be predicted."""
    reason: str
    message: str = ""


class RoomForecast:
    """The roles in one room, as the job's rows would change them one after the other."""

    def __init__(
        self, operation: Operation, account: Account, allowed: Collection[str], holders: Mapping[str, RoleHolder]
    ) -> None:
        """`holders`: the users with roles in the room, by id. `allowed`: the roles that may change them."""
        self._operation = operation
        own = holders[account.user_id].roles if account.user_id in holders else frozenset()
        self._may_change = bool((own | frozenset(account.roles)) & frozenset(allowed))
        self._owners = sum(Role.OWNER in holder.roles for holder in holders.values())

    def predict(self, reading: RoleReading) -> Prediction:
        """Predict the next row of this room from the state of its user."""
        if settled := outcome_of_reading(reading, self._operation):
            return Prediction(*settled)
        if reading.prior.state is PriorState.UNKNOWN:
            return Prediction(Outcome.NOT_ATTEMPTED, ROLES_UNREADABLE)
        if not self._may_change:
            return Prediction(Outcome.FAILED, NOT_ALLOWED.reason)
        if not self._operation.adds and self._operation.role is Role.OWNER:
            if self._owners == 1:
                return Prediction(Outcome.FAILED, LAST_OWNER.reason)
            self._owners -= 1
        return Prediction(self._operation.predicted, reading.reason)

    def predict_again(self, reading: RoleReading) -> Prediction:
        """Predict a row in doubt that is sent again."""
        if is_as_wanted(reading.prior.state, self._operation) and self._may_change:
            return Prediction(self._operation.predicted, "")  # the server answers as if it had changed the role
        return without_proof(self.predict(reading))


def without_proof(prediction: Prediction) -> Prediction:
    """Return the prediction of a row in doubt: a refusal does not show that no earlier call was carried out."""
    if prediction.outcome is Outcome.FAILED:
        return prediction._replace(outcome=Outcome.UNKNOWN)
    return prediction


def predict_unread(room: Unreadable) -> Prediction:
    """Predict the rows of a room whose roles could not be read."""
    if room.rejects_room:
        return Prediction(Outcome.FAILED, room.reason, room.message)
    return Prediction(Outcome.NOT_ATTEMPTED, ROLES_UNREADABLE, f"{room.reason}: {room.message}")


class RoleCheck:
    """Predicts the rows of one job; continues an earlier check of the same store."""

    def __init__(
        self,
        store: RunStore,
        reads: ReadClient,
        operation: Operation,
        account: Account,
        clock: Clock,
        *,
        message_evidence: bool = True,
        limits: RemovalLimits = NO_LIMITS,
    ) -> None:
        """`message_evidence`: read the messages of rooms with rows in doubt. `limits`: on what a run may take."""
        self._store = store
        self._message_evidence = message_evidence
        self._reads = reads
        self._reader = RoleReader(reads, operation)
        self._operation = operation
        self._account = account
        self._clock = clock
        self.removals = RemovalForecast(limits)
        """What a run would take in the rooms that `run` has read."""
        self.has_read_all_rooms = False
        """Whether these are the rooms of all rows."""

    async def run(self, *, at_once: int) -> None:
        """Predict every row that has no prediction yet, `at_once` rooms or users at a time.

        Raises ShutdownRequested and StoreError.

        Where a run would read by user, so does the check; the rooms then show who may change the roles that are left.
        """
        allowed = await self._allowed_roles()
        self.has_read_all_rooms = not await self._has_predictions()
        if await self._is_cheaper_by_user():
            self.has_read_all_rooms = False
            users = pair_groups.pairs_grouped_by_user(self._store, _is_open)
            await pair_groups.for_each_concurrently(users, self._predict_user, at_once)
        rooms = pair_groups.pairs_grouped_by_room(self._store, _is_open)
        await pair_groups.for_each_concurrently(rooms, lambda pairs: self._predict_room(pairs, allowed), at_once)

    async def count_removals(self, *, concurrency: int) -> RemovalForecast:
        """Read the rooms of all rows, one call for each, and return what a run would take. Raises as `run`."""
        limits = self.removals.limits
        return await forecast_removals(self._store, self._reader, limits, is_in_job, concurrency=concurrency)

    async def _has_predictions(self) -> bool:
        """Return whether an earlier session of this check has predicted a row."""
        outcomes = [count.outcome for count in await self._store.counts()]
        return any(OUTCOMES[outcome].is_success or outcome is Outcome.FAILED for outcome in outcomes)

    async def _is_cheaper_by_user(self) -> bool:
        first = await self._store.fetch_due(0, 1, retry_failed=False)
        if not first:
            return False
        _, rooms = await self._store.count_due(retry_failed=False)
        users = await self._store.count_due_users(retry_failed=False)
        return await self._reader.is_cheaper_by_user(rooms, users, first[0][1].user_id)

    async def _allowed_roles(self) -> Collection[str]:
        """Return the roles that may do this; the usual ones where the server does not show them."""
        read = await self._reads.read(PERMISSIONS)
        allowed = parse_permission(read.body, self._operation.permission) if read.body is not None else None
        return USUALLY_ALLOWED if allowed is None else allowed

    async def _predict_user(self, pairs: Sequence[Pair]) -> None:
        """Predict the rows of one user that need no call."""
        readings = await self._reader.of_user(pairs[0].user_id, [pair.room_id for pair in pairs])
        states = {pair: readings.get(pair.room_id, UNREADABLE) for pair in pairs}
        settled = await self._settled_doubts(states)
        for pair, reading in states.items():
            if not pair.in_doubt and (outcome := outcome_of_reading(reading, self._operation)) is not None:
                settled[pair] = Prediction(*outcome)
        await self._write((pair, states[pair], prediction) for pair, prediction in settled.items())

    async def _predict_room(self, pairs: Sequence[Pair], allowed: Collection[str]) -> None:
        room_id = pairs[0].room_id
        room = await self._reader.holders(room_id, explain=True)
        self.removals.count(room_id, [pair.user_id for pair in pairs], room, self._operation.role)
        if isinstance(room, Unreadable):
            unread = predict_unread(room)
            await self._write((pair, UNREADABLE, without_proof(unread) if pair.in_doubt else unread) for pair in pairs)
            return
        readings = await self._reader.states_in(room_id, room, [pair.user_id for pair in pairs])
        forecast = RoomForecast(self._operation, self._account, allowed, room.holders)
        states = {pair: readings.get(pair.user_id, UNREADABLE) for pair in sorted(pairs, key=attrgetter("key"))}
        predicted = await self._settled_doubts(states)
        for pair, reading in states.items():
            if pair not in predicted:
                predicted[pair] = forecast.predict_again(reading) if pair.in_doubt else forecast.predict(reading)
        await self._write((pair, states[pair], prediction) for pair, prediction in predicted.items())

    async def _settled_doubts(self, states: Mapping[Pair, RoleReading]) -> dict[Pair, Prediction]:
        """Return the predictions of the rows in doubt that a run would not send again."""
        doubtful = [pair for pair in states if pair.in_doubt]
        if not doubtful:
            return {}
        doubts = await read_doubts(self._store, doubtful)
        readable = {
            pair: doubt.prior.read_at
            for pair, doubt in doubts.items()
            if self._message_evidence and states[pair].prior.state in (PriorState.HAS_ROLE, PriorState.MEMBER)
        }
        messages = await self._reader.messages_by_room(
            (pair.room_id, read_at) for pair, read_at in readable.items() if read_at is not None
        )
        now = self._clock.wall_ms()
        predicted: dict[Pair, Prediction] = {}
        for pair, doubt in doubts.items():
            later = LaterReading(states[pair], messages.get(pair.room_id, ()), now)
            if (settled := settle_before_sending(doubt, later, self._operation)) is not None:
                is_done = settled.outcome is self._operation.done
                predicted[pair] = Prediction(self._operation.predicted if is_done else settled.outcome, settled.reason)
        return predicted

    async def _write(self, predicted: Iterable[tuple[Pair, RoleReading, Prediction]]) -> None:
        """Record predictions; a row in doubt stays in doubt, because nothing was done."""
        now = self._clock.wall_ms()
        outcomes = [
            RowOutcome.without_call(pair.key, outcome, reason, message=message, finished_at=now)._replace(
                in_doubt=pair.in_doubt, room_name=reading.room_name, username=reading.prior.username
            )
            for pair, reading, (outcome, reason, message) in predicted
        ]
        if outcomes:
            await self._store.commit(Batch(outcomes))


def is_in_job(pair: Pair) -> bool:
    """Return whether the job file still has a pair."""
    return pair.line is not None


def _is_open(pair: Pair) -> bool:
    return pair.outcome in (None, Outcome.NOT_ATTEMPTED) or is_in_doubt(pair)
