"""Reads the roles back and compares them with what a run's ledger says; settles what the run could not."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from enum import StrEnum
from typing import NamedTuple

from rolecall.engine.clock import Clock
from rolecall.engine.directory import pair_groups
from rolecall.engine.directory.role_check import read_role_holders
from rolecall.engine.directory.user_lookup import UserLookup
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import Outcome, RowOutcome
from rolecall.rocketchat.error_table import USER_NOT_FOUND, USER_NOT_IN_ROOM
from rolecall.rocketchat.operations import DONE, NOTHING_TO_DO, Operation
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import UserInfo
from rolecall.store.base import Batch, Pair, RunStore

CONFIRMED_BY_READING = "confirmed_by_reading"
"""Reason of a row whose answer was lost, and whose role was read back to be as wanted."""
ROLE_UNCHANGED = "role_unchanged"
"""Reason of a row whose answer was lost, and whose role was read back to be as before."""
VERIFICATION_HINTS = {
    CONFIRMED_BY_READING: "an answer was lost; the roles read back are as wanted: that attempt most probably did it",
    ROLE_UNCHANGED: "an answer was lost, and the roles read back are as before: run again with --retry-failed",
}
"""What a person can do about each."""


class VerifyStatus(StrEnum):
    """How a row stands to the workspace."""

    AGREES = "agrees"
    DIFFERS = "differs"
    SETTLED = "settled"
    """The run did not know what became of it; now it is known."""
    UNREAD = "unread"
    """The roles could not be read back."""


class VerifiedRow(NamedTuple):
    """One row and what was read back for it."""

    pair: Pair
    finding: VerifyStatus
    has_role: bool | None
    """None where it could not be read."""
    why: str = ""
    """Why it could not be read."""


def compare_row(pair: Pair, has_role: bool, operation: Operation) -> VerifiedRow:
    """Compare one row with what was read back; the row has an outcome that says something of the role, or a doubt."""
    as_wanted = has_role is operation.adds
    if is_in_doubt(pair):
        return VerifiedRow(pair, VerifyStatus.SETTLED, has_role)
    return VerifiedRow(pair, VerifyStatus.AGREES if as_wanted else VerifyStatus.DIFFERS, has_role)


def to_outcome(row: VerifiedRow, operation: Operation, now: int) -> RowOutcome:
    """Say what an unsure row is told from now on. `now`: UTC, milliseconds since the epoch."""
    done = row.has_role is operation.adds
    outcome, reason = (operation.done, CONFIRMED_BY_READING) if done else (Outcome.FAILED, ROLE_UNCHANGED)
    return RowOutcome(row.pair.key, outcome, reason, None, "", "", now, None, in_doubt=False)


def is_in_doubt(pair: Pair) -> bool:
    """Tell whether the run does not know what became of a row."""
    return pair.outcome is Outcome.UNKNOWN or (pair.outcome is None and pair.in_doubt)


def is_verifiable(pair: Pair) -> bool:
    """Tell whether a row's outcome says how the role must be, or whether reading it back settles the row."""
    return pair.outcome in DONE or pair.outcome in NOTHING_TO_DO or is_in_doubt(pair)


class RoleVerification:
    """Verifies one run; each row is told to `on_row` once, room by room or user by user."""

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
        """Take the parts. `at_once`: rooms or users that are asked for at the same time."""
        self._store = store
        self._reader = reader
        self._people = UserLookup(reader)
        self._operation = operation
        self._at_once = at_once
        self._clock = clock
        self._on_row = on_row

    async def run(self) -> None:
        """Read back every row that says something, in whichever way takes fewer calls. Raises Stopped, LedgerFailed."""
        rooms, users = await self._store.count_rooms_and_users([*DONE, *NOTHING_TO_DO, Outcome.UNKNOWN])
        if users < rooms and await self._rooms_are_shown():
            by_user = pair_groups.pairs_grouped_by_user(self._store, is_verifiable)
            await pair_groups.for_each_concurrently(by_user, self._verify_user, self._at_once)
        else:
            by_room = pair_groups.pairs_grouped_by_room(self._store, is_verifiable)
            await pair_groups.for_each_concurrently(by_room, self._verify_room, self._at_once)

    async def _rooms_are_shown(self) -> bool:
        """Ask for the first user that there still is: an account may be shown all rooms of users, or none."""
        async with aclosing(pair_groups.pairs_grouped_by_user(self._store, is_verifiable)) as groups:
            async for pairs in groups:
                person = await self._people.by_id(pairs[0].user_id)
                if isinstance(person, UserInfo):
                    return person.rooms is not None
                if person.rule is not USER_NOT_FOUND:
                    return False
        return False

    async def _verify_user(self, pairs: Sequence[Pair]) -> None:
        person = await self._people.by_id(pairs[0].user_id)
        if isinstance(person, CallResult):
            if person.rule is USER_NOT_FOUND:  # who is not there has no role
                await self._compare(pairs, {})
            else:
                self._tell_unread(pairs, person.rule.reason)
        elif person.rooms is None:
            self._tell_unread(pairs, "rooms_not_shown")
        else:
            await self._compare(pairs, {(room.room_id, person.user_id): room.roles for room in person.rooms})

    async def _verify_room(self, pairs: Sequence[Pair]) -> None:
        room_id = pairs[0].room_id
        found = await read_role_holders(self._reader, self._operation.kind, room_id)
        if isinstance(found, CallResult):
            self._tell_unread(pairs, found.rule.reason)
        else:
            await self._compare(pairs, {(room_id, holder.user_id): holder.roles for holder in found})

    async def _compare(self, pairs: Sequence[Pair], held: Mapping[tuple[str, str], frozenset[str]]) -> None:
        role, operation = self._operation.role, self._operation
        rows = []
        for pair in pairs:
            row = compare_row(pair, role in held.get((pair.room_id, pair.user_id), frozenset()), operation)
            taken = row.finding is VerifyStatus.SETTLED and not operation.adds and not row.has_role
            no_proof = await self._why_no_member(pair) if taken else ""
            rows.append(VerifiedRow(pair, VerifyStatus.UNREAD, None, no_proof) if no_proof else row)
        now = self._clock.wall_ms()
        settled = [to_outcome(row, operation, now) for row in rows if row.finding is VerifyStatus.SETTLED]
        if settled:
            await self._store.commit(Batch(settled))
        for row in rows:
            self._on_row(row)

    async def _why_no_member(self, pair: Pair) -> str:
        """Say why a user without the role proves nothing: the server may have refused the row. Empty for a member."""
        person = await self._people.by_id(pair.user_id)
        if isinstance(person, CallResult):
            return person.rule.reason if person.rule is USER_NOT_FOUND else ""
        if person.rooms is None or any(room.room_id == pair.room_id for room in person.rooms):
            return ""
        return USER_NOT_IN_ROOM.reason

    def _tell_unread(self, pairs: Sequence[Pair], why: str) -> None:
        for pair in pairs:
            self._on_row(VerifiedRow(pair, VerifyStatus.UNREAD, None, why))
