"""Reads users with their rooms, and rooms with their roles, with the query that this server understands."""

import asyncio
import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from rolecall.engine.throttle.read_client import ReadClient
from rolecall.rocketchat.error_table import (
    BAD_REQUEST,
    FORBIDDEN,
    NO_SUCH_ROUTE,
    ROOM_NOT_FOUND,
    ROOM_NOT_JOINED,
    USER_NOT_FOUND,
)
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import (
    COUNTERS,
    ROLES,
    ROOM_INFO,
    ROOM_ROLES,
    USER_INFO,
    WITH_ROOMS,
    QueryVariant,
    QueryVariants,
    RoleHolder,
    UserInfo,
    parse_described_roles,
    parse_joined,
    parse_role_holders,
    parse_room_info,
    parse_user_info,
)

_is_own_id = re.compile(r"[A-Za-z0-9]{17}|[0-9a-f]{24}").fullmatch
"""Match an id as the server makes them."""


class RoomHolders(NamedTuple):
    """Who has roles in one room."""

    holders: Mapping[str, RoleHolder]
    """By user id."""
    read_at: int | None
    """The server's clock: UTC, milliseconds since the epoch."""


class RoleListing:
    """Reads whether a room's list of roles contains a role: the server leaves out a role that has no description."""

    def __init__(self, reader: ReadClient) -> None:
        self._reader = reader
        self._described: Collection[str] | None = None
        self._reading = asyncio.Lock()

    async def contains(self, role: str) -> bool:
        """Return whether lists contain a role; False where that cannot be read. Raises ShutdownRequested."""
        async with self._reading:
            if self._described is None:
                read = await self._reader.read(ROLES)
                self._described = parse_described_roles(read.body) if read.body is not None else None
                if read.verdict.rule in (FORBIDDEN, NO_SUCH_ROUTE):
                    self._described = ()
        return self._described is not None and role in self._described


class UserLookup:
    """Reads `users.info`; learns from the first responses which query returns the rooms."""

    def __init__(self, reader: ReadClient) -> None:
        self._reader = reader
        self._variants: QueryVariants = WITH_ROOMS

    async def by_id(self, user_id: str) -> UserInfo | CallResult:
        """Read a user by id; a CallResult says why there is none. Raises ShutdownRequested."""
        user = await self._read(userId=user_id)
        if isinstance(user, UserInfo) and user.user_id != user_id:  # the server also looks among the usernames
            message = name_in_id_column(user_id, user.user_id, f"username, or write @{user_id[:100]}")
            return CallResult(USER_NOT_FOUND, "", message, None)
        return user

    async def by_username(self, username: str) -> UserInfo | CallResult:
        """Read a user by username, without the `@`; a CallResult says why there is none. Raises ShutdownRequested."""
        return await self._read(username=username)

    async def _read(self, **key: str) -> UserInfo | CallResult:
        """Try the query variants that may be the server's; the first user that is found shows which it is."""
        refused: CallResult | None = None
        without_rooms: tuple[QueryVariant, UserInfo] | None = None
        for variant in self._variants:
            read = await self._reader.read(USER_INFO, **key, **variant)
            user = parse_user_info(read.body) if read.body is not None else None
            user = user._replace(read_at=read.date) if user is not None else None
            if user is not None and user.rooms is not None:
                self._variants = [variant]
                return user
            if user is not None:
                without_rooms = without_rooms or (variant, user)
            elif read.verdict.rule in (BAD_REQUEST, USER_NOT_FOUND):
                refused = read.verdict
            else:
                return read.verdict
        if without_rooms is not None:  # no query variant shows the rooms of other users to this account
            variant, user = without_rooms
            self._variants = [variant]
            return user
        if refused is None:
            raise AssertionError("there is at least one variant")
        return refused


async def read_role_holders(
    reads: ReadClient, kind: str, room_id: str, *, explain: bool = True
) -> RoomHolders | CallResult:
    """Read who has roles in a room; a CallResult says why that is not possible. Raises ShutdownRequested.

    `kind`: `groups` or `channels`. With `explain` up to two more calls find out why there is no room.
    """
    read = await reads.read(ROOM_ROLES[kind], roomId=room_id)
    if read.body is not None:
        holders = {holder.user_id: holder for holder in parse_role_holders(read.body)}
        return RoomHolders(holders, to_milliseconds(read.date))
    if not explain or read.verdict.rule is not ROOM_NOT_FOUND:
        return read.verdict
    if kind == "groups" and await is_hidden_group(reads, roomId=room_id):
        return read.verdict._replace(rule=ROOM_NOT_JOINED)
    if may_be_name(room_id):
        named = (await reads.read(ROOM_INFO[kind], roomName=room_id)).body
        if named is not None and (room := parse_room_info(kind, named)) is not None:
            return read.verdict._replace(message=room_name_in_id_column(room_id, room.room_id))
    return read.verdict


async def is_hidden_group(reads: ReadClient, **room: str) -> bool:
    """Return whether a private group exists and the account has not joined it; `room` is its roomId or roomName."""
    counters = await reads.read(COUNTERS, **room)
    return counters.body is not None and parse_joined(counters.body) is False


def may_be_name(room_id: str) -> bool:
    """Return whether a room id that does not exist may be the name of a room: it is not like the server's own ids."""
    return _is_own_id(room_id) is None


def may_be_room_id(word: str) -> bool:
    """Return whether a word may be the id of a room: like the server's own, or with upper case or of digits only.

    Imports bring ids of their own. Nearly all names are in lower case, so that they need no second look.
    """
    return not may_be_name(word) or word != word.lower() or word.isdecimal()


def room_name_in_id_column(name: str, room_id: str) -> str:
    """Format that the room id of a row is the name of a room, and what to do."""
    return name_in_id_column(name, room_id, f"roomName, or write #{name[:100]}")


def name_in_id_column(name: str, found_id: str, instead: str) -> str:
    """Format that an id of a row is a name, with the id, and what to call the column."""
    return f"{name[:100]} is no id but a name; its id is {found_id}. Call the column {instead}."


def username_spellings(name: str) -> tuple[str, ...]:
    """Return how the server may write a username: servers differ in the `@` of a federated one."""
    if ":" not in name:
        return (name,)
    return (name, name[1:]) if name.startswith("@") else (name, f"@{name}")


def to_milliseconds(date: float | None) -> int | None:
    """Return epoch seconds as whole milliseconds."""
    return None if date is None else round(date * 1000)
