"""A check: reads the roles of every room once, and records the predicted outcome of each row in a store."""

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter

from rolecall.engine.clock import Clock
from rolecall.engine.directory import pair_groups
from rolecall.engine.directory.prediction import (
    MEMBERSHIP_NOT_SEEN,
    USUALLY_ALLOWED,
    Prediction,
    RoomRoles,
    predict_unread,
    with_membership,
)
from rolecall.engine.directory.user_lookup import UserLookup
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import Outcome, RowOutcome
from rolecall.rocketchat.error_table import ROOM_NOT_FOUND, ROOM_NOT_JOINED
from rolecall.rocketchat.operations import Operation
from rolecall.rocketchat.preflight import Account
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import (
    COUNTERS,
    PERMISSIONS,
    ROOM_ROLES,
    RoleHolder,
    parse_joined,
    parse_permission,
    parse_role_holders,
)
from rolecall.store.base import Batch, Pair, RunStore


class RoleCheck:
    """Predicts the rows of one job; continues an earlier check of the same store."""

    def __init__(
        self,
        store: RunStore,
        reader: ReadClient,
        operation: Operation,
        account: Account,
        *,
        at_once: int,
        clock: Clock,
    ) -> None:
        """`at_once`: rooms or users that are read at the same time."""
        self._store = store
        self._reader = reader
        self._users = UserLookup(reader)
        self._operation = operation
        self._account = account
        self._at_once = at_once
        self._clock = clock

    async def run(self) -> None:
        """Predict every row that has no prediction yet. Raises ShutdownRequested and StoreError."""
        allowed = await self._allowed_roles()
        rooms = pair_groups.pairs_grouped_by_room(
            self._store, lambda pair: pair.outcome in (None, Outcome.NOT_ATTEMPTED)
        )
        await pair_groups.for_each_concurrently(rooms, lambda pairs: self._predict_room(pairs, allowed), self._at_once)
        users = pair_groups.pairs_grouped_by_user(self._store, lambda pair: pair.reason == MEMBERSHIP_NOT_SEEN)
        await pair_groups.for_each_concurrently(users, self._predict_members, self._at_once)

    async def _allowed_roles(self) -> Collection[str]:
        """Return the roles that may do this; the usual ones where the server does not show them."""
        read = await self._reader.read(PERMISSIONS)
        allowed = parse_permission(read.body, self._operation.permission) if read.body is not None else None
        return USUALLY_ALLOWED if allowed is None else allowed

    async def _predict_room(self, pairs: Sequence[Pair], allowed: Collection[str]) -> None:
        found = await read_role_holders(self._reader, self._operation.kind, pairs[0].room_id)
        if isinstance(found, CallResult):
            await self._write((pair, predict_unread(found)) for pair in pairs)
        else:
            room = RoomRoles(self._operation, self._account, allowed, found)
            await self._write((pair, room.predict(pair.user_id)) for pair in sorted(pairs, key=attrgetter("key")))

    async def _predict_members(self, pairs: Sequence[Pair]) -> None:
        user = await self._users.by_id(pairs[0].user_id)
        await self._write(
            (pair, with_membership(pair.outcome, pair.room_id, user)) for pair in pairs if pair.outcome is not None
        )

    async def _write(self, predicted: Iterable[tuple[Pair, Prediction]]) -> None:
        now = self._clock.wall_ms()
        outcomes = [
            RowOutcome.without_call(pair.key, outcome, reason, message=message, finished_at=now)
            for pair, (outcome, reason, message) in predicted
        ]
        await self._store.commit(Batch(outcomes))


async def read_role_holders(reader: ReadClient, kind: str, room_id: str) -> list[RoleHolder] | CallResult:
    """Read the users with roles in a room; a CallResult says why that is not possible. Raises ShutdownRequested.

    `kind`: `groups` or `channels`.
    """
    read = await reader.read(ROOM_ROLES[kind], roomId=room_id)
    if read.body is not None:
        return parse_role_holders(read.body)
    if kind == "groups" and read.verdict.rule is ROOM_NOT_FOUND:
        counters = await reader.read(COUNTERS, roomId=room_id)
        if counters.body is not None and parse_joined(counters.body) is False:
            return read.verdict._replace(rule=ROOM_NOT_JOINED)
    return read.verdict
