"""The state of one workspace, without a socket, and the record of its calls and changes."""

from collections import Counter
from collections.abc import Iterable

from rolecall.sandbox.entities import (
    BYPASS_RATE_LIMIT,
    DEFAULT_PERMISSIONS,
    NO_ROLE_PRIORITY,
    ROLE_DESCRIPTIONS,
    ROLE_PRIORITIES,
    Call,
    Login,
    Paging,
    Post,
    RoleWrite,
    Room,
    RoomType,
    SystemMessage,
    User,
    Webhook,
)

NEWER = (8, 7)
"""From this release on the server validates bodies before the limiter, and counts exempt accounts; 8.6.1 does not."""


class Record:
    """The append-only record of one workspace: its calls, its role changes, and the messages of its rooms."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.role_writes: list[RoleWrite] = []
        self.history: list[SystemMessage | Post] = []
        """Every message of every room, in the order in which they were saved."""
        self._role_messages: Counter[tuple[str, ...]] = Counter()

    def save(self, message: SystemMessage | Post) -> None:
        """Append one message to the history of its room."""
        self.history.append(message)
        if isinstance(message, SystemMessage):
            self._role_messages[message.type, message.room_id, message.user_id, message.role] += 1

    @property
    def messages(self) -> list[SystemMessage]:
        """The system messages, in the order in which they were saved."""
        return [message for message in self.history if isinstance(message, SystemMessage)]

    @property
    def posts(self) -> list[Post]:
        """The posted messages, in the order in which they were saved."""
        return [message for message in self.history if isinstance(message, Post)]

    def calls_for(self, room_id: str, user_id: str) -> list[Call]:
        """Return the calls for this room and this user, in the order of arrival."""
        return [call for call in self.calls if (call.room_id, call.user_id) == (room_id, user_id)]

    def writes_for(self, room_id: str, user_id: str, role: str = "leader") -> list[RoleWrite]:
        """Return the changes of this role of this user, in their order."""
        key = (room_id, user_id, role)
        return [write for write in self.role_writes if (write.room_id, write.user_id, write.role) == key]

    def removers(self, room_id: str, user_id: str, role: str = "leader") -> list[str]:
        """Return the ids of the accounts that really removed this role, in their order; empty if it was not there."""
        writes = self.writes_for(room_id, user_id, role)
        return [write.caller_id for write in writes if write.had_role and not write.adds]

    def removals(self, room_id: str, user_id: str, role: str = "leader") -> int:
        """Return how often this role was removed from this user, counted by system messages in the room.

        The server also posts a message where there was no role; `removers` counts only real removals.
        """
        return self._role_messages["subscription-role-removed", room_id, user_id, role]


class World:
    """The whole state of a workspace, without a socket.

    `version` selects the server's behaviour; 8.6.1 is the release that the default was measured with. Accounts with one
    of `bypass_roles` are not rate limited. `unsafe_queries` is the setting `ALLOW_UNSAFE_QUERY_AND_FIELDS_API_PARAMS`,
    which has an effect on 7.x and 8.x only.
    """

    def __init__(
        self,
        *,
        version: str = "8.6.1",
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
        self.role_descriptions = dict(ROLE_DESCRIPTIONS)
        """Role to description; `groups.roles` does not list a role whose description is empty."""
        self.hidden_types: frozenset[str] = frozenset()
        """The setting `Hide_System_Messages`: the types of system messages that the workspace hides."""
        self.now = 0.0
        """The server's clock in epoch seconds, set for each call."""
        self.fail_after_writes: int | None = None
        """A fault of the database during this call: after how many writes of a role change; None if it is healthy."""
        self.record = Record()
        self._sessions = 0

    @property
    def is_newer(self) -> bool:
        """Whether this server validates bodies before the limiter and counts exempt accounts."""
        return self.release >= NEWER

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

    def join(self, room_id: str, user_id: str, roles: Iterable[str] | None = None) -> None:
        """Make a user a member of a room with these roles; None means a subscription without `roles`."""
        self.rooms[room_id].members[user_id] = None if roles is None else list(roles)
        self.synchronise_priority(room_id, user_id)

    def synchronise_priority(self, room_id: str, user_id: str) -> None:
        """Set the stored priority of a member to the one of the member's roles."""
        room = self.rooms[room_id]
        priorities = [ROLE_PRIORITIES.get(role, NO_ROLE_PRIORITY) for role in room.members[user_id] or ()]
        room.priorities[user_id] = min(priorities, default=NO_ROLE_PRIORITY)

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
        """Forbid a whole route to every account with 403, or with the 401 of a proxy."""
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
        """Return the user with this username, in upper or lower case."""
        wanted = username.lower()
        return next((user for user in self.users.values() if user.username and user.username.lower() == wanted), None)

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

    def had_role_before(self, room_id: str, user_id: str, role: str = "leader") -> bool:
        """Return whether this user had this role before the first recorded change of it."""
        writes = self.record.writes_for(room_id, user_id, role)
        if writes:
            return writes[0].had_role
        room = self.rooms.get(room_id)
        return room is not None and room.has_role(user_id, role)

    def removers(self, room_id: str, user_id: str, role: str = "leader") -> list[str]:
        """Return the ids of the accounts that really removed this role, in their order."""
        return self.record.removers(room_id, user_id, role)

    def removals(self, room_id: str, user_id: str, role: str = "leader") -> int:
        """Return how often this role was removed from this user, counted by system messages in the room."""
        return self.record.removals(room_id, user_id, role)

    def calls_for(self, room_id: str, user_id: str) -> list[Call]:
        """Return the calls for this room and this user, in the order of arrival."""
        return self.record.calls_for(room_id, user_id)
