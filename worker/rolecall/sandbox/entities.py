"""The values that a workspace consists of: users, rooms, roles and permissions, and the entries of its record."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

RoomType = Literal["p", "c", "d"]
"""`p` is a private group, `c` a public channel, `d` a direct conversation."""

ROOM_ROLES = ("leader", "moderator", "owner")

ROLE_PRIORITIES = {"owner": 0, "leader": 250, "moderator": 500}
NO_ROLE_PRIORITY = 10_000

ROLE_DESCRIPTIONS = {role: role.title() for role in ROOM_ROLES} | {"admin": "Admin", "bot": "", "guest": "", "user": ""}
"""The roles of a newly installed server and their descriptions; only those used here."""

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
    """User id to the roles of that subscription; None if it has no `roles` field, which is the normal case.

    Only the room's creator and members who once were given a role have the field, even when it is empty.
    """
    closed: set[str] = field(default_factory=set)
    """The members who hid the room."""
    invited: set[str] = field(default_factory=set)
    """Users with an open invitation, who are no members yet."""
    parent: str = ""
    """For a discussion the id of the room that it belongs to: its members may act in the discussion."""
    display_name: str = ""
    """The name that people see; empty for `name` itself. No route finds a room by it except the lists."""
    hidden_types: frozenset[str] | None = None
    """The types of system messages that the room hides; None for those of the workspace."""
    priorities: dict[str, int] = field(default_factory=dict)
    """User id to the priority of the user's roles, which the server stores separately."""
    is_team: bool = False
    """Whether the room is the main room of a team."""
    team_roles: dict[str, list[str] | None] = field(default_factory=dict)
    """User id to the roles in the team, which the server stores separately."""

    def has_role(self, user_id: str, role: str) -> bool:
        """Return whether this user has this role here."""
        return role in (self.members.get(user_id) or ())

    def count_role(self, role: str) -> int:
        """Return the number of members with this role."""
        return sum(role in (roles or ()) for roles in self.members.values())


# The entries of the record


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
    """True if a role change reached its first write, independent of the response and of what there was to change."""
    status: int
    """The HTTP status of the response; 0 if the connection was closed or hung without a response."""
    fault: str | None
    """The kind of the injected fault; None for a normal response."""
    caller_id: str = ""
    """The account that the request names in `X-User-Id`."""


class RoleWrite(NamedTuple):
    """One role change that reached its first write."""

    time: float
    """In epoch seconds of the server's clock."""
    caller_id: str
    """The account that changed the role."""
    room_id: str
    user_id: str
    role: str
    adds: bool
    """True if the role was added, False if it was removed."""
    had_role: bool
    """Whether the user had the role just before."""


class SystemMessage(NamedTuple):
    """One message that the server saves in a room when a role is added or removed."""

    type: str
    """`subscription-role-removed` or `subscription-role-added`."""
    room_id: str
    user_id: str
    """The user whose role was changed; the server's own document has only the username."""
    role: str
    username: str
    """The username of that user."""
    caller_id: str
    """The account that changed the role."""
    time: float
    """In epoch seconds of the server's clock."""


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
    time: float = 0.0
    """In epoch seconds of the server's clock."""
