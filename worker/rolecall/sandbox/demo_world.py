"""Ready-made worlds: a small one for tests, and the demo, with the expected result of every row of its job."""

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
        """The two headers that authenticate it."""
        return {"X-User-Id": self.user_id, "X-Auth-Token": self.token}


ACCOUNT = Account("bulkBotAccount234", "sandbox-only")
"""The account of every ready-made world; its token is valid in a sandbox only."""


class RowKind(StrEnum):
    """The kinds of rows, by the result of the first call without a fault."""

    LEADER = "leader"
    MEMBER = "member"
    """An ordinary member, who never had a role: the server returns 200 although there is nothing to remove."""
    NOT_LEADER = "not_leader"
    """A member who once had a role and has none now."""
    ROOM_NOT_FOUND = "room_not_found"
    ROOM_NOT_JOINED = "room_not_joined"
    ROOM_ARCHIVED = "room_archived"
    USER_NOT_FOUND = "user_not_found"
    USER_NOT_IN_ROOM = "user_not_in_room"
    NOT_ALLOWED = "not_allowed"


class DemoRow(NamedTuple):
    """One row of the demo's job, and its kind."""

    room_id: str
    user_id: str
    kind: RowKind


class Demo(NamedTuple):
    """A world, the account that calls it, and the rows of the job in order."""

    world: World
    account: Account
    rows: list[DemoRow]


SHARES = {
    RowKind.MEMBER: 0.06,
    RowKind.NOT_LEADER: 0.01,
    RowKind.ROOM_NOT_FOUND: 0.01,
    RowKind.ROOM_NOT_JOINED: 0.02,
    RowKind.ROOM_ARCHIVED: 0.02,
    RowKind.USER_NOT_FOUND: 0.01,
    RowKind.USER_NOT_IN_ROOM: 0.02,
    RowKind.NOT_ALLOWED: 0.01,
}
"""The share of each kind in the demo's rows, at least one row each; all other rows are leaders."""

MEMBER_ROLES: dict[RowKind, tuple[str, ...] | None] = {
    RowKind.LEADER: ("leader",),
    RowKind.MEMBER: None,
    RowKind.NOT_LEADER: (),
    RowKind.ROOM_NOT_JOINED: ("leader",),
    RowKind.ROOM_ARCHIVED: ("leader",),
    RowKind.NOT_ALLOWED: ("leader",),
}
"""The roles of the row's user in the row's room; a kind that is missing here has no subscription."""


def leader_world(
    leaders: Iterable[tuple[str, str]],
    *,
    members: Iterable[tuple[str, str]] = (),
    former: Iterable[tuple[str, str]] = (),
    roles: Iterable[str] = ("user", "admin"),
) -> World:
    """Return a world in which these (room, user) pairs are leaders and `ACCOUNT` owns every room.

    `members` are ordinary members, whose subscriptions have no `roles`; `former` once had a role and have none now.
    """
    world = World()
    world.add_account(*ACCOUNT, username="bulk.bot", roles=roles)
    kinds: list[tuple[Iterable[tuple[str, str]], tuple[str, ...] | None]]
    kinds = [(leaders, ("leader",)), (members, None), (former, ())]
    for pairs, member_roles in kinds:
        for room_id, user_id in pairs:
            if room_id not in world.rooms:
                world.add_room(room_id)
                world.join(room_id, ACCOUNT.user_id, ("owner",))
            if user_id not in world.users:
                world.add_user(user_id)
            world.join(room_id, user_id, member_roles)
    return world


def demo_world(rows: int = 300, seed: int = 1, *, roles: Iterable[str] = ("user", "bot")) -> Demo:
    """Return the demo; the same arguments return the same demo.

    With the role `bot` the account is not rate limited; omit it for a demo of the server's rate limiter.
    """
    return _DemoBuilder(rows, Random(seed), roles).build()  # noqa: S311 - repeatable, not secret


