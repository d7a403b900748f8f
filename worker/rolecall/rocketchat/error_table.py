"""What each answer of the server means: one table, the only place that knows Rocket.Chat's error names.

The first match wins: the error type (or, where that field is missing, the one in square brackets at the end of
the error text) before the status, because very old servers sent 'too many requests' as a 400.
"""

from enum import Enum, auto
from typing import NamedTuple

from rolecall.models import Outcome


class Action(Enum):
    """What to do after an answer."""

    FINISH = auto()
    """The row has come to its end."""
    RETRY = auto()
    """Another attempt may bring a better answer."""
    BACK_OFF = auto()
    """Rate limited: nothing was carried out; all rows wait, and the attempt does not count."""
    STOP = auto()
    """True for every further row: the run ends."""


class ErrorScope(Enum):
    """How far an answer reaches beyond its row."""

    ROW = auto()
    ROOM = auto()
    """The room itself is the trouble: its other rows would be told the same."""
    WORKSPACE = auto()
    """Rocket.Chat itself did not answer: enough of these in a row are an outage."""
    CREDENTIALS = auto()
    """The account or its token is the trouble."""
    ROUTE = auto()
    """The method is not there: wrong address or wrong server."""


class ErrorRule(NamedTuple):
    """One line of the table."""

    reason: str
    outcome: Outcome
    """What the row is told when this is the last word."""
    action: Action
    hint: str
    """What a person can do about it; empty where there is nothing to do."""
    scope: ErrorScope = ErrorScope.ROW
    maybe_done: bool = False
    """True when the call may have been carried out all the same."""


def _refusal(reason: str, hint: str, scope: ErrorScope = ErrorScope.ROW) -> ErrorRule:
    return ErrorRule(reason, Outcome.FAILED, Action.FINISH, hint, scope)


def _fault(reason: str, hint: str, *, maybe_done: bool, scope: ErrorScope = ErrorScope.WORKSPACE) -> ErrorRule:
    outcome = Outcome.UNKNOWN if maybe_done else Outcome.FAILED
    return ErrorRule(reason, outcome, Action.RETRY, hint, scope, maybe_done)


CONFIRMED_ON_RETRY = ErrorRule(
    "confirmed_on_retry",
    Outcome.REMOVED,
    Action.FINISH,
    "an earlier attempt's answer was lost and the server now says 'nothing to do': that attempt most probably did it",
)
ROOM_NOT_FOUND = _refusal(
    "room_not_found",
    "no such room of this kind, or a private group that the account is not a member of; an admin too must join first",
    ErrorScope.ROOM,
)
ROOM_NOT_JOINED = _refusal(
    "room_not_joined",
    "the group exists, but the account is not a member of it; an admin too must join first",
    ErrorScope.ROOM,
)
ROOM_ARCHIVED = _refusal("room_archived", "unarchive the group, run these rows, archive it again", ErrorScope.ROOM)
USER_NOT_FOUND = _refusal("user_not_found", "no such user, or one without a username: check the id")
USER_NOT_IN_ROOM = _refusal("user_not_in_room", "the user is not a member of the group, so leads nothing there")
NOT_ALLOWED = _refusal(
    "not_allowed",
    "the account lacks 'set-leader' (or its like) in this room: make it an owner of the room or an admin",
    ErrorScope.ROOM,
)
LAST_OWNER = _refusal("last_owner", "the user is the room's last owner: make somebody else an owner first")
BAD_REQUEST = _refusal("bad_request", "the server did not accept the ids: check them for stray characters")
TWO_FACTOR = _refusal(
    "two_factor_required",
    "the server asks for a second factor: use a personal access token made with 'Ignore Two Factor'",
)
FORBIDDEN = _refusal(
    "forbidden",
    "the account may not use this method at all: give its role the permission 'set-leader' (or its like)",
    ErrorScope.CREDENTIALS,
)
REFUSED = _refusal("refused", "a refusal that Rolecall does not know: read the server's words in 'message'")
RATE_LIMITED = ErrorRule(
    "rate_limited",
    Outcome.FAILED,
    Action.BACK_OFF,
    "the workspace limits calls; the permission 'api-bypass-rate-limit' lifts that",
)
UNAUTHORIZED = ErrorRule(
    "unauthorized",
    Outcome.NOT_ATTEMPTED,
    Action.STOP,
    "the token or user id is wrong, expired or revoked: make a new personal access token",
    ErrorScope.CREDENTIALS,
)
NO_SUCH_ROUTE = ErrorRule(
    "no_such_route",
    Outcome.NOT_ATTEMPTED,
    Action.STOP,
    "the server does not know this method: check the workspace's address and version",
    ErrorScope.ROUTE,
)
SERVER_ERROR = _fault(
    "server_error",
    "the workspace failed on this row; look into its log; the same command settles the row",
    maybe_done=True,
    scope=ErrorScope.ROW,
)
PROXY_ERROR = _fault(
    "proxy_error", "the proxy in front of the workspace failed; the same command settles the row", maybe_done=True
)
REDIRECTED = _fault(
    "redirected",
    "the address leads elsewhere (a login page? http for https?): correct ROCKETCHAT_URL",
    maybe_done=False,
)
UNTRUSTED = _fault(
    "untrusted_answer",
    "something answered that is not Rocket.Chat's JSON (a login page? a portal?); the same command settles the row",
    maybe_done=True,
)
CONNECT_FAILED = _fault("connect_failed", "no connection to the workspace: is it up, is the network?", maybe_done=False)
ANSWER_LOST = _fault(
    "answer_lost", "the connection broke before the answer came; the same command settles the row", maybe_done=True
)
TIMEOUT = _fault("timeout", "no answer in time; the same command settles the row", maybe_done=True)
NOT_AWAITED = _fault(
    "cancelled_in_flight", "the run ended while the call was under way; the same command settles it", maybe_done=True
)

