"""The roles that a run would take, counted room by room before its first change."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rolecall.engine.directory.pair_groups import for_each_concurrently, pairs_grouped_by_room
from rolecall.engine.directory.role_reader import RoleReader, Unreadable
from rolecall.engine.removal_limits import NO_LIMITS, RemovalLimits
from rolecall.engine.settings import Settings
from rolecall.models import is_due
from rolecall.rocketchat.operations import Operation
from rolecall.store.base import RunStore
from rolecall.store.records import Pair

MAX_ROOMS = 5
"""Rooms that are named; the others are counted."""


class RoomRemovals(NamedTuple):
    """What a run would take in one room."""

    room_id: str
    holders: int
    """Users with the role."""
    removals: int


@dataclass(slots=True)
class RemovalForecast:
    """What a run would take in all rooms; memory does not grow with them."""

    limits: RemovalLimits = NO_LIMITS
    holders: int = 0
    """Users with the role, in the rooms of the due rows."""
    removals: int = 0
    rooms: int = 0
    """Rooms that would lose a user with the role."""
    emptied: int = 0
    """Rooms that would have none left."""
    unread: int = 0
    """Rows in rooms whose roles could not be read; each counts as a removal."""
    rooms_over_share: int = 0
    """Rooms with more removals than allowed."""
    rooms_below_keep: int = 0
    """Rooms that would have too few left."""
    named: list[str] = field(default_factory=list)
    """The ids of the first of these rooms."""

    @property
    def is_over_limit(self) -> bool:
        """Whether the removals in all rooms are too many."""
        limit = self.limits.in_all
        return (
            limit is not None
            and self.removals >= self.limits.from_removals
            and limit.is_exceeded(self.removals, self.holders)
        )

    @property
    def is_allowed(self) -> bool:
        """Whether the run may start."""
        return not (self.is_over_limit or self.rooms_over_share or self.rooms_below_keep)

    def add(self, room: RoomRemovals, *, is_read: bool = True) -> None:
        """Count one room; where it was not read, it keeps an unknown number, so no limit of its own is met."""
        self.holders += room.holders
        self.removals += room.removals
        if not room.removals:
            return
        self.rooms += 1
        left = room.holders - room.removals
        if is_read:
            self.emptied += left == 0
        else:
            self.unread += room.removals
        over = self.limits.per_room is not None and self.limits.per_room.is_exceeded(room.removals, room.holders)
        below = left < self.limits.keep
        self.rooms_over_share += over
        self.rooms_below_keep += below
        if (over or below) and len(self.named) < MAX_ROOMS:
            self.named.append(room.room_id)


async def forecast_removals(
    store: RunStore, reader: RoleReader, operation: Operation, settings: Settings, limits: RemovalLimits = NO_LIMITS
) -> RemovalForecast:
    """Read the rooms of all due rows, one call for each, and count what a run would take; nothing is written.

    A room that refuses every change loses nothing. Raises ShutdownRequested and StoreError.
    """
    forecast = RemovalForecast(limits)

    def is_due_pair(pair: Pair) -> bool:
        return pair.line is not None and is_due(pair.outcome, retry_failed=settings.retry_failed)

    async def count(pairs: Sequence[Pair]) -> None:
        room_id = pairs[0].room_id
        room = await reader.holders(room_id)
        if isinstance(room, Unreadable):
            if not room.rejects_room:
                forecast.add(RoomRemovals(room_id, len(pairs), len(pairs)), is_read=False)
            return
        holders = {user_id for user_id, holder in room.holders.items() if operation.role in holder.roles}
        forecast.add(RoomRemovals(room_id, len(holders), sum(pair.user_id in holders for pair in pairs)))

    await for_each_concurrently(pairs_grouped_by_room(store, is_due_pair), count, settings.concurrency)
    return forecast
