"""The target: the smallest HTTP server that Rolecall takes for a workspace, in a process of its own.

It is a raw protocol without a framework, on uvloop where that is installed. It was seen to answer 50,000 calls a second
to a raw client, four times what the fastest competitor asks. It knows each row by the number in its ids (see jobs) and
counts how often it came.
"""

import asyncio
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from typing import Any, cast
from urllib.parse import parse_qsl

import orjson

from rolecall.sandbox import LimitDecision, Limiter
from tests.bench.jobs import PER_ROOM

POST = b"POST /api/v1/groups.removeLeader "
GOOD = b'{"success":true}'
ME = b'{"_id":"rbAXPnMktTFbNpwtJ","username":"bench.bot","roles":["bot"],"success":true}'
TOO_MANY = (
    b'{"success":false,"error":"Error, too many requests. Please slow down. '
    b'You must wait %d seconds before trying this endpoint again. [error-too-many-requests]"}'
)


class Counts:
    """What reached the target since it was last reset, and how it answers until it is reset again."""

    def __init__(
        self, *, latency: float = 0, limit: float = 0, window: float = 1, instances: float = 1, times: float = 0
    ) -> None:
        """Take seconds until an answer, a fixed window of `limit` calls, and whether to keep the arrivals' times."""
        self.latency = latency
        self.limiter = Limiter(int(limit), window, int(instances)) if limit else None
        self.arrivals = array("d") if times else None
        self.first_request = self.first_post = self.last_post = 0.0
        self.posts = self.strange = self.refused = 0
        self.seen = bytearray()

    def post(self, body: bytes, now: float) -> LimitDecision | None:
        """Count a call; what the limiter says of it."""
        self.posts += 1
        if self.arrivals is not None:
            self.arrivals.append(now)
        self.first_post = self.first_post or now
        self.last_post = now
        ruling = self.limiter.acquire("bench", "groups.removeLeader", now) if self.limiter else None
        if ruling is None or ruling.allowed:
            self._count_row(body)
        else:
            self.refused += 1
        return ruling

    def _count_row(self, body: bytes) -> None:
        room, user = body.find(b"GRP"), body.find(b"USR")
        if room < 0 or user < 0:
            self.strange += 1
            return
        number = int(body[user + 3 : user + 17])
        if int(body[room + 3 : room + 17]) != number // PER_ROOM:
            self.strange += 1
            return
        if number >= len(self.seen):
            self.seen.extend(bytes(max(4096, number + 1 - len(self.seen))))
        self.seen[number] = min(255, self.seen[number] + 1)

    def told(self) -> dict[str, Any]:
        """Give the counts; the moments are those of the system's monotonic clock."""
        return {
            "posts": self.posts,
            "refused": self.refused,
            "strange": self.strange,
            "distinct": len(self.seen) - self.seen.count(0),
            "once": self.seen.count(1),
            "first_request": self.first_request,
            "first_post": self.first_post,
            "last_post": self.last_post,
            "arrivals": list(self.arrivals or ()),
        }


class Target:
    """The counts, and the answers that are made from them."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._second = 0
        self._date = b""

    def answer(self, head: bytes, body: bytes) -> bytes:
        """Answer one request."""
        if head.startswith(POST):
            return self._post(body)
        path = head.split(b" ", 2)[1]
        if path == b"/bench/counts":
            return _http(b"200 OK", orjson.dumps(self.counts.told()), b"")
        if path.startswith(b"/bench/reset"):
            query = path.partition(b"?")[2].decode()
            self.counts = Counts(**dict(_numbers(query)))
            return _http(b"200 OK", b"{}", b"")
        self.counts.first_request = self.counts.first_request or time.monotonic()
        return _http(b"200 OK", ME, self._dated())

    def _post(self, body: bytes) -> bytes:
        ruling = self.counts.post(body, time.monotonic())
        if ruling is None:
            return _http(b"200 OK", GOOD, self._dated())
        headers = self._dated() + (
            b"X-RateLimit-Limit: %d\r\nX-RateLimit-Remaining: %d\r\nX-RateLimit-Reset: %d\r\n"
            % (ruling.limit, ruling.remaining, int((time.time() + ruling.wait) * 1000))
        )
        if ruling.allowed:
            return _http(b"200 OK", GOOD, headers)
        return _http(b"429 Too Many Requests", TOO_MANY % max(1, round(ruling.wait + 0.5)), headers)

    def _dated(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._date = time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime(second)).encode()
        return self._date


class Wire(asyncio.Protocol):
    """One connection, kept alive; requests may come in pieces, or several at once."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self._buffer = self._buffer + data if self._buffer else data
        while self._buffer:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head, start = self._buffer[:end], end + 4
            length = _content_length(head)
            if len(self._buffer) < start + length:
                return
            body, self._buffer = self._buffer[start : start + length], self._buffer[start + length :]
            answer = self._target.answer(head, body)
            if self._target.counts.latency:
                self._loop.call_later(self._target.counts.latency, self._write, answer)
            else:
                self._transport.write(answer)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


def _numbers(query: str) -> Iterator[tuple[str, float]]:
    return ((name, float(value)) for name, value in parse_qsl(query))


def _content_length(head: bytes) -> int:
    at = head.find(b"ontent-Length: ")
    if at < 0:
        at = head.lower().find(b"ontent-length: ")
    return 0 if at < 0 else int(head[at + 15 :].split(b"\r", 1)[0])


def _http(status: bytes, body: bytes, headers: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b" % (
        status,
        headers,
        len(body),
        body,
    )


async def serve() -> None:
    """Serve on a free port of loopback, told on stdout, until the process is ended."""
    target = Target()
    server = await asyncio.get_running_loop().create_server(lambda: Wire(target), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Run the target."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    main()
