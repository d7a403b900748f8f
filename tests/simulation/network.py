"""The network between the worker and the server: it delays, reorders, loses and spoils what it carries."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from rolecall.models import MAX_RESPONSE_SIZE, NoReply, Reply
from rolecall.sandbox import Account, Kind
from rolecall.sandbox.request_handler import Request
from rolecall.sandbox.responses import Response
from rolecall.sandbox.write_routes import CHANGES
from tests.simulation.connections import Connection, ConnectionPool
from tests.simulation.fates import CLOSED, LATE, REFUSED, SOUND, Fate, Weather
from tests.simulation.loop import Timeline
from tests.simulation.server import Server

URL = "https://chat.example"
ADDRESS = "10.0.0.1"
"""The worker's address, which the server's limiter sees."""
HANGS = frozenset({Kind.HANG_BEFORE, Kind.HANG_AFTER, Kind.ENDLESS})
BREAKS = frozenset({Kind.RESET_BEFORE, Kind.DROP_AFTER})
CUTS = frozenset({Kind.TRUNCATED, Kind.WRONG_LENGTH})
PADDING = {Kind.HUGE: b" " * MAX_RESPONSE_SIZE, Kind.BOMB: bytes(MAX_RESPONSE_SIZE)}
"""What the client reads of a body that is far too long."""


MESSAGE_IS_WRITTEN_AFTER = 3
"""Writes of a role change after which its message is saved."""


class ConnectionRefused(Exception):  # noqa: N818 - what happened, not an error of ours
    """There was no connection."""


class ConnectionLost(Exception):  # noqa: N818 - what happened, not an error of ours
    """The connection broke before the response was complete."""


class ResponseCut(ConnectionLost):
    """The connection broke within the response."""


class ClosedWhileIdle(ConnectionLost):
    """The server had closed the idle connection on which the request was sent."""


@dataclass(eq=False, slots=True)
class Sent:
    """One request of a session, and everything that happened to it."""

    session: int
    route: str
    room_id: str
    user_id: str
    at: float
    """When it left, on the loop's clock."""
    fate: Fate
    carried_out: int = 0
    """How often the server handled it."""
    reply: Reply | NoReply | None = None
    """What the client returned; None while it waits, or where it was cancelled or killed."""
    is_genuine: bool = False
    """The response was the server's own, to this very request."""
    has_ended: bool = False
    """The client does not wait for it any more."""
    limited: int = 0
    """How often the server's own limiter refused it."""

    @property
    def pair(self) -> tuple[str, str]:
        """The room and the user."""
        return self.room_id, self.user_id

    @property
    def status(self) -> int | None:
        """The status of the response that was delivered."""
        return self.reply.status if isinstance(self.reply, Reply) else None

    @property
    def is_not_done(self) -> bool:
        """True where the reply proves that nothing was carried out."""
        if isinstance(self.reply, Reply):
            if self.is_unauthorized:
                return True
            return self.reply.status == 429 or b"error-too-many-requests" in self.reply.body
        return self.reply is not None and not self.reply.maybe_sent

    @property
    def is_unauthorized(self) -> bool:
        """True where the server itself did not accept the token."""
        return self.is_genuine and self.status == 401

    @property
    def died_before_the_message(self) -> bool:
        """True where the server changed the role and died before it saved the message."""
        fault = self.fate.fault
        return fault is not None and fault.kind is Kind.EXCEPTION and 0 < fault.writes < MESSAGE_IS_WRITTEN_AFTER

    @property
    def is_sound(self) -> bool:
        """True where the reply proves what happened to the row."""
        return self.is_genuine and self.status in (200, 400)


class Line:
    """The worker's end of the network: that of one process, which can die."""

    def __init__(self, session: int, account: Account, on_step: Callable[[str], None]) -> None:
        """`on_step` is called before and after a request leaves, and when a response arrives."""
        self.session = session
        self.account = account
        self.on_step = on_step
        self.is_alive = True
        self.address = ADDRESS
        self.pool = ConnectionPool()


class Carried(NamedTuple):
    """A request on its way to the server."""

    line: Line
    connection: Connection
    sent: Sent
    request: Request
    reply: asyncio.Future[tuple[Response, float]]


