"""Which workspace and room roles have a permission before an administrator changes it, as the server ships them.

Only permissions that some route here asks for are listed.
"""

from collections.abc import Iterable

BYPASS_RATE_LIMIT = "api-bypass-rate-limit"

_OWNERS = frozenset({"admin", "owner"})
_ADMINS = frozenset({"admin"})

DEFAULTS = {
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


def permissions(bypass_roles: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the permissions of a new workspace, with these roles not being rate limited."""
    return {**DEFAULTS, BYPASS_RATE_LIMIT: frozenset(bypass_roles)}
