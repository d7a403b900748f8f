"""Search user by user: their rooms with their roles, joined by the account or not, deactivated users too."""

from collections.abc import AsyncIterator

from rolecall.engine.directory.address_search import search_address
from rolecall.engine.directory.find_query import (
    ROOMS_NOT_SHOWN,
    USERS_NOT_LISTED,
    FindQuery,
    LookupTarget,
    to_gap,
)
from rolecall.engine.directory.lookups import UserLookup, username_spellings
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import LookupGap, LookupResult, RoleAssignment
from rolecall.rocketchat.error_table import FORBIDDEN, NO_SUCH_ROUTE, USER_NOT_FOUND
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import ROOM_TYPES, USERS, USERS_BY_STATUS, UserInfo, UserRoom, parse_listed_user
from rolecall.text import format_user

DEACTIVATED = "deactivated users"


class FindByUser:
    """Finds the roles of users."""

    def __init__(self, reader: ReadClient, query: FindQuery) -> None:
        self._reader = reader
        self._users = UserLookup(reader)
        self._query = query
        self._rooms = frozenset(query.rooms)

    async def targets(self) -> AsyncIterator[LookupTarget | LookupResult]:
        """Return each user to look up; a LookupResult where a list has gaps. Raises ShutdownRequested."""
        if not self._query.people:
            async for target in self._deactivated():
                yield target
        for word in self._query.people:
            yield LookupTarget(f"user {word}", word)

    async def look_up(self, target: LookupTarget) -> LookupResult:
        """Look up one user. Raises ShutdownRequested."""
        user = await self.find(target.word)
        if isinstance(user, LookupGap):
            return LookupResult(target.key, gap=user)
        note = _resolved(target.word, user)
        if user.rooms is None:
            return LookupResult(
                target.key, user.user_id, (), LookupGap(ROOMS_NOT_SHOWN, format_user("", user.username)), note
            )
        if self._query.deactivated and user.active:
            return LookupResult(
                target.key, user.user_id, note=f"{format_user(user.user_id, user.username)} is active and left out"
            )
        rows = [self._row(user, room) for room in user.rooms if self._is_wanted(room)]
        return LookupResult(target.key, user.user_id, tuple(rows), note=note)

    def _is_wanted(self, room: UserRoom) -> bool:
        if room.kind != ROOM_TYPES[self._query.kind] or self._query.role not in room.roles:
            return False
        names = (room.room_id, room.room_name, f"#{room.room_name}")
        return not self._rooms or not self._rooms.isdisjoint(names)

    def _row(self, user: UserInfo, room: UserRoom) -> RoleAssignment:
        roles = tuple(sorted(room.roles))
        return RoleAssignment(room.room_id, user.user_id, room.room_name, user.username, user.name, roles, user.active)

    async def find(self, word: str) -> UserInfo | LookupGap:
        """Find a user by `@name`, address, or a word that is an id or a username. Raises ShutdownRequested."""
        if word.startswith("@"):
            found = await self._by_name(word)
        elif "@" in word:
            return await self._by_address(word)
        else:
            found = await self._users.by_id(word)
            if isinstance(found, CallResult) and found.rule is USER_NOT_FOUND:
                found = await self._users.by_username(word)
        return to_gap(found, word) if isinstance(found, CallResult) else found

    async def _by_name(self, word: str) -> UserInfo | CallResult:
        """Find a user by `@name`; a federated name begins with this mark itself."""
        missing = CallResult(USER_NOT_FOUND, "", "", None)
        for name in username_spellings(word if ":" in word else word[1:]):
            found = await self._users.by_username(name)
            if isinstance(found, CallResult) and found.rule is not USER_NOT_FOUND:
                return found
            if isinstance(found, UserInfo) and found.username.lower() == name.lower():  # the server also looks at ids
                return found
        return missing

    async def _by_address(self, address: str) -> UserInfo | LookupGap:
        user = await search_address(self._reader, address)
        if isinstance(user, LookupGap):
            return user
        found = await self._users.by_id(user.user_id)
        return to_gap(found, address) if isinstance(found, CallResult) else found

    async def _deactivated(self) -> AsyncIterator[LookupTarget | LookupResult]:
        """List the deactivated users; servers before 6.8 need another request."""
        lists = [(USERS_BY_STATUS, {"status": "deactivated"}), (USERS, {"query": '{"active":false}'})]
        for path, query in lists:
            async for entry in self._reader.entries(path, "users", **query):
                if isinstance(entry, CallResult):
                    if entry.rule.reason == NO_SUCH_ROUTE.reason and path == USERS_BY_STATUS:
                        break
                    yield _list_gap(entry)
                    return
                user = parse_listed_user(entry)
                if user is not None and not user.active:
                    yield LookupTarget(f"user {user.user_id}", user.user_id)
            else:
                return


def _list_gap(result: CallResult) -> LookupResult:
    gap = LookupGap(USERS_NOT_LISTED, DEACTIVATED) if result.rule is FORBIDDEN else to_gap(result, DEACTIVATED)
    return LookupResult(DEACTIVATED, gap=gap)


def _resolved(word: str, user: UserInfo) -> str:
    """Return a note which user a word stands for that is neither an id nor an `@name`."""
    name = format_user(user.user_id, user.username)
    return "" if word in (user.user_id, name) else f"{word} is {name}"
