"""Classify responses with the error table. Pure functions."""

import re
from enum import Enum, auto
from typing import NamedTuple

import orjson

from rolecall.models import NoReply, Outcome, Reply
from rolecall.rocketchat.error_table import (
    BY_ERROR_TYPE,
    BY_FOREIGN_STATUS,
    BY_MESSAGE,
    BY_NO_REPLY,
    BY_STATUS,
    CACHED,
    NO_SUCH_ROUTE,
    REDIRECTED,
    SERVER_ERROR,
    SERVER_EXCEPTION,
    TOO_MANY_REQUESTS,
    UNKNOWN_ERROR,
    UNTRUSTED,
    USER_NOT_IN_ROOM,
    Action,
    ErrorRule,
)
from rolecall.rocketchat.operations import DONE, NOTHING_TO_DO, Operation, Role
from rolecall.rocketchat.rate_limit_headers import cache_age, retry_delay, server_date

MAX_MESSAGE_LENGTH = 1000
"""Characters of the server's message that are kept."""
MAX_ERROR_TYPE_LENGTH = 100
MAX_PAGE_SIZE = 4096
"""Bytes of an HTML page that are searched for text."""
MAX_PAGE_TEXT_LENGTH = 200
"""Characters of an HTML page's text that are kept."""
DEFAULT_RETRY_DELAY = 1.0
"""Seconds to wait after 'too many requests' if the response gives no time, or gives zero."""

_BRACKETED = re.compile(r"\[([A-Za-z0-9_-]{1,80})\]\s*$")
_TAGS = re.compile(r"<(style|script)\b.*?</\1\s*>|<[^>]*>", re.DOTALL)


class CallResult(NamedTuple):
    """The classification of one call."""

    rule: ErrorRule
    error_type: str
    message: str
    """The server's message, unsanitised; or ours if there was no response."""
    status: int | None
    """The HTTP status; None if there was no response."""


class MatchedBy(Enum):
    """The part of a response that decided its classification."""

    SUCCESS = auto()
    """A 200 with `success: true`."""
    FIELD = auto()
    """The field `errorType`."""
    BRACKETS = auto()
    """The error type in square brackets at the end of the message; the field is missing."""
    STATUS = auto()
    """The HTTP status."""
    UNKNOWN_REFUSAL = auto()
    """An error of Rocket.Chat without an error type, or with one that is not in the table."""
    UNTRUSTED = auto()
    """Nothing: neither a success nor an error that Rocket.Chat would send."""
    NO_REPLY = auto()
    """There was no response."""


class Explanation(NamedTuple):
    """The classification of one call, and the reason for it."""

    verdict: CallResult
    matched_by: MatchedBy


class ReadResult(NamedTuple):
    """The classification of one read call, with the JSON object that was read."""

    verdict: CallResult
    body: dict[str, object] | None
    """None if the call failed; the verdict says why."""
    date: float | None = None
    """The server's clock when it responded: epoch seconds; None if it is not known."""


class ServerError(NamedTuple):
    """The error type in a response."""

    error_type: str
    """Empty if there is none."""
    in_field: bool
    """True if it is in the field `errorType`, False if it is in square brackets at the end of the message."""


_NO_ERROR = ServerError("", in_field=False)
_NOT_FOUND = b"404 Not Found"
_NOT_FOUND_BEFORE = {"status": "error", "message": "API endpoint does not exist"}
_PLAIN_SUCCESS = b'{"success":true}'
_DONE = {outcome: CallResult(ErrorRule("", outcome, Action.FINISH, ""), "", "", 200) for outcome in DONE}
_NOTHING_TO_DO = {outcome: ErrorRule("", outcome, Action.FINISH, "") for outcome in NOTHING_TO_DO}
_READ = CallResult(ErrorRule("", Outcome.NOT_ATTEMPTED, Action.FINISH, ""), "", "", 200)
_NO_SUCH_READ_ROUTE = NO_SUCH_ROUTE._replace(outcome=Outcome.FAILED, action=Action.FINISH, maybe_done=False)


def classify(reply: Reply | NoReply, operation: Operation) -> CallResult:
    """Classify the response to an operation's call."""
    if isinstance(reply, Reply) and reply.status == 200 and reply.body == _PLAIN_SUCCESS:
        return _DONE[operation.done]
    return explain(reply, operation).verdict


def explain(reply: Reply | NoReply, operation: Operation) -> Explanation:
    """Classify like `classify`, and return the part of the response that decided."""
    if isinstance(reply, NoReply):
        return Explanation(_classify_no_reply(reply), MatchedBy.NO_REPLY)
    body = parse_object(reply.body)
    if _is_success(reply, body):
        return Explanation(_DONE[operation.done], MatchedBy.SUCCESS)
    error = parse_error(body)
    if _is_rocketchat_error(reply, body):
        if reply.status == 400 and error.error_type == operation.noop_error_type:
            rule = _NOTHING_TO_DO[operation.nothing_to_do]
            return Explanation(_result(rule, reply, body, error), _place_of(error))
        if error.error_type == "error-invalid-room" and _means_no_member(operation):
            return Explanation(_result(USER_NOT_IN_ROOM, reply, body, error), _place_of(error))
    return _classify_error(reply, body, error)


def _means_no_member(operation: Operation) -> bool:
    """Return whether `error-invalid-room` of this method means that the user is not a member."""
    return not operation.adds and operation.role is not Role.LEADER


