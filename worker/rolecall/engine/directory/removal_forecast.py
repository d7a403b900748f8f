"""The roles that a run would take, counted room by room before its first change."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from rolecall.engine.directory.lookups import RoomHolders
from rolecall.engine.directory.pair_groups import for_each_concurrently, pairs_grouped_by_room
from rolecall.engine.directory.role_reader import RoleReader, Unreadable
from rolecall.engine.removal_limits import NO_LIMITS, RemovalLimits
from rolecall.store.base import RunStore
from rolecall.store.records import Pair

MAX_ROOMS = 5
"""Rooms that are named; the others are counted."""


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

    def count(self, room_id: str, user_ids: Collection[str], room: RoomHolders | Unreadable, role: str) -> None:
        """Count one room in which these users would lose the role, as far as they have it.

        A room that refuses every change loses nothing. One that could not be read has an unknown number left.
        """
        if isinstance(room, Unreadable):
            if not room.rejects_room:
                self.unread += len(user_ids)
                self._add(room_id, len(user_ids), len(user_ids))
            return
        holders = {user_id for user_id, holder in room.holders.items() if role in holder.roles}
        removals = sum(user_id in holders for user_id in user_ids)
        self.emptied += len(holders) == removals > 0
        self._add(room_id, len(holders), removals)

    def _add(self, room_id: str, holders: int, removals: int) -> None:
        self.holders += holders
        self.removals += removals
        if not removals:
            return
        self.rooms += 1
        over = self.limits.per_room is not None and self.limits.per_room.is_exceeded(removals, holders)
        below = holders - removals < self.limits.keep
        self.rooms_over_share += over
        self.rooms_below_keep += below
        if (over or below) and len(self.named) < MAX_ROOMS:
            self.named.append(room_id)


async def forecast_removals(
    store: RunStore,
    reader: RoleReader,
    limits: RemovalLimits,
    is_counted: Callable[[Pair], bool],
    *,
    concurrency: int,
) -> RemovalForecast:
    """Read the rooms of all rows that are counted, one call for each, and count what a run would take.

    Nothing is written. Raises ShutdownRequested and StoreError.
    """
    forecast = RemovalForecast(limits)

    async def count(pairs: Sequence[Pair]) -> None:
        room_id = pairs[0].room_id
        room = await reader.holders(room_id)
        forecast.count(room_id, [pair.user_id for pair in pairs], room, reader.role)

    await for_each_concurrently(pairs_grouped_by_room(store, is_counted), count, concurrency)
    return forecast
