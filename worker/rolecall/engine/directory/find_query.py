"""The query of a search, the targets that it looks up, and why a lookup is incomplete."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import NamedTuple

from rolecall.models import LookupGap
from rolecall.rocketchat.error_table import FORBIDDEN, ROOM_ARCHIVED, ROOM_NOT_FOUND, ROOM_NOT_JOINED, USER_NOT_FOUND
from rolecall.rocketchat.operations import Role
from rolecall.rocketchat.response_classifier import CallResult

ROOMS_NOT_SHOWN = "rooms_not_shown"
ADDRESS_NOT_FOUND = "address_not_found"
ADDRESS_AMBIGUOUS = "address_ambiguous"
ROOMS_NOT_LISTED = "rooms_not_listed"
ROLE_NOT_LISTED = "role_not_listed"
USERS_NOT_LISTED = "users_not_listed"
NOT_READ = "not_read"

GAP_HINTS = {
    ROOMS_NOT_SHOWN: "the account may not see the rooms of others: give its role 'view-other-user-channels'",
    USER_NOT_FOUND.reason: "no such user, or deleted: check the spelling",
    ADDRESS_NOT_FOUND: "no user with this address is shown: searching addresses takes 'view-d-room' and "
    "'view-full-other-user-info'; or give the id or @name",
    ADDRESS_AMBIGUOUS: "several users have this address, in upper or lower case: give the id or @name",
    ROOM_NOT_JOINED.reason: "the account is not a member, so the roles are not shown: join first, or look up the "
    "users with --users, which needs no membership",
    ROOM_NOT_FOUND.reason: "no such room of this kind, or a private group that the account is not a member of",
    ROOM_ARCHIVED.reason: "an archived room does not show its roles: unarchive it, or look up the users with --users",
    ROLE_NOT_LISTED: "the lists of the rooms leave out a role that has no description: give it one (Administration, "
    "Permissions), or look up the users with --users",
    ROOMS_NOT_LISTED: "the account may not list all private groups: give its role 'view-room-administration'",
    USERS_NOT_LISTED: "the account may not list users: give its role 'view-d-room'",
    FORBIDDEN.reason: "the account may not read this: check its permissions",
    NOT_READ: "the workspace did not answer as expected: try again",
}
"""Every reason why rows may be missing, with what an operator can do about it."""


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


def to_gap(result: CallResult, what: str) -> LookupGap:
    """Return why `what` could not be read, from the result of its call."""
    reason = result.rule.reason
    if reason in GAP_HINTS:
        return LookupGap(reason, what)
    return LookupGap(NOT_READ, what, f"{reason}: {result.message}" if result.message else reason)
