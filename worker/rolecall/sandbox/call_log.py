"""What the workspace remembers of everything that reached it; tests judge a worker by nothing else."""

from typing import NamedTuple


class Call(NamedTuple):
    """One request that reached the workspace, noted when its fate was decided."""

    number: int
    """Counted from 1, in the order of arrival."""
    time: float
    """When its fate was decided, in seconds of the sandbox's clock, without skew."""
    route: str
    """The route's name such as `groups.removeLeader`; the path where there is no such route."""
    room_id: str
    """As the request named the room (id or name); empty where it did not."""
    user_id: str
    """As the request named the user (id or name); empty where it did not."""
    carried_out: bool
    """True when a role change was carried out, whatever was answered."""
    status: int
    """The HTTP status that was answered; 0 where the connection ended or hung without an answer."""
    fault: str | None
    """The kind of the fault that was played; None for an honest answer."""


class SystemMessage(NamedTuple):
    """One line that members of a room see, posted when a role is given or taken away."""

    type: str
    """`subscription-role-removed` or `subscription-role-added`."""
    room_id: str
    user_id: str
    role: str


class Post(NamedTuple):
    """One message that somebody wrote into a room through the API."""

    room_id: str
    user_id: str
    """The account that posted it, for a webhook the one that it was made for."""
    text: str
    alias: str
    """The name that it was posted under; empty for the account's own."""
    route: str
    """`chat.postMessage` or `hooks`."""


class Record:
    """The append-only record of one workspace: its calls, its system messages and what was posted."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.messages: list[SystemMessage] = []
        self.posts: list[Post] = []

    def calls_for(self, room_id: str, user_id: str) -> list[Call]:
        """Return the calls that named this room and this user, in the order of arrival."""
        return [call for call in self.calls if (call.room_id, call.user_id) == (room_id, user_id)]

    def removals(self, room_id: str, user_id: str, role: str = "leader") -> int:
        """Return how often members of the room saw this role being taken from this user."""
        return self.messages.count(SystemMessage("subscription-role-removed", room_id, user_id, role))
