"""Asks user by user: their rooms with their roles, joined by the account or not, deactivated users too."""

from collections.abc import AsyncIterator

import orjson

from rolecall.engine.directory.find_gaps import ADDRESS_NOT_FOUND, ROOMS_NOT_SHOWN, USERS_NOT_LISTED, to_gap
from rolecall.engine.directory.find_query import FindQuery
from rolecall.engine.directory.find_target import LookupTarget
from rolecall.engine.directory.user_lookup import UserLookup
from rolecall.engine.throttle.read_client import PAGE_SIZE, ReadClient
from rolecall.models import LookupGap, LookupResult, RoleAssignment
from rolecall.rocketchat.error_table import FORBIDDEN, NO_SUCH_ROUTE, USER_NOT_FOUND
from rolecall.rocketchat.response_classifier import CallResult
from rolecall.rocketchat.responses import ROOM_TYPES, USERS, USERS_BY_STATUS, UserInfo, UserRoom, parse_listed_user

DEACTIVATED = "deactivated users"


class FindByUser:
    """Finds the roles of users."""

    def __init__(self, reader: ReadClient, question: FindQuery) -> None:
        self._reader = reader
        self._people = UserLookup(reader)
        self._question = question
        self._rooms = frozenset(question.rooms)

    async def units(self) -> AsyncIterator[LookupTarget | LookupResult]:
        """Give each user to ask for; a Finding where a list has gaps. Raises Stopped."""
        if not self._question.people:
            async for unit in self._deactivated():
                yield unit
        for word in self._question.people:
            yield LookupTarget(f"user {word}", word)

    async def ask(self, unit: LookupTarget) -> LookupResult:
        """Ask for one user. Raises Stopped."""
        person = await self._find(unit.word)
        if isinstance(person, LookupGap):
            return LookupResult(unit.key, gap=person)
        note = _resolved(unit.word, person)
        if person.rooms is None:
            return LookupResult(unit.key, person.user_id, (), LookupGap(ROOMS_NOT_SHOWN, f"@{person.username}"), note)
        if self._question.deactivated and person.active:
            return LookupResult(unit.key, person.user_id, note=f"@{person.username} is active and left out")
        rows = [self._row(person, held) for held in person.rooms if self._is_asked_for(held)]
        return LookupResult(unit.key, person.user_id, tuple(rows), note=note)

    def _is_asked_for(self, held: UserRoom) -> bool:
        if held.kind != ROOM_TYPES[self._question.kind] or self._question.role not in held.roles:
            return False
        names = (held.room_id, held.room_name, f"#{held.room_name}")
        return not self._rooms or not self._rooms.isdisjoint(names)

    def _row(self, person: UserInfo, held: UserRoom) -> RoleAssignment:
        roles = tuple(sorted(held.roles))
        return RoleAssignment(
            held.room_id, person.user_id, held.room_name, person.username, person.name, roles, person.active
        )

    async def _find(self, word: str) -> UserInfo | LookupGap:
        """Find a user by `@name`, address, or a word that is an id or a username."""
        if word.startswith("@"):
            found = await self._people.by_username(word[1:])
            if isinstance(found, UserInfo) and found.username.lower() != word[1:].lower():
                return LookupGap(USER_NOT_FOUND.reason, word)  # the server also looks among the ids
        elif "@" in word:
            return await self._by_address(word)
        else:
            found = await self._people.by_id(word)
            if isinstance(found, CallResult) and found.rule is USER_NOT_FOUND:
                found = await self._people.by_username(word)
        return to_gap(found, word) if isinstance(found, CallResult) else found

    async def _by_address(self, address: str) -> UserInfo | LookupGap:
        user_id = await self._search(address)
        if not isinstance(user_id, str):
            return user_id
        found = await self._people.by_id(user_id)
        return to_gap(found, address) if isinstance(found, CallResult) else found

    async def _search(self, address: str) -> str | LookupGap:
        """Search for an address; servers before 6.8 are asked in their own way."""
        async for entry in self._reader.entries(USERS_BY_STATUS, "users", searchTerm=address):
            if isinstance(entry, CallResult):
                if entry.rule.reason == NO_SUCH_ROUTE.reason:
                    return await self._search_as_before(address)
                return LookupGap(ADDRESS_NOT_FOUND, address) if entry.rule is FORBIDDEN else to_gap(entry, address)
            user = parse_listed_user(entry)
            if user is not None and _is_among(address, user.addresses):
                return user.user_id
        return LookupGap(ADDRESS_NOT_FOUND, address)

    async def _search_as_before(self, address: str) -> str | LookupGap:
        """Search by a query; one page, because a server that does not obey it tells of everybody."""
        query = orjson.dumps({"emails.address": address.lower()}).decode()
        read = await self._reader.read(USERS, query=query, count=str(PAGE_SIZE))
        if read.body is None and read.verdict.rule is not FORBIDDEN:
            return to_gap(read.verdict, address)
        users = read.body.get("users") if read.body is not None else None
        for entry in users if isinstance(users, list) else []:
            user = parse_listed_user(entry) if isinstance(entry, dict) else None
            if user is not None and _is_among(address, user.addresses):
                return user.user_id
        return LookupGap(ADDRESS_NOT_FOUND, address)

    async def _deactivated(self) -> AsyncIterator[LookupTarget | LookupResult]:
        """List the deactivated users; servers before 6.8 are asked in their own way."""
        lists = [(USERS_BY_STATUS, {"status": "deactivated"}), (USERS, {"query": '{"active":false}'})]
        for path, query in lists:
            async for entry in self._reader.entries(path, "users", **query):
                if isinstance(entry, CallResult):
                    if entry.rule.reason == NO_SUCH_ROUTE.reason and path == USERS_BY_STATUS:
                        break
                    yield _list_broke_off(entry)
                    return
                user = parse_listed_user(entry)
                if user is not None and not user.active:
                    yield LookupTarget(f"user {user.user_id}", user.user_id)
            else:
                return


def _list_broke_off(verdict: CallResult) -> LookupResult:
    unseen = LookupGap(USERS_NOT_LISTED, DEACTIVATED) if verdict.rule is FORBIDDEN else to_gap(verdict, DEACTIVATED)
    return LookupResult(DEACTIVATED, gap=unseen)


def _is_among(address: str, addresses: frozenset[str]) -> bool:
    return address.lower() in {known.lower() for known in addresses}


def _resolved(word: str, person: UserInfo) -> str:
    """Say whom a word that is neither an id nor an `@name` has turned out to mean."""
    return "" if word in (person.user_id, f"@{person.username}") else f"{word} is @{person.username}"
