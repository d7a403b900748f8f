"""The embedded workspace: a stand-in Rocket.Chat server on loopback, for demos, rehearsals and tests.

It imports nothing from the rest of the package: it is a second opinion on what the server does, and its record
of what really happened is what a run is judged by. Build a `World`, serve it with `Sandbox`, spoil it with `Fault`s:

    async with Sandbox(world, limiter=Limiter(), faults=[Fault(Kind.DROP_AFTER)]) as sandbox:
        ...  # call sandbox.url, then look at world.calls
"""

from worker.sandbox.faults import EVERY_ROUTE, Fault, FaultPlan, Kind, Nonsense, When
from worker.sandbox.limiter import Limiter, Ruling
from worker.sandbox.record import Call, Record, SystemMessage
from worker.sandbox.seed import (
    ACCOUNT,
    Account,
    Demo,
    Expected,
    Truth,
    demo_faults,
    demo_world,
    leader_world,
)
from worker.sandbox.server import Sandbox
from worker.sandbox.world import Room, User, World

__all__ = [
    "ACCOUNT",
    "EVERY_ROUTE",
    "Account",
    "Call",
    "Demo",
    "Expected",
    "Fault",
    "FaultPlan",
    "Kind",
    "Limiter",
    "Nonsense",
    "Record",
    "Room",
    "Ruling",
    "Sandbox",
    "SystemMessage",
    "Truth",
    "User",
    "When",
    "World",
    "demo_faults",
    "demo_world",
    "leader_world",
]
