"""HTTP client: returns `Reply` or `NoReply` for every call, and translates every network error.

The only module that imports aiohttp's client. It follows no redirect (that would send the token to another host),
reads at most 64 KiB of a response, verifies TLS, and sends the token to the workspace only.
"""

import asyncio
import os
import select
import ssl
import time
import zlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from multidict import CIMultiDict
from yarl import URL

from rolecall.models import MAX_RESPONSE_SIZE, Json, NoReply, Reply
from rolecall.rocketchat.connection_config import CaFileError, ConnectionConfig, Credentials, format_netloc
from rolecall.rocketchat.deadlines import Deadlines
from rolecall.rocketchat.error_table import ANSWER_LOST, CONNECT_FAILED, TIMEOUT
from rolecall.rocketchat.secret_filter import SecretFilter
from rolecall.text import sanitise
from rolecall.version import __version__

MAX_LISTING_SIZE = 16_777_216
"""Bytes of a list that are read: thousands of rooms of a user, or the members of a large room."""

KEEPALIVE = 2.0
"""Seconds for which an idle connection may be used again. Node closes one after 5 s; a request that crosses with that
is lost, and its effect is not known."""

_PROXY_LOGIN = 407
"""The status with which a proxy, and nothing else, demands a user and password."""


class Client:
    """HTTP session with one workspace: keep-alive connections, the same headers on each call."""

    def __init__(
        self,
        connection: ConnectionConfig,
        credentials: Credentials | None,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a client; without credentials its calls are anonymous."""
        self._connection = connection
        self._filter = SecretFilter(credentials.token if credentials else "")
        # Passed to each call, not to the session: aiohttp sends a session's headers to the proxy too.
        self._secrets = CIMultiDict[str]()
        if credentials:
            self._secrets.update({"X-Auth-Token": credentials.token, "X-User-Id": credentials.user_id})
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Cache-Control": "no-cache",
            "User-Agent": f"rolecall/{__version__}",
        }
        self._now = now
        self._urls: dict[str, URL] = {}

    async def __aenter__(self) -> Self:
        tls = _tls_context(self._connection.ca_file)
        self._proxy = self._connection.proxy  # parsed once: it reads the environment
        self._deadlines = Deadlines(self._connection.connect_timeout + self._connection.timeout)
        self._session = aiohttp.ClientSession(
            connector=_CleanConnector(limit=0, ssl=tls, keepalive_timeout=KEEPALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connection.connect_timeout),
            auto_decompress=False,
            proxy=self._proxy,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.close()
        await self._session.close()

    async def post_pair(self, path: str, room_id: str, user_id: str) -> Reply | NoReply:
        """Send one role change: exactly `roomId` and `userId`, because 8.x rejects any other key."""
        return await self._call("POST", path, orjson.dumps({"roomId": room_id, "userId": user_id}))

    async def post_json(self, path: str, payload: Json) -> Reply | NoReply:
        """Send any other JSON, such as a message."""
        return await self._call("POST", path, orjson.dumps(payload))

    async def get(self, path: str, **query: str) -> Reply | NoReply:
        """Send a read request; the query is encoded here, so that no value can change the URL."""
        return await self._call("GET", path, None, query)

    async def get_listing(self, path: str, **query: str) -> Reply | NoReply:
        """Send a read request whose response may be long."""
        return await self._call("GET", path, None, query, MAX_LISTING_SIZE)

    async def _call(
        self,
        method: str,
        path: str,
        body: bytes | None,
        query: dict[str, str] | None = None,
        limit: int = MAX_RESPONSE_SIZE,
    ) -> Reply | NoReply:
        sent_at = self._now()
        try:
            with self._deadlines.begin():
                response = await self._session.request(
                    method, self._url(path), data=body, params=query, headers=self._secrets, allow_redirects=False
                )
                content = await _read(response, limit)
            if response.status == _PROXY_LOGIN and self._proxy and self._connection.url.startswith("http://"):
                return self._clean(_proxy_refused(self._proxy, response.status, response.reason))
            headers = self._filter.hide_headers(response.headers)
            return Reply(response.status, headers, self._filter.hide(content), sent_at, self._now())
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return self._clean(_no_reply(error, self._proxy or ""))

    def _clean(self, reply: NoReply) -> NoReply:
        """Return a failure whose text, which may be the server's or the proxy's, is without the token and harmless."""
        return reply._replace(detail=sanitise(self._filter.hide_text(reply.detail)))

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(self._connection.url + path)
        return url


class _CleanConnector(aiohttp.TCPConnector):
    """Connection pool that does not reuse a connection on which unrequested bytes, or its end, have arrived.

    aiohttp would use such bytes as the response to the next call, so that a row would get another row's outcome. It
    checks for them when a connection returns to the pool, but not when it is reused; and it has no public hook there.
    The socket itself is checked too: after a pause of the process the event loop has not read it yet.
    """

    async def _get(self, *args: Any) -> Any:
        while (connection := await super()._get(*args)) is not None:
            protocol = connection.protocol
            if protocol is not None and not protocol.should_close and not _is_readable(connection.transport):
                return connection
            connection.close()
        return None


def _is_readable(transport: asyncio.Transport | None) -> bool:
    """Return whether bytes, or the end of the connection, wait in its socket."""
    connection = transport.get_extra_info("socket") if transport is not None else None
    if connection is None:
        return False
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    return bool(poller.poll(0))


def _tls_context(ca_file: str | None) -> ssl.SSLContext | bool:
    """Return the context that trusts these authorities; without them True, aiohttp's own with those of the system."""
    if ca_file is None:
        return True  # a context of our own would read the system's authorities again, which takes 50 ms
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise CaFileError(f"{ca_file} is not a PEM file of certificate authorities: {error}.") from None


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read a response body, at most `limit` bytes; afterwards its connection is released or closed in any case."""
    stream = response.content
    if stream.is_eof() and stream.total_bytes <= limit:  # the usual case: complete, and its connection is released
        content = stream.read_nowait()
    else:
        content = await _read_stream(response, limit)
    return content if "Content-Encoding" not in response.headers else _decompress(content, limit)


async def _read_stream(response: aiohttp.ClientResponse, limit: int) -> bytes:
    content = bytearray()
    try:
        while len(content) < limit and (chunk := await response.content.read(limit - len(content))):
            content += chunk
    except BaseException:
        response.close()
        raise
    if not response.content.at_eof():
        response.close()
    return bytes(content)


def _decompress(content: bytes, limit: int) -> bytes:
    """Decompress a body that was compressed in spite of `Accept-Encoding: identity`, at most to the limit."""
    try:
        return zlib.decompressobj(wbits=47).decompress(content, limit)
    except zlib.error:
        return content


def _no_reply(error: Exception, proxy: str) -> NoReply:
    """Translate an exception; `maybe_sent` is False only if the request certainly was not sent."""
    detail = str(error) or type(error).__name__
    match error:
        case aiohttp.ClientConnectorCertificateError():
            detail = f"certificate refused: {error.certificate_error}"
            return NoReply(CONNECT_FAILED.reason, detail, False, certificate_refused=True)
        case aiohttp.ClientProxyConnectionError():  # the error's own text names the workspace
            return _proxy_failed(f"no connection to the proxy {_host_of(proxy)}: {_cause(error.os_error)}")
        case aiohttp.ClientConnectorError():
            detail = f"no connection to {error.host}:{error.port}: {_cause(error.os_error)}"
            return NoReply(CONNECT_FAILED.reason, detail, False)
        case aiohttp.ClientHttpProxyError():  # the error's own text may contain the proxy's password
            return _proxy_refused(proxy, error.status, error.message)
        case aiohttp.InvalidURL() | UnicodeError():  # not shown: a proxy's URL may contain a password
            return NoReply(CONNECT_FAILED.reason, "the URL of the workspace or its proxy cannot be used", False)
        case aiohttp.ConnectionTimeoutError():
            through = f" through the proxy {_host_of(proxy)}" if proxy else ""
            return NoReply(CONNECT_FAILED.reason, f"no connection in time{through}", False)
        case TimeoutError():
            return NoReply(TIMEOUT.reason, "no response in time", True)
        case _:
            return NoReply(ANSWER_LOST.reason, detail, True)


def _proxy_refused(proxy: str, status: int, phrase: str | None) -> NoReply:
    login = "; it wants a user and password" if status == _PROXY_LOGIN else ""
    return _proxy_failed(f"the proxy {_host_of(proxy)} refused: {status} {phrase or ''}".rstrip() + login)


def _proxy_failed(detail: str) -> NoReply:
    return NoReply(CONNECT_FAILED.reason, detail, False, by_proxy=True)


def _host_of(proxy: str) -> str:
    """Return a proxy's host and port, without its user and password."""
    url = URL(proxy)
    return format_netloc(url.host or "", url.port)


def _cause(error: OSError) -> str:
    """Return the system's text for a failed connection; TLS and DNS errors have error numbers of their own."""
    if isinstance(error, ssl.SSLError):
        reason = (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
        return f"TLS failed ({reason}); perhaps the address begins with http://"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
