"""Table of the server's errors: the only place that knows Rocket.Chat's error types.

The first match wins. The error type (the field, or the square brackets at the end of the message) is looked up
before the status, because very old servers sent 'too many requests' as a 400. Only Rocket.Chat's own JSON with a
status below 500 has an error type that counts: a proxy, a firewall or a failing server can send any text.
"""

from enum import Enum, auto
from typing import NamedTuple

from rolecall.models import Outcome


class Action(Enum):
    """What to do after a response."""

    FINISH = auto()
    """The row is finished."""
    RETRY = auto()
    """Another attempt may get a better response."""
    BACK_OFF = auto()
    """Rate limited: nothing was carried out, all rows wait, and the attempt does not count."""
    STOP = auto()
    """Every further row would fail in the same way: the run ends."""


class ErrorScope(Enum):
    """What an error concerns beside its own row."""

    ROW = auto()
    ROOM = auto()
    """The room: its other rows would fail in the same way."""
    WORKSPACE = auto()
    """Rocket.Chat itself did not respond: several of these in a row are an outage."""
    CREDENTIALS = auto()
    """The account or its token."""
    ROUTE = auto()
    """The method does not exist: wrong URL or wrong server."""


class Answer(Enum):
    """What a response proves about its call."""

    DONE = auto()
    """200 with `success: true`: the role is now as wanted."""
    NOOP = auto()
    """Rocket.Chat's typed 400: the role was as wanted before the call."""
    REFUSED = auto()
    """Rocket.Chat's typed error: the call was not carried out, and will not be."""
    NOT_DONE = auto()
    """The call was certainly not carried out: no connection, rate limited, credentials not accepted."""
    DOUBT = auto()
    """Anything else: the call may have been carried out."""


class ErrorRule(NamedTuple):
    """One line of the table."""

    reason: str
    outcome: Outcome
    """The outcome of the row if this is the last attempt."""
    action: Action
    hint: str
    """What the operator can do; empty if there is nothing to do."""
    scope: ErrorScope = ErrorScope.ROW
    maybe_done: bool = False
    """True if the call may have been carried out in spite of the error."""

    @property
    def answer(self) -> "Answer":
        """The class of responses that this rule belongs to."""
        if self.maybe_done:
            return Answer.DOUBT
        if self.action is not Action.FINISH:
            return Answer.NOT_DONE
        if self.outcome is Outcome.FAILED:
            return Answer.REFUSED
        return Answer.DONE if self.outcome in (Outcome.REMOVED, Outcome.ADDED) else Answer.NOOP


def _refusal(reason: str, hint: str, scope: ErrorScope = ErrorScope.ROW) -> ErrorRule:
    return ErrorRule(reason, Outcome.FAILED, Action.FINISH, hint, scope)