BY_ERROR_TYPE = {
    "error-room-not-found": ROOM_NOT_FOUND,
    "error-invalid-room": ROOM_NOT_FOUND,
    "error-room-archived": ROOM_ARCHIVED,
    "error-invalid-user": USER_NOT_FOUND,
    "error-user-not-found": USER_NOT_FOUND,
    "error-user-not-in-room": USER_NOT_IN_ROOM,
    "error-not-allowed": NOT_ALLOWED,
    "error-action-not-allowed": NOT_ALLOWED,
    "error-remove-last-owner": LAST_OWNER,
    "error-room-param-not-provided": BAD_REQUEST,
    "error-roomid-param-not-provided": BAD_REQUEST,
    "error-user-param-not-provided": BAD_REQUEST,
    "error-invalid-params": BAD_REQUEST,
    "invalid-params": BAD_REQUEST,
    "totp-required": TWO_FACTOR,
    "error-unauthorized": FORBIDDEN,
    "error-too-many-requests": RATE_LIMITED,
}
BY_MESSAGE = {"User not found.": USER_NOT_FOUND}
"""Refusals that have no error type; `users.info` has one."""
BY_STATUS = {
    401: UNAUTHORIZED,
    403: FORBIDDEN,
    404: NO_SUCH_ROUTE,
    429: RATE_LIMITED,
    500: SERVER_ERROR,
    # A proxy's word never proves that nothing was done: Envoy says 503 of a connection that broke after the workspace
    # had acted, Cloudflare says 522 also when an established one stays silent.
    **dict.fromkeys((502, 503, 504, *range(520, 528)), PROXY_ERROR),
}
BY_NO_REPLY = {meaning.reason: meaning for meaning in (CONNECT_FAILED, ANSWER_LOST, TIMEOUT)}

HINTS = {
    meaning.reason: meaning.hint
    for meaning in (
        *BY_ERROR_TYPE.values(),
        *BY_STATUS.values(),
        *BY_NO_REPLY.values(),
        CONFIRMED_ON_RETRY,
        ROOM_NOT_JOINED,
        REFUSED,
        REDIRECTED,
        UNTRUSTED,
        NOT_AWAITED,
    )
}
"""Every reason that an answer can give, with what a person can do about it."""
