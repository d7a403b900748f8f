"""Finds the rooms and users that a job names: which id a name has, or why it has none."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence

from rolecall.engine.directory.address_search import search_address
from rolecall.engine.directory.find_query import ADDRESS_AMBIGUOUS, ADDRESS_NOT_FOUND, GAP_HINTS
from rolecall.engine.directory.lookups import is_hidden_group, may_be_name, may_be_room_id, username_spellings
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import FoundName, LookupGap, NameKey, NameKind
from rolecall.rocketchat.connection_config import WorkspaceUnavailableError
from rolecall.rocketchat.error_table import (
    BAD_REQUEST,
    FORBIDDEN,
    NO_SUCH_ROUTE,
    ROOM_ARCHIVED,
    ROOM_NOT_FOUND,
    USER_NOT_FOUND,
)
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import (
    ADMIN_ROOMS,
    PERMISSIONS,
    ROOM_INFO,
    ROOM_LISTS,
    ROOM_TYPES,
    USER_INFO,
    ListedRoom,
    ListedUser,
    UserInfo,
    parse_listed_room,
    parse_permission,
    parse_room_info,
    parse_user_info,
)
from rolecall.text import format_user, is_address

SEE_ALL_ROOMS = "view-room-administration"
ROOM_NAME_NOT_FOUND = "room_name_not_found"
ROOM_NAME_NOT_JOINED = "room_name_not_joined"
ROOM_NAME_OF_OTHER_KIND = "room_name_of_other_kind"
ROOM_NAME_AMBIGUOUS = "room_name_ambiguous"
USER_NAME_NOT_FOUND = "user_name_not_found"
USER_NAME_AMBIGUOUS = "user_name_ambiguous"
NAME_HINTS = {
    ROOM_NAME_NOT_FOUND: "no room of this kind has this name, or the account is not a member of it: check the spelling",
    ROOM_NAME_NOT_JOINED: "a group has this name, and only its members see its id: invite the account first, or give "
    f"its role '{SEE_ALL_ROOMS}'",
    ROOM_NAME_OF_OTHER_KIND: "the name is that of a public channel and the operation is for private groups, or the "
    "other way round: choose another --operation",
    ROOM_NAME_AMBIGUOUS: "several rooms are shown under this name, or it is the id of one and the name of another: "
    "write the id in a column roomId, or the name in the room's address",
    USER_NAME_NOT_FOUND: "no user has this username: check the spelling; a full name is no username",
    USER_NAME_AMBIGUOUS: "the word is the id or the address of one user and the username of another, and users choose "
    "their usernames: write the id of the right one in a column userId",
    ADDRESS_NOT_FOUND: GAP_HINTS[ADDRESS_NOT_FOUND],
    ADDRESS_AMBIGUOUS: GAP_HINTS[ADDRESS_AMBIGUOUS],
}
"""Why a name has no id, with what an operator can do about it."""

MAX_SEARCHED = 1_000
"""Rooms that are read of those with a text in their names."""
MAX_OWN_ROOMS = 10_000
"""Rooms that are read, and remembered, where an account sees only its own."""
_NOUNS = {"groups": "private group", "channels": "public channel"}


class NameLookupError(WorkspaceUnavailableError):
    """A name could neither be found nor be excluded; str() is one line for a person."""


class NameLookup:
    """Finds names in one workspace, for operations on `groups` or `channels`. Raises ShutdownRequested."""

    def __init__(self, reads: ReadClient, kind: str, account_roles: Collection[str]) -> None:
        """`account_roles`: the roles of the calling account in the workspace."""
        self._reads = reads
        self._kind = kind
        self._account_roles = frozenset(account_roles)
        self._sees_all: bool | None = None
        self._own_rooms: Sequence[ListedRoom] | None = None
        self._listing = asyncio.Lock()

    async def find(self, key: NameKey) -> FoundName:
        """Return what the workspace knows by a name. Raises NameLookupError where that could not be read."""
        return await (self._find_room(key) if key.kind is NameKind.ROOM else self._find_user(key))

    async def _find_user(self, key: NameKey) -> FoundName:
        """Find a user by username, or by the id or the address that a column of names may have too.

        A word that is the id of one user and the username of another is ambiguous: users choose their usernames.
        """
        for name in username_spellings(key.name):
            user = await self._read_user(key, username=name)
            if user is not None and user.username.lower() == name.lower():
                return await self._find_user_with_name(key, user)
            if user is not None and user.user_id == key.name:
                return await self._find_user_behind_id(key, user)
        if is_address(key.name):
            return await self._find_by_address(key)
        return _not_found(key, USER_NAME_NOT_FOUND, f"There is no user {format_user('', key.name)}.")

    async def _find_by_address(self, key: NameKey) -> FoundName:
        user = await search_address(self._reads, key.name)
        if isinstance(user, ListedUser):
            return FoundName(key, user.user_id, user.username)
        if user.reason not in (ADDRESS_NOT_FOUND, ADDRESS_AMBIGUOUS):
            raise _lookup_error(key, f"{user.reason} {user.detail}")
        return _not_found(key, user.reason, f"{key.name}: {NAME_HINTS[user.reason]}.")

    async def _find_user_with_name(self, key: NameKey, named: UserInfo) -> FoundName:
        """Return a user with this username, unless the word is the id or the address of another user."""
        if not may_be_name(key.name):
            user = await self._read_user(key, userId=key.name)
            if user is not None and user.user_id == key.name != named.user_id:
                return _ambiguous_user(key, "id", user.user_id, user.username, named)
        if is_address(key.name):
            other = await search_address(self._reads, key.name)
            if isinstance(other, ListedUser) and other.user_id != named.user_id:
                return _ambiguous_user(key, "address", other.user_id, other.username, named)
            if isinstance(other, LookupGap) and other.reason == ADDRESS_AMBIGUOUS:
                return _not_found(key, ADDRESS_AMBIGUOUS, f"{key.name}: {NAME_HINTS[ADDRESS_AMBIGUOUS]}.")
        return FoundName(key, named.user_id, named.username)

    async def _find_user_behind_id(self, key: NameKey, with_id: UserInfo) -> FoundName:
        """Return the user with this id, unless another one has it as a username.

        The server looks among the ids first. Only an id depends on upper and lower case, so the username is found in
        the other case.
        """
        swapped = key.name.swapcase()
        if swapped == key.name and may_be_name(key.name):
            shown = format_user(with_id.user_id, with_id.username)
            message = (
                f"{key.name} is the id of {shown}, and perhaps a username. Write it in a column userId if it is the id."
            )
            return _not_found(key, USER_NAME_NOT_FOUND, message)
        named = await self._read_user(key, username=swapped) if swapped != key.name else None
        if named is not None and named.username.lower() == key.name.lower() and named.user_id != with_id.user_id:
            return _ambiguous_user(key, "id", with_id.user_id, with_id.username, named)
        return FoundName(key, with_id.user_id, with_id.username)

    async def _read_user(self, key: NameKey, **user: str) -> UserInfo | None:
        read = await self._reads.read(USER_INFO, **user)
        if read.body is not None:
            return parse_user_info(read.body)
        _require_missing(key, read.verdict)
        return None

    async def _find_room(self, key: NameKey) -> FoundName:
        """Find a room by its name, its display name, or the id that a column of names may have too.

        Users choose the names of their rooms: a word that is the id of one room and the name of another is ambiguous,
        and a display name yields to the name of a group that the account has not joined.
        """
        named = await self._read_room(key, self._kind, roomName=key.name)
        if named is None:
            rooms = [room for room in await self._rooms_shown_as(key) if room.kind == ROOM_TYPES[self._kind]]
            if len(rooms) > 1:
                ids = ", ".join(room.room_id for room in rooms[:5])
                return _not_found(key, ROOM_NAME_AMBIGUOUS, f"{len(rooms)} rooms are shown as '{key.name}': {ids}.")
            named = rooms[0] if rooms else None
            if named is not None and named.name != key.name and await self._is_hidden_group(roomName=key.name):
                return _not_joined(key)
        is_doubtful = named is not None and (named.name != key.name or may_be_room_id(key.name))
        if named is not None and is_doubtful and await self._is_id_of_other_room(key, named):
            message = f"{key.name} is the id of a room, and the name of another one ({named.room_id})."
            return _not_found(key, ROOM_NAME_AMBIGUOUS, message)
        found = named or await self._read_room(key, self._kind, roomId=key.name)
        if found is not None:
            return FoundName(key, found.room_id, found.name or key.name)
        return await self._explain_missing_room(key)

    async def _is_id_of_other_room(self, key: NameKey, named: ListedRoom) -> bool:
        """Return whether a room has this id and is not the one with this name."""
        if named.room_id == key.name:
            return False
        with_id = await self._read_room(key, self._kind, roomId=key.name)
        if with_id is not None:
            return with_id.room_id == key.name
        return await self._is_hidden_group(roomId=key.name)

    async def _is_hidden_group(self, **room: str) -> bool:
        """Return whether a private group exists that the account has not joined, in an operation on groups."""
        return self._kind == "groups" and await is_hidden_group(self._reads, **room)

    async def _explain_missing_room(self, key: NameKey) -> FoundName:
        if await self._is_hidden_group(roomName=key.name):
            return _not_joined(key)
        other = next(kind for kind in ROOM_TYPES if kind != self._kind)
        if (await self._reads.read(ROOM_INFO[other], roomName=key.name)).body is not None:
            message = f"#{key.name} is a {_NOUNS[other]}, not a {_NOUNS[self._kind]}."
            return _not_found(key, ROOM_NAME_OF_OTHER_KIND, message)
        is_url = " That looks like a URL: write only the name of the room, or its id." if "://" in key.name else ""
        return _not_found(key, ROOM_NAME_NOT_FOUND, f"There is no {_NOUNS[self._kind]} #{key.name}.{is_url}")

    async def _read_room(self, key: NameKey, kind: str, **room: str) -> ListedRoom | None:
        read = await self._reads.read(ROOM_INFO[kind], **room)
        if read.body is not None:
            return parse_room_info(kind, read.body)
        _require_missing(key, read.verdict)
        return None

    async def _rooms_shown_as(self, key: NameKey) -> list[ListedRoom]:
        """Return the rooms with this name or display name, among all rooms or those that the account sees."""
        async with self._listing:
            if self._sees_all is None:
                self._sees_all = await self._may_see_all_rooms(key)
            if not self._sees_all and self._own_rooms is None:
                rooms = self._list(key, ROOM_LISTS[self._kind], self._kind, limit=MAX_OWN_ROOMS)
                self._own_rooms = [room async for room in rooms if room.display_name]
        listed = self._own_rooms
        if listed is None:
            rooms = self._list(key, ADMIN_ROOMS, "rooms", limit=MAX_SEARCHED, filter=key.name)
            listed = [room async for room in rooms]
        named = [room for room in listed if key.name in (room.name, room.display_name)]
        return [room for room in named if room.name == key.name] or named

    async def _may_see_all_rooms(self, key: NameKey) -> bool:
        read = await self._reads.read(PERMISSIONS)
        if read.body is None:
            _require_refused(key, read.verdict)
        allowed = parse_permission(read.body, SEE_ALL_ROOMS) if read.body is not None else None
        return not self._account_roles.isdisjoint(allowed or ())

    async def _list(
        self, key: NameKey, path: str, entries: str, *, limit: int, **query: str
    ) -> AsyncIterator[ListedRoom]:
        """Return the rooms of a list, at most `limit`; none where the account may not read it."""
        count = 0
        async for entry in self._reads.entries(path, entries, **query):
            if isinstance(entry, CallResult):
                _require_refused(key, entry)
                return
            if count == limit:
                return
            count += 1
            if (room := parse_listed_room(entry)) is not None:
                yield room


def _require_missing(key: NameKey, result: CallResult) -> None:
    """Raise NameLookupError unless a response says that there is nothing by this name, or nothing that it shows."""
    if result.rule not in (ROOM_NOT_FOUND, ROOM_ARCHIVED, USER_NOT_FOUND, BAD_REQUEST):
        raise _error(key, result)


def _require_refused(key: NameKey, result: CallResult) -> None:
    """Raise NameLookupError unless a response says that the account may not read this, or that there is no route."""
    if result.rule is not FORBIDDEN and result.rule.reason != NO_SUCH_ROUTE.reason:
        raise _error(key, result)


def _error(key: NameKey, result: CallResult) -> NameLookupError:
    why = "the account may not read this" if result.rule is FORBIDDEN else f"{result.rule.reason} {result.message}"
    return _lookup_error(key, why)


def _lookup_error(key: NameKey, why: str) -> NameLookupError:
    what = f"room #{key.name}" if key.kind is NameKind.ROOM else f"user {format_user('', key.name)}"
    return NameLookupError(
        f"The {what} could not be looked up ({why.strip()}). Nothing was sent; the same command tries again."
    )


def _not_found(key: NameKey, reason: str, message: str) -> FoundName:
    return FoundName(key, reason=reason, message=message)


def _not_joined(key: NameKey) -> FoundName:
    message = f"The private group #{key.name} exists, and the account is not a member of it."
    return _not_found(key, ROOM_NAME_NOT_JOINED, message)


def _ambiguous_user(key: NameKey, what: str, user_id: str, username: str, named: UserInfo) -> FoundName:
    """Return that a word is the id or the address (`what`) of one user and the username of another."""
    shown = format_user(user_id, username)
    return _not_found(
        key, USER_NAME_AMBIGUOUS, f"{key.name} is the {what} of {shown}, and the username of {named.user_id}."
    )
