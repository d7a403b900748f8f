"""The state of one workspace: users, rooms, who holds which role, who may do what, and the record."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rolecall.sandbox.call_log import Call, Record
from rolecall.sandbox.paging import Paging
from rolecall.sandbox.permissions import permissions

RoomType = Literal["p", "c", "d"]
"""`p` is a private group, `c` a public channel, `d` a direct conversation."""

ROOM_ROLES = ("leader", "moderator", "owner")


@dataclass(slots=True)
class User:
    """One user; `username` is None for one who never finished signing up."""

    id: str
    username: str | None
    roles: tuple[str, ...]
    """The roles that count in the whole workspace, such as `admin`."""
    active: bool = True
    """False for one who left: no login, not in the lists of members, but every subscription and role stays."""
    name: str = ""
    """The name that people read; empty where there is none."""
    email: str = ""


@dataclass(slots=True)
class Login:
    """How a user proves who they are."""

    password: str
    code: str = ""
    """The second factor; empty where none is asked for."""


class Hook(NamedTuple):
    """One incoming webhook: what is posted to it appears in its room."""

    id: str
    token: str
    room_id: str
    user_id: str
    """The account that its messages are posted as."""


@dataclass(slots=True)
class Room:
    """One room and its members."""

    id: str
    name: str
    type: RoomType
    archived: bool = False
    members: dict[str, list[str] | None] = field(default_factory=dict)
    """User id to the roles of that subscription; None where it has no `roles` field at all."""

    def has_role(self, user_id: str, role: str) -> bool:
        """Return whether this member holds this role here."""
        return role in (self.members.get(user_id) or ())

    def holders(self, role: str) -> int:
        """Return how many members hold this role here."""
        return sum(role in (roles or ()) for roles in self.members.values())


class World:
    """A workspace's whole state, without a socket.

    `version` decides how the server speaks: from 8.0.0 on it validates bodies against a schema and refuses a
    bad token with `{"success": false}`; an older one looks for each parameter itself and refuses a bad token
    with `{"status": "error"}`. Accounts that hold one of `bypass_roles` are not rate limited. `unsafe_queries`
    stands for `ALLOW_UNSAFE_QUERY_AND_FIELDS_API_PARAMS`, which matters for 7.x and 8.x only.
    """

    def __init__(
        self,
        *,
        version: str = "8.1.0",
        bypass_roles: Iterable[str] = ("admin", "bot", "app"),
        paging: Paging | None = None,
        unsafe_queries: bool = False,
    ) -> None:
        self.version = version
        self.paging = paging or Paging()
        self.unsafe_queries = unsafe_queries
        self.users: dict[str, User] = {}
        self.rooms: dict[str, Room] = {}
        self.tokens: dict[str, str] = {}
        self.forbidden: dict[str, int] = {}
        self.logins: dict[str, Login] = {}
        self.hooks: dict[str, Hook] = {}
        self.permissions = permissions(bypass_roles)
        self.record = Record()
        self._sessions = 0

    @property
    def legacy(self) -> bool:
        """Whether this is a server before 8.0.0."""
        return self.release < (8, 0)

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor number of the version."""
        major, minor, *_ = (*self.version.split("."), "0")
        return int(major), int(minor)

    @property
    def takes_queries(self) -> bool:
        """Whether `query` and `fields` are obeyed; where not, they are ignored or (from 9.0 on) refused."""
        return self.release < (7, 0) or (self.unsafe_queries and self.release < (9, 0))

    @property
    def calls(self) -> list[Call]:
        """Everything that reached the workspace, in the order of arrival."""
        return self.record.calls

    # Building a world

    def add_user(
        self,
        user_id: str,
        *,
        username: str | None = "",
        roles: Iterable[str] = ("user",),
        active: bool = True,
        name: str = "",
        email: str = "",
    ) -> User:
        """Add a user; an empty `username` makes one from the id, None leaves the user without."""
        handle = user_id.lower() if username == "" else username
        self.users[user_id] = user = User(user_id, handle, tuple(roles), active, name, email)
        return user

    def add_account(
        self,
        user_id: str,
        token: str,
        *,
        username: str | None = "",
        roles: Iterable[str] = ("user", "admin"),
        name: str = "",
        email: str = "",
    ) -> User:
        """Add a user who can call the API with this token."""
        self.tokens[token] = user_id
        return self.add_user(user_id, username=username, roles=roles, name=name, email=email)

    def set_login(self, user_id: str, password: str, *, code: str = "") -> None:
        """Let a user log in with this password and, where it is given, this second factor."""
        self.logins[user_id] = Login(password, code)

    def new_token(self, user_id: str) -> str:
        """Open a session for a user and return its token."""
        self._sessions += 1
        token = f"sandbox-session-{self._sessions}"
        self.tokens[token] = user_id
        return token

    def add_hook(self, hook_id: str, token: str, room_id: str, user_id: str) -> Hook:
        """Add an incoming webhook that posts into this room as this user."""
        self.hooks[hook_id] = hook = Hook(hook_id, token, room_id, user_id)
        return hook

    def add_room(self, room_id: str, *, name: str = "", type: RoomType = "p", archived: bool = False) -> Room:
        """Add an empty room; an empty `name` makes one from the id."""
        self.rooms[room_id] = room = Room(room_id, name or room_id.lower(), type, archived)
        return room

    def join(self, room_id: str, user_id: str, roles: Iterable[str] | None = ()) -> None:
        """Make a user a member of a room with these roles; None means a subscription without `roles`."""
        self.rooms[room_id].members[user_id] = None if roles is None else list(roles)

    def deactivate(self, user_id: str) -> None:
        """Switch an account off: its tokens end, its memberships and roles stay."""
        self.users[user_id].active = False
        self.tokens = {token: owner for token, owner in self.tokens.items() if owner != user_id}

    def grant(self, permission: str, role: str) -> None:
        """Give a permission to a role."""
        self.permissions[permission] = self.permissions[permission] | {role}

    def withdraw(self, permission: str) -> None:
        """Take a permission from every role."""
        self.permissions[permission] = frozenset()

    def revoke(self, token: str) -> None:
        """Take a token back: every further call with it is unauthenticated."""
        self.tokens.pop(token, None)

    def forbid(self, route: str, status: int = 403) -> None:
        """Refuse a whole route to everybody: 403 as most versions say it, 401 as some of 8.x do."""
        self.forbidden[route] = status

    # Asking it

    def caller(self, user_id: str, token: str) -> str | None:
        """Return the id of the account that this token and user id prove, or None."""
        return user_id if user_id and self.tokens.get(token) == user_id else None

    def may(self, user_id: str, permission: str, room: Room | None = None) -> bool:
        """Return whether a user has a permission, in the workspace or through a role in this room."""
        roles = {*self.users[user_id].roles, *(room.members.get(user_id) or () if room else ())}
        return not roles.isdisjoint(self.permissions.get(permission, ()))

    def find_room(self, params: Mapping[str, object]) -> Room | None:
        """Return the room that `roomId` or `roomName` names."""
        room_id, name = params.get("roomId"), params.get("roomName")
        if room_id:
            return self.rooms.get(str(room_id))
        return next((room for room in self.rooms.values() if room.name == name), None)

    def find_user(self, params: Mapping[str, object]) -> User | None:
        """Return the user that `userId`, `username` or `user` (either of both) names."""
        if user_id := params.get("userId"):
            return self.users.get(str(user_id))
        name = str(params.get("username") or params.get("user"))
        if "user" in params and name in self.users:
            return self.users[name]
        return self.named(name)

    def named(self, username: str) -> User | None:
        """Return the user of this name."""
        return next((user for user in self.users.values() if user.username == username), None)

    def holding(self, role: str) -> set[tuple[str, str]]:
        """Return every pair of room id and user id where the user holds this role now."""
        return {
            (room.id, user_id)
            for room in self.rooms.values()
            for user_id in room.members
            if room.has_role(user_id, role)
        }

    def is_leader(self, room_id: str, user_id: str) -> bool:
        """Return whether this user leads this room now."""
        return self.rooms[room_id].has_role(user_id, "leader")

    def removals(self, room_id: str, user_id: str, role: str = "leader") -> int:
        """Return how often members of the room saw this role being taken from this user."""
        return self.record.removals(room_id, user_id, role)

    def calls_for(self, room_id: str, user_id: str) -> list[Call]:
        """Return the calls that named this room and this user, in the order of arrival."""
        return self.record.calls_for(room_id, user_id)
