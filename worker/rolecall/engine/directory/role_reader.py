"""Reads who has the role: room by room or user by user, with the membership of those who do not have it."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from rolecall.engine.directory.find_query import ROOMS_NOT_SHOWN
from rolecall.engine.directory.lookups import RoleListing, RoomHolders, UserLookup, read_role_holders, to_milliseconds
from rolecall.engine.settlement import MESSAGE_TOLERANCE, NOT_NEEDED, can_change
from rolecall.engine.throttle.read_client import PAGE_SIZE, ReadClient
from rolecall.models import Outcome, Prior, PriorState
from rolecall.rocketchat.error_table import (
    USER_NOT_FOUND,
    USER_NOT_IN_ROOM,
    ErrorScope,
)
from rolecall.rocketchat.operations import Operation
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import (
    ROOM_MEMBERS,
    SYNC_MESSAGES,
    RoleMessage,
    UserInfo,
    parse_members,
    parse_role_messages,
)
from rolecall.text import rfc3339

ROLES_UNREADABLE = "roles_unreadable"
"""Reason of a row that cannot be predicted."""
MEMBERSHIP_NOT_SEEN = "membership_not_seen"
"""Reason of a row whose user may not be a member, so that the server would refuse it."""
READING_HINTS = {
    ROLES_UNREADABLE: "the roles in this room could not be read: the run itself will show it",
    MEMBERSHIP_NOT_SEEN: "whether the user is a member could not be read (permission 'view-other-user-channels')",
}
"""What an operator can do about each."""


class RoleReading(NamedTuple):
    """The state of one user in one room."""

    prior: Prior
    reason: str = ""
    """Of a stranger: the refusal that the server would send; of a member: MEMBERSHIP_NOT_SEEN where it is not sure."""
    message: str = ""
    """What a person should know of a stranger; empty if there is nothing."""
    room_name: str = ""
    """Empty if it was not read."""

    @property
    def is_sure(self) -> bool:
        """True unless a user who is read as a member may have left the room."""
        return self.reason != MEMBERSHIP_NOT_SEEN


UNREADABLE = RoleReading(Prior())


class Unreadable(NamedTuple):
    """Why the roles in a room, or the rooms of a user, cannot be read."""

    reason: str
    message: str = ""
    rejects_room: bool = False
    """True where a role change in this room would be refused for the same reason."""


class Membership(NamedTuple):
    """Whether a user is a member of a room."""

    is_member: bool | None
    """None if it is not sure."""
    reason: str = ""
    """Why not, or why it is not sure."""
    username: str = ""
    message: str = ""
    """What a person should know; empty if there is nothing."""
    room_name: str = ""
    """Empty if it was not read."""


ROLE_NOT_LISTED = Unreadable(ROLES_UNREADABLE, "the lists of the rooms leave out a role that has no description")


def outcome_of_reading(reading: RoleReading, operation: Operation) -> tuple[Outcome, str, str] | None:
    """Return outcome, reason and message of a row that a reading settles; None for a row that must be sent."""
    state = reading.prior.state
    if state is PriorState.UNKNOWN or can_change(state, operation):
        return None
    if state is PriorState.STRANGER:
        return Outcome.FAILED, reading.reason, reading.message
    return operation.nothing_to_do, reading.reason or NOT_NEEDED, ""


class RoleReader:
    """Reads the state of users in rooms for one operation. What cannot be read is UNKNOWN. Raises ShutdownRequested."""

    def __init__(self, reads: ReadClient, operation: Operation) -> None:
        self._reads = reads
        self._operation = operation
        self._users = UserLookup(reads)
        self._listing = RoleListing(reads)

    @property
    def role(self) -> str:
        """The role of the operation."""
        return self._operation.role

    async def in_room(self, room_id: str, user_ids: Collection[str]) -> Mapping[str, RoleReading]:
        """Return the state of users in one room, by user id; a user that is missing could not be read."""
        room = await self.holders(room_id)
        return {} if isinstance(room, Unreadable) else await self.states_in(room_id, room, user_ids)

    async def of_user(self, user_id: str, room_ids: Collection[str]) -> Mapping[str, RoleReading]:
        """Return the state of one user in rooms, by room id; a room that is missing could not be read."""
        states = await self.states_of(user_id, room_ids)
        return {} if isinstance(states, Unreadable) else states

    async def holders(self, room_id: str, *, explain: bool = False) -> RoomHolders | Unreadable:
        """Return who has roles in a room. With `explain` one more call finds out why a group is not visible."""
        if not await self._listing.contains(self._operation.role):
            return ROLE_NOT_LISTED
        room = await read_role_holders(self._reads, self._operation.kind, room_id, explain=explain)
        return _unreadable(room) if isinstance(room, CallResult) else room

    async def states_in(self, room_id: str, room: RoomHolders, user_ids: Collection[str]) -> Mapping[str, RoleReading]:
        """Return the state of users in a room, by user id, with the membership of those who have no role in it."""
        readings: dict[str, RoleReading] = {}
        for user_id in user_ids:
            holder = room.holders.get(user_id)
            if holder is not None:  # a list of roles contains members only
                has_role = self._operation.role in holder.roles
                readings[user_id] = _reading_of_member(has_role, room.read_at, holder.username)
        others = [user_id for user_id in user_ids if user_id not in readings]
        memberships = await self._membership(room_id, others)
        for user_id, found in memberships.items():
            state = PriorState.STRANGER if found.is_member is False else PriorState.MEMBER
            prior = Prior(state, room.read_at, found.username)
            readings[user_id] = RoleReading(prior, found.reason, found.message)
        name = next((found.room_name for found in memberships.values() if found.room_name), "")
        if not name:
            return readings
        return {user_id: reading._replace(room_name=name) for user_id, reading in readings.items()}

    async def states_of(self, user_id: str, room_ids: Collection[str]) -> Mapping[str, RoleReading] | Unreadable:
        """Return the state of one user in rooms, by room id."""
        user = await self._users.by_id(user_id)
        if isinstance(user, CallResult):
            if user.rule is not USER_NOT_FOUND:
                return _unreadable(user)
            stranger = RoleReading(Prior(PriorState.STRANGER), USER_NOT_FOUND.reason, _if_a_name(user))
            return dict.fromkeys(room_ids, stranger)
        if user.rooms is None:
            return Unreadable(ROOMS_NOT_SHOWN)
        read_at = to_milliseconds(user.read_at)
        rooms = {room.room_id: room for room in user.rooms}
        readings: dict[str, RoleReading] = {}
        for room_id in room_ids:
            room = rooms.get(room_id)
            if room is None and user.username:
                stranger_prior = Prior(PriorState.STRANGER, read_at, user.username)
                readings[room_id] = RoleReading(stranger_prior, USER_NOT_IN_ROOM.reason)
                continue
            has_role = room is not None and self._operation.role in room.roles
            reading = _reading_of_member(has_role, read_at, user.username)
            readings[room_id] = reading._replace(room_name=room.room_name) if room is not None else reading
        return readings

    async def is_cheaper_by_user(self, rooms: int, users: int, user_id: str) -> bool:
        """Return whether reading so many users takes fewer calls than rooms; `user_id` shows whether it is possible."""
        return users < rooms and await self.shows_rooms(user_id) is True

    async def shows_rooms(self, user_id: str) -> bool | None:
        """Return whether this account sees the rooms of a user; None where there is no such user to ask about."""
        user = await self._users.by_id(user_id)
        if isinstance(user, UserInfo):
            return user.rooms is not None
        return None if user.rule is USER_NOT_FOUND else False

    async def messages(self, room_id: str, since: int) -> list[RoleMessage]:
        """Return the role changes in a room since a time of the server's clock (ms); none if they are not readable."""
        read = await self._reads.read(SYNC_MESSAGES, roomId=room_id, lastUpdate=rfc3339(since) or "")
        return parse_role_messages(read.body) if read.body is not None else []

    async def messages_by_room(self, readings: Iterable[tuple[str, int]]) -> Mapping[str, Sequence[RoleMessage]]:
        """Return the role changes in rooms since their earliest prior reading (room id, server's clock in ms)."""
        since: dict[str, int] = {}
        for room_id, read_at in readings:
            since[room_id] = min(since.get(room_id, read_at), read_at)
        return {room_id: await self.messages(room_id, at - MESSAGE_TOLERANCE) for room_id, at in since.items()}

    async def username(self, user_id: str) -> str:
        """Return the username of a user; empty where it cannot be read."""
        user = await self._users.by_id(user_id)
        return user.username if isinstance(user, UserInfo) else ""

    async def _membership(self, room_id: str, user_ids: Collection[str]) -> dict[str, Membership]:
        """Return the membership of each user.

        The list of members is read as long as that takes fewer calls than one for each user; it has no deactivated
        users, so whoever is not listed is looked up.
        """
        found: dict[str, Membership] = {}
        missing, offset, total = set(user_ids), 0, PAGE_SIZE
        while offset < total and math.ceil((total - offset) / PAGE_SIZE) < len(missing):
            page = await self._members(room_id, offset)
            if page is None:
                break
            members, total = page
            if not members:
                break
            offset += len(members)
            named = {user_id: name for user_id, name in members.items() if name}
            for user_id in missing & named.keys():
                found[user_id] = Membership(True, username=named[user_id])
            missing -= named.keys()
        for user_id in sorted(missing):
            found[user_id] = await self._is_member(room_id, user_id)
        return found

    async def _members(self, room_id: str, offset: int) -> tuple[Mapping[str, str], int] | None:
        """Return one page of a room's members, usernames by id, and their total; None where they cannot be read."""
        path = ROOM_MEMBERS[self._operation.kind]
        read = await self._reads.read(path, roomId=room_id, offset=str(offset), count=str(PAGE_SIZE))
        if read.body is None:
            return None
        return parse_members(read.body)

    async def _is_member(self, room_id: str, user_id: str) -> Membership:
        user = await self._users.by_id(user_id)
        if isinstance(user, CallResult):
            if user.rule is USER_NOT_FOUND:
                return Membership(False, USER_NOT_FOUND.reason, message=_if_a_name(user))
            return Membership(None, MEMBERSHIP_NOT_SEEN)
        if not user.username:
            return Membership(False, USER_NOT_FOUND.reason)
        if user.rooms is None:
            return Membership(None, MEMBERSHIP_NOT_SEEN, user.username)
        for room in user.rooms:
            if room.room_id == room_id:
                return Membership(True, username=user.username, room_name=room.room_name)
        return Membership(False, USER_NOT_IN_ROOM.reason, user.username)


def _reading_of_member(has_role: bool, read_at: int | None, username: str) -> RoleReading:
    if not has_role and not username:  # for the server there is no user without a username
        return RoleReading(Prior(PriorState.STRANGER, read_at), USER_NOT_FOUND.reason)
    return RoleReading(Prior(PriorState.HAS_ROLE if has_role else PriorState.MEMBER, read_at, username))


def _if_a_name(result: CallResult) -> str:
    """Return the message for a word that is no user id but a username; empty for a word that is neither.

    The message of the server itself says nothing more than the reason.
    """
    return result.message if result.status is None else ""


def _unreadable(result: CallResult) -> Unreadable:
    return Unreadable(result.rule.reason, result.message, result.rule.scope is ErrorScope.ROOM)
