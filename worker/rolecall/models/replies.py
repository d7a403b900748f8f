"""What the workspace returned: replies to single requests, and the results of looking up users and rooms."""

from collections.abc import Mapping
from typing import NamedTuple

MAX_RESPONSE_SIZE = 65_536
"""Bytes of a response body that are read. Rocket.Chat's responses to role changes have some hundred bytes."""


class Reply(NamedTuple):
    """A complete response; its body is cut at the client's limit."""

    status: int
    headers: Mapping[str, str]
    """Names are not case-sensitive."""
    body: bytes
    sent_at: float
    """When the request was sent, in seconds of the run's monotonic clock."""
    received_at: float
    """When the response was read, in seconds of the run's monotonic clock."""


class NoReply(NamedTuple):
    """No usable response: the connection failed, broke or timed out."""

    reason: str
    """A short stable word such as `timeout`: the `reason` in the report."""
    detail: str
    """One sentence for people, without credentials."""
    maybe_sent: bool
    """True when the request may have reached the workspace, so that it may have been carried out."""
    certificate_refused: bool = False
    """True when the connection failed because the server's TLS certificate is not trusted."""
    by_proxy: bool = False
    """True when the configured proxy failed, not the workspace."""


class RoleAssignment(NamedTuple):
    """One user who has the role in one room."""

    room_id: str
    user_id: str
    room_name: str
    username: str
    name: str
    roles: tuple[str, ...]
    """Every role of the user in this room, in alphabetical order."""
    active: bool | None
    """False for a deactivated account; None if the server did not return it."""


class LookupGap(NamedTuple):
    """Something that the account could not read, so that rows may be missing."""

    reason: str
    """A short stable word such as `room_not_joined`."""
    what: str
    """The user, room or list, as the command line or the list file names it."""
    detail: str = ""
    """The server's own message if it says more than the reason."""


class LookupResult(NamedTuple):
    """The result of looking up one user, room or list."""

    target_key: str
    """Identifies the target; the same in every session of the same command."""
    subject_id: str = ""
    """The id of the user or room; empty if not known."""
    rows: tuple[RoleAssignment, ...] = ()
    gap: LookupGap | None = None
    note: str = ""
    """What a person should know about this result; empty if there is nothing."""
