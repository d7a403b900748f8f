"""What an answer comes to: the table of meanings, looked up. Pure functions."""

from enum import Enum, auto
from typing import NamedTuple

from worker.model import NoReply, Outcome, Reply
from worker.workspace.body import Named, json_object, named_error, page_text, words
from worker.workspace.meanings import (
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
    Meaning,
    Then,
)
from worker.workspace.operations import DONE, NOTHING_TO_DO, Operation


class Verdict(NamedTuple):
    """What one call came to."""

    meaning: Meaning
    error_type: str
    message: str
    """The server's words, as they came (never shown without being cleaned)."""
    status: int | None


class Ground(Enum):
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


class Explained(NamedTuple):
    """What one call came to, and why."""

    verdict: Verdict
    ground: Ground


LONGEST_MESSAGE = 1000
"""Characters of the server's words that are kept."""

_PLAIN_SUCCESS = b'{"success":true}'
_DONE = {outcome: Verdict(Meaning("", outcome, Then.SETTLE, ""), "", "", 200) for outcome in DONE}
_NOTHING_TO_DO = {outcome: Meaning("", outcome, Then.SETTLE, "") for outcome in NOTHING_TO_DO}
_READ = Verdict(Meaning("", Outcome.NOT_ATTEMPTED, Then.SETTLE, ""), "", "", 200)
_NOT_READ = NO_SUCH_ROUTE._replace(outcome=Outcome.FAILED, then=Then.SETTLE)
_CONFIRMED = {outcome: CONFIRMED_ON_RETRY._replace(outcome=outcome) for outcome in DONE}


def classify(reply: Reply | NoReply, operation: Operation, *, doubtful: bool) -> Verdict:
    """Say what one call came to.

    `doubtful`: an earlier attempt at this row may have been carried out, so that 'nothing to do' now means that
    it was (a change of a role is idempotent in effect, but not in its answer).
    """
    if isinstance(reply, Reply) and reply.status == 200 and reply.body == _PLAIN_SUCCESS:
        return _DONE[operation.done]
    return explain(reply, operation, doubtful=doubtful).verdict


def explain(reply: Reply | NoReply, operation: Operation, *, doubtful: bool) -> Explained:
    """Say what one call came to, as `classify` does, and what of the answer decided that."""
    if isinstance(reply, NoReply):
        return Explained(_without_reply(reply), Ground.NO_REPLY)
    body = json_object(reply.body)
    if _is_success(reply, body):
        return Explained(_DONE[operation.done], Ground.SUCCESS)
    named = named_error(body)
    if named.error_type != operation.already_so:
        return _refused(reply, body, named)
    meaning = _CONFIRMED[operation.done] if doubtful else _NOTHING_TO_DO[operation.nothing_to_do]
    return Explained(_told(reply, body, named, meaning), _ground_of(named))


class Reading(NamedTuple):
    """What one reading call came to."""

    verdict: Verdict
    body: dict[str, object] | None
    """What was read; None where the verdict says why there is nothing."""


def classify_reading(reply: Reply | NoReply) -> Reading:
    """Say what a reading call came to.

    A missing route (an older server) is no reason to stop: what cannot be read is told so.
    """
    if isinstance(reply, NoReply):
        return Reading(_without_reply(reply), None)
    body = json_object(reply.body)
    if _is_success(reply, body):
        return Reading(_READ, body)
    verdict = _refused(reply, body, named_error(body)).verdict
    return Reading(verdict._replace(meaning=_NOT_READ) if verdict.meaning is NO_SUCH_ROUTE else verdict, None)


def _is_success(reply: Reply, body: dict[str, object] | None) -> bool:
    return reply.status == 200 and body is not None and body.get("success") is True


def _refused(reply: Reply, body: dict[str, object] | None, named: Named) -> Explained:
    meaning, ground = _meaning(reply.status, named, is_json=body is not None)
    verdict = _told(reply, body, named, meaning)
    if meaning is REFUSED and not named.error_type and (known := BY_WORDS.get(verdict.message)):
        return Explained(verdict._replace(meaning=known), Ground.WORDS)
    return Explained(verdict, ground)


def _told(reply: Reply, body: dict[str, object] | None, named: Named, meaning: Meaning) -> Verdict:
    message = page_text(reply.body) if body is None else words(body)[:LONGEST_MESSAGE]
    return Verdict(meaning, named.error_type, message, reply.status)


def _without_reply(reply: NoReply) -> Verdict:
    meaning = BY_NO_REPLY[reply.reason]
    if reply.maybe_sent != meaning.maybe_done:
        outcome = Outcome.UNKNOWN if reply.maybe_sent else Outcome.FAILED
        meaning = meaning._replace(maybe_done=reply.maybe_sent, outcome=outcome)
    return Verdict(meaning, "", reply.detail, None)


def _meaning(status: int, named: Named, *, is_json: bool) -> tuple[Meaning, Ground]:
    if by_type := BY_ERROR_TYPE.get(named.error_type):
        return by_type, _ground_of(named)
    if by_status := _by_status(status):
        return by_status, Ground.STATUS
    if named.error_type or (is_json and status >= 400):
        return REFUSED, Ground.UNKNOWN_REFUSAL
    # A page that is not JSON, or a 2xx without `success: true`: nobody can say who answered, and what was done.
    return UNTRUSTED, Ground.UNTRUSTED


def _by_status(status: int) -> Meaning | None:
    if 300 <= status < 400:
        return REDIRECTED
    return BY_STATUS.get(status) or (SERVER_ERROR if status >= 500 else None)


def _ground_of(named: Named) -> Ground:
    return Ground.FIELD if named.in_field else Ground.BRACKETS
