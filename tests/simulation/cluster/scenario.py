"""One scenario of several workers, drawn from a seed: hosts, shards, what happens to processes and to the database."""

from dataclasses import dataclass, replace
from enum import Enum, auto
from random import Random

from rolecall.sandbox import ACCOUNT
from tests.simulation.cluster.process import Host
from tests.simulation.interruptions import Interruption
from tests.simulation.interruptions import Kind as InterruptionKind
from tests.simulation.scenario import Scenario
from tests.simulation.scenario import draw as draw_one_worker
from tests.simulation.server import LimiterSettings

LONG_PAUSES = (0.5, 2.0, 5.0, 9.5, 12.0, 15.0, 40.0)
"""Seconds of a freeze, or of a connection without answers: shorter and longer than the lease."""


class Kind(Enum):
    """What happens."""

    KILL = auto()
    """SIGKILL, after so many steps of the worker; it is started again."""
    FREEZE = auto()
    """SIGSTOP, and SIGCONT some seconds later."""
    FREEZE_AT_START = auto()
    """The same, when the worker has been given its next shard and does not know it yet."""
    TERMINATE = auto()
    """SIGTERM; it is started again."""
    BREAK = auto()
    """One of its connections to the database breaks."""
    STALL = auto()
    """One of its connections to the database is without answers for some seconds."""
    DATABASE_AWAY = auto()
    """The database crashes, and comes back some seconds later."""
    COMMIT_FAILS = auto()
    """The next commits fail: the disk of the database is full."""
    STOP = auto()
    """A person stops the run, and resumes it some seconds later."""


KINDS = (
    *[Kind.KILL] * 4,
    *[Kind.FREEZE] * 5,
    *[Kind.FREEZE_AT_START] * 2,
    *[Kind.STALL] * 3,
    Kind.TERMINATE,
    Kind.TERMINATE,
    Kind.BREAK,
    Kind.DATABASE_AWAY,
    Kind.COMMIT_FAILS,
    Kind.STOP,
    Kind.STOP,
)


@dataclass(frozen=True)
class ClusterFault:
    """Something that happens after so many steps of one worker: a step is a callback of its process."""

    name: str
    kind: Kind
    host: int
    after: int
    seconds: float
    detail: int
    """Which connection, or how many commits."""


@dataclass(frozen=True)
class ClusterScenario:
    """Everything about one simulation of several workers."""

    base: Scenario
    """The workspace, the job, the network; `own_skew` is that of the database's clock."""
    hosts: list[Host]
    starts: list[float]
    """Seconds after which each worker is started."""
    shard_rows: int
    database_latency: float
    lost_notifications: float
    faults: list[ClusterFault]
    trouble: float
    """Seconds until nothing goes wrong any more."""
    grace: float


def draw(seed: int) -> ClusterScenario:
    """Draw the scenario of a seed."""
    random = Random(f"{seed} cluster")
    number = random.choice((2, 2, 3, 4))
    is_shared = random.random() < 0.1
    hosts = [_host(random, place, is_shared=is_shared) for place in range(number)]
    is_quiet = random.random() < 0.1
    faults = [] if is_quiet else [_fault(random, place, number) for place in range(random.choice((1, 2, 3, 5)))]
    return ClusterScenario(
        base=_base(random, seed, faults),
        hosts=hosts,
        starts=[random.choice((0.0, 0.0, 0.5, 4.0)) for _ in hosts],
        shard_rows=random.choice((2, 5, 10, 20)),
        database_latency=random.choice((0.0005, 0.002, 0.01)),
        lost_notifications=random.choice((0.0, 0.0, 0.5, 1.0)),
        faults=faults,
        trouble=random.choice((20.0, 60.0, 120.0)),
        grace=random.choice((0.0, 2.0, 10.0)),
    )


def _host(random: Random, place: int, *, is_shared: bool) -> Host:
    egress = "10.0.0.1" if is_shared else f"10.0.0.{place + 1}"
    return Host(f"host{place}", egress, random.uniform(0.0, 1e6), random.choice((0.0, 1e-4, -1e-4)))


def _fault(random: Random, place: int, hosts: int) -> ClusterFault:
    after = random.choice((30, 100, 300, 300, 1000)) * random.randint(1, 10)
    kind, seconds = random.choice(KINDS), random.choice(LONG_PAUSES)
    return ClusterFault(f"fault {place}", kind, random.randrange(hosts), after, seconds, random.randint(1, 3))


def _base(random: Random, seed: int, faults: list[ClusterFault]) -> Scenario:
    """Return a scenario of one worker without what only one worker has, and without long waits."""
    base = draw_one_worker(seed)
    limits = base.server.limits
    if limits is not None:
        base.server.limits = LimiterSettings(max(limits.calls, 10), min(limits.seconds, 10.0))
        base.server.restart(base.server.limits)
    pauses = any(each.kind in (Kind.FREEZE, Kind.FREEZE_AT_START, Kind.STALL) for each in faults)
    paused = [Interruption("", InterruptionKind.PAUSE, 0, 0.0, 0)] if pauses else []
    chance = random.choice((0.0, 0.0, 0.02, 0.1))
    return replace(
        base,
        pairs=base.pairs[:80],
        weather=replace(base.weather, chance=chance, reading_chance=0.0, latency=random.choice((0.02, 0.1, 0.4))),
        settings=replace(base.settings, outage_timeout=60.0, rate=random.choice((None, 10.0, 40.0))),
        timeout=random.choice((3.0, 15.0)),
        commit_time=random.choice((0.001, 0.01, 0.01, 0.1, 1.0)),
        interruptions=paused,
        accounts=[ACCOUNT],
        other_clients=[],
        restarts=[replace(each, seconds=min(each.seconds, 5.0)) for each in base.restarts],
        retries_failed=False,
        is_new_run=False,
    )
