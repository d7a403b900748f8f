"""One job of a campaign, drawn from a seed: a workspace, what goes wrong in it, and how the worker is treated."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from rolecall.sandbox import ACCOUNT, Account, Fault, FaultMatch, Kind, Limiter, Nonsense, World, leader_world
from rolecall.sandbox.faults import MAY_ACT
from tests.support.truth import Pair

SOUND = {Kind.NO_ERROR_TYPE, Kind.NONSENSE_HEADERS, Kind.SLOW, Kind.REPEATED}
"""Faults that leave a response that proves as much as a normal one."""
ANSWER_TIMEOUT = 1.5
"""Seconds that the worker waits for an answer; far more than a loaded machine needs, less than a hung call."""
SECOND_ACCOUNT = Account("secondBotAccount1", "sandbox-second")
ADMIN = "otherAdministrator"
"""Another administrator, who changes roles during the run."""
KEEPER = "keeper"
"""A leader of every room who is not in the job."""
READING_ROUTES = ("groups.roles", "groups.roles", "roles.list", "groups.members", "users.info", "chat.syncMessages")


class Harm(StrEnum):
    """What happens to the disk or the clock of the worker, besides signals."""

    FULL_DISK = "full_disk"
    """From then on no file of the worker grows beyond a size."""
    READ_ONLY = "read_only"
    """The run's folder is read-only from the start of the session on."""
    CLOCK = "clock"
    """The worker's clock is stepped."""
    STORE_DELETED = "ledger.sqlite"
    WAL_DELETED = "ledger.sqlite-wal"
    SHM_DELETED = "ledger.sqlite-shm"


DELETIONS = (Harm.STORE_DELETED, Harm.WAL_DELETED, Harm.SHM_DELETED)
"""The value of each is the name of the file that is deleted."""


@dataclass(frozen=True)
class Interruption:
    """What happens to the worker, this many seconds after this many further calls have come."""

    after_calls: int
    and_seconds: float
    signals: tuple[signal.Signals, ...]
    """Sent one after the other; empty for a pause."""
    pause: float = 0.0
    """Seconds between SIGSTOP and SIGCONT."""
    harm: Harm | None = None
    """Instead of signals and a pause."""
    amount: int = 0
    """Bytes of FULL_DISK, or seconds of CLOCK."""


@dataclass(frozen=True)
class OtherChange:
    """Another administrator removes the role (or gives it) after this many calls."""

    after_calls: int
    pair: Pair
    adds: bool


@dataclass(frozen=True)
class Scenario:
    """Everything about one job."""

    world: World
    lines: list[Pair]
    """The job file's rows, in order; an empty id makes a row invalid, a pair may appear twice."""
    faults: list[Fault]
    limiter: Limiter | None
    latency: float
    concurrency: int
    interruptions: list[Interruption]
    accounts: list[Account]
    """The account of each session; the last one is used for all further sessions."""
    others: list[OtherChange]
    late: float | None
    """Seconds after which a call that hung before acting is carried out all the same; None for never."""
    outage_after_calls: int | None
    outage_seconds: float
    room_cache: bool
    read_roles: bool
    message_evidence: bool
    edits: Mapping[int, list[Pair]]
    """By the number of the session from which on it is used, the rows of an edited job file."""

    @property
    def has_clock_steps(self) -> bool:
        """Whether a session has its clock stepped."""
        return any(each.harm is Harm.CLOCK for each in self.interruptions)

    @property
    def pairs(self) -> list[Pair]:
        """The pairs of all versions of the job file, each once."""
        return list(dict.fromkeys(pair for lines in (self.lines, *self.edits.values()) for pair in lines))

    def lines_of(self, session: int) -> list[Pair]:
        """Return the rows of the job file of a session, counted from 0."""
        return next((self.edits[first] for first in sorted(self.edits, reverse=True) if first <= session), self.lines)

    @property
    def account_ids(self) -> frozenset[str]:
        """The ids of the accounts that this run may have used."""
        return frozenset(account.user_id for account in self.accounts)


