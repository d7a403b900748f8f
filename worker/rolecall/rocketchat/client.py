"""The calls: turns everything that can happen on the wire into `Reply` or `NoReply`.

The only module that imports aiohttp's client. It follows no redirect (that would hand the token to another host),
reads at most 64 KiB of an answer, verifies TLS, and shows a token to nobody but the workspace.
"""

import os
import ssl
import time
import zlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
import orjson
from multidict import CIMultiDict
from yarl import URL

from rolecall.models import MAX_RESPONSE_SIZE, Json, NoReply, Reply
from rolecall.rocketchat.deadlines import Deadlines
from rolecall.rocketchat.error_table import ANSWER_LOST, CONNECT_FAILED, TIMEOUT
from rolecall.text import sanitise
from rolecall.version import __version__

MAX_LISTING_SIZE = 16_777_216
"""Bytes of a listing that are read: a user's thousands of rooms, or the members of a large one."""

CERTIFICATE_REFUSED = "certificate refused"
"""Begins the detail of a connection that was not made because nobody we trust vouches for the server."""
HIDDEN = "<hidden>"
"""Stands where our own token stood."""


class CaFileError(Exception):
    """The file of certificate authorities cannot be used; the text is one line for a person."""


class Credentials(NamedTuple):
    """Who calls; the token is kept out of every representation."""

    user_id: str
    token: str

    def __repr__(self) -> str:
        return f"Credentials(user_id={self.user_id!r}, token=<hidden>)"


class Transport(NamedTuple):
    """How to reach the workspace."""

    url: str
    """The workspace's address without a slash at the end."""
    connect_timeout: float = 10.0
    """Seconds until a connection must stand."""
    response_timeout: float = 30.0
    """Seconds until the whole answer must have come, beside those for connecting."""
    proxy: str | None = None
    ca_file: str | None = None
    """A PEM file with the authorities to trust instead of the system's."""


class Client:
    """One session with one workspace: keep-alive connections, the same headers on each call."""

    def __init__(
        self, transport: Transport, credentials: Credentials | None, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the way and who calls; without credentials nobody is told who we are."""
        self._transport = transport
        self._token = credentials.token.encode() if credentials else b""
        # Given to each call and not to the session: a session's headers go to a proxy too.
        self._secrets = CIMultiDict[str]()
        if credentials:
            self._secrets.update({"X-Auth-Token": credentials.token, "X-User-Id": credentials.user_id})
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"rolecall/{__version__}",
        }
        self._now = now
        self._urls: dict[str, URL] = {}

    async def __aenter__(self) -> Self:
        tls = _tls_context(self._transport.ca_file)
        self._deadlines = Deadlines(self._transport.connect_timeout + self._transport.response_timeout)
        self._session = aiohttp.ClientSession(
            connector=_CleanConnections(limit=0, ssl=tls, keepalive_timeout=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=self._transport.connect_timeout),
            auto_decompress=False,
            proxy=self._transport.proxy,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.close()
        await self._session.close()

    async def post_pair(self, path: str, room_id: str, user_id: str) -> Reply | NoReply:
        """Send one change of a role: exactly `roomId` and `userId` (8.x refuses any other key)."""
        return await self._call("POST", path, orjson.dumps({"roomId": room_id, "userId": user_id}))

    async def post_json(self, path: str, payload: Json) -> Reply | NoReply:
        """Send something else, such as a message."""
        return await self._call("POST", path, orjson.dumps(payload))

    async def get(self, path: str, **query: str) -> Reply | NoReply:
        """Read something; the query is encoded here, so that no value can alter the address."""
        return await self._call("GET", path, None, query)

    async def get_listing(self, path: str, **query: str) -> Reply | NoReply:
        """Read something that may be long."""
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
            return Reply(response.status, response.headers, self._hide(content), sent_at, self._now())
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reply = _no_reply(error)
            return reply._replace(detail=sanitise(self._hide(reply.detail.encode(errors="replace")).decode()))

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(self._transport.url + path)
        return url

    def _hide(self, body: bytes) -> bytes:
        """Take our own token out of an answer that echoes it, before anybody can log it."""
        return body.replace(self._token, HIDDEN.encode()) if self._token and self._token in body else body


class _CleanConnections(aiohttp.TCPConnector):
    """Reuses no connection on which something came that nobody had asked for.

    aiohttp would take it for the answer to the next call: a row would be told by another one's answer. It looks for
    such bytes when a connection is given back, but not when it is taken again; and it has no public hook there.
    """

    async def _get(self, *asked: Any) -> Any:
        while (connection := await super()._get(*asked)) is not None:
            if connection.protocol is not None and not connection.protocol.should_close:
                return connection
            connection.close()
        return None


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise CaFileError(f"{ca_file} is not a PEM file of certificate authorities: {error}.") from None


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read an answer's body, at most `limit` bytes; its connection is free or closed afterwards, whatever happens."""
    stream = response.content
    if stream.is_eof() and stream.total_bytes <= limit:  # the usual answer has come whole, and freed its connection
        content = stream.read_nowait()
    else:
        content = await _read_on(response, limit)
    return content if "Content-Encoding" not in response.headers else _inflated(content, limit)


async def _read_on(response: aiohttp.ClientResponse, limit: int) -> bytes:
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


def _inflated(content: bytes, limit: int) -> bytes:
    """Unpack what a server packed although we asked it not to, never beyond the limit."""
    try:
        return zlib.decompressobj(wbits=47).decompress(content, limit)
    except zlib.error:
        return content


def _no_reply(error: Exception) -> NoReply:
    """Translate a foreign exception; what may have been sent is told so when in doubt."""
    detail = str(error) or type(error).__name__
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return NoReply(CONNECT_FAILED.reason, f"{CERTIFICATE_REFUSED}: {error.certificate_error}", False)
        case aiohttp.ClientConnectorError():
            where, cause = f"{error.host}:{error.port}", _cause(error.os_error)
            return NoReply(CONNECT_FAILED.reason, f"no connection to {where}: {cause}", False)
        case aiohttp.ClientHttpProxyError():  # its own text may name the proxy with its password
            return NoReply(CONNECT_FAILED.reason, f"the proxy refused: {error.status} {error.message}", False)
        case aiohttp.InvalidURL() | UnicodeError():  # not shown: a proxy's address may carry a password
            return NoReply(CONNECT_FAILED.reason, "the address of the workspace or its proxy cannot be used", False)
        case aiohttp.ConnectionTimeoutError():
            return NoReply(CONNECT_FAILED.reason, "no connection in time", False)
        case TimeoutError():
            return NoReply(TIMEOUT.reason, "no answer in time", True)
        case _:
            return NoReply(ANSWER_LOST.reason, detail, True)


def _cause(error: OSError) -> str:
    """Name a failed connection as the system does; names that do not resolve, and TLS, have numbers of other kinds."""
    if isinstance(error, ssl.SSLError):
        reason = (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
        return f"TLS failed ({reason}); perhaps the address begins with http://"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