@dataclass
class Network:
    """Carries requests and responses."""

    server: Server
    timeline: Timeline
    weather: Weather
    without: frozenset[str]
    """Names of faults that do not happen."""
    on_send: Callable[[Sent], None]
    """Called with each changing request as it leaves."""
    note: Callable[..., None]
    """Adds an entry to the trace."""
    faults: dict[str, None] = field(default_factory=dict)
    """The names of the faults that happened."""
    sent: list[Sent] = field(default_factory=list)
    is_calm: bool = False
    """True where nothing goes wrong any more."""
    on_arrival: Callable[[], None] = lambda: None
    """Called when the server has handled a request."""
    _counts: Counter[str] = field(default_factory=Counter)

    def send(self, line: Line, request: Request, reply: asyncio.Future[tuple[Response, float]]) -> Sent:
        """Send a request; its response, or what happened instead, is set on `reply`."""
        route, room, user = request.route, request.room, request.user
        changes = route in CHANGES
        name = f"{route} {room} {user}"
        self._counts[name] += 1
        name = f"{name} {self._counts[name]}"
        fate = self.weather.fate(name, changes=changes, without=self.without)
        if fate.name and self.is_calm:
            fate = Fate(self.weather.latency, self.weather.latency)
        connection, fate = self._connect(line, name, fate)
        sent = Sent(line.session, route, room, user, self.timeline.now_on_loop, fate)
        line.on_step("leaving")
        if not line.is_alive:
            return sent
        self.sent.append(sent)
        if fate.name:
            self.faults[fate.name] = None
        if changes:
            self.on_send(sent)
        self.note("sent", name, fate.road or (fate.fault.kind if fate.fault else ""))
        if fate.road == REFUSED or self.server.is_down:
            self.timeline.after(fate.to_server, lambda: _break(reply, ConnectionRefused()))
        elif fate.road == CLOSED and fate.is_lost:
            self.timeline.after(fate.to_server + fate.to_client, lambda: _break(reply, ClosedWhileIdle()))
        else:
            carried = Carried(line, connection, sent, request, reply)
            self.timeline.after(fate.to_server, lambda: self._arrive(carried))
        line.on_step("left")
        return sent

    def _connect(self, line: Line, name: str, fate: Fate) -> tuple[Connection, Fate]:
        """Return the connection of a request, and its fate on it."""
        now, incarnation = self.timeline.now_on_loop, self.server.incarnation
        connection = line.pool.acquire(now, now - self.weather.latency, incarnation)
        if not connection.is_used_again or fate.name or self.is_calm:
            return connection, fate
        is_overdue = connection.closes_at <= now + fate.to_server
        on_it = self.weather.closing(name, fate, is_overdue=is_overdue)
        if on_it.name in self.without:
            return line.pool.open(incarnation), fate
        return connection, on_it

    def _arrive(self, carried: "Carried") -> None:
        line, connection, sent, request, reply = carried
        if self.server.is_down:
            _break(reply, ConnectionLost())
            return
        fate, server = sent.fate, self.server
        incarnation = server.incarnation
        now = self.timeline.now
        response = server.receive(request, fate.fault, now, connection=connection.number, is_worker=True)
        sent.carried_out += 1
        sent.limited += response.status == 429 and fate.fault is None
        self.note("handled", request.route, request.room, request.user, response.status, response.carried_out)
        self.on_arrival()
        kind, seconds = fate.fault.kind if fate.fault else None, fate.to_client
        if kind is Kind.SLOW and fate.fault is not None:
            seconds += fate.fault.seconds
        if fate.road == LATE or kind in HANGS:
            return
        date = self.timeline.now + server.skew(self.timeline.now) + server.date_skew

        def deliver() -> None:
            if not line.is_alive or reply.done():
                return
            if kind in CUTS:
                _break(reply, ResponseCut())
            elif fate.road == CLOSED:
                _break(reply, ClosedWhileIdle())
            elif kind in BREAKS or server.incarnation != incarnation:
                _break(reply, ConnectionLost())
            else:
                if kind not in PADDING:
                    idle_from = self.timeline.now - fate.to_client
                    line.pool.release(connection, self.timeline.now, idle_from + server.idle_timeout)
                sent.is_genuine = _is_genuine(response, kind)
                reply.set_result((_spoiled(response, kind), date))
            line.on_step("arrived")

        self.timeline.after(seconds, deliver)


def _is_genuine(response: Response, kind: Kind | None) -> bool:
    """Return whether a response is as the server itself made it; some faults leave some responses as they are."""
    if kind is Kind.UNKNOWN_ERROR_TYPE:
        return b"error-of-tomorrow" not in response.body
    if kind is Kind.EXCEPTION:
        return b"not primary" not in response.body
    return kind is None or kind in SOUND


def _spoiled(response: Response, kind: Kind | None) -> Response:
    if kind in PADDING:
        return Response(response.status, PADDING[kind], response.headers)
    return response


def _break(reply: asyncio.Future[tuple[Response, float]], error: Exception) -> None:
    if not reply.done():
        reply.set_exception(error)
