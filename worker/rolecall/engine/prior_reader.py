"""The reading phase: reads the prior state of due rows, ahead of the sender, and settles rows that need no call.

Roles are read room by room or user by user, whichever takes fewer calls. One reading settles every due row of its
room (or user) that needs no call; the others get their prior state, in memory for the rows at hand and in the store
for later ones. So memory does not grow with the job, and no state is kept for the run.

A room (or user) is read once in a session: later its rows may be in flight, and what a reading shows of them then is
what this run has done.
"""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

from rolecall.engine.context import RunContext
from rolecall.engine.directory.ordered_map import ordered_map
from rolecall.engine.directory.role_reader import UNREADABLE, RoleReader, RoleReading
from rolecall.engine.outcome_recorder import OutcomeRecorder
from rolecall.engine.settlement import (
    MESSAGE_TOLERANCE,
    NOT_NEEDED,
    ROLES_PROVE_FOR,
    Case,
    Ending,
    Messages,
    can_change,
    find_change,
    outcome_of,
    reason_of,
    settle,
)
from rolecall.engine.stop_signal import ShutdownRequested
from rolecall.models import UNKNOWN_PRIOR, DueRow, Outcome, Prior, PriorState, RowOutcome
from rolecall.rocketchat.operations import Operation
from rolecall.rocketchat.responses import RoleMessage
from rolecall.store.base import PriorRecord
from rolecall.store.batch_writer import BatchWriter

CHUNK = 512
"""Due rows that are read from the store at once."""


class Grouping(NamedTuple):
    """How the due rows are read: by room or by user."""

    by_user: bool

    def key(self, row: DueRow) -> str:
        """Return what one reading covers."""
        return row.user_id if self.by_user else row.room_id


