"""Looks up people and the roles that they have in rooms: one call for each person, for all roles and kinds of rooms."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from typing import NamedTuple

from rolecall.engine.directory.find_by_user import FindByUser
from rolecall.engine.directory.find_query import ADDRESS_NOT_FOUND, ROOMS_NOT_SHOWN, FindQuery
from rolecall.engine.directory.pair_groups import ordered_map
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import LookupGap
from rolecall.rocketchat.error_table import USER_NOT_FOUND
from rolecall.rocketchat.responses import ROOM_TYPES, UserInfo, UserRoom

NOT_FOUND = frozenset({USER_NOT_FOUND.reason, ADDRESS_NOT_FOUND})
"""Reasons of people whom the workspace does not have."""


class RolesWanted(NamedTuple):
    """The roles that are looked up, and in which kinds of rooms."""

    roles: Collection[str]
    kinds: Collection[str]
    """`groups` (private), `channels` (public)."""

    def includes(self, room: UserRoom) -> bool:
        """Return whether a user has one of the roles in a room of one of the kinds."""
        return room.kind in {ROOM_TYPES[kind] for kind in self.kinds} and not room.roles.isdisjoint(self.roles)


class Person(NamedTuple):
    """One person of a list, as the workspace knows them."""

    word: str
    """As the list names the person."""
    user: UserInfo | None
    """With the rooms in which they have one of the roles; None where nothing is known."""
    gap: LookupGap | None
    """Why the roles are not known."""

    @property
    def is_missing(self) -> bool:
        """Whether the workspace does not have this person."""
        return self.gap is not None and self.gap.reason in NOT_FOUND


async def look_up_people(
    reader: ReadClient, words: Sequence[str], wanted: RolesWanted, *, at_once: int
) -> list[Person]:
    """Look up ids, `@names` and addresses, `at_once` at a time; a user named twice is returned once.

    Memory grows with the people and their roles. Raises ShutdownRequested.
    """
    search, seen, people = FindByUser(reader, FindQuery(people=tuple(words))), set[str](), list[Person]()

    async def look_up(word: str) -> Person:
        return _person(word, await search.find(word), wanted)

    async with aclosing(ordered_map(_each(words), look_up, at_once=at_once)) as found:
        async for person in found:
            if person.user is None or person.user.user_id not in seen:
                people.append(person)
            if person.user is not None:
                seen.add(person.user.user_id)
    return people


def _person(word: str, found: UserInfo | LookupGap, wanted: RolesWanted) -> Person:
    if isinstance(found, LookupGap):
        return Person(word, None, found)
    if found.rooms is None:
        return Person(word, found, LookupGap(ROOMS_NOT_SHOWN, word))
    return Person(word, found._replace(rooms=tuple(filter(wanted.includes, found.rooms))), None)


async def _each(words: Sequence[str]) -> AsyncGenerator[str, None]:
    for word in words:
        yield word