def demo_faults(demo: Demo) -> list[Fault]:
    """Return a few faults, each on the first attempt of one leader row, so that the demo shows retries."""
    leaders = [row for row in demo.rows if row.kind is RowKind.LEADER]
    faults = (
        Fault(Kind.DROP_AFTER),
        Fault(Kind.STATUS, status=502, html=True),
        Fault(Kind.RESET_BEFORE),
        Fault(Kind.STATUS, status=500),
    )
    step = max(1, len(leaders) // (len(faults) + 1))
    return [
        replace(fault, when=FaultMatch(room=row.room_id, user=row.user_id))
        for row, fault in zip(leaders[step::step], faults, strict=False)
    ]


class _DemoBuilder:
    """The builder of one demo: about six rows for each room, users that are leaders of several rooms."""

    def __init__(self, rows: int, random: Random, roles: Iterable[str]) -> None:
        self._random = random
        self._row_count = rows
        self._names = _room_names()
        self._world = World()
        self._world.add_account(*ACCOUNT, username="bulk.bot", roles=roles)
        self._users = [self._add_user(number) for number in range(1, max(40, rows // 4) + 1)]
        ordinary = [self._add_room(RowKind.LEADER) for _ in range(max(2, rows // 6))]
        self._rooms = {kind: self._special_rooms(kind) or ordinary for kind in RowKind}
        self._used_pairs: set[tuple[str, str]] = set()

    def build(self) -> Demo:
        """Return the finished demo."""
        return Demo(self._world, ACCOUNT, [self._add_row(kind) for kind in self._kinds()])

    def _kinds(self) -> list[RowKind]:
        """Return the kind of each row, shuffled; a job too short for every kind has leaders only."""
        special = [kind for kind, share in SHARES.items() for _ in range(max(1, round(share * self._row_count)))]
        if len(special) >= self._row_count:
            return [RowKind.LEADER] * self._row_count
        kinds = special + [RowKind.LEADER] * (self._row_count - len(special))
        self._random.shuffle(kinds)
        return kinds

    def _add_row(self, kind: RowKind) -> DemoRow:
        """Choose a pair that no other row has and set its roles as its kind requires."""
        while True:
            room_id = self._random.choice(self._rooms[kind])
            user_id = self._new_id() if kind is RowKind.USER_NOT_FOUND else self._random.choice(self._users)
            if (room_id, user_id) not in self._used_pairs:
                break
        self._used_pairs.add((room_id, user_id))
        if kind in MEMBER_ROLES:
            self._world.join(room_id, user_id, MEMBER_ROLES[kind])
        return DemoRow(room_id, user_id, kind)

    def _special_rooms(self, kind: RowKind) -> list[str]:
        """Return the ids of separate rooms for a kind that depends on the room; otherwise none."""
        count = max(2, self._row_count // 100)
        if kind is RowKind.ROOM_NOT_FOUND:
            return [self._new_id() for _ in range(count)]
        if kind in (RowKind.ROOM_NOT_JOINED, RowKind.ROOM_ARCHIVED, RowKind.NOT_ALLOWED):
            return [self._add_room(kind) for _ in range(count)]
        return []

    def _add_room(self, kind: RowKind) -> str:
        """Add one room, with the account as owner, plain member or not at all, as the kind requires."""
        room = self._world.add_room(self._new_id(), name=next(self._names), archived=kind is RowKind.ROOM_ARCHIVED)
        if kind is not RowKind.ROOM_NOT_JOINED:
            is_owner = kind is not RowKind.NOT_ALLOWED
            self._world.join(room.id, ACCOUNT.user_id, ("owner",) if is_owner else None)
        return room.id

    def _add_user(self, number: int) -> str:
        """Add one user; every tenth is deactivated."""
        user = self._world.add_user(self._new_id(), username=f"user.{number:03}", active=number % 10 != 0)
        return user.id

    def _new_id(self) -> str:
        """Return an id in the format of the server."""
        return "".join(self._random.choices(ID_ALPHABET, k=ID_LENGTH))


def _room_names() -> Iterator[str]:
    """Yield an endless series of room names."""
    return (f"{a}-{b}-{n}" for n, (a, b) in enumerate(cycle(product(DEPARTMENTS, TOPICS)), start=1))
