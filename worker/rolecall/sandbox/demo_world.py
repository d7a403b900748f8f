"""Ready-made worlds: a small one for tests, and the demo's, with the true outcome of every row of its job."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from enum import StrEnum
from itertools import cycle, product
from random import Random
from typing import NamedTuple

from rolecall.sandbox.faults import Fault, FaultMatch, Kind
from rolecall.sandbox.world import World

ID_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz"
ID_LENGTH = 17

DEPARTMENTS = ("finance", "logistics", "research", "support", "sales", "legal", "facilities", "platform")
TOPICS = ("planning", "budget", "rollout", "audit", "onboarding", "suppliers", "releases", "incidents")


class Account(NamedTuple):
    """The account that calls the API."""

    user_id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """The two headers that prove it."""
        return {"X-User-Id": self.user_id, "X-Auth-Token": self.token}


ACCOUNT = Account("bulkBotAccount234", "sandbox-only")
"""The account of every ready-made world; it opens nothing but a sandbox."""


class Truth(StrEnum):
    """What the server has to say of a row on an honest first call."""

    LEADER = "leader"
    NOT_LEADER = "not_leader"
    NO_ROLES_QUIRK = "no_roles_quirk"
    ROOM_NOT_FOUND = "room_not_found"
    ROOM_NOT_JOINED = "room_not_joined"
    ROOM_ARCHIVED = "room_archived"
    USER_NOT_FOUND = "user_not_found"
    USER_NOT_IN_ROOM = "user_not_in_room"
    NOT_ALLOWED = "not_allowed"


class Expected(NamedTuple):
    """One row of a job and the truth about it."""

    room_id: str
    user_id: str
    kind: Truth


class Demo(NamedTuple):
    """A world, the account to call it with, and the rows of the job in their order."""

    world: World
    account: Account
    pairs: list[Expected]


SHARES = {
    Truth.NOT_LEADER: 0.06,
    Truth.NO_ROLES_QUIRK: 0.01,
    Truth.ROOM_NOT_FOUND: 0.01,
    Truth.ROOM_NOT_JOINED: 0.02,
    Truth.ROOM_ARCHIVED: 0.02,
    Truth.USER_NOT_FOUND: 0.01,
    Truth.USER_NOT_IN_ROOM: 0.02,
    Truth.NOT_ALLOWED: 0.01,
}
"""The part of the demo's rows that each kind has, at least one row; all others are leaders."""

MEMBER_ROLES: dict[Truth, tuple[str, ...] | None] = {
    Truth.LEADER: ("leader",),
    Truth.NOT_LEADER: (),
    Truth.NO_ROLES_QUIRK: None,
    Truth.ROOM_NOT_JOINED: ("leader",),
    Truth.ROOM_ARCHIVED: ("leader",),
    Truth.NOT_ALLOWED: ("leader",),
}
"""What the row's user is in the row's room; a kind that is missing here has no such subscription."""


def leader_world(pairs: Iterable[tuple[str, str]], *, roles: Iterable[str] = ("user", "admin")) -> World:
    """Return a world in which these (room, user) pairs are leaders and `ACCOUNT` owns every room."""
    world = World()
    world.add_account(*ACCOUNT, username="bulk.bot", roles=roles)
    for room_id, user_id in pairs:
        if room_id not in world.rooms:
            world.add_room(room_id)
            world.join(room_id, ACCOUNT.user_id, ("owner",))
        if user_id not in world.users:
            world.add_user(user_id)
        world.join(room_id, user_id, ("leader",))
    return world


def demo_world(rows: int = 300, seed: int = 1, *, roles: Iterable[str] = ("user", "bot")) -> Demo:
    """Return the demo: the same one for the same arguments.

    With the role `bot` the account is not rate limited; leave it out for a demo of the server's limiter.
    """
    return _DemoBuilder(rows, Random(seed), roles).build()  # noqa: S311 - repeatable, not secret


