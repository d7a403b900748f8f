"""The client in a simulation: the network is simulated, its deadlines are the real ones."""

import asyncio
from types import TracebackType
from typing import Any, Self

import orjson

from rolecall.models import MAX_RESPONSE_SIZE, NoReply, Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.rocketchat.deadlines import Deadlines
from rolecall.rocketchat.error_table import ANSWER_LOST, CONNECT_FAILED, TIMEOUT
from rolecall.sandbox.request_handler import Request
from rolecall.sandbox.responses import Response
from tests.simulation.network import (
    URL,
    ConnectionLost,
    ConnectionRefused,
    Line,
    Network,
    ResponseCut,
    Sent,
)

REPEATED = "GET"
"""The method of the requests that aiohttp sends again, once, where their connection broke before the response."""


class SimulatedClient(Client):
    """The client, with a simulated network in the place of aiohttp; its deadlines are the real ones."""

    def __init__(self, network: Network, line: Line, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        account = line.account
        super().__init__(ConnectionConfig(URL), Credentials(account.user_id, account.token), now=loop.time)
        self._network = network
        self._line = line
        self._loop = loop
        self._timeout = timeout

    async def __aenter__(self) -> Self:
        self._deadlines = Deadlines(self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.close()

    async def _call(
        self,
        method: str,
        path: str,
        body: bytes | None,
        query: dict[str, str] | None = None,
        limit: int = MAX_RESPONSE_SIZE,
    ) -> Reply | NoReply:
        params: Any = query if body is None else orjson.loads(body)
        account = self._line.account
        request = Request(method, path, self._line.address, account.user_id, account.token, params)
        sent_at = self._now()
        exchange: list[Sent] = []
        try:
            with self._deadlines.begin():
                response, date = await self._exchange(request, exchange)
            reply: Reply | NoReply = self._reply(response, date, limit, sent_at)
        except TimeoutError:
            reply = NoReply(TIMEOUT.reason, "no response in time", True)
        except ConnectionLost as error:
            reply = self._lost(error)
        except ConnectionRefused:
            reply = NoReply(CONNECT_FAILED.reason, "no connection", False)
        finally:
            for sent in exchange:
                sent.has_ended = True
        if exchange:
            sent = exchange[-1]
            sent.reply = reply
            self._network.note("got", sent.route, sent.room_id, sent.user_id, _describe(reply))
        return reply

    async def _exchange(self, request: Request, exchange: list[Sent]) -> tuple[Response, float]:
        """Return the response to a request; what was sent is added to `exchange`."""
        for _ in range(self._attempts(request) - 1):
            try:
                return await self._send(request, exchange)
            except ResponseCut:
                raise
            except ConnectionLost:
                exchange[-1].has_ended = True
        return await self._send(request, exchange)

    async def _send(self, request: Request, exchange: list[Sent]) -> tuple[Response, float]:
        future: asyncio.Future[tuple[Response, float]] = self._loop.create_future()
        exchange.append(self._network.send(self._line, request, future))
        return await future

    def _attempts(self, request: Request) -> int:
        """Return how often aiohttp sends a request whose connection breaks before the response."""
        return 2 if request.verb == REPEATED else 1

    def _lost(self, error: ConnectionLost) -> NoReply:
        """Return what the client makes of a lost connection: the server may have carried the call out."""
        return NoReply(ANSWER_LOST.reason, "the connection broke", True)

    def _reply(self, response: Response, date: float, limit: int, sent_at: float) -> Reply:
        headers = {**response.headers, "Date": self._network.server.date_text(date)}
        return Reply(response.status, headers, response.body[:limit], sent_at, self._now())


def _describe(reply: Reply | NoReply) -> int | str:
    return reply.status if isinstance(reply, Reply) else reply.reason
