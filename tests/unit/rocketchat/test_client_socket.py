"""The client over a real socket: what breaks, what never ends, what is too much, and what is kept alive."""

import asyncio
import gzip
import shutil
import socket
import ssl
import subprocess
import zlib
from pathlib import Path

import orjson
import pytest

from rolecall.models import MAX_RESPONSE_SIZE, NoReply, Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from tests.unit.rocketchat.raw_server import RawServer, Speak, answer, saying, serving

PATH = "/api/v1/groups.removeLeader"
TOKEN = "s3cr3t-T0ken"
WHO = Credentials("bulkBotId", TOKEN)
GOOD = b'{"success":true}'
REFUSAL = b'{"success":false,"error":"no"}'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def ask(seen: RawServer, **transport: float | str) -> Reply | NoReply:
    """Send one row with a client of its own; the timeouts are generous where a test does not say otherwise."""
    async with Client(ConnectionConfig(**{"url": seen.url, **transport}), WHO) as client:  # type: ignore[arg-type] # by name
        return await client.post_pair(PATH, "ROOM", "USER")


async def told(speak: Speak, **transport: float | str) -> Reply | NoReply:
    """Send one row to a server that speaks so."""
    async with serving(speak) as seen:
        return await ask(seen, **transport)


def body_of(came: Reply | NoReply) -> bytes:
    """Give the body of what must be an answer."""
    assert isinstance(came, Reply), came
    return came.body


async def test_the_wire_carries_the_call_and_nothing_else() -> None:
    """One POST with the two ids, both credentials, no cookie and no wish for compression."""
    async with serving(saying(answer(GOOD))) as seen:
        assert body_of(await ask(seen)) == GOOD
        (request,) = seen.requests
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    assert lines[0] == f"POST {PATH} HTTP/1.1"
    assert orjson.loads(body) == {"roomId": "ROOM", "userId": "USER"}
    assert (headers["X-Auth-Token"], headers["X-User-Id"]) == (TOKEN, "bulkBotId")
    assert headers["Content-Type"] == "application/json"
    assert headers["Accept-Encoding"] == "identity"
    assert "Cookie" not in headers


async def test_a_connection_is_used_again() -> None:
    """Calls one after the other share one connection; a cookie that the server sets does not come back."""
    async with (
        serving(saying(answer(GOOD, "Set-Cookie: session=1; Path=/"))) as seen,
        Client(ConnectionConfig(seen.url), WHO) as client,
    ):
        for _ in range(5):
            assert body_of(await client.post_pair(PATH, "ROOM", "USER")) == GOOD
        assert (seen.connections, len(seen.requests)) == (1, 5)
        assert not any(b"session=1" in request for request in seen.requests)


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    """After `Connection: close` the next call opens its own connection."""
    async with (
        serving(saying(answer(GOOD, "Connection: close"), b"")) as seen,
        Client(ConnectionConfig(seen.url), WHO) as client,
    ):
        for _ in range(2):
            assert body_of(await client.post_pair(PATH, "ROOM", "USER")) == GOOD
        assert seen.connections == 2


