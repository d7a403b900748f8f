"""The simulated network against the real one: the client returns the same for every fault, and the same is done."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from rolecall.models import NoReply, Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.sandbox import ACCOUNT, Fault, Kind, Limiter, Sandbox, World, leader_world
from rolecall.sandbox.faults import EVERY_ROUTE, MAY_ACT, FaultMatch
from tests.simulation.client import SimulatedClient
from tests.simulation.fates import CLOSED, Fate, Weather
from tests.simulation.loop import SimulationLoop, Timeline
from tests.simulation.network import Line, Network
from tests.simulation.server import LimiterSettings, Server, ServerClock
from tests.unit.rocketchat.raw_server import answer

ROOM, USER = "room", "user"
PATH = "/api/v1/groups.removeLeader"
PATIENCE = 0.4
"""Seconds that both clients wait; the slow response comes sooner."""
FAULTS = [
    None,
    *(Fault(kind, seconds=0.02) for kind in Kind if kind is not Kind.REVOKE),
    *(Fault(kind, seconds=0.02, act=True) for kind in Kind if kind in MAY_ACT),
    Fault(Kind.EXCEPTION, writes=2),
    Fault(Kind.STATUS, status=403, html=True),
]


class Seen(NamedTuple):
    """What a client returned, and what was done."""

    reply: tuple[object, ...]
    headers: frozenset[str]
    removals: int


def seen(reply: Reply | NoReply, world: World) -> Seen:
    """Return what is compared."""
    removals = world.removals(ROOM, USER)
    if isinstance(reply, NoReply):
        return Seen((reply.reason, reply.maybe_sent), frozenset(), removals)
    ours = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After", "Date", "Location")
    return Seen((reply.status, reply.body), frozenset(name for name in ours if name in reply.headers), removals)


def new_world() -> World:
    """Return a workspace with one leader; the account is limited."""
    return leader_world([(ROOM, USER)], roles=("user",))


async def really(fault: Fault | None) -> Seen:
    """Make the call over a socket."""
    world = new_world()
    async with Sandbox(world, faults=[fault] if fault else [], limiter=Limiter()) as sandbox:
        connection = ConnectionConfig(sandbox.url, connect_timeout=PATIENCE / 2, timeout=PATIENCE / 2)
        async with Client(connection, Credentials(*ACCOUNT)) as client:
            return seen(await client.post_pair(PATH, ROOM, USER), world)


@dataclass(frozen=True)
class OneFault(Weather):
    """The same fault for every request."""

    fault: Fault | None = None
    closes: bool | None = None
    """Each connection that is used again is closed meanwhile; True: the request was carried out."""

    def fate(self, name: str, *, changes: bool, without: object) -> Fate:
        """Return the fault, for the first request of its kind."""
        return Fate(0.01, 0.01, name, "", self.fault) if self.fault and name.endswith(" 1") else Fate(0.01, 0.01)

    def closing(self, name: str, fate: Fate, *, is_overdue: bool) -> Fate:
        """Return the fate of a request on a connection that is used again."""
        return fate if self.closes is None else Fate(0.01, 0.01, "closed", CLOSED, is_lost=not self.closes)


def simulated(fault: Fault | None) -> Seen:
    """Make the call in virtual time."""
    loop, world = SimulationLoop(), new_world()
    server = Server(world, LimiterSettings(10, 60.0), 1, ServerClock())
    weather = OneFault(0, 0.0, 0.0, (), (), 0.0, fault=fault)
    network = Network(server, Timeline(loop), weather, frozenset(), lambda sent: None, lambda *what: None)

    async def call() -> Seen:
        async with SimulatedClient(network, Line(0, ACCOUNT, lambda what: None), loop, PATIENCE) as client:
            return seen(await client.post_pair(PATH, ROOM, USER), world)

    try:
        return loop.run_until_complete(call())
    finally:
        loop.close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.act}" if fault else "none")
async def test_the_client_returns_the_same(fault: Fault | None) -> None:
    """A response, or its loss, and what the server did are the same over a socket and in the simulation."""
    assert await really(fault) == await asyncio.to_thread(simulated, fault)


def test_a_refused_connection() -> None:
    """A server that is down was not called."""
    loop = SimulationLoop()
    server = Server(new_world(), None, 1, ServerClock())
    server.stop()
    weather = OneFault(0, 0.0, 0.0, (), (), 0.0)
    network = Network(server, Timeline(loop), weather, frozenset(), lambda sent: None, lambda *what: None)

    async def call() -> Reply | NoReply:
        async with SimulatedClient(network, Line(0, ACCOUNT, lambda what: None), loop, PATIENCE) as client:
            return await client.post_pair(PATH, ROOM, USER)

    reply = loop.run_until_complete(call())
    loop.close()
    assert reply == NoReply("connect_failed", "no connection", False)


# Requests that cross with the end of an idle connection


class Crossed(NamedTuple):
    """What a client returned for its second request, and how many requests were sent and carried out by then."""

    reply: tuple[object, ...]
    connections: int
    carried_out: int


Ask = Callable[[Client], Coroutine[Any, Any, Reply | NoReply]]


def change(client: Client) -> Coroutine[Any, Any, Reply | NoReply]:
    """Return a call that changes a role."""
    return client.post_pair(PATH, ROOM, USER)


def read(client: Client) -> Coroutine[Any, Any, Reply | NoReply]:
    """Return a request that reads."""
    return client.get("/api/v1/groups.counters", roomId=ROOM)


def outcome(reply: Reply | NoReply) -> tuple[object, ...]:
    """Return what is compared: without a response the reason, and whether the call may have been carried out."""
    return (reply.status,) if isinstance(reply, Reply) else (reply.reason, reply.maybe_sent)


class Closer:
    """Closes each connection as its second request arrives; it has carried that out, or has not even read it."""

    def __init__(self, *, carries_out: bool) -> None:
        self._carries_out = carries_out
        self.connections = self.carried_out = 0

    def serve(self, listener: socket.socket) -> None:
        """Serve one connection after the other until the listener is closed."""
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                self.connections += 1
                if not connection.recv(65_536):
                    continue
                self.carried_out += 1
                connection.sendall(answer(b'{"success":true}'))
                # Unread bytes make the close a reset, as it is where nobody reads a request that came too late.
                arrived = connection.recv(65_536, 0 if self._carries_out else socket.MSG_PEEK)
                self.carried_out += self._carries_out and bool(arrived)


def really_crossed(ask: Ask, *, carries_out: bool) -> Crossed:
    """Make two calls over a socket."""
    closer = Closer(carries_out=carries_out)

    async def call(url: str) -> Reply | NoReply:
        async with Client(ConnectionConfig(url), Credentials(*ACCOUNT)) as client:
            await ask(client)
            return await ask(client)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=closer.serve, args=(listener,))
        thread.start()
        try:
            reply = asyncio.run(call(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
    return Crossed(outcome(reply), closer.connections, closer.carried_out)


def crossed_in_simulation(ask: Ask, *, carries_out: bool) -> Crossed:
    """Make two calls in virtual time."""
    loop = SimulationLoop()
    server = Server(new_world(), None, 1, ServerClock())
    network = Network(
        server,
        Timeline(loop),
        OneFault(0, 0.0, 0.0, (), (), 0.0, closes=carries_out),
        frozenset(),
        lambda sent: None,
        lambda *what: None,
    )
    line = Line(0, ACCOUNT, lambda what: None)

    async def call() -> Reply | NoReply:
        async with SimulatedClient(network, line, loop, PATIENCE) as client:
            await ask(client)
            return await ask(client)

    try:
        reply = loop.run_until_complete(call())
    finally:
        loop.close()
    return Crossed(outcome(reply), line.pool.opened, server.arrivals)


@pytest.mark.parametrize("carries_out", [False, True], ids=["not_read", "carried_out"])
@pytest.mark.parametrize("ask", [change, read])
def test_a_request_that_crosses_with_the_end_of_its_connection(ask: Ask, carries_out: bool) -> None:
    """A change on a connection that was just closed is in doubt and not repeated; a reading is repeated once."""
    found = really_crossed(ask, carries_out=carries_out)
    assert found == crossed_in_simulation(ask, carries_out=carries_out)
    assert found.reply == ((200,) if ask is read else ("answer_lost", True))


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.REVOKE])
async def test_a_reading_returns_the_same(kind: Kind) -> None:
    """A reading whose connection breaks before the response is repeated over a socket and in the simulation."""
    fault = Fault(kind, FaultMatch(route=EVERY_ROUTE), seconds=0.02)
    assert outcome(await reading_over_a_socket(fault)) == outcome(await asyncio.to_thread(simulated_reading, fault))


async def reading_over_a_socket(fault: Fault) -> Reply | NoReply:
    """Read over a socket; the first request gets the fault."""
    async with Sandbox(new_world(), faults=[fault]) as sandbox:
        connection = ConnectionConfig(sandbox.url, connect_timeout=PATIENCE / 2, timeout=PATIENCE / 2)
        async with Client(connection, Credentials(*ACCOUNT)) as client:
            return await read(client)


def simulated_reading(fault: Fault) -> Reply | NoReply:
    """Read in virtual time; the first request gets the fault."""
    loop = SimulationLoop()
    server = Server(new_world(), None, 1, ServerClock())
    weather = OneFault(0, 0.0, 0.0, (), (), 0.0, fault=fault)
    network = Network(server, Timeline(loop), weather, frozenset(), lambda sent: None, lambda *what: None)

    async def call() -> Reply | NoReply:
        async with SimulatedClient(network, Line(0, ACCOUNT, lambda what: None), loop, PATIENCE) as client:
            return await read(client)

    try:
        return loop.run_until_complete(call())
    finally:
        loop.close()
