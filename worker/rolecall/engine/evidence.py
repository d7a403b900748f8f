"""Evidence for a row whose last response does not prove its outcome: system messages, and the role read again."""

from typing import NamedTuple

from rolecall.engine.context import RunContext
from rolecall.engine.directory.role_reader import UNREADABLE, RoleReader
from rolecall.engine.settlement import (
    MESSAGE_TOLERANCE,
    Ending,
    Messages,
    can_change,
    ending_of_reading,
    find_change,
)
from rolecall.engine.stop_signal import ShutdownRequested
from rolecall.models import DueRow, Prior
from rolecall.rocketchat.operations import Operation


class LaterEnding(NamedTuple):
    """The ending of a row by a reading after its last attempt."""

    ending: Ending
    is_sure: bool = True
    """False where the role is gone and the user may have left the room."""


class EvidenceReader:
    """Reads evidence for single rows. What cannot be read, also because the run stops, is no evidence."""

    def __init__(self, reader: RoleReader, operation: Operation, context: RunContext) -> None:
        self._reader = reader
        self._operation = operation
        self._reads_roles = context.settings.read_roles
        self._uses_messages = context.settings.message_evidence

    async def messages(self, row: DueRow, prior: Prior) -> Messages:
        """Return who made the role change of a row, by the system messages of its room."""
        if not self._uses_messages or prior.read_at is None:
            return Messages.NONE
        since = prior.read_at - MESSAGE_TOLERANCE
        try:
            if not prior.username:
                prior = prior._replace(username=await self._reader.username(row.user_id))
            if not prior.username:  # messages name users by it
                return Messages.NONE
            messages = await self._reader.messages(row.room_id, since)
        except ShutdownRequested:
            return Messages.NONE
        return find_change(messages, prior, self._operation)

    async def ending(self, row: DueRow, prior: Prior) -> LaterEnding:
        """Return the ending of a row without an attempt left, by its role as it is read now."""
        if not self._reads_roles or not can_change(prior.state, self._operation):
            return LaterEnding(Ending.EXHAUSTED)
        try:
            readings = await self._reader.in_room(row.room_id, [row.user_id])
        except ShutdownRequested:
            return LaterEnding(Ending.EXHAUSTED)
        reading = readings.get(row.user_id, UNREADABLE)
        return LaterEnding(ending_of_reading(reading.prior.state, self._operation), reading.is_sure)
