"""The first call: an account, or the one exception that says what is wrong; and what is said about a room."""

import pytest

from rolecall.models import Json, NoReply, Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import AuthenticationError, InvalidUrlError, WorkspaceUnavailableError
from rolecall.rocketchat.preflight import Account, may_bypass_rate_limit, parse_account
from rolecall.rocketchat.rate_limit_headers import Limits
from rolecall.rocketchat.responses import is_joined, is_route_unavailable
from tests.unit.rocketchat.replies import reply

URL = "https://chat.example.org"
ME = {"_id": "bulkBotId", "username": "bulk.bot", "roles": ["bot", "admin"], "success": True}


@pytest.mark.parametrize(
    ("body", "account"),
    [
        (ME, Account("bulkBotId", "bulk.bot", ("bot", "admin"), None)),
        ({"_id": "x", "username": "u", "success": True}, Account("x", "u", (), None)),
        ({"_id": "x", "username": "u", "roles": None}, Account("x", "u", (), None)),
        ({"_id": "x", "username": "u", "roles": "admin"}, Account("x", "u", (), None)),
        ({"_id": "x", "username": 7, "roles": ["admin", 5]}, Account("x", "7", ("admin", "5"), None)),
    ],
)
def test_an_account_is_read(body: Json, account: Account) -> None:
    """The account needs nothing but its id and username; what else is missing or odd does not stop the run."""
    assert parse_account(reply(200, body), URL) == account


