"""A check: reads the roles of every room once, and writes into a ledger what each row would come to."""

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter

from worker.engine import grouping
from worker.engine.clock import Clock
from worker.engine.people import People
from worker.engine.prediction import (
    MEMBERSHIP_NOT_SEEN,
    USUALLY_ALLOWED,
    Prediction,
    RoomRoles,
    predict_unread,
    with_membership,
)
from worker.engine.reading import Reader
from worker.ledger.interface import Batch, Ledger, Pair
from worker.model import Outcome, Settled
from worker.workspace.answers import Verdict
from worker.workspace.meanings import ROOM_NOT_FOUND, ROOM_NOT_JOINED
from worker.workspace.operations import Operation
from worker.workspace.preflight import Account
from worker.workspace.roles import PERMISSIONS, ROOM_ROLES, Holder, read_holders, read_permission
from worker.workspace.rooms import COUNTERS, read_joined


class Check:
    """Predicts the rows of one job; goes on where an earlier check of the same ledger ended."""

    def __init__(
        self, ledger: Ledger, reader: Reader, operation: Operation, account: Account, *, at_once: int, clock: Clock
    ) -> None:
        """Take the parts. `at_once`: rooms or users that are asked for at the same time."""
        self._ledger = ledger
        self._reader = reader
        self._people = People(reader)
        self._operation = operation
        self._account = account
        self._at_once = at_once
        self._clock = clock

    async def run(self) -> None:
        """Predict every row of which nothing could be said yet. Raises Stopped and LedgerFailed."""
        allowed = await self._allowed()
        rooms = grouping.rooms(self._ledger, lambda pair: pair.outcome in (None, Outcome.NOT_ATTEMPTED))
        await grouping.for_each(rooms, lambda pairs: self._predict_room(pairs, allowed), self._at_once)
        users = grouping.users(self._ledger, lambda pair: pair.reason == MEMBERSHIP_NOT_SEEN)
        await grouping.for_each(users, self._look_for_memberships, self._at_once)

    async def _allowed(self) -> Collection[str]:
        """Ask which roles may do this; where that is not told, believe what is usual."""
        read = await self._reader.read(PERMISSIONS)
        allowed = read_permission(read.body, self._operation.permission) if read.body is not None else None
        return USUALLY_ALLOWED if allowed is None else allowed

    async def _predict_room(self, pairs: Sequence[Pair], allowed: Collection[str]) -> None:
        found = await read_room(self._reader, self._operation.kind, pairs[0].room_id)
        if isinstance(found, Verdict):
            self._write((pair, predict_unread(found)) for pair in pairs)
        else:
            room = RoomRoles(self._operation, self._account, allowed, found)
            self._write((pair, room.predict(pair.user_id)) for pair in sorted(pairs, key=attrgetter("key")))

    async def _look_for_memberships(self, pairs: Sequence[Pair]) -> None:
        person = await self._people.by_id(pairs[0].user_id)
        self._write(
            (pair, with_membership(pair.outcome, pair.room_id, person)) for pair in pairs if pair.outcome is not None
        )

    def _write(self, predicted: Iterable[tuple[Pair, Prediction]]) -> None:
        now = self._clock.wall_ms()
        settled = [
            Settled(pair.key, outcome, reason, None, "", message, now, None, doubtful=False)
            for pair, (outcome, reason, message) in predicted
        ]
        self._ledger.commit(Batch(settled, (), ()))


async def read_room(reader: Reader, kind: str, room_id: str) -> list[Holder] | Verdict:
    """Read who has roles in a room; a Verdict says why nobody knows. `kind`: `groups` or `channels`. Raises Stopped."""
    read = await reader.read(ROOM_ROLES[kind], roomId=room_id)
    if read.body is not None:
        return read_holders(read.body)
    if kind == "groups" and read.verdict.meaning is ROOM_NOT_FOUND:
        counters = await reader.read(COUNTERS, roomId=room_id)
        if counters.body is not None and read_joined(counters.body) is False:
            return read.verdict._replace(meaning=ROOM_NOT_JOINED)
    return read.verdict
