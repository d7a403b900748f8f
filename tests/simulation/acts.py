"""What others do during a run, drawn from the seed: administrators, other clients, restarts, tokens."""

import math
from dataclasses import dataclass
from random import Random

from rolecall.rocketchat.operations import Operation
from rolecall.sandbox import Account, World
from tests.simulation.server import LimiterSettings
from tests.simulation.workspace import Pair


@dataclass(frozen=True)
class OtherChange:
    """Another administrator changes a role after the server has handled so many requests."""

    name: str
    after: int
    pair: Pair
    adds: bool


@dataclass(frozen=True)
class OtherClient:
    """Another client of the same address calls the changing route so often, after so many requests of the worker."""

    name: str
    after: int
    calls: int


@dataclass(frozen=True)
class Restart:
    """The server is away for some seconds after so many requests; it starts with these limits."""

    name: str
    after: int
    seconds: float
    limits: LimiterSettings | None


@dataclass(frozen=True)
class Revocation:
    """A token is not accepted any more after so many requests, and is again after some seconds."""

    name: str
    after: int
    seconds: float
    """Infinite: only the last sessions are accepted again."""
    account: Account
    instance: int | None
    """The only instance that accepts no token; None: the token is revoked."""


def draw_other_changes(
    random: Random, world: World, operation: Operation, pairs: list[Pair], requests: int
) -> list[OtherChange]:
    """Draw what another administrator does, at most one thing for each pair."""
    members = [(room, user) for room, user in pairs if user in world.rooms[room].members]
    chosen = random.sample(members, k=min(len(members), random.choice((0, 0, 0, 2, 6, 15))))
    changes = []
    for place, pair in enumerate(chosen):
        adds = (random.random() < 0.3) != operation.adds
        changes.append(OtherChange(f"other change {place}", random.randint(1, requests), pair, adds))
    return changes


def draw_other_clients(random: Random, limits: LimiterSettings | None, requests: int) -> list[OtherClient]:
    """Draw when other clients use the window."""
    if limits is None or random.random() < 0.5:
        return []
    return [
        OtherClient(f"other client {place}", random.randint(1, requests), random.randint(1, limits.calls))
        for place in range(random.randint(1, 10))
    ]


def draw_restarts(random: Random, limits: LimiterSettings | None, requests: int) -> list[Restart]:
    """Draw when the server restarts."""
    number = random.choice((0, 0, 1, 2))
    seconds = (0.01, 1.0, 30.0)
    return [
        Restart(f"restart {place}", random.randint(1, requests), random.choice(seconds), random.choice((limits, None)))
        for place in range(number)
    ]


def draw_revocations(random: Random, accounts: list[Account], instances: int, requests: int) -> list[Revocation]:
    """Draw when tokens are not accepted any more, and for how long."""
    return [
        _revocation(random, f"revocation {place}", accounts, instances, requests)
        for place in range(random.choice((1, 1, 2)))
    ]


def _revocation(random: Random, name: str, accounts: list[Account], instances: int, requests: int) -> Revocation:
    seconds = random.choice((0.05, 1.0, 20.0, math.inf))
    instance = random.randrange(instances) if random.random() < 0.4 else None
    after, account = random.randint(1, requests), random.choice(accounts)
    return Revocation(name, after, seconds, account, instance)