async def test_an_answer_that_nobody_asked_for_is_no_rows_answer() -> None:
    """What comes on an idle connection is thrown away with it: no row is told by another one's success."""
    late = asyncio.Event()

    async def speak(seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await seen.hear(reader)
        first = len(seen.requests) == 1
        writer.write(answer(GOOD if first else REFUSAL, status="200 OK" if first else "400 Bad Request"))
        await writer.drain()
        if first:
            await late.wait()
            writer.write(answer(GOOD))
            await writer.drain()
        await reader.read()

    async with serving(speak) as seen, Client(ConnectionConfig(seen.url), WHO) as client:
        assert body_of(await client.post_pair(PATH, "ROOM", "USER")) == GOOD
        late.set()
        for _ in range(20):  # the late bytes cross the loopback in some turns of this loop
            await asyncio.sleep(0)
            await asyncio.to_thread(lambda: None)
        assert body_of(await client.post_pair(PATH, "ROOM", "OTHER")) == REFUSAL
        assert (seen.connections, len(seen.requests)) == (2, 2)


async def test_an_answer_that_crosses_with_the_next_request_is_taken_for_its_answer() -> None:
    """HTTP/1.1 ties no response to its request: a second one that comes after the next request has left is believed."""

    async def speak(seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for content in (answer(GOOD), answer(GOOD) + answer(REFUSAL, status="400 Bad Request")):
            await seen.hear(reader)
            writer.write(content)
            await writer.drain()
        await reader.read()

    async with serving(speak) as seen, Client(ConnectionConfig(seen.url), WHO) as client:
        assert body_of(await client.post_pair(PATH, "ROOM", "USER")) == GOOD
        assert body_of(await client.post_pair(PATH, "ROOM", "OTHER")) == GOOD
        assert body_of(await client.post_pair(PATH, "ROOM", "THIRD")) in (GOOD, REFUSAL)
        assert seen.connections == 2


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_a_redirect_is_not_followed(status: str) -> None:
    """The token reaches no second address, whatever the first one says."""
    async with (
        serving(saying(answer(GOOD))) as other,
        serving(saying(answer(b"", f"Location: {other.url}/", status=status))) as seen,
    ):
        came = await ask(seen)
        assert isinstance(came, Reply)
        assert (came.status, other.connections) == (int(status[:3]), 0)


BROKEN = {
    "closes before answering": saying(b""),
    "closes within the status line": saying(b"HTTP/1.1 2", b""),
    "closes within the headers": saying(b"HTTP/1.1 200 OK\r\nContent-", b""),
    "body cut short": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" + GOOD[:9], b""),
    "no body where one is due": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n", b""),
    "chunked body cut short": saying(CHUNKED + b"10\r\n" + GOOD[:9], b""),
    "chunked body without its end": saying(CHUNKED + b"10\r\n" + GOOD + b"\r\n", b""),
    "huge body cut short": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + GOOD, b""),
    "nonsense status line": saying(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b""),
    "nonsense status": saying(b"HTTP/1.1 abc OK\r\n\r\n", b""),
    "nonsense length": saying(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", b""),
    "two lengths": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b""),
    "nonsense chunk": saying(CHUNKED + b"zz\r\nx\r\n", b""),
    "a header without end": saying(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", b""),
    "zero bytes": saying(b"\x00" * 64, b""),
}


@pytest.mark.parametrize("speak", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_answer_is_lost(speak: Speak) -> None:
    """Whatever breaks after the request has left is `answer_lost`: the call may have been carried out."""
    came = await told(speak)
    assert isinstance(came, NoReply), came
    assert (came.reason, came.maybe_sent) == ("answer_lost", True)
    assert came.detail


async def test_an_answer_that_quotes_the_token_does_not_show_it() -> None:
    """What the parser could not read is quoted in its error; the token in it is hidden."""

    async def echo(seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await seen.hear(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nX-Auth-Token\x00: " + TOKEN.encode() + b"\r\n\r\n")
        await writer.drain()

    came = await told(echo)
    assert isinstance(came, NoReply)
    assert TOKEN not in came.detail


async def test_a_redirect_that_quotes_the_token_does_not_show_it() -> None:
    """A token in a header, and one that is escaped in the body, are hidden before anybody can read them."""
    escaped = "".join(f"\\u{ord(character):04x}" for character in TOKEN)

    async def echo(seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await seen.hear(reader)
        body = f'{{"error": "{escaped}"}}'.encode()
        location = f"Location: https://evil.example.org/{TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(b"HTTP/1.1 302 Found\r\n" + location.encode() + body)
        await writer.drain()

    came = await told(echo)
    assert isinstance(came, Reply)
    assert came.headers["location"] == "https://evil.example.org/<hidden>"
    assert came.body == b'{"error": "<hidden>"}'


async def test_connection_refused_is_certainly_not_sent() -> None:
    """Where nobody listens nothing was sent."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound but not listening: nobody else can take the port meanwhile
        async with Client(ConnectionConfig(f"http://127.0.0.1:{held.getsockname()[1]}"), WHO) as client:
            came = await client.post_pair(PATH, "ROOM", "USER")
    assert isinstance(came, NoReply)
    assert (came.reason, came.maybe_sent) == ("connect_failed", False)


@pytest.mark.parametrize("url", ["http://a..localhost", "http://localhost:0", f"http://{'a' * 64}.localhost"])
async def test_an_address_that_cannot_be_one_is_certainly_not_sent(url: str) -> None:
    """A name that no resolver takes is no connection, not a lost answer."""
    async with Client(ConnectionConfig(url), WHO) as client:
        came = await client.post_pair(PATH, "ROOM", "USER")
    assert isinstance(came, NoReply)
    assert (came.reason, came.maybe_sent) == ("connect_failed", False)


async def silent(seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request and never answer."""
    await seen.hear(reader)
    await reader.read()


async def drip(seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a body that never ends, one byte at a time."""
    await seen.hear(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.005)


async def drip_headers(seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send interim answers without end, and never the real one."""
    await seen.hear(reader)
    while True:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("speak", [silent, drip, drip_headers])
async def test_the_deadline_ends_what_never_ends(speak: Speak) -> None:
    """Silence, an endless slow body, and endless interim answers all end in a timeout with a doubt."""
    async with asyncio.timeout(30):
        came = await told(speak, connect_timeout=0.1, timeout=0.1)
    assert isinstance(came, NoReply)
    assert (came.reason, came.maybe_sent) == ("timeout", True)


async def test_a_connection_that_does_not_stand_in_time_is_not_sent() -> None:
    """A TLS handshake that is never answered ends by the connect timeout: nothing was sent."""

    async def deaf(seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with asyncio.timeout(30), serving(deaf) as seen:
        came = await ask(seen, url=seen.url.replace("http:", "https:"), connect_timeout=0.1, timeout=60.0)
    assert isinstance(came, NoReply)
    assert (came.reason, came.maybe_sent) == ("connect_failed", False)


@pytest.mark.parametrize("head", [b"Content-Length: 999999999\r\n\r\n", b"Connection: close\r\n\r\n"])
async def test_a_huge_body_is_cut_and_its_connection_closed(head: bytes) -> None:
    """An endless answer is read up to the limit; then the connection is closed instead of drained."""

    async def flood(seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await seen.hear(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + head)
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    async with serving(flood) as seen, Client(ConnectionConfig(seen.url), WHO) as client:
        assert body_of(await client.post_pair(PATH, "ROOM", "USER")) == b"x" * MAX_RESPONSE_SIZE
        async with asyncio.timeout(30):
            await seen.client_left.wait()


async def test_a_body_of_exactly_the_limit_is_whole() -> None:
    """The limit itself still fits, with a length and chunked, and the connection with a length is kept."""
    body = b"x" * MAX_RESPONSE_SIZE
    async with serving(saying(answer(body))) as seen, Client(ConnectionConfig(seen.url), WHO) as client:
        for _ in range(2):
            assert body_of(await client.post_pair(PATH, "ROOM", "USER")) == body
        assert seen.connections == 1
    assert body_of(await told(saying(CHUNKED + b"10000\r\n" + body + b"\r\n0\r\n\r\n"))) == body


async def test_a_chunked_answer_is_whole_and_keeps_its_connection() -> None:
    """An answer in pieces is put together, and its connection used again."""
    pieces = CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in GOOD) + b"0\r\n\r\n"
    async with serving(saying(pieces)) as seen, Client(ConnectionConfig(seen.url), WHO) as client:
        for _ in range(3):
            assert body_of(await client.post_pair(PATH, "ROOM", "USER")) == GOOD
        assert seen.connections == 1


async def test_a_gzip_bomb_is_cut() -> None:
    """A small packed answer cannot unpack to more than the limit."""
    bomb = gzip.compress(b"x" * 50_000_000)
    assert len(bomb) < MAX_RESPONSE_SIZE
    assert body_of(await told(saying(answer(bomb, "Content-Encoding: gzip")))) == b"x" * MAX_RESPONSE_SIZE


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("gzip", gzip.compress(GOOD)), ("deflate", zlib.compress(GOOD)), ("x-gzip", gzip.compress(GOOD))],
)
async def test_an_answer_that_is_packed_all_the_same_is_read(encoding: str, packed: bytes) -> None:
    """A proxy that packs although we asked it not to is understood."""
    assert body_of(await told(saying(answer(packed, f"Content-Encoding: {encoding}")))) == GOOD


async def test_a_cancelled_call_is_cancelled() -> None:
    """A cancellation passes through the client while the answer is awaited, and closes the connection."""
    arrived = asyncio.Event()

    async def wait(seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await seen.hear(reader)
        arrived.set()
        await reader.read()
        seen.client_left.set()

    async with serving(wait) as seen, Client(ConnectionConfig(seen.url), WHO) as client:
        call = asyncio.create_task(client.post_pair(PATH, "ROOM", "USER"))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(30):
            await seen.client_left.wait()


async def test_a_call_that_is_cancelled_within_its_body_closes_its_connection() -> None:
    """Half an answer is left alone, and its connection with it: the next call has one of its own."""
    begun = asyncio.Event()

    async def half(seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await seen.hear(reader)
        if len(seen.requests) > 1:
            writer.write(answer(GOOD))
        else:
            writer.write(answer(GOOD)[:-3])
            begun.set()
        await reader.read()
        seen.client_left.set()

    async with serving(half) as seen, Client(ConnectionConfig(seen.url), WHO) as client:
        call = asyncio.create_task(client.post_pair(PATH, "ROOM", "USER"))
        await begun.wait()
        for _ in range(20):  # the half answer crosses the loopback in some turns of this loop
            await asyncio.to_thread(lambda: None)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(30):
            await seen.client_left.wait()
        assert body_of(await client.post_pair(PATH, "ROOM", "OTHER")) == GOOD
        assert seen.connections == 2


async def test_a_deadline_ends_only_its_own_call() -> None:
    """Of calls under way at once the silent one is late; the others, before it and after it, have their answers."""

    async def silent_to_one(seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await seen.hear(reader):
            if b"SILENT" not in request:
                writer.write(answer(GOOD))

    async with (
        serving(silent_to_one) as seen,
        Client(ConnectionConfig(seen.url, connect_timeout=0.1, timeout=0.1), WHO) as client,
    ):

        async def worker(*users: str) -> list[Reply | NoReply]:
            return [await client.post_pair(PATH, "ROOM", user) for user in users]

        (first, late, after), others = await asyncio.gather(worker("A", "SILENT", "B"), worker(*"CDEFGH"))
    assert isinstance(late, NoReply)
    assert (late.reason, late.maybe_sent) == ("timeout", True)
    assert [body_of(came) for came in (first, after, *others)] == [GOOD] * 8


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """Make a self-signed certificate for 127.0.0.1; give its file and a server's context."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl command")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([openssl, *words, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return cert, context


async def test_an_unknown_certificate_is_refused(certificate: tuple[Path, ssl.SSLContext]) -> None:
    """A certificate of nobody known gets no request, and so no token."""
    async with serving(saying(answer(GOOD)), certificate[1]) as seen:
        came = await ask(seen)
        assert isinstance(came, NoReply)
        assert (came.reason, came.maybe_sent) == ("connect_failed", False)
        assert "certificate" in came.detail
        assert seen.requests == []


async def test_a_server_without_tls_is_told_as_that() -> None:
    """Where `https://` meets plain HTTP the detail names TLS and the address to try, not a number of OpenSSL's."""

    async def speak(seen: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer(REFUSAL))
        await writer.drain()

    async with serving(speak) as seen:
        came = await ask(seen, url=seen.url.replace("http://", "https://"))
    assert isinstance(came, NoReply)
    assert (came.reason, came.maybe_sent) == ("connect_failed", False)
    assert "TLS failed (" in came.detail
    assert came.detail.endswith("; perhaps the address begins with http://")


async def test_a_certificate_of_ones_own_is_trusted(certificate: tuple[Path, ssl.SSLContext]) -> None:
    """`--ca-file` lets a workspace with its own authority be called; its name is still checked."""
    cert, context = certificate
    async with serving(saying(answer(GOOD)), context) as seen:
        assert body_of(await ask(seen, ca_file=str(cert))) == GOOD
        elsewhere = await ask(seen, ca_file=str(cert), url=seen.url.replace("127.0.0.1", "localhost"))
    assert isinstance(elsewhere, NoReply)
    assert (elsewhere.reason, elsewhere.maybe_sent) == ("connect_failed", False)


PROXY_WORDS = b"HTTP/1.1 407 Proxy Authentication Required \xf6\r\nContent-Length: 0\r\n\r\n"


async def test_a_proxy_sees_no_token_and_its_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that refuses the tunnel was given no token; its refusal is told without our password, as plain text."""
    async with serving(saying(PROXY_WORDS, b"")) as seen:
        monkeypatch.setenv("https_proxy", seen.url.replace("http://", "http://user:hunter2@"))
        came = await ask(seen, url="https://chat.example.org")
        assert seen.requests
        assert seen.requests[0].startswith(b"CONNECT chat.example.org:443 ")
        assert TOKEN.encode() not in b"".join(seen.requests)
    assert isinstance(came, NoReply)
    assert (came.reason, came.maybe_sent) == ("connect_failed", False)
    assert "hunter2" not in came.detail
    came.detail.encode()


async def test_a_proxy_that_wants_a_login_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detail names the proxy and its 407, for a tunnel and for an unencrypted workspace; nothing was sent on."""
    async with serving(saying(PROXY_WORDS, b"")) as seen:
        monkeypatch.setenv("all_proxy", seen.url)
        for url in ("https://chat.example.org", "http://chat.example.org"):
            came = await ask(seen, url=url, allow_http=True)
            assert isinstance(came, NoReply), came
            assert (came.reason, came.maybe_sent, came.by_proxy) == ("connect_failed", False, True)
            assert came.detail.startswith(f"the proxy {seen.url.removeprefix('http://')} refused: 407 ")


async def test_the_refusal_of_a_proxy_shows_no_token_and_no_escape_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that repeats the token of an unencrypted call in its status line does not show it."""
    refusal = f"HTTP/1.1 407 No \x1b[31m {TOKEN} \\u0073{TOKEN[1:]}\r\nContent-Length: 0\r\n\r\n"
    async with serving(saying(refusal.encode(), b"")) as seen:
        monkeypatch.setenv("all_proxy", seen.url)
        came = await ask(seen, url="http://chat.example.org", allow_http=True)
        assert TOKEN.encode() in seen.requests[0]
    assert isinstance(came, NoReply)
    assert came.detail.count("<hidden>") == 2
    assert TOKEN not in came.detail
    assert came.detail.isprintable()


async def test_a_proxy_that_is_down_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing listens at the proxy's address, the detail names the proxy, not the workspace."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        monkeypatch.setenv("all_proxy", f"http://user:hunter2@{address}")
        for url in ("https://chat.example.org", "http://chat.example.org"):
            async with Client(ConnectionConfig(url, allow_http=True), WHO) as client:
                came = await client.post_pair(PATH, "ROOM", "USER")
            assert isinstance(came, NoReply)
            assert (came.reason, came.maybe_sent, came.by_proxy) == ("connect_failed", False, True)
            assert came.detail == f"no connection to the proxy {address}: Connection refused"


@pytest.mark.parametrize("proxy", ["127.0.0.1:9", "proxy.localhost:3128"])
async def test_a_proxy_that_is_none_is_certainly_not_sent(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that aiohttp cannot use is no connection, not a lost answer."""
    monkeypatch.setenv("https_proxy", proxy)
    async with Client(ConnectionConfig("https://chat.example.org"), WHO) as client:
        came = await client.post_pair(PATH, "ROOM", "USER")
    assert isinstance(came, NoReply)
    assert (came.reason, came.maybe_sent) == ("connect_failed", False)
