"""What Rolecall can ask of a workspace, as a table: twins that differ in direction, role and kind of room only."""

from enum import StrEnum
from itertools import product
from typing import NamedTuple

from rolecall.models import Outcome


class Role(StrEnum):
    """A role that a member can have in one room; the words are the server's."""

    LEADER = "leader"
    MODERATOR = "moderator"
    OWNER = "owner"


class Operation(NamedTuple):
    """One REST method that changes a member's role in one room."""

    kind: str
    """The kind of room, as its methods' names begin: `groups` (private) or `channels` (public)."""
    gives: bool
    """True for `add...`, False for `remove...`."""
    role: Role
    name: str
    """The method, as the REST API spells it."""
    path: str
    """The path below the workspace's address."""
    done: Outcome
    """What a row is told that was carried out."""
    nothing_to_do: Outcome
    """What a row is told that was so before."""
    already_so: str
    """The error type by which the server says that there is nothing to do."""

    @property
    def inverse(self) -> "Operation":
        """The operation that brings back what this one changed."""
        return OPERATIONS[_name(self.kind, not self.gives, self.role)]

    @property
    def permission(self) -> str:
        """The permission that the account needs in the room."""
        return f"set-{self.role}"


def _name(kind: str, gives: bool, role: Role) -> str:
    return f"{kind}.{'add' if gives else 'remove'}{role.title()}"


def _operation(kind: str, gives: bool, role: Role) -> Operation:
    name, word = _name(kind, gives, role), "already" if gives else "not"
    return Operation(
        kind,
        gives,
        role,
        name,
        path=f"/api/v1/{name}",
        done=Outcome.ADDED if gives else Outcome.REMOVED,
        nothing_to_do=Outcome(f"{word}_{role}"),
        already_so=f"error-user-{word}-{role}",
    )


_ALL = [_operation(*twin) for twin in product(("groups", "channels"), (False, True), Role)]
OPERATIONS = {operation.name: operation for operation in _ALL}
"""Every operation by its name."""
REMOVE_LEADER = OPERATIONS["groups.removeLeader"]
DONE = frozenset(operation.done for operation in _ALL)
"""Outcomes of rows that were carried out."""
NOTHING_TO_DO = frozenset(operation.nothing_to_do for operation in _ALL)
"""Outcomes of rows that were so before."""