def _fault(reason: str, hint: str, *, maybe_done: bool, scope: ErrorScope = ErrorScope.WORKSPACE) -> ErrorRule:
    outcome = Outcome.UNKNOWN if maybe_done else Outcome.FAILED
    return ErrorRule(reason, outcome, Action.RETRY, hint, scope, maybe_done)


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
USER_NOT_IN_ROOM = _refusal("user_not_in_room", "the user is not a member of the room, so has no role in it")
NOT_ALLOWED = _refusal(
    "not_allowed",
    "the account lacks the permission (such as 'set-leader') in this room: make it an owner of the room or an admin",
    ErrorScope.ROOM,
)
LAST_OWNER = _refusal("last_owner", "the user is the room's last owner: make another member an owner first")
BAD_REQUEST = _refusal("bad_request", "the server did not accept the ids: check them for stray characters")
TWO_FACTOR = _refusal(
    "two_factor_required",
    "the server requires a second factor: use a personal access token created with 'Ignore Two Factor'",
)
FORBIDDEN = _refusal(
    "forbidden",
    "the account may not use this method at all: give its role the permission (such as 'set-leader')",
    ErrorScope.CREDENTIALS,
)
RATE_LIMITED = ErrorRule(
    "rate_limited",
    Outcome.FAILED,
    Action.BACK_OFF,
    "the workspace limits the request rate; accounts with the permission 'api-bypass-rate-limit' are not limited",
)
UNAUTHORIZED = ErrorRule(
    "unauthorized",
    Outcome.NOT_ATTEMPTED,
    Action.STOP,
    "the token or user id is wrong, expired or revoked: create a new personal access token",
    ErrorScope.CREDENTIALS,
)
NO_SUCH_ROUTE = ErrorRule(
    "no_such_route",
    Outcome.UNKNOWN,
    Action.STOP,
    "the server does not know this method: check the workspace's URL and the server's version",
    ErrorScope.ROUTE,
    maybe_done=True,
)
SERVER_ERROR = _fault(
    "server_error",
    "the workspace failed on this row: see its log; run the same command again",
    maybe_done=True,
    scope=ErrorScope.ROW,
)
SERVER_EXCEPTION = _fault(
    "server_exception",
    "the server failed on this row without naming an error: see its log; run the same command again",
    maybe_done=True,
    scope=ErrorScope.ROW,
)
UNKNOWN_ERROR = _fault(
    "unknown_error",
    "an error that Rolecall does not know: see the server's text in 'message'; run the same command again",
    maybe_done=True,
    scope=ErrorScope.ROW,
)
PROXY_ERROR = _fault(
    "proxy_error",
    "the proxy in front of the workspace failed; run the same command again",
    maybe_done=True,
)
REDIRECTED = _fault(
    "redirected",
    "the URL redirects elsewhere (a login page? http instead of https?): correct the workspace's URL",
    maybe_done=True,
)
UNTRUSTED = _fault(
    "untrusted_answer",
    "the response is not Rocket.Chat's JSON (a login page? a captive portal?); run the same command again",
    maybe_done=True,
)
CACHED = _fault(
    "cached_response",
    "a cache in front of the workspace answered with an old response, which says nothing about now: exclude /api/ from "
    "it",
    maybe_done=False,
    scope=ErrorScope.ROW,
)
CONNECT_FAILED = _fault(
    "connect_failed", "no connection to the workspace: check the server and the network", maybe_done=False
)
ANSWER_LOST = _fault(
    "answer_lost",
    "the connection broke before the response arrived; run the same command again",
    maybe_done=True,
)
TIMEOUT = _fault("timeout", "no response in time; run the same command again", maybe_done=True)
NOT_AWAITED = _fault(
    "cancelled_in_flight",
    "the run ended while the call was in flight; run the same command again",
    maybe_done=True,
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
    "totp-invalid": TWO_FACTOR,
    "error-unauthorized": FORBIDDEN,
    "error-too-many-requests": RATE_LIMITED,
}
BY_MESSAGE = {"User not found.": USER_NOT_FOUND, "error-not-authorized": FORBIDDEN}
"""Errors of read endpoints without an error type, by their message; `users.info` and `rooms.adminRooms` send them."""
BY_STATUS = {401: UNAUTHORIZED, 403: FORBIDDEN, 404: NO_SUCH_ROUTE}
"""Rules for Rocket.Chat's own JSON without a known error type."""
TOO_MANY_REQUESTS = 429
BY_FOREIGN_STATUS = {
    TOO_MANY_REQUESTS: RATE_LIMITED,
    500: SERVER_ERROR,
    # A proxy's status never proves that the call was not carried out: Envoy sends 503 if the connection broke after
    # the workspace had acted, Cloudflare sends 522 also if an established connection stays silent.
    **dict.fromkeys((502, 503, 504, *range(520, 528)), PROXY_ERROR),
}
"""Rules that hold whoever sent the response."""
BY_NO_REPLY = {rule.reason: rule for rule in (CONNECT_FAILED, ANSWER_LOST, TIMEOUT)}

RULES = {
    rule.reason: rule
    for rule in (
        *BY_ERROR_TYPE.values(),
        *BY_STATUS.values(),
        *BY_FOREIGN_STATUS.values(),
        *BY_NO_REPLY.values(),
        ROOM_NOT_JOINED,
        SERVER_EXCEPTION,
        UNKNOWN_ERROR,
        REDIRECTED,
        UNTRUSTED,
        CACHED,
        NOT_AWAITED,
    )
}
"""The rule of every reason that a response can have."""
