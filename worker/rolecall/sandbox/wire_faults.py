"""Answers and faults as bytes on a connection; here a fault hangs, tears, lies or floods."""

import asyncio
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import lru_cache
from typing import NoReturn, TypeAlias

from aiohttp import web

from rolecall.sandbox.answers import Answer
from rolecall.sandbox.faults import Fault, Kind

HUGE_BYTES = 50 * 1000 * 1000
BOMB_BYTES = 101 * 1024 * 1024
_CHUNK = 64 * 1024
_MEBIBYTE = bytes(1024 * 1024)

Play: TypeAlias = Callable[[web.BaseRequest, Fault, Answer, float], Awaitable[web.StreamResponse]]
"""Takes the request, the fault, the answer and the server's time in epoch seconds."""


async def send(request: web.BaseRequest, fault: Fault | None, answer: Answer, now: float) -> web.StreamResponse:
    """Put an answer on the wire, in the way its fault says; `now` is the server's clock in epoch seconds."""
    play = PLAYS.get(fault.kind) if fault else None
    if not fault or not play:
        return response(answer, now)
    try:
        return await play(request, fault, answer, now)
    except ConnectionError:  # the client has had enough; its leaving cancels this handler
        await silence()


def response(answer: Answer, now: float) -> web.Response:
    """Return an answer as aiohttp sends it, with the server's own `Date`."""
    headers = {**answer.headers, "Date": http_date(int(now))}
    return web.Response(status=answer.status, body=answer.body, headers=headers)


@lru_cache(maxsize=8)
def http_date(second: int) -> str:
    """Return an epoch second as the `Date` header says it."""
    return formatdate(second, usegmt=True)


async def _reset(request: web.BaseRequest, _fault: Fault, _answer: Answer, _now: float) -> web.StreamResponse:
    """Send a TCP RST: a socket that lingers for no time throws away instead of saying goodbye."""
    if request.transport is not None:
        sock: socket.socket = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    await silence()


async def _drop(request: web.BaseRequest, _fault: Fault, _answer: Answer, _now: float) -> web.StreamResponse:
    """Close the connection at once."""
    if request.transport is not None:
        request.transport.abort()
    await silence()


async def _hang(_request: web.BaseRequest, _fault: Fault, _answer: Answer, _now: float) -> web.StreamResponse:
    """Say nothing."""
    await silence()


async def silence() -> NoReturn:
    """Wait until aiohttp cancels this handler, as it does when its connection is lost."""
    while True:
        await asyncio.get_running_loop().create_future()


async def _slow(_request: web.BaseRequest, fault: Fault, answer: Answer, now: float) -> web.StreamResponse:
    """Answer properly after the delay."""
    await asyncio.sleep(fault.seconds)
    return response(answer, now + fault.seconds)


async def _truncated(request: web.BaseRequest, _fault: Fault, answer: Answer, now: float) -> web.StreamResponse:
    """Send half of the body that was announced, then close."""
    half = answer.body[: len(answer.body) // 2]
    return await _raw(request, answer, now, length=len(answer.body), body=half)


async def _wrong_length(request: web.BaseRequest, _fault: Fault, answer: Answer, now: float) -> web.StreamResponse:
    """Announce half of the body and send all of it."""
    return await _raw(request, answer, now, length=len(answer.body) // 2, body=answer.body)


async def _raw(request: web.BaseRequest, answer: Answer, now: float, *, length: int, body: bytes) -> web.StreamResponse:
    """Write an answer whose length is a lie, which aiohttp would not; then close."""
    headers = {**answer.headers, "Date": http_date(int(now)), "Content-Length": str(length)}
    lines = [f"HTTP/1.1 {answer.status} OK", *(f"{name}: {value}" for name, value in headers.items())]
    transport = request.transport
    if transport is not None:
        transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        transport.close()
    await silence()


async def _huge(request: web.BaseRequest, _fault: Fault, answer: Answer, now: float) -> web.StreamResponse:
    """Stream 50 MB of spaces."""
    stream = _stream(answer, now)
    stream.content_length = HUGE_BYTES
    await stream.prepare(request)
    for start in range(0, HUGE_BYTES, _CHUNK):
        await stream.write(b" " * min(_CHUNK, HUGE_BYTES - start))
    return stream


async def _bomb(request: web.BaseRequest, _fault: Fault, answer: Answer, now: float) -> web.StreamResponse:
    """Stream zeros, gzipped to a thousandth, a mebibyte at a time so that the loop stays free."""
    stream = _stream(answer, now)
    stream.headers["Content-Encoding"] = "gzip"
    await stream.prepare(request)
    gzip = zlib.compressobj(level=1, wbits=31)
    for _ in range(BOMB_BYTES // len(_MEBIBYTE)):
        await stream.write(gzip.compress(_MEBIBYTE) + gzip.flush(zlib.Z_SYNC_FLUSH))
        await asyncio.sleep(0)
    await stream.write(gzip.flush())
    return stream


async def _endless(request: web.BaseRequest, fault: Fault, answer: Answer, now: float) -> web.StreamResponse:
    """Send a byte, pause, and so on for as long as the client stays."""
    stream = _stream(answer, now)
    await stream.prepare(request)
    while True:
        await stream.write(b" ")
        await asyncio.sleep(fault.seconds)


def _stream(answer: Answer, now: float) -> web.StreamResponse:
    """Return the beginning of an answer whose body is written bit by bit."""
    headers = {**answer.headers, "Date": http_date(int(now))}
    return web.StreamResponse(status=answer.status, headers=headers)


PLAYS: dict[Kind, Play] = {
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
"""The kinds that are more than another answer."""
