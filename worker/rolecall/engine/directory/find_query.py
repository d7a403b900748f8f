"""The query of a search, and the targets that it looks up."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import NamedTuple

from rolecall.rocketchat.operations import Role


@dataclass(frozen=True, slots=True)
class FindQuery:
    """Whose roles, and in which rooms; with both, only what is in both."""

    role: Role = Role.LEADER
    kind: str = "groups"
    """`groups` (private) or `channels` (public)."""
    people: tuple[str, ...] = ()
    """Ids, `@names`, addresses; a bare word is an id or a username."""
    rooms: tuple[str, ...] = ()
    """Ids, `#names`; a bare word is an id or a name."""
    all_rooms: bool = False
    deactivated: bool = False
    """Only users whose account is deactivated; without `people`, all of them."""

    @property
    def by_person(self) -> bool:
        """True where users are looked up, which needs no membership in their rooms."""
        return bool(self.people) or self.deactivated

    @property
    def units(self) -> int | None:
        """The number of users or rooms to look up; None where only a list shows it."""
        return len(self.people if self.by_person else self.rooms) or None

    @property
    def digest(self) -> str:
        """SHA-256 of the whole query, in hex."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()


class LookupTarget(NamedTuple):
    """A user or a room to look up."""

    key: str
    """Stays the same when the command is repeated."""
    word: str
    """As the query names it, or its id where it comes from a list."""
    name: str = ""
    """The name of a room that comes from a list."""


class Exclusions:
    """Users and rooms that are left out, by id or name; counts the rows that each word left out."""

    def __init__(self, words: tuple[str, ...]) -> None:
        """`words`: ids, `@names` of users and `#names` of rooms (in any case); a bare word may be any of these."""
        self.left_out = dict.fromkeys(words, 0)

    def keeps(self, user_id: str, username: str, room_id: str, room_name: str) -> bool:
        """Return whether a row stays, and count it where it does not."""
        if not self.left_out:
            return True
        user, room = username.casefold(), room_name.casefold()
        names = {user, f"@{user}", room, f"#{room}"} - {"", "@", "#"}
        matching = [word for word in self.left_out if word in (user_id, room_id) or word.casefold() in names]
        for word in matching:
            self.left_out[word] += 1
        return not matching
