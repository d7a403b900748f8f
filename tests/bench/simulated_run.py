"""A whole run of the real engine in virtual time, against the sandbox's rules: exact, and the same on every machine.

The time that the interpreter needs is not in it: latency, rate limits and waits are.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from rolecall.engine.clock import Clock
from rolecall.engine.context import Caller, RunContext
from rolecall.engine.dispatcher import process_rows
from rolecall.engine.settings import Settings
from rolecall.models import Outcome, Reply, Row
from rolecall.rocketchat.operations import REMOVE_LEADER
from rolecall.rocketchat.preflight import fetch_current_user, may_bypass_rate_limit, parse_account
from rolecall.rocketchat.rate_limit_headers import server_date
from rolecall.sandbox import ACCOUNT, Limiter, World, leader_world
from rolecall.sandbox.write_routes import CHANGES
from rolecall.store.records import Identity
from tests.simulation.client import SimulatedClient
from tests.simulation.fates import Weather
from tests.simulation.loop import SimulationLoop, Timeline
from tests.simulation.network import URL, Line, Network
from tests.simulation.server import LimiterSettings, Server, ServerClock
from tests.support.engine import NEVER, SilentLog
from tests.support.memory_store import MemoryStore
from tests.unit.engine.virtual import EPOCH

LATENCY = 0.02
"""Seconds from a request to its response, in the middle: each way takes half to one and a half times a half of it."""
DEFAULT_WINDOW = LimiterSettings(10, 60.0)
"""The server's default."""


class SimulatedJob(NamedTuple):
    """A job, and who may send it how fast."""

    rows: int
    leaders: int
    """Of each hundred rows, so many can be removed; the others are members without the role."""
    rows_each: int = 40
    """Rows of each room, or of each user."""
    by_user: bool = False
    limits: LimiterSettings | None = None
    """The server's limit; None for an account that is exempt."""
    rate: float | None = None
    """The run's own rate, in calls a second."""
    concurrency: int = 16

    def pairs(self) -> list[tuple[str, str]]:
        """Return the room and the user of each row."""
        pairs = [(f"each{number // self.rows_each:04}", f"other{number:05}") for number in range(self.rows)]
        return [(f"room{number:05}", room) for number, (room, _) in enumerate(pairs)] if self.by_user else pairs

    def world(self) -> World:
        """Return a workspace with the leaders and members of the job."""
        pairs = self.pairs()
        leads = [number * self.leaders // 100 < (number + 1) * self.leaders // 100 for number in range(self.rows)]
        world = leader_world(
            [pair for pair, lead in zip(pairs, leads, strict=True) if lead],
            members=[pair for pair, lead in zip(pairs, leads, strict=True) if not lead],
            roles=("user", "admin") if self.limits is None else ("user",),
        )
        world.grant("view-other-user-channels", "user")
        return world


class SimulatedEnd(NamedTuple):
    """How long a run took, and the requests that it sent."""

    seconds: float
    """From the first request to the last response."""
    reads: int
    changes: int
    refused: int


def run_simulated(job: SimulatedJob, *, read_roles: bool) -> SimulatedEnd:
    """Run a job with the engine to its end."""
    loop = SimulationLoop()
    try:
        return loop.run_until_complete(_run(loop, job, read_roles=read_roles))
    finally:
        loop.close()


async def _run(loop: SimulationLoop, job: SimulatedJob, *, read_roles: bool) -> SimulatedEnd:
    world = job.world()
    calm = Weather(seed=1, chance=0.0, reading_chance=0.0, kinds=(), statuses=(), latency=LATENCY / 2)
    server = Server(world, job.limits, 1, ServerClock())
    network = Network(server, Timeline(loop), calm, frozenset(), on_send=lambda _: None, note=lambda *_: None)
    settings = Settings(rate=job.rate, concurrency=job.concurrency, max_failures=NEVER)
    settings = replace(settings, read_roles=read_roles)
    store = await _store(job)
    began = loop.time()
    async with SimulatedClient(network, Line(0, ACCOUNT, lambda _: None), loop, 30.0) as client:
        reply = await fetch_current_user(client, settings.outage_timeout, lambda _: None)
        account = parse_account(reply, URL)
        is_exempt = await may_bypass_rate_limit(client, account)
        date = server_date(reply.headers) if isinstance(reply, Reply) else None
        caller = Caller(account.user_id, None if date is None else round(date * 1000), is_exempt)
        clock = Clock(now=loop.time, wall=lambda: EPOCH + loop.time())
        context = RunContext.create(settings, SilentLog(), clock=clock, caller=caller)
        await process_rows(store, client, REMOVE_LEADER, context)
    seconds = loop.time() - began
    outcomes = {count.outcome for count in await store.counts()}
    assert outcomes <= {Outcome.REMOVED, Outcome.NOT_LEADER}, outcomes
    kinds = Counter(sent.route in CHANGES for sent in network.sent)
    return SimulatedEnd(seconds, kinds[False], kinds[True], sum(sent.limited for sent in network.sent))


async def _store(job: SimulatedJob) -> MemoryStore:
    store = MemoryStore()

    async def pages() -> Any:
        yield [Row(line, room, user, {}) for line, (room, user) in enumerate(job.pairs(), start=2)]

    await store.import_rows(Identity(URL, REMOVE_LEADER.name, "job"), pages())
    await store.open_session("bench", 0)
    return store


def refused_without_pacing(pairs: Sequence[tuple[str, str]], limits: LimiterSettings) -> int:
    """Return how many rows the server refuses of a script that sends one request after the other and never waits."""
    limiter = Limiter(limits.calls, limits.seconds)
    moments = [number * LATENCY for number in range(len(pairs))]
    return sum(not limiter.acquire("one address", "groups.removeLeader", moment).allowed for moment in moments)
