"""Asks user by user: their rooms with their roles, joined by the account or not, deactivated users too."""

from collections.abc import AsyncIterator

import orjson

from worker.engine.finding.question import Question
from worker.engine.finding.unit import Unit
from worker.engine.finding.unseen import ADDRESS_NOT_FOUND, ROOMS_NOT_SHOWN, USERS_NOT_LISTED, why_not
from worker.engine.people import People
from worker.engine.reading import PAGE, Reader
from worker.files.found import Finding, FoundRow, Unseen
from worker.workspace.answers import Verdict
from worker.workspace.directory import ROOM_TYPES, USERS, USERS_BY_STATUS, read_listed_user
from worker.workspace.meanings import FORBIDDEN, NO_SUCH_ROUTE, USER_NOT_FOUND
from worker.workspace.roles import Held, Person

DEACTIVATED = "deactivated users"


class ByPerson:
    """Finds the roles of users."""

    def __init__(self, reader: Reader, question: Question) -> None:
        self._reader = reader
        self._people = People(reader)
        self._question = question
        self._rooms = frozenset(question.rooms)

    async def units(self) -> AsyncIterator[Unit | Finding]:
        """Give each user to ask for; a Finding where a list has gaps. Raises Stopped."""
        if not self._question.people:
            async for unit in self._deactivated():
                yield unit
        for word in self._question.people:
            yield Unit(f"user {word}", word)

    async def ask(self, unit: Unit) -> Finding:
        """Ask for one user. Raises Stopped."""
        person = await self._find(unit.word)
        if isinstance(person, Unseen):
            return Finding(unit.key, unseen=person)
        note = _resolved(unit.word, person)
        if person.rooms is None:
            return Finding(unit.key, person.user_id, (), Unseen(ROOMS_NOT_SHOWN, f"@{person.username}"), note)
        if self._question.deactivated and person.active:
            return Finding(unit.key, person.user_id, note=f"@{person.username} is active and left out")
        rows = [self._row(person, held) for held in person.rooms if self._is_asked_for(held)]
        return Finding(unit.key, person.user_id, tuple(rows), note=note)

    def _is_asked_for(self, held: Held) -> bool:
        if held.kind != ROOM_TYPES[self._question.kind] or self._question.role not in held.roles:
            return False
        names = (held.room_id, held.room_name, f"#{held.room_name}")
        return not self._rooms or not self._rooms.isdisjoint(names)

    def _row(self, person: Person, held: Held) -> FoundRow:
        roles = tuple(sorted(held.roles))
        return FoundRow(
            held.room_id, person.user_id, held.room_name, person.username, person.name, roles, person.active
        )

    async def _find(self, word: str) -> Person | Unseen:
        """Find a user by `@name`, address, or a word that is an id or a username."""
        if word.startswith("@"):
            found = await self._people.by_username(word[1:])
            if isinstance(found, Person) and found.username.lower() != word[1:].lower():
                return Unseen(USER_NOT_FOUND.reason, word)  # the server also looks among the ids
        elif "@" in word:
            return await self._by_address(word)
        else:
            found = await self._people.by_id(word)
            if isinstance(found, Verdict) and found.meaning is USER_NOT_FOUND:
                found = await self._people.by_username(word)
        return why_not(found, word) if isinstance(found, Verdict) else found

    async def _by_address(self, address: str) -> Person | Unseen:
        user_id = await self._search(address)
        if not isinstance(user_id, str):
            return user_id
        found = await self._people.by_id(user_id)
        return why_not(found, address) if isinstance(found, Verdict) else found

    async def _search(self, address: str) -> str | Unseen:
        """Search for an address; servers before 6.8 are asked in their own way."""
        async for entry in self._reader.entries(USERS_BY_STATUS, "users", searchTerm=address):
            if isinstance(entry, Verdict):
                if entry.meaning.reason == NO_SUCH_ROUTE.reason:
                    return await self._search_as_before(address)
                return Unseen(ADDRESS_NOT_FOUND, address) if entry.meaning is FORBIDDEN else why_not(entry, address)
            user = read_listed_user(entry)
            if user is not None and _is_among(address, user.addresses):
                return user.user_id
        return Unseen(ADDRESS_NOT_FOUND, address)

    async def _search_as_before(self, address: str) -> str | Unseen:
        """Search by a query; one page, because a server that does not obey it tells of everybody."""
        query = orjson.dumps({"emails.address": address.lower()}).decode()
        read = await self._reader.read(USERS, query=query, count=str(PAGE))
        if read.body is None and read.verdict.meaning is not FORBIDDEN:
            return why_not(read.verdict, address)
        users = read.body.get("users") if read.body is not None else None
        for entry in users if isinstance(users, list) else []:
            user = read_listed_user(entry) if isinstance(entry, dict) else None
            if user is not None and _is_among(address, user.addresses):
                return user.user_id
        return Unseen(ADDRESS_NOT_FOUND, address)

    async def _deactivated(self) -> AsyncIterator[Unit | Finding]:
        """List the deactivated users; servers before 6.8 are asked in their own way."""
        lists = [(USERS_BY_STATUS, {"status": "deactivated"}), (USERS, {"query": '{"active":false}'})]
        for path, query in lists:
            async for entry in self._reader.entries(path, "users", **query):
                if isinstance(entry, Verdict):
                    if entry.meaning.reason == NO_SUCH_ROUTE.reason and path == USERS_BY_STATUS:
                        break
                    yield _list_broke_off(entry)
                    return
                user = read_listed_user(entry)
                if user is not None and not user.active:
                    yield Unit(f"user {user.user_id}", user.user_id)
            else:
                return


def _list_broke_off(verdict: Verdict) -> Finding:
    unseen = Unseen(USERS_NOT_LISTED, DEACTIVATED) if verdict.meaning is FORBIDDEN else why_not(verdict, DEACTIVATED)
    return Finding(DEACTIVATED, unseen=unseen)


def _is_among(address: str, addresses: frozenset[str]) -> bool:
    return address.lower() in {known.lower() for known in addresses}


def _resolved(word: str, person: Person) -> str:
    """Say whom a word that is neither an id nor an `@name` has turned out to mean."""
    return "" if word in (person.user_id, f"@{person.username}") else f"{word} is @{person.username}"
