"""What Rolecall can ask of a workspace, as a table."""

from typing import NamedTuple


class Operation(NamedTuple):
    """One REST method that changes a member's role in one room."""

    name: str
    """The method, as the REST API spells it."""
    already_so: str
    """The error type by which the server says that there is nothing to do."""

    @property
    def path(self) -> str:
        """The path below the workspace's address."""
        return f"/api/v1/{self.name}"


REMOVE_LEADER = Operation("groups.removeLeader", already_so="error-user-not-leader")
