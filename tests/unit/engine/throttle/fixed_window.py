"""A real server's fixed window, and callers who follow a RouteSchedule: simulated call by call, with delays."""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from itertools import count, cycle
from random import Random

from rolecall.engine.throttle.rate_limiter import LearntRate, PacedRateLimiter
from rolecall.engine.throttle.route_schedule import RouteSchedule
from rolecall.engine.throttle.window_signs import Exemption
from rolecall.models import NoReply, Reply

BEGINNING = 5000.0
"""What the client's monotonic clock shows at first."""
EPOCH = 1_700_000_000.0
"""What the server's clock shows then, if it is right."""
GOOD = b'{"success":true}'
TOO_MANY = (
    b'{"success":false,"error":"Error, too many requests. Please slow down. '
    b'You must wait %d seconds before trying this endpoint again. [error-too-many-requests]"}'
)

ServerTime = Callable[[float], float]
"""The server's clock (epoch seconds) at a moment of the client's."""


def steady(offset: float = 0.0, drift: float = 0.0) -> ServerTime:
    """Give a server's clock that is `offset` seconds wrong and gains `drift` seconds a second."""
    return lambda now: EPOCH + offset + (now - BEGINNING) * (1 + drift)


def stepped(at: float, by: float) -> ServerTime:
    """Give a server's clock that is set by `by` seconds, `at` seconds after the beginning."""
    return lambda now: EPOCH + (now - BEGINNING) + (by if now - BEGINNING >= at else 0.0)


def route_schedule(
    per_second: float | None,
    *,
    max_wait: float = 900.0,
    exemption: Exemption | None = None,
    own_offset: Callable[[], float] | None = None,
) -> RouteSchedule:
    """Return the schedule of a route with an own rate, in calls a second; None is unlimited."""
    rate, learnt = PacedRateLimiter(per_second), LearntRate(per_second)
    return RouteSchedule(rate, learnt, max_wait=max_wait, exemption=exemption, own_offset=own_offset)


@dataclass
class Instance:
    """One server process with a window of its own, in milliseconds as the real one keeps it."""

    start: int | None = None
    calls: int = 0


@dataclass
class Server:
    """Counts calls in fixed windows, and sends the headers of Rocket.Chat."""

    limit: int
    length: float
    time: ServerTime = field(default_factory=steady)
    instances: int = 1
    jitter: float = 0.003
    """Seconds by which a reset in a header may be late: it is computed anew for each answer."""
    random: Random = field(default_factory=lambda: Random(1))
    dates: bool = True
    date_clock: ServerTime | None = None
    """The clock of the `Date` header, where a proxy replaces it; None: the limiter's own."""
    whole_seconds: bool = False
    """Cut resets down to the second."""
    exempt: bool = False
    """Count every call, and refuse none, as newer servers do for accounts that bypass the limiter."""
    counted: int = 0

    def __post_init__(self) -> None:
        self._turns = cycle([Instance() for _ in range(self.instances)])

    def take(self, now: float) -> tuple[int, dict[str, str], bytes]:
        """Count a call that arrives now; give status, headers and body."""
        self.counted += 1
        instance = next(self._turns)
        stamp, length = math.floor(self.time(now) * 1000), round(self.length * 1000)
        if instance.start is None or stamp > instance.start + length:
            instance.start, instance.calls = stamp, 0
        instance.calls += 1
        reset = instance.start + length + math.floor(self.random.uniform(0, self.jitter) * 1000)
        wait = math.ceil((reset - stamp) / 1000)
        if self.whole_seconds:
            reset -= reset % 1000
        headers = {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(0, self.limit - instance.calls)),
            "X-RateLimit-Reset": str(reset),
        }
        if self.dates:
            headers["Date"] = formatdate((self.date_clock or self.time)(now), usegmt=True)
        if instance.calls <= self.limit or self.exempt:
            return 200, headers, GOOD
        return 429, headers, TOO_MANY % wait


@dataclass
class Callers:
    """How the callers and the network behave."""

    concurrency: int = 8
    delay: tuple[float, float] = (0.001, 0.02)
    """The least and the greatest one-way delay, seconds."""
    lateness: float = 0.001
    """Seconds by which a timer may fire late."""
    patience: float = 900.0
    others: tuple[float, ...] = ()
    """When other clients behind the same address call, in seconds after the beginning."""
    distort: Callable[[int, Reply], Reply | NoReply] = lambda number, reply: reply
    """What becomes of the answer to the call of this number."""


@dataclass
class Course:
    """What came of a simulated run; times in seconds after the beginning."""

    sent: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    """When the refused calls were sent."""
    ended: float = 0.0
    most_in_flight: int = 0
    alone: int = 0
    """Calls that left before the first answer came."""


def simulate(rows: int, schedule: RouteSchedule, server: Server, callers: Callers, random: Random) -> Course:
    """Send `rows` calls, refused ones again, as soon as the schedule admits them; assert that it never deadlocks."""
    course, order = Course(), count()
    events: list[tuple[float, int, str, float, int]] = []
    ready: dict[int, Reply] = {}
    now, left, in_flight, answered = BEGINNING, rows, 0, 0
    for moment in callers.others:
        heapq.heappush(events, (BEGINNING + moment, next(order), "other", 0.0, 0))
    while left or in_flight:
        assert len(course.sent) <= rows * 12 + 1000, "calls are sent again and again"
        wake = math.inf
        while left and in_flight < callers.concurrency:
            wait = schedule.reserve(now)
            if wait is not None:
                assert wait.until > now, "a wait that is over is no wait"
                assert in_flight or math.isfinite(wait.until), f"locked up at {now}: {wait}"
                assert wait.until == math.inf or wait.until - now <= callers.patience + 1e-6, "longer than patience"
                wake = wait.until + random.uniform(0, callers.lateness)
                break
            left, in_flight, leaves = left - 1, in_flight + 1, max(now, schedule.assign_slot(now))
            course.sent.append(leaves - BEGINNING)
            course.alone += not answered
            course.most_in_flight = max(course.most_in_flight, in_flight)
            arrives = leaves + random.uniform(*callers.delay)
            heapq.heappush(events, (arrives, next(order), "arrive", leaves, len(course.sent)))
        if not events or wake < events[0][0]:
            now = wake
            continue
        now, _, kind, sent_at, number = heapq.heappop(events)
        if kind == "other":
            server.take(now)
        elif kind == "arrive":
            received_at = now + random.uniform(*callers.delay)
            ready[number] = Reply(*server.take(now), sent_at, received_at)
            heapq.heappush(events, (received_at, next(order), "answer", sent_at, number))
        else:
            reply = callers.distort(number, ready.pop(number))
            refused = isinstance(reply, Reply) and reply.status == 429
            in_flight, answered, left = in_flight - 1, answered + 1, left + refused
            if refused:
                course.refused.append(sent_at - BEGINNING)
            schedule.record_response(reply, refused=refused)
    course.ended = now - BEGINNING
    return course
