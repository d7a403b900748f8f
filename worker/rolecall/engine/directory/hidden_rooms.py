"""Names and owners of the private groups that the account has not joined, as far as they can be read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rolecall.engine.directory.lookups import UserLookup
from rolecall.engine.throttle.read_client import PAGE_SIZE as LIST_PAGE
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import Outcome
from rolecall.rocketchat.error_table import ROOM_NOT_JOINED
from rolecall.rocketchat.operations import Role
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import ALL_GROUPS, UserInfo, parse_room_creator
from rolecall.store.base import RunStore

PAGE_SIZE = 1000
"""Pairs that are read from the store at once."""
MAX_ROOMS = 500
"""Rooms that are listed."""
USERS_PER_ROOM = 3
"""Users of a room that are looked up, until one shows its name."""


class HiddenRoom(NamedTuple):
    """A private group that the account has not joined."""

    room_id: str
    name: str
    """Empty where it could not be read."""
    owners: tuple[str, ...]
    """Usernames of owners that could be read; others may exist."""
    rows: int


@dataclass(slots=True)
class _Room:
    rows: int = 0
    users: list[str] = field(default_factory=list)
    key: int = 0
    name: str = ""
    owners: list[str] = field(default_factory=list)


async def find_hidden_rooms(store: RunStore, reads: ReadClient, *, lookups: int) -> list[HiddenRoom]:
    """Return the rooms whose rows failed because the account has not joined them; at most MAX_ROOMS.

    At most so many `lookups` of users, and of pages of the list of groups, are made; what they do not show stays empty.
    Raises ShutdownRequested.
    """
    rooms = await _rooms(store)
    if not rooms:
        return []
    users = _Users(reads, lookups)
    for room_id, room in rooms.items():
        for user_id in room.users:
            await users.describe(room_id, room, user_id)
            if room.name and room.owners:
                break
    await _describe_from_list(reads, rooms, users, entries=lookups * LIST_PAGE)
    return [HiddenRoom(room_id, room.name, tuple(room.owners), room.rows) for room_id, room in rooms.items()]


async def _rooms(store: RunStore) -> dict[str, _Room]:
    """Return the rooms with their rows, their first users, and their names where the job has them."""
    rooms: dict[str, _Room] = {}
    after = ("", "")
    while page := await store.pairs_by_room(after, PAGE_SIZE):
        for pair in page:
            is_hidden = pair.outcome is Outcome.FAILED and pair.reason == ROOM_NOT_JOINED.reason
            if not is_hidden or pair.line is None or (pair.room_id not in rooms and len(rooms) >= MAX_ROOMS):
                continue
            room = rooms.setdefault(pair.room_id, _Room(key=pair.key))
            room.rows += 1
            if len(room.users) < USERS_PER_ROOM:
                room.users.append(pair.user_id)
        after = (page[-1].room_id, page[-1].user_id)
    for result in await store.results_by_key([room.key for room in rooms.values()]):
        rooms[result.room_id].name = result.room_name
    return rooms


class _Users:
    """Looks up users, each once, as long as lookups are left."""

    def __init__(self, reads: ReadClient, lookups: int) -> None:
        self._lookup = UserLookup(reads)
        self._left = lookups
        self._known: dict[str, UserInfo | None] = {}

    async def describe(self, room_id: str, room: _Room, user_id: str) -> None:
        """Take the name of a room, and whether the user owns it, from the rooms of a user."""
        user = await self._read(user_id)
        found = next((each for each in (user.rooms or ()) if each.room_id == room_id), None) if user else None
        if user is None or found is None:
            return
        room.name = room.name or found.room_name
        if Role.OWNER in found.roles and user.active and user.username not in room.owners:
            room.owners.append(user.username)

    async def _read(self, user_id: str) -> UserInfo | None:
        if user_id not in self._known and self._left > 0:
            self._left -= 1
            user = await self._lookup.by_id(user_id)
            self._known[user_id] = None if isinstance(user, CallResult) else user
        return self._known.get(user_id)


async def _describe_from_list(reads: ReadClient, rooms: dict[str, _Room], users: _Users, *, entries: int) -> None:
    """Take names from the list of all groups, and owners from their creators, if the account may read the list.

    At most so many `entries` are read.
    """
    missing = {room_id for room_id, room in rooms.items() if not (room.name and room.owners)}
    if not missing:
        return
    async for entry in reads.entries(ALL_GROUPS, "groups"):
        if isinstance(entry, CallResult):
            return
        room_id, name, creator = parse_room_creator(entry)
        if room_id in missing:
            rooms[room_id].name = rooms[room_id].name or name
            if creator:
                await users.describe(room_id, rooms[room_id], creator)
            missing.discard(room_id)
        entries -= 1
        if not missing or entries <= 0:
            return


def invitation_lines(rooms: Sequence[HiddenRoom], account: str) -> Iterable[str]:
    """Yield a text for the owners of the rooms: one paragraph for each owner, then the rooms without a known one."""
    by_owner: dict[str, list[HiddenRoom]] = {}
    for room in rooms:
        by_owner.setdefault(room.owners[0] if room.owners else "", []).append(room)
    for owner in sorted(by_owner, key=lambda name: (not name, name)):
        yield f"@{owner}" if owner else "No owner could be read:"
        yield f"Please invite @{account} into these private groups, and make it an owner there:"
        for room in by_owner[owner]:
            others = f"; also owned by {', '.join(f'@{name}' for name in room.owners[1:])}" if room.owners[1:] else ""
            yield f"- {display_name(room)} ({room.rows:,} {'row' if room.rows == 1 else 'rows'}{others})"
        yield ""


def display_name(room: HiddenRoom) -> str:
    """Return the name of a room with `#`, or its id where the name is not known."""
    return f"#{room.name}" if room.name else room.room_id
