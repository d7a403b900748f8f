"""The workspace on a loopback socket: reads a call, has it answered, notes it, sends the answer."""

import asyncio
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

from rolecall.sandbox.answers import Answer
from rolecall.sandbox.call_log import Call
from rolecall.sandbox.faults import Fault, FaultPlan, Kind
from rolecall.sandbox.limiter import Limiter
from rolecall.sandbox.request_handler import Incoming, answer_call
from rolecall.sandbox.response_faults import NOT_ASKED, distort
from rolecall.sandbox.wire_faults import send, silence
from rolecall.sandbox.world import World

_GRACE = 0.1
"""Seconds that a closing sandbox gives to handlers; they are all cancelled by then."""


class Sandbox:
    """One stand-in workspace, served for as long as its `async with` block lasts.

    `limiter` is None for a workspace without rate limits. `latency` is the time in seconds from deciding to
    answering. `skew` is how many seconds the server's clock (`Date`, `X-RateLimit-Reset`) is ahead of `clock`,
    which tells epoch seconds. `base_path` is the path that the workspace is mounted under. Port 0 takes a free one.
    """

    def __init__(
        self,
        world: World,
        *,
        limiter: Limiter | None = None,
        faults: FaultPlan | Iterable[Fault] = (),
        latency: float = 0.0,
        skew: float = 0.0,
        base_path: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if host != "localhost" and not ip_address(host).is_loopback:
            raise ValueError(f"the sandbox serves on loopback only, not on {host}")
        self.world = world
        self.faults = faults if isinstance(faults, FaultPlan) else FaultPlan(list(faults))
        self.limiter = limiter
        self.latency = latency
        self.skew = skew
        self.base_path = f"/{base_path.strip('/')}".rstrip("/")
        self.host = host
        self.port = port
        self._clock = clock
        self._http: web.Server | None = None
        self._listening: asyncio.Server | None = None
        self._noted = asyncio.Event()

    @property
    def url(self) -> str:
        """The workspace's URL, base path included, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.base_path}"

    async def __aenter__(self) -> Self:
        """Start to listen; afterwards `port` is the one that was taken."""
        self._http = web.Server(self._serve, handler_cancellation=True, access_log=None)
        await self.reappear()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop at once: hung connections are aborted, no task is left."""
        await self.vanish()
        if self._http is not None:
            await self._http.shutdown(_GRACE)

    async def vanish(self) -> None:
        """Take the server away: nothing listens any more and every connection is aborted."""
        if self._listening is None or self._http is None:
            return
        self._listening.close()
        self._listening = None
        while connections := self._http.connections:
            for connection in connections:
                if connection.transport is not None:
                    connection.transport.abort()
            await asyncio.sleep(0)

    async def reappear(self) -> None:
        """Listen again, on the same port as before."""
        if self._http is None or self._listening is not None:
            return
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._http, self.host, self.port, backlog=1024)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def reached(self, calls: int = 1) -> None:
        """Wait until this many calls, counted from the world's beginning, have reached the workspace."""
        while len(self.world.calls) < calls:
            self._noted.clear()
            await self._noted.wait()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request; its fate is decided in one step, so that a client who leaves changes nothing."""
        call = self._incoming(request, await request.read())
        if self._listening is None:
            await silence()
        fault, answer, now = self._decide(call)
        if self.latency:
            await asyncio.sleep(self.latency)
        return await send(request, fault, answer, now + self.latency)

    def _incoming(self, request: web.BaseRequest, body: bytes) -> Incoming:
        """Return a request as the gate takes it; a path outside the workspace becomes an empty one."""
        path = request.path
        if self.base_path:
            inside = path.startswith(f"{self.base_path}/")
            path = path.removeprefix(self.base_path) if inside else ""
        headers = request.headers
        return Incoming(
            verb=request.method,
            path=path,
            client=request.remote or "",
            user_id=headers.get("X-User-Id", ""),
            token=headers.get("X-Auth-Token", ""),
            params=_query(request) if request.method == "GET" else _parsed(body),
        )

    def _decide(self, call: Incoming) -> tuple[Fault | None, Answer, float]:
        """Decide what one call is answered, carry it out and note it; the time is that of the server's clock."""
        now = self._clock()
        fault = self.faults.strike(call.route, call.room, call.user)
        if fault is not None and fault.kind is Kind.REVOKE:
            self.world.revoke(call.token)
        answer = NOT_ASKED
        if fault is None or fault.acts:
            answer = answer_call(self.world, self.limiter, call, now, self.skew)
        if fault is not None:
            answer = distort(fault, answer, now + self.skew)
        self._note(call, fault, answer, now)
        return fault, answer, now + self.skew

    def _note(self, call: Incoming, fault: Fault | None, answer: Answer, now: float) -> None:
        """Append one call to the record."""
        calls = self.world.calls
        kind = fault.kind.value if fault else None
        done, status = answer.carried_out, answer.status
        calls.append(Call(len(calls) + 1, now, call.route, call.room, call.user, done, status, kind))
        self._noted.set()


def _query(request: web.BaseRequest) -> dict[str, str | list[str]]:
    """Return the query; a name that comes twice or ends in `[]` has a list."""
    query: dict[str, str | list[str]] = {}
    for name in request.query:
        values = request.query.getall(name)
        query[name.removesuffix("[]")] = values if name.endswith("[]") or len(values) > 1 else values[0]
    return query


def _parsed(body: bytes) -> Any:
    """Return the JSON value of a body, or None where it is not JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