def draw(random: Random) -> Scenario:
    """Draw a scenario."""
    limited = random.random() < 0.3
    roles = ("user",) if limited else ("user", "admin")
    pairs = _pairs(random)
    world = leader_world(pairs, roles=roles)
    _add_people(world, roles)
    _change_some(world, pairs, random)
    interruptions = [_interruption(random) for _ in range(random.choice((0, 1, 1, 2, 3, 5)))]
    lines = _lines(pairs, random)
    return Scenario(
        world=world,
        lines=lines,
        faults=[
            *(_fault(random, None) for _ in range(random.randint(0, 5))),
            *(_fault(random, random.choice(READING_ROUTES)) for _ in range(random.choice((0, 0, 1, 2)))),
            *_unreadable_rooms(world, random),
        ],
        limiter=Limiter(random.randint(15, 60), random.choice((0.5, 0.7, 1.0, 1.0))) if limited else None,
        latency=random.choice((0.0, 0.002, 0.01)),
        concurrency=random.choice((1, 2, 8, 16)),
        interruptions=interruptions,
        accounts=[random.choice((ACCOUNT, ACCOUNT, SECOND_ACCOUNT)) for _ in range(len(interruptions) + 1)],
        others=_others(world, pairs, random),
        late=random.choice((None, 0.2, 1.0, 2.5)),
        outage_after_calls=random.randint(2, 40) if random.random() < 0.2 else None,
        outage_seconds=random.uniform(0.1, 1.0),
        room_cache=random.random() < 0.7,
        read_roles=random.random() < 0.85,
        message_evidence=random.random() < 0.8,
        edits=_edits(lines, len(interruptions), random),
    )


def _pairs(random: Random) -> list[Pair]:
    """Return the pairs of a job: of few rooms, or (read user by user) of few users in many rooms."""
    rows = random.randint(15, 120)
    if random.random() < 0.3:
        return list(dict.fromkeys((f"room{number % 40:02}", f"user{number // 40}") for number in range(rows)))
    rooms = random.randint(1, 12)
    return [(f"room{number % rooms:02}", f"user{number:03}") for number in range(rows)]


def _add_people(world: World, roles: tuple[str, ...]) -> None:
    """Add the accounts besides the first one, and a leader of every room who is not in the job."""
    world.add_account(*SECOND_ACCOUNT, username="second.bot", roles=roles)
    world.add_user(ADMIN, roles=("user", "admin"))
    world.add_user(KEEPER)
    for room in world.rooms:
        world.join(room, SECOND_ACCOUNT.user_id, ("owner",))
        world.join(room, KEEPER, ("leader",))


def _change_some(world: World, pairs: list[Pair], random: Random) -> None:
    """Make some rows other than leaders, and some rooms unusable."""
    kinds: tuple[tuple[str, ...] | None, ...] = ((), None, None, None, ("leader", "moderator"), *[("leader",)] * 6)
    for room, user in pairs:
        world.join(room, user, random.choice(kinds))
        if random.random() < 0.08:
            del world.rooms[room].members[user]
        world.users[user].active = random.random() > 0.08
    for user in sorted({user for _, user in pairs if random.random() < 0.03}):
        del world.users[user]
        for room_ in world.rooms.values():
            room_.members.pop(user, None)
    for room_id in _some(sorted(world.rooms), random, (0, 0, 1, 2)):
        world.rooms[room_id].archived = True
    for room_id in _some(sorted(world.rooms), random, (0, 0, 0, 1)):
        for account in (ACCOUNT, SECOND_ACCOUNT):
            del world.rooms[room_id].members[account.user_id]


def _some(rooms: list[str], random: Random, numbers: tuple[int, ...]) -> list[str]:
    return random.sample(rooms, k=min(len(rooms) - 1, random.choice(numbers)))


