"""Reads the roles back and compares them with the outcomes of a run; settles the rows that are in doubt."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from rolecall.engine.clock import Clock
from rolecall.engine.directory import pair_groups
from rolecall.engine.directory.doubt_settlement import (
    Doubt,
    LaterReading,
    SettledDoubt,
    arrives_until,
    settle_doubt,
)
from rolecall.engine.directory.role_reader import UNREADABLE, RoleReader, RoleReading, Unreadable
from rolecall.engine.settings import Settings
from rolecall.engine.settlement import is_as_wanted
from rolecall.models import Outcome, PriorState, RowOutcome
from rolecall.rocketchat.operations import DONE, NOTHING_TO_DO, Operation
from rolecall.rocketchat.responses import RoleMessage
from rolecall.store.base import RunStore
from rolecall.store.records import Batch, Pair

READ_AGAIN_AFTER = 30.0
"""Seconds at most between two readings of the rows whose call may still arrive."""


class VerifyStatus(StrEnum):
    """How the outcome of a row compares with the workspace."""

    AGREES = "agrees"
    DIFFERS = "differs"
    SETTLED = "settled"
    """It was in doubt; now its outcome is known."""
    OPEN = "open"
    """It is in doubt, and its call may still arrive."""
    UNREAD = "unread"
    """The roles could not be read back, or they prove nothing."""


class VerifiedRow(NamedTuple):
    """One row and the role that was read back for it."""

    pair: Pair
    finding: VerifyStatus
    has_role: bool | None
    """None where it could not be read."""
    why: str = ""
    """Why it could not be read."""


class VerifyHooks(NamedTuple):
    """What a verification reports while it works."""

    on_rows: Callable[[Sequence[VerifiedRow]], Awaitable[object]]
    """Gets the rows of each room or user; each row once."""
    on_wait: Callable[[int, float], object] = lambda rows, seconds: None
    """Gets the number of open rows and the seconds until they are read again."""
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep


def compare_row(pair: Pair, has_role: bool, operation: Operation) -> VerifiedRow:
    """Compare a row that is not in doubt with the role that was read back."""
    as_wanted = has_role is operation.adds
    return VerifiedRow(pair, VerifyStatus.AGREES if as_wanted else VerifyStatus.DIFFERS, has_role)


def is_in_doubt(pair: Pair) -> bool:
    """Return whether a call of the row may have been carried out without a known answer."""
    return pair.outcome is Outcome.UNKNOWN or (pair.outcome is None and pair.in_doubt)


async def read_doubts(store: RunStore, pairs: Sequence[Pair]) -> Mapping[Pair, Doubt]:
    """Return what the store knows of the calls of some rows."""
    results = await store.results_by_key([pair.key for pair in pairs])
    known = {(row.room_id, row.user_id): Doubt(row.prior, row.attempted_at) for row in results}
    return {pair: known[pair.room_id, pair.user_id] for pair in pairs}


def is_verifiable(pair: Pair) -> bool:
    """Return whether the outcome of a row says what its role must be, or reading the role back settles the row."""
    return pair.outcome in DONE or pair.outcome in NOTHING_TO_DO or is_in_doubt(pair)


class RoleVerification:
    """Verifies one run, room by room or user by user."""

    def __init__(
        self, store: RunStore, reader: RoleReader, operation: Operation, settings: Settings, clock: Clock
    ) -> None:
        self._store = store
        self._reader = reader
        self._operation = operation
        self._settings = settings
        self._clock = clock
        self._open: dict[int, int] = {}
        """The keys of rows whose call may still arrive, each with the time until when."""

    async def run(
        self, hooks: VerifyHooks, *, wait: bool = True, wanted: Callable[[Pair], bool] = is_verifiable
    ) -> None:
        """Verify every `wanted` row, by room or by user, whichever takes fewer calls.

        Rows whose call may still arrive are read again until they are settled; without `wait` they are reported as
        OPEN. Raises ShutdownRequested and StoreError.
        """
        self._hooks, self._wait = hooks, wait
        rooms, users = await self._store.count_rooms_and_users([*DONE, *NOTHING_TO_DO, Outcome.UNKNOWN])
        by_user = users < rooms and await self._rooms_are_shown()
        await self._read_all(wanted, by_user=by_user)
        while self._open:
            left = (max(self._open.values()) - self._clock.wall_ms()) / 1000
            seconds = min(READ_AGAIN_AFTER, max(0.0, left))
            hooks.on_wait(len(self._open), seconds)
            await hooks.sleep(seconds)
            keys, self._open = frozenset(self._open), {}
            await self._read_all(partial(_is_among, keys), by_user=by_user)

    async def _read_all(self, wanted: Callable[[Pair], bool], *, by_user: bool) -> None:
        group = pair_groups.pairs_grouped_by_user if by_user else pair_groups.pairs_grouped_by_room
        verify = self._verify_user if by_user else self._verify_room
        await pair_groups.for_each_concurrently(group(self._store, wanted), verify, self._settings.concurrency)

    async def _rooms_are_shown(self) -> bool:
        """Return whether the first user that exists has rooms: an account sees the rooms of all users, or of none."""
        async with aclosing(pair_groups.pairs_grouped_by_user(self._store, is_verifiable)) as groups:
            async for pairs in groups:
                shown = await self._reader.shows_rooms(pairs[0].user_id)
                if shown is not None:
                    return shown
        return False

    async def _verify_user(self, pairs: Sequence[Pair]) -> None:
        states = await self._reader.states_of(pairs[0].user_id, [pair.room_id for pair in pairs])
        if isinstance(states, Unreadable):
            await self._report_unread(pairs, states.reason)
            return
        holders = {room_id for room_id, reading in states.items() if reading.prior.state is PriorState.HAS_ROLE}
        compared = self._compare(pairs, lambda pair: pair.room_id in holders)
        settled = await self._settle({pair: states[pair.room_id] for pair in pairs if is_in_doubt(pair)})
        await self._hooks.on_rows([*compared, *settled])

    async def _verify_room(self, pairs: Sequence[Pair]) -> None:
        room_id = pairs[0].room_id
        room = await self._reader.holders(room_id, explain=True)
        if isinstance(room, Unreadable):
            await self._report_unread(pairs, room.reason)
            return
        role = self._operation.role
        holders = {user_id for user_id, holder in room.holders.items() if role in holder.roles}
        compared = self._compare(pairs, lambda pair: pair.user_id in holders)
        doubtful = [pair for pair in pairs if is_in_doubt(pair)]
        states = await self._reader.states_in(room_id, room, [pair.user_id for pair in doubtful])
        settled = await self._settle({pair: states.get(pair.user_id, UNREADABLE) for pair in doubtful})
        await self._hooks.on_rows([*compared, *settled])

    def _compare(self, pairs: Sequence[Pair], has_role: Callable[[Pair], bool]) -> list[VerifiedRow]:
        return [compare_row(pair, has_role(pair), self._operation) for pair in pairs if not is_in_doubt(pair)]

    async def _settle(self, states: Mapping[Pair, RoleReading]) -> list[VerifiedRow]:
        """Settle the rows in doubt, as far as what is read now proves something; the others are open or unread.

        Return the rows that are not read again.
        """
        if not states:
            return []
        doubts = await read_doubts(self._store, list(states))
        now = self._clock.wall_ms()
        ready = {pair: reading for pair, reading in states.items() if not self._may_arrive(doubts[pair], reading, now)}
        messages = await self._messages({pair: doubts[pair] for pair in ready})
        settled: dict[Pair, SettledDoubt] = {}
        for pair, reading in ready.items():
            later = LaterReading(reading, messages.get(pair.room_id, ()), now)
            if (outcome := settle_doubt(doubts[pair], later, self._operation)) is not None:
                settled[pair] = outcome
        if settled:
            outcomes = [_to_row_outcome(pair.key, outcome, now) for pair, outcome in settled.items()]
            await self._store.commit(Batch(outcomes))
        rows = [_verified(pair, reading, is_settled=pair in settled) for pair, reading in ready.items()]
        still_open = [pair for pair in states if pair not in ready]
        if not self._wait:
            return [*rows, *(VerifiedRow(pair, VerifyStatus.OPEN, not self._operation.adds) for pair in still_open)]
        for pair in still_open:
            self._open[pair.key] = arrives_until(doubts[pair], self._settings.late_arrival)
        return rows

    def _may_arrive(self, doubt: Doubt, reading: RoleReading, now: int) -> bool:
        """Return whether the role is as before, and a call may still change it."""
        state = reading.prior.state
        if state in (PriorState.UNKNOWN, PriorState.STRANGER) or is_as_wanted(state, self._operation):
            return False
        return now < arrives_until(doubt, self._settings.late_arrival)

    async def _messages(self, doubts: Mapping[Pair, Doubt]) -> Mapping[str, Sequence[RoleMessage]]:
        """Return the role changes in the rooms of the rows since their prior readings, by room id."""
        if not self._settings.message_evidence:
            return {}
        return await self._reader.messages_by_room(
            (pair.room_id, doubt.prior.read_at) for pair, doubt in doubts.items() if doubt.prior.read_at is not None
        )

    async def _report_unread(self, pairs: Sequence[Pair], why: str) -> None:
        await self._hooks.on_rows([VerifiedRow(pair, VerifyStatus.UNREAD, None, why) for pair in pairs])


def _verified(pair: Pair, reading: RoleReading, *, is_settled: bool) -> VerifiedRow:
    if is_settled:
        return VerifiedRow(pair, VerifyStatus.SETTLED, reading.prior.state is PriorState.HAS_ROLE)
    return VerifiedRow(pair, VerifyStatus.UNREAD, None, reading.reason)


def _is_among(keys: Collection[int], pair: Pair) -> bool:
    return pair.key in keys


def _to_row_outcome(key: int, settled: SettledDoubt, now: int) -> RowOutcome:
    return RowOutcome.without_call(key, settled.outcome, settled.reason, finished_at=now, evidence=settled.evidence)