def demo_faults(demo: Demo) -> list[Fault]:
    """Return a handful of faults, each on the first attempt of one leader row, so that retries can be seen."""
    leaders = [pair for pair in demo.pairs if pair.kind is Truth.LEADER]
    faults = (
        Fault(Kind.DROP_AFTER),
        Fault(Kind.STATUS, status=502, html=True),
        Fault(Kind.RESET_BEFORE),
        Fault(Kind.STATUS, status=500),
    )
    step = max(1, len(leaders) // (len(faults) + 1))
    return [
        replace(fault, when=FaultMatch(room=pair.room_id, user=pair.user_id))
        for pair, fault in zip(leaders[step::step], faults, strict=False)
    ]


class _DemoBuilder:
    """Builds one demo: a room for about five rows, users that lead in several rooms."""

    def __init__(self, rows: int, random: Random, roles: Iterable[str]) -> None:
        self._random = random
        self._rows = rows
        self._names = _room_names()
        self._world = World()
        self._world.add_account(*ACCOUNT, username="bulk.bot", roles=roles)
        self._users = [self._add_user(number) for number in range(1, max(40, rows // 4) + 1)]
        ordinary = [self._add_room(Truth.LEADER) for _ in range(max(2, rows // 6))]
        self._rooms = {kind: self._special_rooms(kind) or ordinary for kind in Truth}
        self._taken: set[tuple[str, str]] = set()

    def build(self) -> Demo:
        """Return the finished demo."""
        return Demo(self._world, ACCOUNT, [self._add_row(kind) for kind in self._kinds()])

    def _kinds(self) -> list[Truth]:
        """Return the kind of each row, shuffled; a job too short for every kind is all leaders."""
        few = [kind for kind, share in SHARES.items() for _ in range(max(1, round(share * self._rows)))]
        if len(few) >= self._rows:
            return [Truth.LEADER] * self._rows
        kinds = few + [Truth.LEADER] * (self._rows - len(few))
        self._random.shuffle(kinds)
        return kinds

    def _add_row(self, kind: Truth) -> Expected:
        """Choose a pair that no row has and make it what its kind says."""
        while True:
            room_id = self._random.choice(self._rooms[kind])
            user_id = self._new_id() if kind is Truth.USER_NOT_FOUND else self._random.choice(self._users)
            if (room_id, user_id) not in self._taken:
                break
        self._taken.add((room_id, user_id))
        if kind in MEMBER_ROLES:
            self._world.join(room_id, user_id, MEMBER_ROLES[kind])
        return Expected(room_id, user_id, kind)

    def _special_rooms(self, kind: Truth) -> list[str]:
        """Return the ids of rooms of their own for the rows of a kind that is about the room; else none."""
        count = max(2, self._rows // 100)
        if kind is Truth.ROOM_NOT_FOUND:
            return [self._new_id() for _ in range(count)]
        if kind in (Truth.ROOM_NOT_JOINED, Truth.ROOM_ARCHIVED, Truth.NOT_ALLOWED):
            return [self._add_room(kind) for _ in range(count)]
        return []

    def _add_room(self, kind: Truth) -> str:
        """Add one room, with the account in it as the kind wants."""
        room = self._world.add_room(self._new_id(), name=next(self._names), archived=kind is Truth.ROOM_ARCHIVED)
        if kind is not Truth.ROOM_NOT_JOINED:
            owns = kind is not Truth.NOT_ALLOWED
            self._world.join(room.id, ACCOUNT.user_id, ("owner",) if owns else ())
        return room.id

    def _add_user(self, number: int) -> str:
        """Add one user; every tenth has left the company."""
        user = self._world.add_user(self._new_id(), username=f"user.{number:03}", active=number % 10 != 0)
        return user.id

    def _new_id(self) -> str:
        """Return an id such as the server makes."""
        return "".join(self._random.choices(ID_ALPHABET, k=ID_LENGTH))


def _room_names() -> Iterator[str]:
    """Return names for rooms without end."""
    return (f"{a}-{b}-{n}" for n, (a, b) in enumerate(cycle(product(DEPARTMENTS, TOPICS)), start=1))