def _unreadable_rooms(world: World, random: Random) -> list[Fault]:
    """Return faults by which the roles of some rooms can never be read."""
    rooms = random.sample(sorted(world.rooms), k=min(len(world.rooms), random.choice((0, 0, 0, 1, 2))))
    return [
        Fault(Kind.STATUS, FaultMatch(room=room, route="groups.roles"), times=None, status=403, html=True)
        for room in rooms
    ]


def _others(world: World, pairs: list[Pair], random: Random) -> list[OtherChange]:
    """Return what another administrator does, at most one thing for each pair."""
    members = [(room, user) for room, user in pairs if user in world.rooms[room].members]
    chosen = random.sample(members, k=min(len(members), random.choice((0, 0, 0, 2, 6, 15))))
    return [OtherChange(random.randint(1, 80), pair, random.random() < 0.3) for pair in chosen]


def _lines(pairs: list[Pair], random: Random) -> list[Pair]:
    lines = list(pairs)
    for _ in range(random.choice((0, 0, 1, 3))):
        lines.insert(random.randint(0, len(lines)), random.choice(pairs))
        lines.insert(random.randint(0, len(lines)), ("", "nobody"))
    return lines


def _edits(lines: list[Pair], sessions: int, random: Random) -> dict[int, list[Pair]]:
    """Return what a person makes of the job file between two sessions: rows are removed, moved and added again."""
    if not sessions or random.random() < 0.7:
        return {}
    fewer = random.sample(lines, k=random.randint(max(1, len(lines) // 2), len(lines)))
    return {0: fewer, random.randint(1, sessions): random.sample(lines, k=len(lines))}


def _fault(random: Random, route: str | None) -> Fault:
    """Return a fault of one reading route, or of the changing calls."""
    kind = random.choice([kind for kind in Kind if kind is not Kind.REVOKE])
    is_slow = kind in (Kind.HANG_BEFORE, Kind.HANG_AFTER, Kind.ENDLESS, Kind.HUGE, Kind.BOMB)
    chance = random.uniform(0.005, 0.03) if is_slow else random.uniform(0.02, 0.3)
    status = random.choice((400, 401, 403, 404, 500, 502, 503, 504, 520, 522))
    return Fault(
        kind,
        FaultMatch(chance=chance, route=route),
        times=random.choice((1, 1, 2, None)),
        act=kind in MAY_ACT and random.random() < 0.5,
        status=status,
        html=status < 500 or random.random() < 0.5,
        text="[error-user-not-leader]" if status == 500 and random.random() < 0.3 else "",
        writes=random.randint(0, 4),
        seconds=0.02,
        retry_after=random.choice((None, "0", "1")) if kind is Kind.TOO_MANY else None,
        nonsense=random.choice(list(Nonsense)),
    )


def _interruption(random: Random) -> Interruption:
    after_calls, and_seconds = random.randint(0, 40), random.choice((0.0, 0.0, random.uniform(0, 0.3)))
    if random.random() < 0.35:
        after_calls = random.randint(0, 15)
        harm = random.choice(list(Harm))
        amount = random.choice((0, 20_000, 60_000, 150_000)) if harm is Harm.FULL_DISK else _clock_step(random)
        return Interruption(after_calls, and_seconds, (), harm=harm, amount=amount)
    if random.random() < 0.2:
        return Interruption(after_calls, and_seconds, (), random.choice((0.3, 1.2, 2.5)))
    signals = random.choice(
        ((signal.SIGKILL,),) * 4 + ((signal.SIGTERM,), (signal.SIGINT,), (signal.SIGINT, signal.SIGINT))
    )
    return Interruption(after_calls, and_seconds, signals)


def _clock_step(random: Random) -> int:
    """Return seconds by which a clock is set forward or back: of a time server, of summer time, of a wrong date."""
    return random.choice((-1, 1)) * random.choice((1, 5, 60, 3_600, 86_400))
