"""One scenario, drawn from a seed: the workspace, the job, the settings, and what goes wrong."""

from dataclasses import dataclass, replace
from random import Random

from rolecall.engine.settings import Settings
from rolecall.rocketchat.operations import OPERATIONS, REMOVE_LEADER, Operation, Role
from rolecall.sandbox import ACCOUNT, Account, Kind, World
from tests.simulation.acts import (
    OtherChange,
    OtherClient,
    Restart,
    Revocation,
    draw_other_changes,
    draw_other_clients,
    draw_restarts,
    draw_revocations,
)
from tests.simulation.fates import KINDS, LATE, STATUSES, Weather
from tests.simulation.interruptions import Interruption, draw_interruption
from tests.simulation.interruptions import Kind as InterruptionKind
from tests.simulation.knobs import draw_knobs
from tests.simulation.server import LimiterSettings, Server, ServerClock
from tests.simulation.workspace import SECOND_ACCOUNT, Pair, draw_world
from tests.support.engine import NEVER
from tests.unit.engine.virtual import EPOCH


@dataclass(frozen=True)
class Scenario:
    """Everything about one simulation."""

    operation: Operation
    server: Server
    pairs: list[Pair]
    """The job's rows, in order."""
    weather: Weather
    settings: Settings
    timeout: float
    """Seconds that the client waits for a response."""
    commit_time: float
    """Seconds of one commit, on average."""
    interruptions: list[Interruption]
    """One for each of the first sessions."""
    accounts: list[Account]
    """The account of each session; the last one is used for all further sessions."""
    gaps: list[float]
    """Seconds after each of the first sessions."""
    own_skew: float
    """Seconds by which the worker's wall clock is ahead of true time."""
    other_changes: list[OtherChange]
    other_clients: list[OtherClient]
    restarts: list[Restart]
    revocations: list[Revocation]
    verifies_early: bool
    """A verification comes before the last sessions, while rows are in doubt."""
    verifies: bool
    undoes: bool
    retries_failed: bool
    is_new_run: bool
    """The last sessions are those of a new run of the first one's `retry.csv`."""
    knobs: dict[str, int]
    """The sizes of the engine's chunks and queues, see `knobs`."""

    @property
    def account_ids(self) -> frozenset[str]:
        """The ids of the accounts that the run may have used."""
        return frozenset(account.user_id for account in self.accounts)

    @property
    def repeats_failed(self) -> bool:
        """True where rows that failed are sent again."""
        return self.retries_failed or self.is_new_run

    @property
    def is_exempt(self) -> bool:
        """True where the server does not limit the account."""
        return "admin" in self.world.users[ACCOUNT.user_id].roles

    @property
    def has_odd_clock(self) -> bool:
        """True where the worker's clock is set, or the process stands still: attempts are older than they seem."""
        odd = (InterruptionKind.SET_CLOCK, InterruptionKind.PAUSE)
        return any(each.kind in odd for each in self.interruptions)

    def own_ms(self, moment: float) -> int:
        """Return what the worker's wall clock shows at a moment of the loop, in milliseconds."""
        return int((EPOCH + self.own_skew + moment) * 1000)

    @property
    def world(self) -> World:
        """The workspace."""
        return self.server.world


def draw(seed: int) -> Scenario:
    """Draw the scenario of a seed; a few are made for one danger."""
    random = Random(seed)
    scenario = _draw(random, seed)
    focus = random.random()
    if focus < 0.05:
        scenario = _with_spoiled_windows(random, scenario)
    elif focus < 0.08:
        scenario = _with_late_calls(random, scenario)
    return _with_connections(Random(f"{seed} connections"), scenario)


def _with_connections(random: Random, scenario: Scenario) -> Scenario:
    """Return a scenario with what happens to idle connections and to tokens; nothing of both in the most."""
    server, requests = scenario.server, 3 * len(scenario.pairs) // 2
    server.balances_connections = random.random() < 0.5
    kind = random.random()
    if kind < 0.15:
        server.idle_timeout = random.choice((0.01, 0.1, 0.5, 1.0, random.uniform(0.0, 2.0), 65.0))
        return replace(scenario, weather=replace(scenario.weather, closing_chance=random.choice((0.0, 0.02, 0.2))))
    if kind < 0.25:
        return replace(scenario, revocations=draw_revocations(random, scenario.accounts, server.instances, requests))
    return scenario


def _with_spoiled_windows(random: Random, scenario: Scenario) -> Scenario:
    """Return a scenario with many calls at once in small windows, whose headers do not always arrive."""
    limits = LimiterSettings(random.choice((5, 10, 20)), random.choice((5.0, 10.0, 60.0)))
    kinds = [Kind.GARBAGE, Kind.EMPTY_200, Kind.STATUS, Kind.REDIRECT, Kind.SUCCESS_MISSING]
    return replace(
        scenario,
        server=Server(scenario.world, limits, 1, ServerClock()),
        weather=replace(scenario.weather, chance=0.1, kinds=kinds),
        settings=replace(scenario.settings, rate=None, concurrency=16, read_roles=False),
        interruptions=[],
        restarts=[],
        other_clients=[],
    )


