"""The simulated network against the real one: the client returns the same for every fault, and the same is done."""

import asyncio
from dataclasses import dataclass
from typing import NamedTuple

import pytest

from rolecall.models import NoReply, Reply
from rolecall.rocketchat.client import Client
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.sandbox import ACCOUNT, Fault, Kind, Limiter, Sandbox, World, leader_world
from rolecall.sandbox.faults import MAY_ACT
from tests.simulation.fates import Fate, Weather
from tests.simulation.loop import SimulationLoop, Timeline
from tests.simulation.network import Line, Network, SimulatedClient
from tests.simulation.server import LimiterSettings, Server, ServerClock

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

    def fate(self, name: str, *, changes: bool, without: object) -> Fate:
        """Return the fault."""
        return Fate(0.01, 0.01, name if self.fault else "", "", self.fault)


def simulated(fault: Fault | None) -> Seen:
    """Make the call in virtual time."""
    loop, world = SimulationLoop(), new_world()
    server = Server(world, LimiterSettings(10, 60.0), 1, ServerClock())
    weather = OneFault(0, 0.0, 0.0, (), (), 0.0, fault)
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
    weather = OneFault(0, 0.0, 0.0, (), (), 0.0, None)
    network = Network(server, Timeline(loop), weather, frozenset(), lambda sent: None, lambda *what: None)

    async def call() -> Reply | NoReply:
        async with SimulatedClient(network, Line(0, ACCOUNT, lambda what: None), loop, PATIENCE) as client:
            return await client.post_pair(PATH, ROOM, USER)

    reply = loop.run_until_complete(call())
    loop.close()
    assert reply == NoReply("connect_failed", "no connection", False)
