"""The record of everything that the workspace received; tests check a worker against this record only."""

from typing import NamedTuple


class Call(NamedTuple):
    """One request, recorded when its response was decided."""

    number: int
    """Counted from 1, in the order of arrival."""
    time: float
    """When the response was decided, in seconds of the sandbox's clock, without skew."""
    route: str
    """The route's name such as `groups.removeLeader`; the path if there is no such route."""
    room_id: str
    """The room as the request named it (id or name); empty if it named none."""
    user_id: str
    """The user as the request named them (id or name); empty if it named none."""
    carried_out: bool
    """True if a role change was carried out, independent of the response."""
    status: int
    """The HTTP status of the response; 0 if the connection was closed or hung without a response."""
    fault: str | None
    """The kind of the injected fault; None for a normal response."""


class SystemMessage(NamedTuple):
    """One message that the server posts to a room when a role is added or removed."""

    type: str
    """`subscription-role-removed` or `subscription-role-added`."""
    room_id: str
    user_id: str
    role: str


class Post(NamedTuple):
    """One message that was posted to a room through the API."""

    room_id: str
    user_id: str
    """The account that posted it; for a webhook the account that it posts as."""
    text: str
    alias: str
    """The name that it was posted under; empty for the account's own name."""
    route: str
    """`chat.postMessage` or `hooks`."""


class Record:
    """The append-only record of one workspace: its calls, its system messages and the posted messages."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.messages: list[SystemMessage] = []
        self.posts: list[Post] = []

    def calls_for(self, room_id: str, user_id: str) -> list[Call]:
        """Return the calls for this room and this user, in the order of arrival."""
        return [call for call in self.calls if (call.room_id, call.user_id) == (room_id, user_id)]

    def removals(self, room_id: str, user_id: str, role: str = "leader") -> int:
        """Return how often this role was removed from this user, counted by system messages in the room."""
        return self.messages.count(SystemMessage("subscription-role-removed", room_id, user_id, role))