def _with_late_calls(random: Random, scenario: Scenario) -> Scenario:
    """Return a scenario in which calls arrive long after they were given up, and a verification comes before them."""
    return replace(
        scenario,
        weather=replace(scenario.weather, chance=random.choice((0.1, 0.5)), kinds=[LATE]),
        settings=replace(scenario.settings, max_attempts=1),
        interruptions=[],
        restarts=[],
        verifies_early=True,
    )


def _draw(random: Random, seed: int) -> Scenario:
    operation = _operation(random)
    is_admin = random.random() < 0.4
    pairs = _pairs(random)
    world = draw_world(random, operation, pairs, ("user", "admin") if is_admin else ("user",))
    is_calm, is_quiet = random.random() < 0.2, random.random() < 0.5
    limits = _limits(random)
    clock = ServerClock() if is_quiet else _server_clock(random)
    interruptions = [] if is_calm else _interruptions(random)
    requests = 3 * len(pairs) // 2
    return Scenario(
        operation=operation,
        server=Server(world, limits, 1 if is_quiet else random.choice((1, 1, 2, 3)), clock),
        pairs=pairs,
        weather=_weather(random, seed, is_calm=is_calm),
        settings=_settings(random),
        timeout=random.choice((3.0, 15.0, 40.0)),
        commit_time=random.choice((0.0, 0.001, 0.01, 0.1)),
        interruptions=interruptions,
        accounts=[random.choice((ACCOUNT, SECOND_ACCOUNT)) for _ in range(len(interruptions) + 1)],
        gaps=[random.choice((0.1, 5.0, 300.0, 4000.0)) for _ in interruptions],
        own_skew=random.choice((0.0, 0.3, -40.0, 3600.0)),
        other_changes=draw_other_changes(random, world, operation, pairs, requests),
        other_clients=[] if is_quiet else draw_other_clients(random, limits, requests),
        restarts=[] if is_calm or is_quiet else draw_restarts(random, limits, requests),
        revocations=[],
        verifies_early=random.random() < 0.25,
        verifies=random.random() < 0.3,
        undoes=random.random() < 0.3,
        retries_failed=random.random() < 0.2,
        is_new_run=seed % 7 == 0,
        knobs=draw_knobs(random),
    )


def _operation(random: Random) -> Operation:
    if random.random() < 0.7:
        return REMOVE_LEADER
    return random.choice([each for each in OPERATIONS.values() if each.role is not Role.OWNER])


def _pairs(random: Random) -> list[Pair]:
    rows = random.choice((3, 10, 25, 40, 80, 150))
    if random.random() < 0.3:  # few users in many rooms: read user by user
        return list(dict.fromkeys((f"room{number % 40:02}", f"user{number // 40}") for number in range(rows)))
    rooms = random.randint(1, max(1, rows // 4))
    return [(f"room{number % rooms:02}", f"user{number:03}") for number in range(rows)]


def _limits(random: Random) -> LimiterSettings | None:
    if random.random() < 0.4:
        return None
    return LimiterSettings(random.choice((5, 10, 20, 60)), random.choice((5.0, 10.0, 60.0, 60.0, 7.0, 2.5)))


def _server_clock(random: Random) -> ServerClock:
    return ServerClock(
        skew=random.choice((0.0, 0.4, -100.0, 86_400.0)),
        drift=random.choice((0.0, 0.0, 50e-6, -50e-6)),
        date_skew=random.choice((0.0, 0.0, 0.0, 7.3, -30.0)),
    )


def _weather(random: Random, seed: int, *, is_calm: bool) -> Weather:
    kinds = random.sample(KINDS, k=random.choice((1, 2, 4, 8, len(KINDS))))
    statuses = random.sample(STATUSES, k=random.choice((1, 3, len(STATUSES))))
    chance = 0.0 if is_calm else random.choice((0.0, 0.02, 0.1, 0.3, 0.3))
    reading_chance = 0.0 if is_calm else random.choice((0.0, 0.0, 0.02, 0.1))
    return Weather(seed, chance, reading_chance, kinds, statuses, random.choice((0.001, 0.02, 0.1)))


def _settings(random: Random) -> Settings:
    return Settings(
        rate=random.choice((None, 10.0, 40.0)),
        concurrency=random.choice((1, 2, 8, 16, 16)),
        max_attempts=random.choice((1, 2, 3, 5)),
        retry_backoff=random.choice((0.02, 0.5)),
        max_failures=NEVER,
        outage_timeout=random.choice((60.0, 300.0, 900.0)),
        shutdown_timeout=random.choice((0.0, 2.0, 10.0)),
        room_cache=random.random() < 0.7,
        read_roles=random.random() < 0.75,
        message_evidence=random.random() < 0.7,
    )


def _interruptions(random: Random) -> list[Interruption]:
    number = random.choice((0, 1, 1, 2, 2, 4))
    return [draw_interruption(random, f"interruption {place}") for place in range(number)]
