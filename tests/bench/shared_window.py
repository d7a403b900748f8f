"""Clients that obey a Pacing each and share one server's window: simulated call by call, with delays on the way.

No time passes and no socket is opened; the clock jumps from event to event. The decisions are Rolecall's own.
"""

import heapq
import math
from collections.abc import Sequence
from email.utils import formatdate
from enum import StrEnum
from itertools import count
from random import Random
from typing import Any, NamedTuple

from rolecall.engine.throttle.rate_limiter import LearntRate, PacedRateLimiter
from rolecall.engine.throttle.route_schedule import RouteSchedule
from rolecall.models import Reply
from rolecall.sandbox import Limiter
from tests.bench.target import GOOD, TOO_MANY

BEGINNING, EPOCH = 5_000.0, 1_700_000_000.25
"""What the clients' monotonic clock and the server's clock show at first."""
DELAY = (0.005, 0.020)
"""Seconds that a request or an answer is on its way."""
CONCURRENCY = 64


class Window(NamedTuple):
    """A server's limit: so many calls in so many seconds, counted by each instance for itself."""

    limit: int
    seconds: float
    instances: int = 1


class Sharing(StrEnum):
    """What clients know of each other."""

    NOTHING = "each for itself"
    RATE = "own rate divided"
    WINDOW = "window divided"


class Outcome(NamedTuple):
    """What came of a simulated run of all clients."""

    seconds: float
    """From the first call to the last, as the server saw them."""
    calls: int
    refused: int


def ideal(rows: int, window: Window) -> float:
    """Tell the seconds between the first call and the last of a client that fills each window at once."""
    return (math.ceil(rows / (window.limit * window.instances)) - 1) * window.seconds


class _Client:
    """One machine with its part of the rows."""

    def __init__(self, rows: int, schedule: RouteSchedule, share: int | None) -> None:
        self.left, self.schedule, self.share = rows, schedule, share
        self.in_flight = 0
        self.wakes = math.inf
        self._reset, self._used = "", 0

    def told(self, reply: Reply) -> Reply:
        """Rewrite an answer's window to this client's share of it; as it is, where it takes the whole."""
        if self.share is None:
            return reply
        reset = reply.headers["X-RateLimit-Reset"]
        if reset != self._reset:
            self._reset, self._used = reset, 0
        self._used += 1
        left = max(0, min(self.share - self._used, int(reply.headers["X-RateLimit-Remaining"])))
        limits = {"X-RateLimit-Limit": str(self.share), "X-RateLimit-Remaining": str(left)}
        return reply._replace(headers={**reply.headers, **limits})


class Simulation:
    """The clock, the server and the calls under way."""

    def __init__(self, clients: Sequence[_Client], window: Window, random: Random) -> None:
        self._clients = clients
        self._limiter = Limiter(*window)
        self._random = random
        self._order = count()
        self._events: list[tuple[float, int, _Client, float, Reply | None]] = []
        self._now = BEGINNING
        self.arrivals: list[float] = []
        self.refused = 0

    def run(self) -> None:
        """Go from event to event until every row is done."""
        for client in self._clients:
            self._send_what_may_leave(client)
        while self._events or any(client.left for client in self._clients):
            wakes = min(self._clients, key=lambda client: client.wakes)
            if not self._events or wakes.wakes <= self._events[0][0]:
                self._now = wakes.wakes
                self._send_what_may_leave(wakes)
            else:
                self._now, _, client, sent_at, reply = heapq.heappop(self._events)
                if reply is None:
                    self._arrive(client, sent_at)
                else:
                    self._answer(client, reply)

    def _send_what_may_leave(self, client: _Client) -> None:
        client.wakes = math.inf
        while client.left and client.in_flight < CONCURRENCY:
            wait = client.schedule.reserve(self._now)
            if wait is not None:
                client.wakes = wait.until
                return
            client.left -= 1
            client.in_flight += 1
            client.schedule.assign_slot(self._now)
            self._later(client, self._now, None)

    def _later(self, client: _Client, sent_at: float, reply: Reply | None) -> None:
        moment = self._now + self._random.uniform(*DELAY) if reply is None else reply.received_at
        heapq.heappush(self._events, (moment, next(self._order), client, sent_at, reply))

    def _arrive(self, client: _Client, sent_at: float) -> None:
        self.arrivals.append(self._now)
        ruling = self._limiter.acquire("one address", "groups.removeLeader", self._now)
        clock = EPOCH + self._now - BEGINNING
        headers = {
            "Date": formatdate(clock, usegmt=True),
            "X-RateLimit-Limit": str(ruling.limit),
            "X-RateLimit-Remaining": str(ruling.remaining),
            "X-RateLimit-Reset": str(math.ceil((clock + ruling.wait) * 1000)),
        }
        status, body = (200, GOOD) if ruling.allowed else (429, TOO_MANY % math.ceil(ruling.wait))
        received_at = self._now + self._random.uniform(*DELAY)
        self._later(client, sent_at, Reply(status, headers, body, sent_at, received_at))

    def _answer(self, client: _Client, reply: Reply) -> None:
        refused = reply.status == 429
        client.in_flight -= 1
        client.left += refused
        self.refused += refused
        client.schedule.record_response(client.told(reply), refused=refused)
        self._send_what_may_leave(client)


def simulate(rows: Sequence[int], window: Window, *, sharing: Sharing = Sharing.NOTHING, seed: int = 1) -> Outcome:
    """Let as many clients as there are numbers of rows work through them at once."""
    parts = len(rows)
    rate = window.limit * window.instances / window.seconds / parts if sharing is Sharing.RATE else None
    shares = divided(window.limit, parts) if sharing is Sharing.WINDOW else [None] * parts
    clients = [
        _Client(own, RouteSchedule(PacedRateLimiter(rate), LearntRate(rate)), share)
        for own, share in zip(rows, shares, strict=True)
    ]
    simulation = Simulation(clients, window, Random(seed))
    simulation.run()
    arrivals = simulation.arrivals
    return Outcome(arrivals[-1] - arrivals[0], len(arrivals), simulation.refused)


WINDOWS = (Window(10, 60.0), Window(600, 60.0))
CLIENTS = (1, 2, 4, 8)
FULL_WINDOWS = 12
"""How many windows a job fills."""


def scale() -> list[dict[str, Any]]:
    """Simulate 1, 2, 4 and 8 clients that share a job and a window, in each way of sharing."""
    found = []
    for window in WINDOWS:
        rows = FULL_WINDOWS * window.limit
        for sharing in Sharing:
            for clients in CLIENTS:
                parts = divided(rows, clients)
                if sharing is Sharing.WINDOW:
                    parts = [FULL_WINDOWS * share for share in divided(window.limit, clients)]
                outcome = simulate(parts, window, sharing=sharing)
                found.append(
                    {
                        "limit": window.limit,
                        "seconds": window.seconds,
                        "sharing": sharing.value,
                        "clients": clients,
                        "rows": rows,
                        "calls": outcome.calls,
                        "refused": outcome.refused,
                        "ratio": outcome.seconds / ideal(rows, window),
                    }
                )
    return found


def divided(rows: int, parts: int) -> list[int]:
    """Divide rows, or the calls of a window, as evenly as they go."""
    return [rows // parts + (part < rows % parts) for part in range(parts)]
