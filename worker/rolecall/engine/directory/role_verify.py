"""Reads the roles back and compares them with the outcomes of a run; settles the rows that are in doubt."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from enum import StrEnum
from typing import NamedTuple

from rolecall.engine.clock import Clock
from rolecall.engine.directory import pair_groups
from rolecall.engine.directory.role_reader import read_role_holders
from rolecall.engine.directory.user_lookup import UserLookup
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import Outcome, RowOutcome
from rolecall.rocketchat.error_table import USER_NOT_FOUND, USER_NOT_IN_ROOM
from rolecall.rocketchat.operations import DONE, NOTHING_TO_DO, Operation
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import UserInfo
from rolecall.store.base import Batch, Pair, RunStore

CONFIRMED_BY_READING = "confirmed_by_reading"
"""Reason of a row whose response was lost and whose role, read back, is as wanted."""
ROLE_UNCHANGED = "role_unchanged"
"""Reason of a row whose response was lost and whose role, read back, is as before."""
VERIFICATION_HINTS = {
    CONFIRMED_BY_READING: "an answer was lost; the roles read back are as wanted: that attempt most probably did it",
    ROLE_UNCHANGED: "an answer was lost, and the roles read back are as before: run again with --retry-failed",
}
"""What an operator can do about each."""


class VerifyStatus(StrEnum):
    """How the outcome of a row compares with the workspace."""

    AGREES = "agrees"
    DIFFERS = "differs"
    SETTLED = "settled"
    """It was in doubt; now its outcome is known."""
    UNREAD = "unread"
    """The roles could not be read back."""


class VerifiedRow(NamedTuple):
    """One row and the role that was read back for it."""

    pair: Pair
    finding: VerifyStatus
    has_role: bool | None
    """None where it could not be read."""
    why: str = ""
    """Why it could not be read."""


def compare_row(pair: Pair, has_role: bool, operation: Operation) -> VerifiedRow:
    """Compare one verifiable row with the role that was read back."""
    as_wanted = has_role is operation.adds
    if is_in_doubt(pair):
        return VerifiedRow(pair, VerifyStatus.SETTLED, has_role)
    return VerifiedRow(pair, VerifyStatus.AGREES if as_wanted else VerifyStatus.DIFFERS, has_role)


def to_outcome(row: VerifiedRow, operation: Operation, now: int) -> RowOutcome:
    """Return the outcome of a row that was in doubt. `now`: UTC, milliseconds since the epoch."""
    done = row.has_role is operation.adds
    outcome, reason = (operation.done, CONFIRMED_BY_READING) if done else (Outcome.FAILED, ROLE_UNCHANGED)
    return RowOutcome.without_call(row.pair.key, outcome, reason, finished_at=now)


def is_in_doubt(pair: Pair) -> bool:
    """Return whether a call of the row may have been carried out without a known answer."""
    return pair.outcome is Outcome.UNKNOWN or (pair.outcome is None and pair.in_doubt)


def is_verifiable(pair: Pair) -> bool:
    """Return whether the outcome of a row says what its role must be, or reading the role back settles the row."""
    return pair.outcome in DONE or pair.outcome in NOTHING_TO_DO or is_in_doubt(pair)


class RoleVerification:
    """Verifies one run, room by room or user by user."""

    def __init__(
        self,
        store: RunStore,
        reader: ReadClient,
        operation: Operation,
        *,
        at_once: int,
        clock: Clock,
        on_row: Callable[[VerifiedRow], object],
    ) -> None:
        """`at_once`: rooms or users that are read at the same time. `on_row` gets each verified row once."""
        self._store = store
        self._reader = reader
        self._users = UserLookup(reader)
        self._operation = operation
        self._at_once = at_once
        self._clock = clock
        self._on_row = on_row

    async def run(self) -> None:
        """Verify every verifiable row, by room or by user, whichever takes fewer calls.

        Raises ShutdownRequested and StoreError.
        """
        rooms, users = await self._store.count_rooms_and_users([*DONE, *NOTHING_TO_DO, Outcome.UNKNOWN])
        if users < rooms and await self._rooms_are_shown():
            by_user = pair_groups.pairs_grouped_by_user(self._store, is_verifiable)
            await pair_groups.for_each_concurrently(by_user, self._verify_user, self._at_once)
        else:
            by_room = pair_groups.pairs_grouped_by_room(self._store, is_verifiable)
            await pair_groups.for_each_concurrently(by_room, self._verify_room, self._at_once)

    async def _rooms_are_shown(self) -> bool:
        """Return whether the first user that exists has rooms: an account sees the rooms of all users, or of none."""
        async with aclosing(pair_groups.pairs_grouped_by_user(self._store, is_verifiable)) as groups:
            async for pairs in groups:
                user = await self._users.by_id(pairs[0].user_id)
                if isinstance(user, UserInfo):
                    return user.rooms is not None
                if user.rule is not USER_NOT_FOUND:
                    return False
        return False

    async def _verify_user(self, pairs: Sequence[Pair]) -> None:
        user = await self._users.by_id(pairs[0].user_id)
        if isinstance(user, CallResult):
            if user.rule is USER_NOT_FOUND:  # a user who does not exist has no role
                await self._compare(pairs, {})
            else:
                self._report_unread(pairs, user.rule.reason)
        elif user.rooms is None:
            self._report_unread(pairs, "rooms_not_shown")
        else:
            await self._compare(pairs, {(room.room_id, user.user_id): room.roles for room in user.rooms})

    async def _verify_room(self, pairs: Sequence[Pair]) -> None:
        room_id = pairs[0].room_id
        found = await read_role_holders(self._reader, self._operation.kind, room_id)
        if isinstance(found, CallResult):
            self._report_unread(pairs, found.rule.reason)
        else:
            await self._compare(pairs, {(room_id, holder.user_id): holder.roles for holder in found})

    async def _compare(self, pairs: Sequence[Pair], roles: Mapping[tuple[str, str], frozenset[str]]) -> None:
        role, operation = self._operation.role, self._operation
        rows = []
        for pair in pairs:
            row = compare_row(pair, role in roles.get((pair.room_id, pair.user_id), frozenset()), operation)
            is_removal = row.finding is VerifyStatus.SETTLED and not operation.adds and not row.has_role
            why = await self._why_no_member(pair) if is_removal else ""
            rows.append(VerifiedRow(pair, VerifyStatus.UNREAD, None, why) if why else row)
        now = self._clock.wall_ms()
        outcomes = [to_outcome(row, operation, now) for row in rows if row.finding is VerifyStatus.SETTLED]
        if outcomes:
            await self._store.commit(Batch(outcomes))
        for row in rows:
            self._on_row(row)

    async def _why_no_member(self, pair: Pair) -> str:
        """Return why a missing role proves nothing, as the server may have refused the row; empty for a member."""
        user = await self._users.by_id(pair.user_id)
        if isinstance(user, CallResult):
            return user.rule.reason if user.rule is USER_NOT_FOUND else ""
        if user.rooms is None or any(room.room_id == pair.room_id for room in user.rooms):
            return ""
        return USER_NOT_IN_ROOM.reason

    def _report_unread(self, pairs: Sequence[Pair], why: str) -> None:
        for pair in pairs:
            self._on_row(VerifiedRow(pair, VerifyStatus.UNREAD, None, why))
