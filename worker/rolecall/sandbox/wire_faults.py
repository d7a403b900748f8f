"""Responses as bytes on a connection, and the faults that change how they are sent."""

import asyncio
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache
from typing import NoReturn, TypeAlias

from aiohttp import web

from rolecall.sandbox.faults import Fault, Kind
from rolecall.sandbox.responses import Response

HUGE_BYTES = 50 * 1000 * 1000
BOMB_BYTES = 101 * 1024 * 1024
_CHUNK = 64 * 1024
_MEBIBYTE = bytes(1024 * 1024)

WireFault: TypeAlias = Callable[[web.BaseRequest, Fault, Response, float], Awaitable[web.StreamResponse]]
"""Called with the request, the fault, the response and the server's time in epoch seconds."""


async def send(request: web.BaseRequest, fault: Fault | None, response: Response, now: float) -> web.StreamResponse:
    """Send a response, with its fault if there is one; `now` is the server's clock in epoch seconds."""
    wire_fault = WIRE_FAULTS.get(fault.kind) if fault else None
    if not fault or not wire_fault:
        return to_http(response, now)
    try:
        return await wire_fault(request, fault, response, now)
    except ConnectionError:  # the client has disconnected, which cancels this handler
        await wait_for_disconnect()


def to_http(response: Response, now: float) -> web.Response:
    """Return the response of aiohttp, with the server's own `Date`."""
    return web.Response(status=response.status, body=response.body, headers=_headers(response, now))


def _headers(response: Response, now: float) -> dict[str, str]:
    return {**response.headers, "Date": http_date(int(now))}


@lru_cache(maxsize=8)
def http_date(second: int) -> str:
    """Return an epoch second in the format of the `Date` header."""
    return formatdate(second, usegmt=True)


async def _reset(request: web.BaseRequest, _fault: Fault, _response: Response, _now: float) -> web.StreamResponse:
    """Send a TCP RST: a socket with a linger time of zero is reset when it is closed."""
    if request.transport is not None:
        sock: socket.socket = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    await wait_for_disconnect()


async def _drop(request: web.BaseRequest, _fault: Fault, _response: Response, _now: float) -> web.StreamResponse:
    """Close the connection at once."""
    if request.transport is not None:
        request.transport.abort()
    await wait_for_disconnect()


async def _hang(_request: web.BaseRequest, _fault: Fault, _response: Response, _now: float) -> web.StreamResponse:
    """Send nothing."""
    await wait_for_disconnect()


async def wait_for_disconnect() -> NoReturn:
    """Wait until aiohttp cancels this handler, which it does when the connection is lost."""
    while True:
        await asyncio.get_running_loop().create_future()


async def _slow(_request: web.BaseRequest, fault: Fault, response: Response, now: float) -> web.StreamResponse:
    """Send the normal response after the delay."""
    await asyncio.sleep(fault.seconds)
    return to_http(response, now + fault.seconds)


async def _truncated(request: web.BaseRequest, _fault: Fault, response: Response, now: float) -> web.StreamResponse:
    """Send half of the announced body, then close the connection."""
    half = response.body[: len(response.body) // 2]
    return await _send_raw(request, response, now, length=len(response.body), body=half)


async def _wrong_length(request: web.BaseRequest, _fault: Fault, response: Response, now: float) -> web.StreamResponse:
    """Announce half of the body and send all of it."""
    return await _send_raw(request, response, now, length=len(response.body) // 2, body=response.body)


async def _send_raw(
    request: web.BaseRequest, response: Response, now: float, *, length: int, body: bytes
) -> web.StreamResponse:
    """Send a response with a wrong Content-Length, which aiohttp does not allow; then close the connection."""
    headers = {**_headers(response, now), "Content-Length": str(length)}
    lines = [f"HTTP/1.1 {response.status} OK", *(f"{name}: {value}" for name, value in headers.items())]
    transport = request.transport
    if transport is not None:
        transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        transport.close()
    await wait_for_disconnect()


async def _huge(request: web.BaseRequest, _fault: Fault, response: Response, now: float) -> web.StreamResponse:
    """Stream 50 MB of spaces."""
    stream = _open_stream(response, now)
    stream.content_length = HUGE_BYTES
    await stream.prepare(request)
    for start in range(0, HUGE_BYTES, _CHUNK):
        await stream.write(b" " * min(_CHUNK, HUGE_BYTES - start))
    return stream


async def _bomb(request: web.BaseRequest, _fault: Fault, response: Response, now: float) -> web.StreamResponse:
    """Stream zeros as gzip, one mebibyte at a time so that the event loop is not blocked."""
    stream = _open_stream(response, now)
    stream.headers["Content-Encoding"] = "gzip"
    await stream.prepare(request)
    gzip = zlib.compressobj(level=1, wbits=31)
    for _ in range(BOMB_BYTES // len(_MEBIBYTE)):
        await stream.write(gzip.compress(_MEBIBYTE) + gzip.flush(zlib.Z_SYNC_FLUSH))
        await asyncio.sleep(0)
    await stream.write(gzip.flush())
    return stream


async def _endless(request: web.BaseRequest, fault: Fault, response: Response, now: float) -> web.StreamResponse:
    """Send one byte and pause, again and again until the client disconnects."""
    stream = _open_stream(response, now)
    await stream.prepare(request)
    while True:
        await stream.write(b" ")
        await asyncio.sleep(fault.seconds)


def _open_stream(response: Response, now: float) -> web.StreamResponse:
    """Return a response whose body is written in pieces."""
    return web.StreamResponse(status=response.status, headers=_headers(response, now))


WIRE_FAULTS: dict[Kind, WireFault] = {
    Kind.RESET_BEFORE: _reset,
    Kind.DROP_AFTER: _drop,
    Kind.HANG_BEFORE: _hang,
    Kind.HANG_AFTER: _hang,
    Kind.SLOW: _slow,
    Kind.TRUNCATED: _truncated,
    Kind.WRONG_LENGTH: _wrong_length,
    Kind.HUGE: _huge,
    Kind.BOMB: _bomb,
    Kind.ENDLESS: _endless,
}
"""The kinds that change how the response is sent, not only its content."""