def test_the_account_knows_its_window() -> None:
    """The limits of the preflight route come with the account, for the question before the run."""
    headers = {
        "X-RateLimit-Limit": "10",
        "X-RateLimit-Remaining": "9",
        "X-RateLimit-Reset": "1700000042000",
        "Date": "Tue, 14 Nov 2023 22:13:20 GMT",
    }
    assert parse_account(reply(200, ME, headers), URL).limits == Limits(10, 9, 1_700_000_042)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            reply(401, {"status": "error", "message": "You must be logged in"}),
            AuthenticationError,
            "refuses the credentials (401)",
        ),
        (reply(401, b""), AuthenticationError, "(401)"),
        (reply(403, {"success": False, "error": "unauthorized"}), AuthenticationError, "(403)"),
        (reply(200, {"_id": "x", "success": True}), AuthenticationError, "has no username"),
        (reply(200, {"_id": "x", "username": "", "roles": []}), AuthenticationError, "has no username"),
        (reply(200, {"_id": "x", "username": None}), AuthenticationError, "has no username"),
        (reply(407, b"<html>login</html>"), InvalidUrlError, "A proxy"),
        (NoReply("connect_failed", "the proxy p:1 refused: 407", False, by_proxy=True), InvalidUrlError, "all_proxy"),
        (reply(429, {"success": False}), WorkspaceUnavailableError, "(429)"),
        (reply(503, b"", {"Retry-After": "3600"}), WorkspaceUnavailableError, "try again in 3600 s"),
        (reply(429, {"success": False}, {"Retry-After": "90"}), WorkspaceUnavailableError, "try again in 90 s"),
        (reply(500, {"success": False}), WorkspaceUnavailableError, "(500)"),
        (reply(502, b"<html></html>"), WorkspaceUnavailableError, "(502)"),
        (reply(503, b""), WorkspaceUnavailableError, "(503)"),
        (reply(521, b""), WorkspaceUnavailableError, "(521)"),
        (
            reply(301, b"", {"Location": "https://other.example/"}),
            InvalidUrlError,
            "redirects to 'https://other.example/'",
        ),
        (reply(302, b"", {"Location": "/\x1b[31mlogin"}), InvalidUrlError, "redirects to"),
        (reply(302, b"", {"Location": "/" + "x" * 5000}), InvalidUrlError, "redirects to"),
        (reply(307), InvalidUrlError, "'elsewhere'"),
        (reply(200, b""), InvalidUrlError, "an empty body"),
        (reply(200, b" \n<!DOCTYPE html><title>Sign in</title>"), InvalidUrlError, "an HTML page"),
        (reply(200, b"hello"), InvalidUrlError, "not JSON"),
        (reply(200, b"[]"), InvalidUrlError, "not JSON"),
        (reply(200, {"success": True}), InvalidUrlError, "JSON of another kind"),
        (reply(200, {"_id": 7}), InvalidUrlError, "JSON of another kind"),
        (reply(200, {"_id": None}), InvalidUrlError, "JSON of another kind"),
        (reply(201, ME), InvalidUrlError, "answered 201"),
        (reply(404, b"<html>nginx</html>"), InvalidUrlError, "answered 404 with an HTML page"),
        (reply(404, {"success": False}), InvalidUrlError, "answered 404"),
        (reply(400, {"success": False}), InvalidUrlError, "answered 400"),
        (NoReply("connect_failed", "Cannot connect", False), InvalidUrlError, "Cannot connect"),
        (NoReply("timeout", "no answer in time", True), InvalidUrlError, "no answer in time"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(answer: Reply | NoReply, kind: type[Exception], words: str) -> None:
    """Each answer that is no account raises its own exception, which names the address and what came, in one line."""
    with pytest.raises(kind) as raised:
        parse_account(answer, URL)
    text = str(raised.value)
    assert URL in text
    assert words in text
    assert text.isprintable()
    assert len(text) < 500


@pytest.mark.parametrize(
    ("answer", "joined"),
    [
        (reply(200, {"success": True, "joined": True}), True),
        (reply(200, {"success": True, "joined": False}), False),
        (reply(200, {"success": True, "joined": 1}), None),
        (reply(200, {"success": True}), None),
        (reply(200, {"success": False, "joined": False}), None),
        (reply(200, b"<html>"), None),
        (reply(400, {"success": False, "errorType": "error-room-not-found"}), None),
        (reply(400, {"success": True, "joined": False}), None),
        (reply(429, b""), None),
        (NoReply("timeout", "", True), None),
    ],
)
def test_a_room_is_joined_or_not_or_nobody_knows(answer: Reply | NoReply, joined: bool | None) -> None:
    """Only a success that says `joined` in so many words says anything about a room."""
    assert is_joined(answer) is joined


@pytest.mark.parametrize(
    ("answer", "refused"),
    [(reply(status), status in (401, 403, 404)) for status in (200, 400, 401, 403, 404, 429, 500)]
    + [(NoReply("timeout", "", True), False)],
)
def test_a_refused_route_is_not_asked_again(answer: Reply | NoReply, refused: bool) -> None:
    """401, 403 and 404 say that the route itself is not to be had; nothing else does."""
    assert is_route_unavailable(answer) is refused


LIMITED = Account("bulkBotId", "bulk.bot", ("bot", "user"), Limits(10, 9, 1_700_000_042))


def permissions(*roles: str) -> Json:
    """Make the response of `permissions.listAll`."""
    return {
        "update": [{"_id": "set-leader", "roles": ["owner"]}, {"_id": "api-bypass-rate-limit", "roles": list(roles)}],
        "success": True,
    }


@pytest.mark.parametrize(
    ("account", "answer", "expected"),
    [
        (LIMITED, reply(200, permissions("admin", "bot", "app")), True),
        (LIMITED, reply(200, permissions("admin", "app")), False),
        (LIMITED, reply(200, permissions()), False),
        (LIMITED, reply(200, {"update": [], "success": True}), False),
        (LIMITED, reply(200, {"success": True}), False),
        (LIMITED, reply(200, b"<html></html>"), False),
        (LIMITED, reply(403, {"success": False, "error": "unauthorized"}), False),
        (LIMITED, reply(429, {"success": False, "error": "Error, too many requests"}), False),
        (LIMITED, NoReply("timeout", "no response in time", True), False),
        (LIMITED._replace(roles=()), None, False),
        (LIMITED._replace(limits=None), None, False),
    ],
)
async def test_the_permission_to_bypass_the_limit_is_read(
    account: Account, answer: Reply | NoReply | None, expected: bool
) -> None:
    """The account's roles must have it; what cannot be read is no, and without headers there is nothing to read."""

    class Permissions(Client):
        def __init__(self) -> None:
            pass

        async def get_listing(self, path: str, **query: str) -> Reply | NoReply:
            assert path == "/api/v1/permissions.listAll"
            assert answer is not None
            return answer

    assert await may_bypass_rate_limit(Permissions(), account) is expected