class PriorReader:
    """Returns the due rows with their prior state, in job order, without those that were settled by reading."""

    def __init__(
        self,
        journal: BatchWriter,
        reader: RoleReader,
        operation: Operation,
        recorder: OutcomeRecorder,
        context: RunContext,
    ) -> None:
        self._journal = journal
        self._reader = reader
        self._operation = operation
        self._recorder = recorder
        self._context = context
        self._retry_failed = context.settings.retry_failed
        self._grouping = Grouping(by_user=False)
        self._read_in_doubt: set[int] = set()
        """The keys of rows in doubt that were read in this session and that a later chunk returns."""

    async def rows(self) -> AsyncGenerator[Sequence[DueRow], None]:
        """Return the rows that must be sent, some at a time. Ends early when the stop is requested."""
        place = 0
        try:
            while True:
                await self._journal.flush()  # readings of the rows before may have settled some of the next
                chunk = await self._journal.fetch_due(place, CHUNK, retry_failed=self._retry_failed)
                if not chunk:
                    return
                if not place:
                    self._grouping = await self._choose_grouping(chunk[0][1])
                place = chunk[-1][0]
                async with aclosing(self._with_priors([row for _, row in chunk])) as parts:
                    async for part in parts:
                        yield part
        except ShutdownRequested:
            return

    async def _choose_grouping(self, first: DueRow) -> Grouping:
        _, rooms = await self._journal.count_due(retry_failed=self._retry_failed)
        users = await self._journal.count_due_users(retry_failed=self._retry_failed)
        return Grouping(by_user=users < rooms and await self._reader.shows_rooms(first.user_id) is True)

    async def _with_priors(self, rows: Sequence[DueRow]) -> AsyncGenerator[Sequence[DueRow], None]:
        """Return the rows of a chunk that must be sent, as soon as the reading that covers them is there."""
        rows = [row for row in rows if not self._is_settled(row)]
        missing = dict.fromkeys(self._grouping.key(row) for row in rows if self._is_unread(row))
        self._read_in_doubt.difference_update(row.key for row in rows)
        readings: dict[str, Mapping[int, Prior | None]] = {}
        part: list[DueRow] = []
        in_flight = self._context.settings.concurrency
        read_group = partial(self._read_group, wanted={row.key for row in rows})
        async with aclosing(ordered_map(_each(list(missing)), read_group, at_once=in_flight)) as results:
            for row in rows:
                key = self._grouping.key(row)
                if key in missing and key not in readings:
                    if part:
                        yield part
                        part = []
                    readings[key] = await anext(results)
                if key not in missing:
                    part.append(row)
                elif (prior := readings[key].get(row.key)) is not None:
                    part.append(row._replace(prior=prior))
        if part:
            yield part

    async def _read_group(self, key: str, wanted: Collection[int]) -> Mapping[int, Prior | None]:
        """Read one room or user; return the prior state of the wanted rows by key, None for a row that is settled."""
        priors: dict[int, Prior | None] = {}
        after = 0
        while rows := await self._fetch_group(key, after):
            after = rows[-1].key
            readings = await self._read(key, rows)
            messages = await self._messages(key, rows, readings)
            for row in rows:
                prior = self._apply(row, readings.get(self._member(row), UNREADABLE), messages)
                if row.key in wanted:
                    priors[row.key] = prior
                elif row.in_doubt:
                    self._read_in_doubt.add(row.key)
                if not row.in_doubt:
                    self._journal.write_prior(PriorRecord(row.key, prior or readings[self._member(row)].prior))
        return priors

    def _is_settled(self, row: DueRow) -> bool:
        """Return whether a reading of this session settled a row, which is due again as it failed."""
        state = PriorState.UNKNOWN if row.in_doubt or row.prior is None else row.prior.state
        return state is not PriorState.UNKNOWN and not can_change(state, self._operation)

    def _is_unread(self, row: DueRow) -> bool:
        """Return whether a row must be read in this session before it is sent."""
        return row.key not in self._read_in_doubt if row.in_doubt else row.prior is None

    async def _fetch_group(self, key: str, after: int) -> list[DueRow]:
        fetch = self._journal.due_of_user if self._grouping.by_user else self._journal.due_in_room
        return await fetch(key, after, CHUNK, retry_failed=self._retry_failed)

    def _member(self, row: DueRow) -> str:
        return row.room_id if self._grouping.by_user else row.user_id

    async def _read(self, key: str, rows: Sequence[DueRow]) -> Mapping[str, RoleReading]:
        others = [self._member(row) for row in rows]
        if self._grouping.by_user:
            return await self._reader.of_user(key, others)
        return await self._reader.in_room(key, others)

    async def _messages(
        self, key: str, rows: Sequence[DueRow], readings: Mapping[str, RoleReading]
    ) -> Mapping[str, Sequence[RoleMessage]]:
        """Return the role changes of the rooms in which a row in doubt was found as wanted, by room id."""
        since: dict[str, int] = {}
        for row in rows:
            prior = row.prior
            if row.in_doubt and prior is not None and prior.read_at is not None and self._is_changed(row, readings):
                since[row.room_id] = min(since.get(row.room_id, prior.read_at), prior.read_at)
        if not self._context.settings.message_evidence:
            return {}
        return {room: await self._reader.messages(room, at - MESSAGE_TOLERANCE) for room, at in since.items()}

    def _is_changed(self, row: DueRow, readings: Mapping[str, RoleReading]) -> bool:
        """Return whether a row in doubt had a state that can be changed, and is read as wanted now."""
        now = readings.get(self._member(row), UNREADABLE).prior.state
        before = row.prior.state if row.prior is not None else PriorState.UNKNOWN
        return can_change(before, self._operation) and now is not PriorState.UNKNOWN and now is not before

    def _apply(self, row: DueRow, reading: RoleReading, messages: Mapping[str, Sequence[RoleMessage]]) -> Prior | None:
        """Return the prior state with which a row is sent; record its outcome and return None where it is not sent."""
        state = reading.prior.state
        if row.in_doubt:
            prior = row.prior or UNKNOWN_PRIOR
            if not self._is_changed(row, {self._member(row): reading}):
                return prior
            prior = prior._replace(username=prior.username or reading.prior.username)
            change = find_change(messages.get(row.room_id, ()), prior, self._operation)
            self._settle_in_doubt(row, prior, change)
            return None
        if state is PriorState.UNKNOWN:
            return Prior(read_at=self._context.caller.started_at)
        if can_change(state, self._operation):
            return reading.prior
        if state is PriorState.STRANGER:
            self._record(row, Outcome.FAILED, reading.reason)
        else:
            self._record(row, self._operation.nothing_to_do, reading.reason or NOT_NEEDED)
        return None

    def _settle_in_doubt(self, row: DueRow, prior: Prior, change: Messages) -> None:
        """Record the outcome of a row in doubt whose role is read as wanted."""
        now = self._context.clock.wall_ms()
        recent = row.attempted_at is not None and now - row.attempted_at <= ROLES_PROVE_FOR
        case = Case(can_change(prior.state, self._operation), True, Ending.AS_WANTED, change, roles_prove=recent)
        settlement = settle(case)
        outcome = outcome_of(settlement.verdict, self._operation)
        self._record(row, outcome, reason_of(settlement, self._operation, ""), evidence=settlement.evidence or "")

    def _record(self, row: DueRow, outcome: Outcome, reason: str, *, evidence: str = "") -> None:
        now = self._context.clock.wall_ms()
        record = RowOutcome.without_call(row.key, outcome, reason, finished_at=now)
        self._recorder.record(row, record._replace(evidence=evidence))


async def _each(keys: Sequence[str]) -> AsyncGenerator[str, None]:
    for key in keys:
        yield key


async def due_rows(journal: BatchWriter, context: RunContext) -> AsyncGenerator[Sequence[DueRow], None]:
    """Return the due rows in job order without reading anything: every prior state is unknown."""
    place = 0
    while chunk := await journal.fetch_due(place, CHUNK, retry_failed=context.settings.retry_failed):
        place = chunk[-1][0]
        unknown = Prior(read_at=context.caller.started_at)
        yield [row if row.in_doubt and row.prior else row._replace(prior=unknown) for _, row in chunk]
