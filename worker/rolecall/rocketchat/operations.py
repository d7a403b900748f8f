"""Table of the twelve supported role operations: add or remove, three roles, two kinds of room."""

from enum import StrEnum
from itertools import product
from typing import NamedTuple

from rolecall.models import Outcome


class Role(StrEnum):
    """A role that a member can have in one room; the values are the server's."""

    LEADER = "leader"
    MODERATOR = "moderator"
    OWNER = "owner"


class Operation(NamedTuple):
    """One REST method that changes a member's role in one room."""

    kind: str
    """The kind of room and the prefix of its methods: `groups` (private) or `channels` (public)."""
    adds: bool
    """True for `add...`, False for `remove...`."""
    role: Role
    name: str
    """The method's name in the REST API."""
    path: str
    """The path below the workspace's URL."""
    done: Outcome
    """The outcome of a row whose role was changed."""
    predicted: Outcome
    """The outcome that a check reports for a row whose role a run would change."""
    nothing_to_do: Outcome
    """The outcome of a row whose role needed no change."""
    noop_error_type: str
    """The error type that means 'nothing to do'."""

    @property
    def inverse(self) -> "Operation":
        """The operation that undoes this one."""
        return OPERATIONS[_name(self.kind, not self.adds, self.role)]

    @property
    def permission(self) -> str:
        """The permission that the account needs in the room."""
        return f"set-{self.role}"


def _name(kind: str, adds: bool, role: Role) -> str:
    return f"{kind}.{'add' if adds else 'remove'}{role.title()}"


def _operation(kind: str, adds: bool, role: Role) -> Operation:
    name, word = _name(kind, adds, role), "already" if adds else "not"
    return Operation(
        kind,
        adds,
        role,
        name,
        path=f"/api/v1/{name}",
        done=Outcome.ADDED if adds else Outcome.REMOVED,
        predicted=Outcome.WOULD_ADD if adds else Outcome.WOULD_REMOVE,
        nothing_to_do=Outcome(f"{word}_{role}"),
        noop_error_type=f"error-user-{word}-{role}",
    )


_ALL = [_operation(*variant) for variant in product(("groups", "channels"), (False, True), Role)]
OPERATIONS = {operation.name: operation for operation in _ALL}
"""Every operation by its name."""
REMOVE_LEADER = OPERATIONS["groups.removeLeader"]
DONE = frozenset(operation.done for operation in _ALL)
"""Outcomes of rows whose role was changed."""
PREDICTED = frozenset(operation.predicted for operation in _ALL)
"""Outcomes of rows whose role a run would change, as a check reports them."""
CARRIED_OUT = {operation.predicted: operation.done for operation in _ALL}
"""The outcome of a run for each prediction of a check that came true."""
NOTHING_TO_DO = frozenset(operation.nothing_to_do for operation in _ALL)
"""Outcomes of rows whose role needed no change."""
