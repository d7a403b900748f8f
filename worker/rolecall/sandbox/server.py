"""The workspace on a loopback socket: read a request, decide the response, record the call, send the response."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson
from aiohttp import web

from rolecall.sandbox.exchange import exchange
from rolecall.sandbox.faults import Fault, FaultPlan
from rolecall.sandbox.request_handler import Limiter, Request
from rolecall.sandbox.responses import Response
from rolecall.sandbox.wire_faults import send, wait_for_disconnect
from rolecall.sandbox.world import World

_SHUTDOWN_TIMEOUT = 0.1
"""Seconds for the handlers to end at shutdown; they are all cancelled by then."""

_BACKLOG = 1024
"""Connections that wait to be accepted."""


class ServerAddress(NamedTuple):
    """Where the sandbox listens."""

    host: str = "127.0.0.1"
    """A loopback address, or `localhost`."""
    port: int = 0
    """0 selects a free port."""
    base_path: str = ""
    """The path that the workspace is mounted under."""


class Sandbox:
    """One stand-in workspace, served inside its `async with` block.

    `limiter` is None for a workspace without rate limits. `latency` is the time in seconds between deciding and
    sending a response. `skew` is how many seconds the server's clock is ahead of `clock`, which returns epoch seconds;
    `date_skew` is how many seconds the clock of `Date`, which a proxy may set, is ahead of the server's clock.
    Raises ValueError for an address that is not loopback.
    """

    def __init__(
        self,
        world: World,
        *,
        limiter: Limiter | None = None,
        faults: FaultPlan | Iterable[Fault] = (),
        latency: float = 0.0,
        skew: float = 0.0,
        date_skew: float = 0.0,
        address: ServerAddress | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.host, self.port, base_path = address or ServerAddress()
        if self.host != "localhost" and not ip_address(self.host).is_loopback:
            raise ValueError(f"the sandbox serves on loopback only, not on {self.host}")
        self.base_path = f"/{base_path.strip('/')}".rstrip("/")
        self.world = world
        self.faults = faults if isinstance(faults, FaultPlan) else FaultPlan(list(faults))
        self.limiter = limiter
        self.latency = latency
        self.skew = skew
        self.date_skew = date_skew
        self._clock = clock
        self._http: web.Server | None = None
        self._listener: socket.socket | None = None
        self._accepting: set[asyncio.Future[Any]] = set()
        self._call_recorded = asyncio.Event()

    @property
    def url(self) -> str:
        """The workspace's URL with its base path, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.base_path}"

    async def __aenter__(self) -> Self:
        """Start to listen; afterwards `port` is the port in use."""
        self._http = web.Server(self._serve, handler_cancellation=True, access_log=None)
        await self.resume()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop at once: hung connections are aborted, no task is left."""
        await self.stop_listening()
        if self._http is not None:
            await self._http.shutdown(_SHUTDOWN_TIMEOUT)

    async def stop_listening(self) -> None:
        """Simulate an outage: close the listening socket and abort every connection."""
        if self._listener is None or self._http is None:
            return
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self._listener = None
        await asyncio.gather(*self._accepting, return_exceptions=True)
        while connections := self._http.connections:
            for connection in connections:
                if connection.transport is not None:
                    connection.transport.abort()
            await asyncio.sleep(0)

    async def resume(self) -> None:
        """Listen again, on the same port as before."""
        if self._http is None or self._listener is not None:
            return
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family, backlog=_BACKLOG)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener, self._http)

    def _accept(self, listener: socket.socket, http: web.Server) -> None:
        """Accept one connection. The tasks are kept: `asyncio.Server` loses a connection accepted during its close."""
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            connection, _ = listener.accept()
            accepting = asyncio.ensure_future(asyncio.get_running_loop().connect_accepted_socket(http, connection))
            self._accepting.add(accepting)
            accepting.add_done_callback(self._accepting.discard)

    async def wait_for_calls(self, calls: int = 1) -> None:
        """Wait until the workspace has received this many calls since the creation of its world."""
        while len(self.world.calls) < calls:
            self._call_recorded.clear()
            await self._call_recorded.wait()

    async def _serve(self, http_request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request; its response is decided in one step, so that a client that disconnects changes nothing."""
        request = self._parse_request(http_request, await http_request.read())
        if self._listener is None:
            await wait_for_disconnect()
        fault, response, now = self._decide(request)
        if self.latency:
            await asyncio.sleep(self.latency)
        return await send(http_request, fault, response, now + self.latency + self.date_skew)

    def _parse_request(self, http_request: web.BaseRequest, body: bytes) -> Request:
        """Return the request as the handler needs it; a path outside the workspace becomes an empty one."""
        path = http_request.path
        if self.base_path:
            is_inside = path.startswith(f"{self.base_path}/")
            path = path.removeprefix(self.base_path) if is_inside else ""
        headers = http_request.headers
        return Request(
            verb=http_request.method,
            path=path,
            client=headers.get("X-Real-IP") or http_request.remote or "",
            user_id=headers.get("X-User-Id", ""),
            token=headers.get("X-Auth-Token", ""),
            params=_parse_query(http_request) if http_request.method == "GET" else _parse_body(body),
        )

    def _decide(self, request: Request) -> tuple[Fault | None, Response, float]:
        """Decide the response to one request, carry it out and record it; the time is that of the server's clock."""
        now = self._clock()
        fault = self.faults.match(request.route, request.room, request.user)
        response = exchange(self.world, self.limiter, request, fault, now, self.skew)
        self._call_recorded.set()
        return fault, response, now + self.skew


def _parse_query(http_request: web.BaseRequest) -> dict[str, str | list[str]]:
    """Return the query parameters; a name that appears twice or ends in `[]` has a list."""
    query: dict[str, str | list[str]] = {}
    for name in http_request.query:
        values = http_request.query.getall(name)
        query[name.removesuffix("[]")] = values if name.endswith("[]") or len(values) > 1 else values[0]
    return query


def _parse_body(body: bytes) -> Any:
    """Return the JSON value of a body, or None if it is not JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
