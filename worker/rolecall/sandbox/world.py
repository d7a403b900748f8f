"""The state of one workspace: users, rooms, roles, permissions, sessions, and the record of its calls."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rolecall.sandbox.call_log import Call, Record

RoomType = Literal["p", "c", "d"]
"""`p` is a private group, `c` a public channel, `d` a direct conversation."""

ROOM_ROLES = ("leader", "moderator", "owner")

BYPASS_RATE_LIMIT = "api-bypass-rate-limit"

_OWNERS = frozenset({"admin", "owner"})
_ADMINS = frozenset({"admin"})

DEFAULT_PERMISSIONS = {
    "access-permissions": _ADMINS,
    BYPASS_RATE_LIMIT: frozenset({"admin", "bot", "app"}),
    "create-d": frozenset({"admin", "user", "bot", "app"}),
    "set-leader": _OWNERS,
    "set-moderator": _OWNERS,
    "set-owner": _OWNERS,
    "view-c-room": frozenset({"admin", "user", "bot", "app", "anonymous"}),
    "view-d-room": frozenset({"admin", "user", "bot", "app", "guest"}),
    "view-full-other-user-info": _ADMINS,
    "view-joined-room": frozenset({"guest", "bot", "app", "anonymous"}),
    "view-other-user-channels": _ADMINS,
    "view-room-administration": _ADMINS,
    "view-statistics": _ADMINS,
}
"""The workspace and room roles that have each permission on a newly installed server; only those used here."""


class Paging(NamedTuple):
    """The settings of a workspace that limit the length of a page."""

    default: int = 50
    """`API_Default_Count`: the number of items if `count` is absent."""
    upper: int = 100
    """`API_Upper_Count_Limit`: a larger `count` is silently reduced to this."""
    infinite: bool = True
    """`API_Allow_Infinite_Count`: whether `count=0` means all items; otherwise it means the default."""


@dataclass(slots=True)
class User:
    """One user; `username` is None for one who never completed the registration."""

    id: str
    username: str | None
    roles: tuple[str, ...]
    """The roles of the whole workspace, such as `admin`."""
    active: bool = True
    """False for a deactivated user: no login, not in member lists, but every subscription and role stays."""
    name: str = ""
    """The display name; empty if there is none."""
    email: str = ""


@dataclass(slots=True)
class Login:
    """The credentials of a user."""

    password: str
    code: str = ""
    """The second factor; empty if none is required."""


class Webhook(NamedTuple):
    """One incoming webhook: a message that is posted to it appears in its room."""

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
    """User id to the roles of that subscription; None if it has no `roles` field at all."""

    def has_role(self, user_id: str, role: str) -> bool:
        """Return whether this user has this role here."""
        return role in (self.members.get(user_id) or ())

    def count_role(self, role: str) -> int:
        """Return the number of members with this role."""
        return sum(role in (roles or ()) for roles in self.members.values())


class World:
    """The whole state of a workspace, without a socket.

    `version` selects the server's behaviour: from 8.0.0 on it validates bodies against a schema and rejects a
    bad token with `{"success": false}`; an older one checks each parameter separately and rejects a bad token
    with `{"status": "error"}`. Accounts with one of `bypass_roles` are not rate limited. `unsafe_queries`
    is the setting `ALLOW_UNSAFE_QUERY_AND_FIELDS_API_PARAMS`, which has an effect on 7.x and 8.x only.
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
        self.webhooks: dict[str, Webhook] = {}
        self.permissions = {**DEFAULT_PERMISSIONS, BYPASS_RATE_LIMIT: frozenset(bypass_roles)}
        self.record = Record()
        self._sessions = 0

    @property
    def is_legacy(self) -> bool:
        """Whether this is a server before 8.0.0."""
        return self.release < (8, 0)

    @property
    def release(self) -> tuple[int, int]:
        """Major and minor number of the version."""
        major, minor, *_ = (*self.version.split("."), "0")
        return int(major), int(minor)

    @property
    def supports_queries(self) -> bool:
        """Whether `query` and `fields` have an effect; if not, they are ignored or (from 9.0 on) rejected."""
        return self.release < (7, 0) or (self.unsafe_queries and self.release < (9, 0))

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
        """Add a user; an empty `username` is replaced by the id in lower case, None means no username."""
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
        """Allow a user to log in with this password and, if given, this second factor."""
        self.logins[user_id] = Login(password, code)

    def new_token(self, user_id: str) -> str:
        """Open a session for a user and return its token."""
        self._sessions += 1
        token = f"sandbox-session-{self._sessions}"
        self.tokens[token] = user_id
        return token

    def add_webhook(self, webhook_id: str, token: str, room_id: str, user_id: str) -> Webhook:
        """Add an incoming webhook that posts into this room as this user."""
        self.webhooks[webhook_id] = webhook = Webhook(webhook_id, token, room_id, user_id)
        return webhook

    def add_room(self, room_id: str, *, name: str = "", type: RoomType = "p", archived: bool = False) -> Room:
        """Add an empty room; an empty `name` is replaced by the id in lower case."""
        self.rooms[room_id] = room = Room(room_id, name or room_id.lower(), type, archived)
        return room

    def join(self, room_id: str, user_id: str, roles: Iterable[str] | None = ()) -> None:
        """Make a user a member of a room with these roles; None means a subscription without `roles`."""
        self.rooms[room_id].members[user_id] = None if roles is None else list(roles)

    def deactivate(self, user_id: str) -> None:
        """Deactivate an account: its tokens are revoked, its memberships and roles stay."""
        self.users[user_id].active = False
        self.tokens = {token: owner for token, owner in self.tokens.items() if owner != user_id}

    def grant(self, permission: str, role: str) -> None:
        """Give a permission to a role."""
        self.permissions[permission] = self.permissions[permission] | {role}

    def remove_permission(self, permission: str) -> None:
        """Remove a permission from every role."""
        self.permissions[permission] = frozenset()

    def revoke(self, token: str) -> None:
        """Revoke a token: every further call with it is unauthenticated."""
        self.tokens.pop(token, None)

    def forbid(self, route: str, status: int = 403) -> None:
        """Forbid a whole route to every account: with 403 as most versions do, or 401 as some of 8.x do."""
        self.forbidden[route] = status

    # Reading it

    def authenticate(self, user_id: str, token: str) -> str | None:
        """Return the id of the account that this user id and token belong to, or None."""
        return user_id if user_id and self.tokens.get(token) == user_id else None

    def has_permission(self, user_id: str, permission: str, room: Room | None = None) -> bool:
        """Return whether a user has a permission, by a role of the workspace or a role in this room."""
        roles = {*self.users[user_id].roles, *(room.members.get(user_id) or () if room else ())}
        return not roles.isdisjoint(self.permissions.get(permission, ()))

    def find_room_by_name(self, name: object) -> Room | None:
        """Return the room with this name."""
        return next((room for room in self.rooms.values() if room.name == name), None)

    def find_user_by_name(self, username: str) -> User | None:
        """Return the user with this username."""
        return next((user for user in self.users.values() if user.username == username), None)

    def find_user_by_email(self, email: str) -> User | None:
        """Return the user with this address, in upper or lower case."""
        return next((user for user in self.users.values() if user.email and user.email.lower() == email.lower()), None)

    def pairs_with_role(self, role: str) -> set[tuple[str, str]]:
        """Return the (room id, user id) pairs in which the user has this role now."""
        return {
            (room.id, user_id)
            for room in self.rooms.values()
            for user_id in room.members
            if room.has_role(user_id, role)
        }

    def is_leader(self, room_id: str, user_id: str) -> bool:
        """Return whether this user is a leader of this room now."""
        return self.rooms[room_id].has_role(user_id, "leader")

    @property
    def calls(self) -> list[Call]:
        """Every call that the workspace received, in the order of arrival."""
        return self.record.calls

    def removals(self, room_id: str, user_id: str, role: str = "leader") -> int:
        """Return how often this role was removed from this user, counted by system messages in the room."""
        return self.record.removals(room_id, user_id, role)

    def calls_for(self, room_id: str, user_id: str) -> list[Call]:
        """Return the calls for this room and this user, in the order of arrival."""
        return self.record.calls_for(room_id, user_id)
