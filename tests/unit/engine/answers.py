"""Answers and verdicts as the workspace gives them."""

from email.utils import formatdate

from rolecall.models import DueRow, NoReply, Reply
from rolecall.rocketchat.operations import REMOVE_LEADER
from rolecall.rocketchat.response_classifier import CallResult, classify

GOOD = b'{"success":true}'


def reply(
    status: int = 200, body: bytes = GOOD, headers: dict[str, str] | None = None, *, at: float = 0.0, took: float = 0.0
) -> Reply:
    """Make an answer that arrived at `at`."""
    return Reply(status, headers or {}, body, at - took, at)


def refusal(error_type: str, status: int = 400) -> Reply:
    """Make Rocket.Chat's refusal with an error type."""
    return reply(status, b'{"success":false,"error":"No. [%s]","errorType":"%s"}' % ((error_type.encode(),) * 2))


def windowed(limit: int, remaining: int, reset: float, date: float, *, at: float, status: int = 200) -> Reply:
    """Make an answer with rate-limit headers; `reset` and `date` in epoch seconds."""
    headers = {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(round(reset * 1000)),
        "Date": formatdate(int(date), usegmt=True),
    }
    return reply(status, GOOD, headers, at=at)


OK = reply()
NOT_A_LEADER = refusal("error-user-not-leader")
NO_SUCH_ROOM = refusal("error-room-not-found")
ARCHIVED = refusal("error-room-archived")
NO_SUCH_USER = refusal("error-invalid-user")
FORBIDDEN = reply(403, b'{"success":false,"error":"unauthorized"}')
UNAUTHORIZED = reply(401, b'{"status":"error","message":"You must be logged in to do this."}')
NO_SUCH_ROUTE = reply(404, b"404 Not Found")
TOO_MANY = reply(429, b'{"success":false,"error":"You must wait 7 seconds before trying this endpoint again."}')
SERVER_ERROR = reply(500, b'{"success":false,"error":"Internal server error"}')
BAD_GATEWAY = reply(502, b"<html>Bad Gateway</html>")
TIMEOUT = NoReply("timeout", "no answer in time", maybe_sent=True)
LOST = NoReply("answer_lost", "connection reset", maybe_sent=True)
NO_CONNECTION = NoReply("connect_failed", "connection refused", maybe_sent=False)


def result_of(answer: Reply | NoReply) -> CallResult:
    """Classify as the run does."""
    return classify(answer, REMOVE_LEADER)


def pending(key: int, room: str = "room", *, attempts: int = 0, in_doubt: bool = False) -> DueRow:
    """Make a row that is due."""
    return DueRow(key, key + 1, room, f"user{key}", attempts, in_doubt)
