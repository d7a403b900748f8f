"""The reading phase: reads the prior state of due rows, ahead of the sender, and settles rows that need no call.

Roles are read room by room or user by user, whichever takes fewer calls. One reading settles every due row of its
room (or user) that needs no call; the others get their prior state, in memory for the rows at hand and in the store
for later ones. So memory does not grow with the job, and no state is kept for the run.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence, Set
from contextlib import aclosing
from typing import NamedTuple

from rolecall.engine.context import RunContext
from rolecall.engine.directory.doubt_settlement import Doubt, LaterReading, settle_before_sending
from rolecall.engine.directory.pair_groups import ordered_map
from rolecall.engine.directory.role_reader import UNREADABLE, RoleReader, RoleReading, outcome_of_reading
from rolecall.engine.recorders import OutcomeRecorder
from rolecall.engine.settlement import DIFFERS_FROM_PLAN, can_change
from rolecall.engine.stop_signal import ShutdownRequested
from rolecall.models import UNKNOWN_PRIOR, DueRow, Outcome, Prior, PriorState, RowOutcome
from rolecall.rocketchat.operations import Operation
from rolecall.rocketchat.responses import RoleMessage
from rolecall.store.batch_writer import BatchWriter
from rolecall.store.records import PriorRecord

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
                async with aclosing(self._with_priors(place, [row for _, row in chunk])) as parts:
                    async for part in parts:
                        yield part
                place = chunk[-1][0]
        except ShutdownRequested:
            return

    async def _choose_grouping(self, first: DueRow) -> Grouping:
        _, rooms = await self._journal.count_due(retry_failed=self._retry_failed)
        users = await self._journal.count_due_users(retry_failed=self._retry_failed)
        return Grouping(by_user=await self._reader.is_cheaper_by_user(rooms, users, first.user_id))

    async def _with_priors(self, after: int, rows: Sequence[DueRow]) -> AsyncGenerator[Sequence[DueRow], None]:
        """Return the rows of a chunk that must be sent, as soon as the reading that covers them is there.

        The chunk begins beyond the place `after`: rows up to it may be in flight, so a reading leaves them alone.
        """
        rows = [row for row in rows if not self._is_settled(row)]
        unread = {self._grouping.key(row) for row in rows if row.prior is None or row.in_doubt}
        missing = dict.fromkeys(key for key in map(self._grouping.key, rows) if key in unread)
        at_hand = frozenset(row.key for row in rows)
        readings: dict[str, Mapping[int, DueRow | None]] = {}
        part: list[DueRow] = []

        async def read(key: str) -> Mapping[int, DueRow | None]:
            return await self._read_group(key, after, at_hand)

        in_flight = self._context.settings.concurrency
        async with aclosing(ordered_map(_each(list(missing)), read, at_once=in_flight)) as results:
            for row in rows:
                key = self._grouping.key(row)
                if key in missing and key not in readings:
                    if part:
                        yield part
                        part = []
                    readings[key] = await anext(results)
                if key not in missing:
                    part.append(row)
                elif (with_prior := readings[key].get(row.key)) is not None:
                    part.append(with_prior)
        if part:
            yield part

    async def _read_group(self, key: str, after: int, at_hand: Set[int]) -> Mapping[int, DueRow | None]:
        """Read one room or user for its due rows beyond a place.

        Return the rows at hand by key, with prior state and names, None for a row that is settled; the store gets the
        prior states of the others.
        """
        found: dict[int, DueRow | None] = {}
        while chunk := await self._fetch_group(key, after):
            after = chunk[-1][0]
            rows = [row for _, row in chunk if not self._is_settled(row)]
            if not rows:
                continue
            readings = await self._read(key, rows)
            messages = await self._messages(rows, readings)
            for due in rows:
                reading = readings.get(self._member(due), UNREADABLE)
                row = _with_names(due, reading)
                prior = self._apply(row, reading, messages)
                if row.key in at_hand:
                    found[row.key] = None if prior is None else row._replace(prior=prior)
                elif not row.in_doubt:
                    self._journal.write_prior(PriorRecord(row.key, prior or reading.prior, reading.room_name))
        return found

    def _is_settled(self, row: DueRow) -> bool:
        """Return whether a reading of this session settled a row, which is due again as it failed."""
        if row.in_doubt or row.prior is None or row.prior.state is PriorState.UNKNOWN:
            return False
        return not can_change(row.prior.state, self._operation)

    async def _fetch_group(self, key: str, after: int) -> list[tuple[int, DueRow]]:
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
        self, rows: Sequence[DueRow], readings: Mapping[str, RoleReading]
    ) -> Mapping[str, Sequence[RoleMessage]]:
        """Return the role changes of the rooms of rows in doubt that a message may settle, by room id."""
        if not self._context.settings.message_evidence:
            return {}
        return await self._reader.messages_by_room(
            (row.room_id, row.prior.read_at)
            for row in rows
            if row.in_doubt
            and row.prior is not None
            and row.prior.read_at is not None
            and can_change(row.prior.state, self._operation)
            and readings.get(self._member(row), UNREADABLE).prior.state in (PriorState.HAS_ROLE, PriorState.MEMBER)
        )

    def _apply(self, row: DueRow, reading: RoleReading, messages: Mapping[str, Sequence[RoleMessage]]) -> Prior | None:
        """Return the prior state with which a row is sent; record its outcome and return None where it is not sent."""
        if row.in_doubt:
            doubt = Doubt(row.prior or UNKNOWN_PRIOR, row.attempted_at)
            later = LaterReading(reading, messages.get(row.room_id, ()), self._context.clock.wall_ms())
            if (proven := settle_before_sending(doubt, later, self._operation)) is None:
                return doubt.prior
            self._record(row, proven.outcome, proven.reason, evidence=proven.evidence)
            return None
        if reading.prior.state is PriorState.UNKNOWN:
            return Prior(read_at=self._context.caller.started_at)
        if (settled := outcome_of_reading(reading, self._operation)) is None:
            return reading.prior
        outcome, reason, message = settled
        if self._context.follows_plan:
            self._record(row, outcome, DIFFERS_FROM_PLAN, message=f"planned to be sent, but read now: {reason}")
        else:
            self._record(row, outcome, reason, message=message)
        return None

    def _record(self, row: DueRow, outcome: Outcome, reason: str, *, message: str = "", evidence: str = "") -> None:
        now = self._context.clock.wall_ms()
        record = RowOutcome.without_call(row.key, outcome, reason, finished_at=now, message=message, evidence=evidence)
        self._recorder.record(row, record)


def _with_names(row: DueRow, reading: RoleReading) -> DueRow:
    """Return the row with the names that a reading shows."""
    username, room_name = reading.prior.username or row.username, reading.room_name or row.room_name
    if (room_name, username) == (row.room_name, row.username):
        return row
    return row._replace(room_name=room_name, username=username)


async def _each(keys: Sequence[str]) -> AsyncGenerator[str, None]:
    for key in keys:
        yield key


async def due_rows(journal: BatchWriter, context: RunContext) -> AsyncGenerator[Sequence[DueRow], None]:
    """Return the due rows in job order without reading anything: every prior state is unknown."""
    place, unknown = 0, Prior(read_at=context.caller.started_at)
    while chunk := await journal.fetch_due(place, CHUNK, retry_failed=context.settings.retry_failed):
        place = chunk[-1][0]
        yield [row if row.in_doubt and row.prior else row._replace(prior=unknown) for _, row in chunk]
