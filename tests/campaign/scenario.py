"""One job of a campaign, drawn from a seed: a workspace, what goes wrong in it, and how the worker is treated."""

import signal
from dataclasses import dataclass
from random import Random

from rolecall.sandbox import Fault, FaultMatch, Kind, Limiter, Nonsense, World, leader_world

SOUND = {Kind.NO_ERROR_TYPE, Kind.NONSENSE_HEADERS, Kind.UNKNOWN_ERROR_TYPE, Kind.SLOW}
"""Faults that leave an answer to be trusted."""
ANSWER_TIMEOUT = 1.5
"""Seconds that the worker waits for an answer; far more than a loaded machine needs, less than a hung call."""

Pair = tuple[str, str]


@dataclass(frozen=True)
class Kill:
    """End the worker by a signal, this many seconds after this many further calls have come."""

    after_calls: int
    and_seconds: float
    signals: tuple[signal.Signals, ...]


@dataclass(frozen=True)
class Scenario:
    """Everything about one job."""

    world: World
    lines: list[Pair]
    """The job file's rows, in order; an empty id makes a row invalid, a pair may stand twice."""
    faults: list[Fault]
    limiter: Limiter | None
    latency: float
    concurrency: int
    kills: list[Kill]
    outage_after_calls: int | None
    outage_seconds: float
    room_cache: bool


def draw(random: Random) -> Scenario:
    """Draw a scenario."""
    limited = random.random() < 0.3
    pairs = [(f"room{number % random.randint(1, 12)}", f"user{number:03}") for number in range(random.randint(15, 120))]
    pairs = list(dict.fromkeys(pairs))
    world = leader_world(pairs, roles=("user",) if limited else ("user", "admin"))
    _change_some(world, pairs, random)
    return Scenario(
        world=world,
        lines=_lines(pairs, random),
        faults=[_fault(random) for _ in range(random.randint(0, 5))],
        limiter=Limiter(random.randint(15, 60), random.choice((0.5, 0.7, 1.0, 1.0))) if limited else None,
        latency=random.choice((0.0, 0.002, 0.01)),
        concurrency=random.choice((1, 2, 8, 16)),
        kills=[_kill(random) for _ in range(random.choice((0, 1, 1, 2, 3, 5)))],
        outage_after_calls=random.randint(2, 40) if random.random() < 0.25 else None,
        outage_seconds=random.uniform(0.1, 1.0),
        room_cache=random.random() < 0.7,
    )


def _change_some(world: World, pairs: list[Pair], random: Random) -> None:
    """Make some rows other than leaders, and some rooms unworkable."""
    for room, user in pairs:
        match random.randrange(12):
            case 0:
                world.join(room, user, ())
            case 1:
                world.join(room, user, None)
            case 2:
                del world.rooms[room].members[user]
            case 3:
                world.join(room, user, ("leader", "moderator"))
    for room_id in random.sample(sorted(world.rooms), k=min(len(world.rooms) - 1, random.choice((0, 0, 1, 2)))):
        world.rooms[room_id].archived = True


def _lines(pairs: list[Pair], random: Random) -> list[Pair]:
    lines = list(pairs)
    for _ in range(random.choice((0, 0, 1, 3))):
        lines.insert(random.randint(0, len(lines)), random.choice(pairs))
        lines.insert(random.randint(0, len(lines)), ("", "nobody"))
    return lines


def _fault(random: Random) -> Fault:
    kind = random.choice([kind for kind in Kind if kind is not Kind.REVOKE])
    hangs = kind in (Kind.HANG_BEFORE, Kind.HANG_AFTER, Kind.ENDLESS)
    chance = random.uniform(0.005, 0.03) if hangs else random.uniform(0.02, 0.3)
    may_act = kind in (Kind.STATUS, Kind.GARBAGE, Kind.EMPTY_200, Kind.SUCCESS_MISSING, Kind.SUCCESS_FALSE)
    return Fault(
        kind,
        FaultMatch(chance=chance),
        times=random.choice((1, 1, 2, None)),
        act=may_act and random.random() < 0.5,
        status=random.choice((500, 502, 503, 504, 520, 522)),
        html=random.random() < 0.5,
        seconds=0.02,
        retry_after=random.choice((None, "0", "1")) if kind is Kind.TOO_MANY else None,
        nonsense=random.choice(list(Nonsense)),
    )


def _kill(random: Random) -> Kill:
    signals = random.choice(
        ((signal.SIGKILL,),) * 4 + ((signal.SIGTERM,), (signal.SIGINT,), (signal.SIGINT, signal.SIGINT))
    )
    return Kill(random.randint(0, 40), random.choice((0.0, 0.0, random.uniform(0, 0.3))), signals)
