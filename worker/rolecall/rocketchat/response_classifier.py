"""What an answer comes to: the table of meanings, looked up. Pure functions."""

from enum import Enum, auto
from typing import NamedTuple

from rolecall.models import NoReply, Outcome, Reply
from rolecall.rocketchat.error_table import (
    BY_ERROR_TYPE,
    BY_NO_REPLY,
    BY_STATUS,
    BY_WORDS,
    CONFIRMED_ON_RETRY,
    NO_SUCH_ROUTE,
    REDIRECTED,
    REFUSED,
    SERVER_ERROR,
    UNTRUSTED,
    Action,
    ErrorRule,
)
from rolecall.rocketchat.operations import DONE, NOTHING_TO_DO, Operation
from rolecall.rocketchat.response_body import ServerError, json_object, page_text, parse_error, plain_text


class CallResult(NamedTuple):
    """What one call came to."""

    rule: ErrorRule
    error_type: str
    message: str
    """The server's words, as they came (never shown without being cleaned)."""
    status: int | None


class MatchedBy(Enum):
    """What of an answer decided its meaning."""

    SUCCESS = auto()
    """A 200 with `success: true`."""
    FIELD = auto()
    """The error type in its field."""
    BRACKETS = auto()
    """The error type in square brackets at the end of the words; the field is missing."""
    WORDS = auto()
    """The words themselves; they have no error type."""
    STATUS = auto()
    """The HTTP status; an error type is missing or not known."""
    UNKNOWN_REFUSAL = auto()
    """It is Rocket.Chat's refusal, but the table knows neither its error type nor its status."""
    UNTRUSTED = auto()
    """Nothing: neither a success nor a refusal that Rocket.Chat would send."""
    NO_REPLY = auto()
    """There was no answer."""


class Explanation(NamedTuple):
    """What one call came to, and why."""

    verdict: CallResult
    matched_by: MatchedBy


MAX_MESSAGE_LENGTH = 1000
"""Characters of the server's words that are kept."""

_PLAIN_SUCCESS = b'{"success":true}'
_DONE = {outcome: CallResult(ErrorRule("", outcome, Action.FINISH, ""), "", "", 200) for outcome in DONE}
_NOTHING_TO_DO = {outcome: ErrorRule("", outcome, Action.FINISH, "") for outcome in NOTHING_TO_DO}
_READ = CallResult(ErrorRule("", Outcome.NOT_ATTEMPTED, Action.FINISH, ""), "", "", 200)
_NOT_READ = NO_SUCH_ROUTE._replace(outcome=Outcome.FAILED, action=Action.FINISH)
_CONFIRMED = {outcome: CONFIRMED_ON_RETRY._replace(outcome=outcome) for outcome in DONE}


def classify(reply: Reply | NoReply, operation: Operation, *, in_doubt: bool) -> CallResult:
    """Say what one call came to.

    `in_doubt`: an earlier attempt at this row may have been carried out, so that 'nothing to do' now means that
    it was (a change of a role is idempotent in effect, but not in its answer).
    """
    if isinstance(reply, Reply) and reply.status == 200 and reply.body == _PLAIN_SUCCESS:
        return _DONE[operation.done]
    return explain(reply, operation, in_doubt=in_doubt).verdict


def explain(reply: Reply | NoReply, operation: Operation, *, in_doubt: bool) -> Explanation:
    """Say what one call came to, as `classify` does, and what of the answer decided that."""
    if isinstance(reply, NoReply):
        return Explanation(_without_reply(reply), MatchedBy.NO_REPLY)
    body = json_object(reply.body)
    if _is_success(reply, body):
        return Explanation(_DONE[operation.done], MatchedBy.SUCCESS)
    named = parse_error(body)
    if named.error_type != operation.already_so:
        return _refused(reply, body, named)
    meaning = _CONFIRMED[operation.done] if in_doubt else _NOTHING_TO_DO[operation.nothing_to_do]
    return Explanation(_told(reply, body, named, meaning), _ground_of(named))


class ReadResult(NamedTuple):
    """What one reading call came to."""

    verdict: CallResult
    body: dict[str, object] | None
    """What was read; None where the verdict says why there is nothing."""


def classify_read(reply: Reply | NoReply) -> ReadResult:
    """Say what a reading call came to.

    A missing route (an older server) is no reason to stop: what cannot be read is told so.
    """
    if isinstance(reply, NoReply):
        return ReadResult(_without_reply(reply), None)
    body = json_object(reply.body)
    if _is_success(reply, body):
        return ReadResult(_READ, body)
    verdict = _refused(reply, body, parse_error(body)).verdict
    return ReadResult(verdict._replace(rule=_NOT_READ) if verdict.rule is NO_SUCH_ROUTE else verdict, None)


def _is_success(reply: Reply, body: dict[str, object] | None) -> bool:
    return reply.status == 200 and body is not None and body.get("success") is True


def _refused(reply: Reply, body: dict[str, object] | None, named: ServerError) -> Explanation:
    meaning, ground = _meaning(reply.status, named, is_json=body is not None)
    verdict = _told(reply, body, named, meaning)
    if meaning is REFUSED and not named.error_type and (known := BY_WORDS.get(verdict.message)):
        return Explanation(verdict._replace(rule=known), MatchedBy.WORDS)
    return Explanation(verdict, ground)


def _told(reply: Reply, body: dict[str, object] | None, named: ServerError, meaning: ErrorRule) -> CallResult:
    message = page_text(reply.body) if body is None else plain_text(body)[:MAX_MESSAGE_LENGTH]
    return CallResult(meaning, named.error_type, message, reply.status)


def _without_reply(reply: NoReply) -> CallResult:
    meaning = BY_NO_REPLY[reply.reason]
    if reply.maybe_sent != meaning.maybe_done:
        outcome = Outcome.UNKNOWN if reply.maybe_sent else Outcome.FAILED
        meaning = meaning._replace(maybe_done=reply.maybe_sent, outcome=outcome)
    return CallResult(meaning, "", reply.detail, None)


def _meaning(status: int, named: ServerError, *, is_json: bool) -> tuple[ErrorRule, MatchedBy]:
    if by_type := BY_ERROR_TYPE.get(named.error_type):
        return by_type, _ground_of(named)
    if by_status := _by_status(status):
        return by_status, MatchedBy.STATUS
    if named.error_type or (is_json and status >= 400):
        return REFUSED, MatchedBy.UNKNOWN_REFUSAL
    # A page that is not JSON, or a 2xx without `success: true`: nobody can say who answered, and what was done.
    return UNTRUSTED, MatchedBy.UNTRUSTED


def _by_status(status: int) -> ErrorRule | None:
    if 300 <= status < 400:
        return REDIRECTED
    return BY_STATUS.get(status) or (SERVER_ERROR if status >= 500 else None)


def _ground_of(named: ServerError) -> MatchedBy:
    return MatchedBy.FIELD if named.in_field else MatchedBy.BRACKETS
