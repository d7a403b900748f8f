"""What happens to one request: drawn from the seed and the name of the request, so that each can be left out alone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import NamedTuple

from rolecall.sandbox import Fault, Kind, Nonsense
from rolecall.sandbox.faults import MAY_ACT

REFUSED = "refused"
LATE = "late"
SLOW_ROAD = "slow_road"
CLOSED = "closed"
"""The request crossed with the end of its idle connection; whether it was carried out, the client cannot see."""
ROADS = (REFUSED, LATE, SLOW_ROAD)
"""What the network does to a request: no connection; it arrives long after it was given up, and its response never;
both are some seconds slower than usual, so that others overtake them."""
FREQUENT = (LATE, LATE, Kind.DROP_AFTER, *[Kind.STATUS] * 4, Kind.EXCEPTION, Kind.REDIRECT, Kind.TOO_MANY)
KINDS: tuple[str, ...] = (*ROADS, *(kind for kind in Kind if kind is not Kind.REVOKE), *FREQUENT)
"""Every kind of fault of a request; some stand more often than others."""
STATUSES = (400, 401, 403, 404, 408, 421, 500, 502, 503, 504, 520, 522)
LATEST_ARRIVAL = 110.0
"""Seconds after which no request arrives any more; less than `Settings.late_arrival`."""
SOUND = frozenset({Kind.NO_ERROR_TYPE, Kind.NONSENSE_HEADERS, Kind.SLOW, Kind.REPEATED})
"""Faults that may leave a response that proves as much as a normal one; see `is_sound`."""


class Fate(NamedTuple):
    """What happens to one request."""

    to_server: float
    """Seconds to the server."""
    to_client: float
    """Seconds from the server."""
    name: str = ""
    """Of the fault; empty without one."""
    road: str = ""
    """One of ROADS; empty where the request and its response arrive."""
    fault: Fault | None = None
    is_lost: bool = True
    """closed: the server did not handle the request."""


@dataclass(frozen=True)
class Weather:
    """How likely and of which kinds the faults of one scenario are."""

    seed: int
    chance: float
    """Of a fault for each changing call."""
    reading_chance: float
    kinds: Sequence[str]
    statuses: Sequence[int]
    """The statuses of gateways and proxies."""
    latency: float
    """Seconds in each direction; half to twice as long for each request."""
    closing_chance: float = 0.0
    """Of a request on a connection that is used again: the server closes it meanwhile."""

    def fate(self, name: str, *, changes: bool, without: Collection[str]) -> Fate:
        """Return the fate of a request; `without`: names of faults that do not happen."""
        digest = blake2b(f"{self.seed} {name}".encode(), digest_size=12).digest()
        there, back, draw, detail = (int.from_bytes(digest[place : place + 3]) for place in (0, 3, 6, 9))
        to_server = self.latency * (0.5 + there / 11_184_811)
        to_client = self.latency * (0.5 + back / 11_184_811)
        if draw / 16_777_216 >= (self.chance if changes else self.reading_chance) or name in without:
            return Fate(to_server, to_client)
        random = Random(detail)
        kind = random.choice(self.kinds)
        if kind == LATE:
            return Fate(random.uniform(0.0, LATEST_ARRIVAL), to_client, name, LATE)
        if kind == SLOW_ROAD:
            return Fate(to_server + random.uniform(0.0, 3.0), to_client + random.uniform(0.0, 3.0), name, SLOW_ROAD)
        if kind in ROADS:
            return Fate(to_server, to_client, name, kind)
        return Fate(to_server, to_client, name, "", self._fault(Kind(kind), random))

    def closing(self, name: str, fate: Fate, *, is_overdue: bool) -> Fate:
        """Return the fate of a request on a connection that is used again; `is_overdue`: it is closed before."""
        if not (is_overdue or self.closing_chance):
            return fate
        draw, detail = blake2b(f"{self.seed} closed {name}".encode(), digest_size=2).digest()
        if not is_overdue and draw >= self.closing_chance * 256:
            return fate
        return Fate(fate.to_server, fate.to_client, f"closed {name}", CLOSED, is_lost=detail % 2 == 0)

    def _fault(self, kind: Kind, random: Random) -> Fault:
        status = random.choice(self.statuses)
        return Fault(
            kind,
            act=kind in MAY_ACT and random.random() < 0.5,
            status=status,
            html=status < 500 or random.random() < 0.5,
            text="[error-user-not-leader]" if status == 500 and random.random() < 0.3 else "",
            writes=random.randint(0, 4),
            seconds=random.choice((0.2, 1.0, 3.0)),
            retry_after=random.choice((None, "0", "2")) if kind is Kind.TOO_MANY else None,
            nonsense=random.choice(list(Nonsense)),
        )
