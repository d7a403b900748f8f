"""The client's own part: what is sent, what comes back, and every exception's translation. No socket is opened."""

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aioresponses import aioresponses
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from rolecall.models import MAX_RESPONSE_SIZE, NoReply, Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import CaFileError, ConnectionConfig, Credentials
from rolecall.version import __version__
from tests.unit.rocketchat.mocked import Answer

BASE = "https://example.org/chat"
PATH = "/api/v1/groups.removeLeader"
TOKEN = "s3cr3t-T0ken_with.43characters-of-base64url"
WHO = Credentials("bulkBotId", TOKEN)
REQUEST = aiohttp.RequestInfo(URL(BASE + PATH), "POST", CIMultiDictProxy(CIMultiDict()), URL(BASE + PATH))
KEY = ConnectionKey("example.org", 443, True, True, None, None, None)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Return an open client whose clock ticks once for each look at it."""
    ticks = iter(range(1000))
    async with Client(ConnectionConfig(BASE), WHO, now=lambda: float(next(ticks))) as client:
        yield client


async def post(client: Client, **answer: Any) -> tuple[Reply | NoReply, dict[str, Any]]:
    """Send the standard row to an answer made beforehand; give what came and what was passed to aiohttp."""
    with aioresponses() as mocked:
        mocked.post(BASE + PATH, response_class=Answer, **answer)
        came = await client.post_pair(PATH, "ROOM", "USER")
        ((key, (call,)),) = mocked.requests.items()
        assert key == ("POST", URL(BASE + PATH))
        return came, call.kwargs


async def test_a_row_is_sent_as_the_server_wants_it(client: Client) -> None:
    """The body holds exactly the two ids, the headers the credentials and the content type, redirects are off."""
    came, call = await post(client, status=200, body=b'{"success":true}', headers={"X-RateLimit-Limit": "10"})
    assert orjson.loads(call["data"]) == {"roomId": "ROOM", "userId": "USER"}
    assert dict(call["headers"]) == {
        "X-Auth-Token": TOKEN,
        "X-User-Id": "bulkBotId",
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Cache-Control": "no-cache",
        "User-Agent": f"rolecall/{__version__}",
    }
    assert call["allow_redirects"] is False
    assert isinstance(came, Reply)
    assert came._replace(headers={}) == Reply(200, {}, b'{"success":true}', 0.0, 1.0)
    assert came.headers["x-ratelimit-limit"] == "10"


@pytest.mark.parametrize(
    "room_id", ['quote"', "back\\slash", "ünïcödé", "日本", "\U0001f600", "</script>", "a&b=c?d#e/"]
)
async def test_odd_ids_arrive_as_they_are(client: Client, room_id: str) -> None:
    """An id is data: whatever is in it, it cannot leave its place in the body."""
    with aioresponses() as mocked:
        mocked.post(BASE + PATH, response_class=Answer)
        await client.post_pair(PATH, room_id, room_id)
        (((call,)),) = mocked.requests.values()
    assert orjson.loads(call.kwargs["data"]) == {"roomId": room_id, "userId": room_id}


async def test_a_query_is_encoded(client: Client) -> None:
    """A value in a query cannot alter the address."""
    with aioresponses() as mocked:
        mocked.get(f"{BASE}/api/v1/groups.counters?roomId=a%26b%3Dc%23d%2F..", response_class=Answer, body=b"{}")
        came = await client.get("/api/v1/groups.counters", roomId="a&b=c#d/..")
        ((_, url),) = mocked.requests
    assert isinstance(came, Reply)
    assert dict(url.query) == {"roomId": "a&b=c#d/.."}
    assert url.path == "/chat/api/v1/groups.counters"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer(client: Client, status: int) -> None:
    """No redirect is followed, so that the token goes nowhere else."""
    came, _ = await post(client, status=status, headers={"Location": "https://evil.example/"})
    assert isinstance(came, Reply)
    assert came.status == status


@pytest.mark.parametrize("status", [200, 204, 400, 401, 404, 429, 500, 502, 520])
async def test_every_status_is_an_answer(client: Client, status: int) -> None:
    """No status raises: what it means is decided elsewhere."""
    came, _ = await post(client, status=status, body=b"words")
    assert isinstance(came, Reply)
    assert (came.status, came.body) == (status, b"words")


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zlib.compress], ids=["plain", "gzip", "deflate"])
async def test_an_echoed_token_is_hidden(client: Client, pack: Any) -> None:
    """A server or proxy that echoes the request does not get the token into a log, packed or not."""
    body = f'{{"echo": {{"X-Auth-Token": "{TOKEN}"}}, "again": "{TOKEN}"}}'.encode()
    headers = {} if pack is bytes else {"Content-Encoding": "gzip"}
    came, _ = await post(client, status=400, body=pack(body), headers=headers)
    assert isinstance(came, Reply)
    assert came.body == b'{"echo": {"X-Auth-Token": "<hidden>"}, "again": "<hidden>"}'


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity", "nonsense"])
async def test_what_cannot_be_unpacked_is_left(client: Client, encoding: str) -> None:
    """A wrong `Content-Encoding` does not lose the answer."""
    came, _ = await post(client, body=b'{"success":true}', headers={"Content-Encoding": encoding})
    assert isinstance(came, Reply)
    assert came.body == b'{"success":true}'


async def test_a_long_body_is_cut(client: Client) -> None:
    """No more than the limit is kept of an answer without a length."""
    came, _ = await post(client, body=b"x" * (MAX_RESPONSE_SIZE + 1))
    assert isinstance(came, Reply)
    assert came.body == b"x" * MAX_RESPONSE_SIZE


TRANSLATIONS = [
    (aiohttp.ClientConnectorError(KEY, OSError(111, "refused")), "connect_failed", False),
    (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "Name or service not known")), "connect_failed", False),
    (aiohttp.ClientProxyConnectionError(KEY, OSError(111, "refused")), "connect_failed", False),
    (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "wrong version number")), "connect_failed", False),
    (
        aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError("self-signed certificate")),
        "connect_failed",
        False,
    ),
    (aiohttp.ClientHttpProxyError(REQUEST, (), status=407, message="Proxy Auth"), "connect_failed", False),
    (aiohttp.InvalidURL("x"), "connect_failed", False),
    (aiohttp.ConnectionTimeoutError("connect"), "connect_failed", False),
    (aiohttp.ServerTimeoutError("read"), "timeout", True),
    (aiohttp.SocketTimeoutError("read"), "timeout", True),
    (TimeoutError(), "timeout", True),
    (aiohttp.ServerDisconnectedError(), "answer_lost", True),
    (aiohttp.ClientOSError(104, "Connection reset by peer"), "answer_lost", True),
    (aiohttp.ClientPayloadError("Response payload is not completed"), "answer_lost", True),
    (aiohttp.ClientResponseError(REQUEST, (), status=400, message="Bad status line"), "answer_lost", True),
    (aiohttp.ClientConnectionError("gone"), "answer_lost", True),
    (aiohttp.ClientError(), "answer_lost", True),
    (ConnectionResetError(104, "reset"), "answer_lost", True),
    (BrokenPipeError(32, "broken"), "answer_lost", True),
    (OSError("odd"), "answer_lost", True),
    (ValueError("odd"), "answer_lost", True),
]


@pytest.mark.parametrize(
    ("error", "reason", "maybe_sent"), TRANSLATIONS, ids=[type(error).__name__ for error, *_ in TRANSLATIONS]
)
async def test_each_exception_is_translated(client: Client, error: Exception, reason: str, maybe_sent: bool) -> None:
    """Whatever aiohttp raises becomes a NoReply that says whether the request may have arrived, with some words."""
    came, _ = await post(client, exception=error)
    assert isinstance(came, NoReply)
    assert (came.reason, came.maybe_sent) == (reason, maybe_sent)
    assert came.detail
    assert TOKEN not in came.detail


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyboardInterrupt(), MemoryError()])
async def test_what_is_not_of_the_wire_passes_through(client: Client, error: BaseException) -> None:
    """A cancellation, an interrupt, or a fault of our own is no answer of the workspace."""
    with aioresponses() as mocked:
        mocked.post(BASE + PATH, exception=error)
        with pytest.raises(type(error)):
            await client.post_pair(PATH, "ROOM", "USER")


async def test_a_token_in_an_exception_is_hidden(client: Client) -> None:
    """Parsers quote what they could not read; where that echoes our request, the token is taken out."""
    quoted = aiohttp.ClientResponseError(REQUEST, (), message=f"Invalid header: b'X-Auth-Token: {TOKEN}'")
    came, _ = await post(client, exception=quoted)
    assert isinstance(came, NoReply)
    assert TOKEN not in came.detail


async def test_a_detail_is_text_that_can_be_stored(client: Client) -> None:
    """Aiohttp decodes a proxy's words with surrogates for odd bytes; no database and no JSON takes those."""
    odd = b"Authentifizierung n\xf6tig".decode("utf-8", "surrogateescape")
    came, _ = await post(client, exception=aiohttp.ClientHttpProxyError(REQUEST, (), status=407, message=odd))
    assert isinstance(came, NoReply)
    came.detail.encode()


@pytest.mark.parametrize("shown", [repr, str, "{}".format, lambda who: f"{who!r:>5}"])
def test_the_token_is_in_no_representation(shown: Any) -> None:
    """Credentials can be shown without their token."""
    assert TOKEN not in shown(WHO)
    assert "bulkBotId" in shown(WHO)
    assert TOKEN not in shown(SimpleNamespace(inner=[WHO]))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: None, id="missing"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(b"no certificate\n"), id="text"),
        pytest.param(lambda path: path.mkdir(), id="folder"),
    ],
)
async def test_a_file_without_authorities_is_refused(tmp_path: Path, make: Any) -> None:
    """`--ca-file` must hold certificates; the refusal names the file."""
    path = tmp_path / "ca.pem"
    make(path)
    with pytest.raises(CaFileError, match=r"ca\.pem"):
        async with Client(ConnectionConfig(BASE, ca_file=str(path)), WHO):
            pytest.fail("entered")
