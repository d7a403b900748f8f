"""A check: reads the roles as a run does, and records the predicted outcome of each row in a store.

A prediction is pure, in the order in which a run decides: what the reading settles without a call (the user, the
membership, the role), the permission, the last owner.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from rolecall.engine.clock import Clock
from rolecall.engine.directory import pair_groups
from rolecall.engine.directory.role_reader import (
    ROLES_UNREADABLE,
    UNREADABLE,
    RoleReader,
    RoleReading,
    Unreadable,
    outcome_of_reading,
)
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import Outcome, PriorState, RowOutcome
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


def predict_unread(room: Unreadable) -> Prediction:
    """Predict the rows of a room whose roles could not be read."""
    if room.rejects_room:
        return Prediction(Outcome.FAILED, room.reason, room.message)
    return Prediction(Outcome.NOT_ATTEMPTED, ROLES_UNREADABLE, f"{room.reason}: {room.message}")


class RoleCheck:
    """Predicts the rows of one job; continues an earlier check of the same store."""

    def __init__(
        self, store: RunStore, reads: ReadClient, operation: Operation, account: Account, clock: Clock
    ) -> None:
        self._store = store
        self._reads = reads
        self._reader = RoleReader(reads, operation)
        self._operation = operation
        self._account = account
        self._clock = clock

    async def run(self, *, at_once: int) -> None:
        """Predict every row that has no prediction yet, `at_once` rooms or users at a time.

        Raises ShutdownRequested and StoreError.

        Where a run would read by user, so does the check; the rooms then show who may change the roles that are left.
        """
        allowed = await self._allowed_roles()
        if await self._is_cheaper_by_user():
            users = pair_groups.pairs_grouped_by_user(self._store, _is_open)
            await pair_groups.for_each_concurrently(users, self._predict_user, at_once)
        rooms = pair_groups.pairs_grouped_by_room(self._store, _is_open)
        await pair_groups.for_each_concurrently(rooms, lambda pairs: self._predict_room(pairs, allowed), at_once)

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
        states = [(pair, readings.get(pair.room_id, UNREADABLE)) for pair in pairs]
        settled = [(pair, outcome_of_reading(reading, self._operation)) for pair, reading in states]
        await self._write((pair, Prediction(*outcome)) for pair, outcome in settled if outcome is not None)

    async def _predict_room(self, pairs: Sequence[Pair], allowed: Collection[str]) -> None:
        room_id = pairs[0].room_id
        room = await self._reader.holders(room_id, explain=True)
        if isinstance(room, Unreadable):
            await self._write((pair, predict_unread(room)) for pair in pairs)
            return
        readings = await self._reader.states_in(room_id, room, [pair.user_id for pair in pairs])
        forecast = RoomForecast(self._operation, self._account, allowed, room.holders)
        in_order = sorted(pairs, key=attrgetter("key"))
        await self._write((pair, forecast.predict(readings.get(pair.user_id, UNREADABLE))) for pair in in_order)

    async def _write(self, predicted: Iterable[tuple[Pair, Prediction]]) -> None:
        now = self._clock.wall_ms()
        outcomes = [
            RowOutcome.without_call(pair.key, outcome, reason, message=message, finished_at=now)
            for pair, (outcome, reason, message) in predicted
        ]
        if outcomes:
            await self._store.commit(Batch(outcomes))


def _is_open(pair: Pair) -> bool:
    return pair.outcome in (None, Outcome.NOT_ATTEMPTED)
