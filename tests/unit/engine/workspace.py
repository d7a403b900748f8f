"""A workspace that is only read: its rooms, users and messages stand in dictionaries, and its calls are recorded."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from rolecall.engine.stop_signal import ShutdownRequested
from rolecall.engine.throttle.read_client import ReadClient
from rolecall.models import Outcome
from rolecall.rocketchat.error_table import (
    FORBIDDEN,
    ROOM_NOT_FOUND,
    TIMEOUT,
    USER_NOT_FOUND,
    Action,
    ErrorRule,
)
from rolecall.rocketchat.response_classifier import CallResult, ReadResult
from rolecall.rocketchat.responses import (
    ROLES,
    ROOM_MEMBERS,
    ROOM_ROLES,
    SYNC_MESSAGES,
    USER_INFO,
    RoleMessage,
)

DATE = 1_700_000_000.0
"""The server's clock: epoch seconds."""
TOOK = 0.05
"""Seconds that a reading call takes."""
_READ = CallResult(ErrorRule("", Outcome.NOT_ATTEMPTED, Action.FINISH, ""), "", "", 200)
UNREADABLE = {"forbidden": FORBIDDEN, "timeout": TIMEOUT, "not joined": ROOM_NOT_FOUND}
"""Why a route, or a room, cannot be read."""


class Workspace(ReadClient):
    """Answers reading calls as the server does; a member without roles has no entry in the list of roles."""

    def __init__(self, members: Mapping[str, Mapping[str, Iterable[str] | None]]) -> None:
        """Take the roles of each member by room and user; None is a member without the field `roles`."""
        self.rooms = {
            room: {user: None if roles is None else set(roles) for user, roles in users.items()}
            for room, users in members.items()
        }
        self.users = {user: f"name-{user}" for users in members.values() for user in users}
        """The username of each user."""
        self.deactivated: set[str] = set()
        self.described = {"leader", "owner", "moderator"}
        self.shows_rooms = True
        self.unreadable: dict[str, ErrorRule] = {}
        """Routes and rooms that cannot be read."""
        self.messages: dict[str, list[RoleMessage]] = {}
        self.page_size = 100
        self.stops_after: int | None = None
        """Calls after which the run stops; None for never."""
        self.on_read: Callable[[str, Mapping[str, str]], None] = lambda path, query: None
        self.calls: list[tuple[str, Mapping[str, str]]] = []
        self.in_flight = self.most_in_flight = 0
        self.date: float | None = DATE

    def add_user(self, user: str, username: str | None = None) -> None:
        """Add a user who is in no room."""
        self.users[user] = f"name-{user}" if username is None else username

    @property
    def routes(self) -> Counter[str]:
        """The number of calls of each route, by its last part."""
        return Counter(path.rpartition("/")[2] for path, _ in self.calls)

    async def read(self, path: str, **query: str) -> ReadResult:
        """Answer a call after some time."""
        if self.stops_after is not None and len(self.calls) >= self.stops_after:
            raise ShutdownRequested
        self.calls.append((path, query))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(TOOK)
        finally:
            self.in_flight -= 1
        self.on_read(path, query)
        rule = self.unreadable.get(path.rpartition("/")[2]) or self.unreadable.get(query.get("roomId", ""))
        if rule is not None:
            return _failed(rule)
        body = self._body(path, query)
        return _failed(USER_NOT_FOUND) if body is None else ReadResult(_READ, {**body, "success": True}, self.date)

    def _body(self, path: str, query: Mapping[str, str]) -> dict[str, object] | None:
        if path == ROLES:
            known = ("leader", "owner", "moderator", "admin")
            return {"roles": [{"_id": role, "description": "x" * (role in self.described)} for role in known]}
        if path == USER_INFO:
            return self._user(query["userId"])
        room = self.rooms[query["roomId"]]
        if path in ROOM_ROLES.values():
            entries = [(user, roles & self.described) for user, roles in room.items() if roles]
            return {"roles": [{"u": self._named(user), "roles": sorted(roles)} for user, roles in entries if roles]}
        if path in ROOM_MEMBERS.values():
            listed = [user for user in room if user not in self.deactivated]
            first = int(query["offset"])
            page = listed[first : first + min(int(query["count"]), self.page_size)]
            return {"members": [self._named(user) for user in page], "total": len(listed)}
        assert path == SYNC_MESSAGES
        return {"result": {"updated": [_message(each) for each in self.messages.get(query["roomId"], [])]}}

    def _user(self, user: str) -> dict[str, object] | None:
        if user not in self.users:
            return None
        rooms = [
            {"rid": room, "t": "p"} | ({} if (roles := members[user]) is None else {"roles": sorted(roles)})
            for room, members in self.rooms.items()
            if user in members
        ]
        return {"user": self._named(user) | ({"rooms": rooms} if self.shows_rooms else {})}

    def _named(self, user: str) -> dict[str, object]:
        name: dict[str, object] = {"username": self.users[user]} if self.users[user] else {}
        return {"_id": user, **name}


def _failed(rule: ErrorRule) -> ReadResult:
    return ReadResult(CallResult(rule, "", "", 400), None)


def _message(message: RoleMessage) -> dict[str, object]:
    kind = "added" if message.adds else "removed"
    return {
        "t": f"subscription-role-{kind}",
        "msg": message.username,
        "role": message.role,
        "u": {"_id": message.account_id},
        "ts": {"$date": message.at},
    }