def classify_read(reply: Reply | NoReply) -> ReadResult:
    """Classify the response to a read call.

    A missing route does not stop the run: an older server may not have it. An old response of a cache says nothing.
    """
    if isinstance(reply, NoReply):
        return ReadResult(_classify_no_reply(reply), None)
    if reply.status < 500 and reply.status != TOO_MANY_REQUESTS and (age := cache_age(reply.headers)):
        return ReadResult(CallResult(CACHED, "", f"the response is {age} s old", reply.status), None)
    body = parse_object(reply.body)
    if _is_success(reply, body):
        return ReadResult(_READ, body, server_date(reply.headers))
    verdict = _classify_error(reply, body, parse_error(body)).verdict
    if verdict.rule is SERVER_EXCEPTION and (known := BY_MESSAGE.get(verdict.message)):
        return ReadResult(verdict._replace(rule=known), None)
    return ReadResult(verdict._replace(rule=_NO_SUCH_READ_ROUTE) if verdict.rule is NO_SUCH_ROUTE else verdict, None)


def rate_limit_delay(reply: Reply | NoReply) -> float | None:
    """Return how many seconds to wait before the call is repeated; None if it was not rate limited."""
    if isinstance(reply, NoReply) or classify_read(reply).verdict.rule.action is not Action.BACK_OFF:
        return None
    return retry_delay(reply) or DEFAULT_RETRY_DELAY


def parse_object(body: bytes) -> dict[str, object] | None:
    """Parse a body as a JSON object; None if it is anything else."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def parse_error(body: dict[str, object] | None) -> ServerError:
    """Parse the error type: the field, or else the square brackets at the end of the message."""
    if body is None:
        return _NO_ERROR
    field = body.get("errorType")
    if isinstance(field, str) and field:
        return ServerError(field[:MAX_ERROR_TYPE_LENGTH], in_field=True)
    bracketed = _BRACKETED.search(_message(body))
    return ServerError(bracketed[1], in_field=False) if bracketed else _NO_ERROR


def _is_success(reply: Reply, body: dict[str, object] | None) -> bool:
    return reply.status == 200 and body is not None and body.get("success") is True


def _classify_no_reply(reply: NoReply) -> CallResult:
    rule = BY_NO_REPLY[reply.reason]
    if reply.maybe_sent != rule.maybe_done:
        outcome = Outcome.UNKNOWN if reply.maybe_sent else Outcome.FAILED
        rule = rule._replace(maybe_done=reply.maybe_sent, outcome=outcome)
    return CallResult(rule, "", reply.detail, None)


def _is_rocketchat_error(reply: Reply, body: dict[str, object] | None) -> bool:
    """Return whether this is Rocket.Chat's own refusal: its JSON, below 500; an older server's 401 has no `success`."""
    if body is None or not 400 <= reply.status < 500:
        return False
    return body.get("success") is False or (reply.status == 401 and body.get("status") == "error")


def _is_missing_route(reply: Reply) -> bool:
    """Return whether this is the server's 404 for a method that it does not know: text, JSON on older servers."""
    body = reply.body.strip()
    return reply.status == 404 and (body == _NOT_FOUND or parse_object(body) == _NOT_FOUND_BEFORE)


def _classify_error(reply: Reply, body: dict[str, object] | None, error: ServerError) -> Explanation:
    rule, matched_by = _find_rule(reply, body, error)
    return Explanation(_result(rule, reply, body, error), matched_by)


def _find_rule(reply: Reply, body: dict[str, object] | None, error: ServerError) -> tuple[ErrorRule, MatchedBy]:
    status = reply.status
    if status == TOO_MANY_REQUESTS:  # its text does not matter: the call was not carried out
        return BY_FOREIGN_STATUS[status], MatchedBy.STATUS
    if _is_rocketchat_error(reply, body):
        if by_type := BY_ERROR_TYPE.get(error.error_type):
            return by_type, _place_of(error)
        if by_status := BY_STATUS.get(status):
            return by_status, MatchedBy.STATUS
        return (UNKNOWN_ERROR if error.error_type else SERVER_EXCEPTION), MatchedBy.UNKNOWN_REFUSAL
    if by_status := BY_FOREIGN_STATUS.get(status):
        return by_status, MatchedBy.STATUS
    if status >= 500:
        return SERVER_ERROR, MatchedBy.STATUS
    if 300 <= status < 400:
        return REDIRECTED, MatchedBy.STATUS
    if _is_missing_route(reply):
        return NO_SUCH_ROUTE, MatchedBy.STATUS
    # A page or JSON of a proxy, a firewall or a captive portal: the sender and the effect of the call are unknown.
    return UNTRUSTED, MatchedBy.UNTRUSTED


def _result(rule: ErrorRule, reply: Reply, body: dict[str, object] | None, error: ServerError) -> CallResult:
    message = _page_text(reply.body) if body is None else _message(body)[:MAX_MESSAGE_LENGTH]
    return CallResult(rule, error.error_type, message, reply.status)


def _place_of(error: ServerError) -> MatchedBy:
    return MatchedBy.FIELD if error.in_field else MatchedBy.BRACKETS


def _message(body: dict[str, object]) -> str:
    """Return the server's message; empty if there is none."""
    for name in ("error", "message"):
        value = body.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def _page_text(body: bytes) -> str:
    """Return the start of a body that is not JSON, without HTML tags."""
    text = _TAGS.sub(" ", body[:MAX_PAGE_SIZE].decode(errors="replace"))
    return " ".join(text.split())[:MAX_PAGE_TEXT_LENGTH]
