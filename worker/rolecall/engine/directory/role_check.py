"""A check: reads the roles of every room once, and writes into a ledger what each row would come to."""

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
    """Predicts the rows of one job; goes on where an earlier check of the same ledger ended."""

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
        """Take the parts. `at_once`: rooms or users that are asked for at the same time."""
        self._store = store
        self._reader = reader
        self._people = UserLookup(reader)
        self._operation = operation
        self._account = account
        self._at_once = at_once
        self._clock = clock

    async def run(self) -> None:
        """Predict every row of which nothing could be said yet. Raises Stopped and LedgerFailed."""
        allowed = await self._allowed()
        rooms = pair_groups.pairs_grouped_by_room(
            self._store, lambda pair: pair.outcome in (None, Outcome.NOT_ATTEMPTED)
        )
        await pair_groups.for_each_concurrently(rooms, lambda pairs: self._predict_room(pairs, allowed), self._at_once)
        users = pair_groups.pairs_grouped_by_user(self._store, lambda pair: pair.reason == MEMBERSHIP_NOT_SEEN)
        await pair_groups.for_each_concurrently(users, self._look_for_memberships, self._at_once)

    async def _allowed(self) -> Collection[str]:
        """Ask which roles may do this; where that is not told, believe what is usual."""
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

    async def _look_for_memberships(self, pairs: Sequence[Pair]) -> None:
        person = await self._people.by_id(pairs[0].user_id)
        await self._write(
            (pair, with_membership(pair.outcome, pair.room_id, person)) for pair in pairs if pair.outcome is not None
        )

    async def _write(self, predicted: Iterable[tuple[Pair, Prediction]]) -> None:
        now = self._clock.wall_ms()
        settled = [
            RowOutcome(pair.key, outcome, reason, None, "", message, now, None, in_doubt=False)
            for pair, (outcome, reason, message) in predicted
        ]
        await self._store.commit(Batch(settled))


async def read_role_holders(reader: ReadClient, kind: str, room_id: str) -> list[RoleHolder] | CallResult:
    """Read who has roles in a room; a Verdict says why nobody knows. `kind`: `groups` or `channels`. Raises Stopped."""
    read = await reader.read(ROOM_ROLES[kind], roomId=room_id)
    if read.body is not None:
        return parse_role_holders(read.body)
    if kind == "groups" and read.verdict.rule is ROOM_NOT_FOUND:
        counters = await reader.read(COUNTERS, roomId=room_id)
        if counters.body is not None and parse_joined(counters.body) is False:
            return read.verdict._replace(rule=ROOM_NOT_JOINED)
    return read.verdict
