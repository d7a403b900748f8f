"""Reads who has the role: room by room or user by user, with the membership of those who do not have it."""

import asyncio
import math
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from rolecall.engine.directory.prediction import MEMBERSHIP_NOT_SEEN
from rolecall.engine.directory.user_lookup import UserLookup
from rolecall.engine.throttle.read_client import PAGE_SIZE, ReadClient
from rolecall.models import Prior, PriorState
from rolecall.rocketchat.error_table import USER_NOT_FOUND, USER_NOT_IN_ROOM
from rolecall.rocketchat.operations import Operation
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import (
    ROLES,
    ROOM_MEMBERS,
    ROOM_ROLES,
    SYNC_MESSAGES,
    RoleMessage,
    UserInfo,
    parse_described_roles,
    parse_members,
    parse_role_holders,
    parse_role_messages,
)


class RoleReading(NamedTuple):
    """The state of one user in one room."""

    prior: Prior
    reason: str = ""
    """Of a stranger: the refusal that the server would send; of a member: MEMBERSHIP_NOT_SEEN where it is not sure."""


UNREADABLE = RoleReading(Prior())


class RoleReader:
    """Reads the state of users in rooms for one operation. What cannot be read is UNKNOWN. Raises ShutdownRequested."""

    def __init__(self, reads: ReadClient, operation: Operation) -> None:
        self._reads = reads
        self._operation = operation
        self._users = UserLookup(reads)
        self._is_listed: bool | None = None
        self._listing = asyncio.Lock()

    async def in_room(self, room_id: str, user_ids: Collection[str]) -> Mapping[str, RoleReading]:
        """Return the state of users in one room, by user id; a user that is missing could not be read."""
        if not await self._rooms_list_the_role():
            return {}
        read = await self._reads.read(ROOM_ROLES[self._operation.kind], roomId=room_id)
        if read.body is None:
            return {}
        read_at = _milliseconds(read.date)
        holders = {holder.user_id: holder for holder in parse_role_holders(read.body)}
        readings: dict[str, RoleReading] = {}
        for user_id in user_ids:
            holder = holders.get(user_id)
            if holder is not None and self._operation.role in holder.roles:
                readings[user_id] = RoleReading(Prior(PriorState.HAS_ROLE, read_at, holder.username))
            elif holder is not None:  # a list of roles contains members only
                readings[user_id] = RoleReading(Prior(PriorState.MEMBER, read_at, holder.username))
        others = [user_id for user_id in user_ids if user_id not in readings]
        for user_id, (is_member, reason, username) in (await self._membership(room_id, others)).items():
            state = PriorState.STRANGER if is_member is False else PriorState.MEMBER
            readings[user_id] = RoleReading(Prior(state, read_at, username), reason)
        return readings

    async def of_user(self, user_id: str, room_ids: Collection[str]) -> Mapping[str, RoleReading]:
        """Return the state of one user in rooms, by room id; a room that is missing could not be read."""
        user = await self._users.by_id(user_id)
        if isinstance(user, CallResult):
            if user.rule is not USER_NOT_FOUND:
                return {}
            return dict.fromkeys(room_ids, RoleReading(Prior(PriorState.STRANGER), USER_NOT_FOUND.reason))
        if user.rooms is None:
            return {}
        read_at = _milliseconds(user.read_at)
        rooms = {room.room_id: room.roles for room in user.rooms}
        readings: dict[str, RoleReading] = {}
        for room_id in room_ids:
            roles = rooms.get(room_id)
            if roles is None:
                stranger_prior = Prior(PriorState.STRANGER, read_at, user.username)
                readings[room_id] = RoleReading(stranger_prior, USER_NOT_IN_ROOM.reason)
            elif self._operation.role in roles:
                readings[room_id] = RoleReading(Prior(PriorState.HAS_ROLE, read_at, user.username))
            elif not user.username:  # for the server there is no such user
                readings[room_id] = RoleReading(Prior(PriorState.STRANGER, read_at), USER_NOT_FOUND.reason)
            else:
                readings[room_id] = RoleReading(Prior(PriorState.MEMBER, read_at, user.username))
        return readings

    async def shows_rooms(self, user_id: str) -> bool | None:
        """Return whether this account sees the rooms of a user; None where there is no such user to ask about."""
        user = await self._users.by_id(user_id)
        if isinstance(user, UserInfo):
            return user.rooms is not None
        return None if user.rule is USER_NOT_FOUND else False

    async def messages(self, room_id: str, since: int) -> list[RoleMessage]:
        """Return the role changes in a room since a time of the server's clock (ms); none if they are not readable."""
        read = await self._reads.read(SYNC_MESSAGES, roomId=room_id, lastUpdate=_iso(since))
        return parse_role_messages(read.body) if read.body is not None else []

    async def username(self, user_id: str) -> str:
        """Return the username of a user; empty where it cannot be read."""
        user = await self._users.by_id(user_id)
        return user.username if isinstance(user, UserInfo) else ""

    async def _rooms_list_the_role(self) -> bool:
        """Return whether a room's list of roles contains this role; the server leaves out roles without description."""
        async with self._listing:
            if self._is_listed is None:
                read = await self._reads.read(ROLES)
                described = parse_described_roles(read.body) if read.body is not None else None
                self._is_listed = described is None or self._operation.role in described
        return self._is_listed

    async def _membership(self, room_id: str, user_ids: Collection[str]) -> dict[str, tuple[bool | None, str, str]]:
        """Return for each user whether they are a member (None: not sure), a reason and the username.

        The list of members is read as long as that takes fewer calls than one for each user; it has no deactivated
        users, so whoever is not listed is looked up.
        """
        found: dict[str, tuple[bool | None, str, str]] = {}
        missing, offset, total = set(user_ids), 0, PAGE_SIZE
        while offset < total and math.ceil((total - offset) / PAGE_SIZE) < len(missing):
            page = await self._members(room_id, offset)
            if page is None:
                break
            members, total = page
            if not members:
                break
            offset += len(members)
            for user_id in missing & members.keys():
                found[user_id] = (True, "", members[user_id])
            missing -= members.keys()
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

    async def _is_member(self, room_id: str, user_id: str) -> tuple[bool | None, str, str]:
        user = await self._users.by_id(user_id)
        if isinstance(user, CallResult):
            return (
                (False, USER_NOT_FOUND.reason, "") if user.rule is USER_NOT_FOUND else (None, MEMBERSHIP_NOT_SEEN, "")
            )
        if not user.username:
            return False, USER_NOT_FOUND.reason, ""
        if user.rooms is None:
            return None, MEMBERSHIP_NOT_SEEN, user.username
        if any(room.room_id == room_id for room in user.rooms):
            return True, "", user.username
        return False, USER_NOT_IN_ROOM.reason, user.username


def _milliseconds(date: float | None) -> int | None:
    return None if date is None else round(date * 1000)


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
