"""The progress that displays show: earlier sessions count, speeds are measured between the calls."""

import asyncio
from collections import Counter

import pytest

from rolecall.engine.clock import Clock
from rolecall.engine.context import RunContext
from rolecall.engine.progress import PriorProgress, ProgressTracker, ThroughputMeter
from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopReason
from rolecall.engine.throttle.admission import CallKind
from rolecall.engine.throttle.circuit_breaker import THRESHOLD
from rolecall.models import NoReply, OutageStatus, Outcome, Reply
from rolecall.store.records import Count
from tests.unit.engine.answers import NO_CONNECTION, OK, TOO_MANY, reply, result_of
from tests.unit.engine.test_events import EventList
from tests.unit.engine.virtual import turns

COUNTS = [
    Count(Outcome.REMOVED, "", 50),
    Count(Outcome.FAILED, "not_allowed", 4),
    Count(Outcome.UNKNOWN, "timeout", 3),
    Count(Outcome.NOT_ATTEMPTED, "interrupted", 40),
    Count(Outcome.DUPLICATE, "duplicate_of", 3),
]


@pytest.mark.parametrize(("retry_failed", "due", "failed"), [(False, 43, 4), (True, 47, 0)])
def test_what_earlier_sessions_did_counts(retry_failed: bool, due: int, failed: int) -> None:
    """Rows that need nothing more are done from the beginning; those that are sent again are not."""
    earlier = PriorProgress.of(COUNTS, due, retry_failed=retry_failed)
    outcomes = Counter({Outcome.REMOVED: 50, Outcome.FAILED: failed, Outcome.DUPLICATE: 3})
    assert (earlier.total, earlier.done) == (100, 100 - due)
    assert +earlier.outcomes == +outcomes


@pytest.mark.parametrize(
    ("seen", "speed"),
    [
        ([(0, 0, False)], None),
        ([(0, 0, False), (0.5, 20, False)], None),
        ([(0, 0, False), (2, 20, False)], 10.0),
        ([(0, 5, False), (2, 25, False)], 10.0),
        ([(0, 0, False), (2, 20, False), (60, 20, True), (62, 40, False)], 10.0),
        ([(0, 0, False), (2, 2, False), (20, 20, False), (30, 120, False)], 10.0),
    ],
)
def test_a_speed_is_that_of_lately(seen: list[tuple[float, int, bool]], speed: float | None) -> None:
    """Too short a time gives no speed; what is long ago and what was spent waiting does not count."""
    measured = ThroughputMeter()
    speeds = [measured.record(now, number, idle=idle) for now, number, idle in seen]
    assert speeds[-1] == (speed if speed is None else pytest.approx(speed))


def test_a_long_pause_takes_no_memory() -> None:
    """However long a pause is, the samples that are kept do not grow."""
    speed = ThroughputMeter()
    for moment in range(10_000):
        speed.record(moment / 4, 7, idle=moment > 10)
    assert len(speed._samples) < 50


PATH = "/api/v1/groups.removeLeader"


class Session:
    """A session with its tracker; the test sets the time."""

    def __init__(self) -> None:
        self.now = 100.0
        clock = Clock(now=lambda: self.now, wall=lambda: self.now + 1e9)
        self.context = RunContext.create(Settings(rate=10.0, shutdown_timeout=10.0), EventList(), clock=clock)
        self.route = self.context.admission.route(PATH, CallKind.CHANGE)
        prior = PriorProgress(100, 20, Counter({Outcome.REMOVED: 20}))
        self.tracker = ProgressTracker(prior, self.context, PATH)

    async def call(self, answer: Reply | NoReply, key: int = 0) -> None:
        """Make one call with this answer."""
        probing = await self.route.acquire()
        if isinstance(answer, Reply):
            answer = answer._replace(sent_at=self.now, received_at=self.now)
        self.route.record_response(key, answer, result_of(answer), probing=probing)


async def test_before_the_first_call_the_remaining_time_is_known() -> None:
    """Before the first call there are the rows and, at the run's own rate, the time that they take."""
    progress = Session().tracker.progress()
    assert (progress.total, progress.done, progress.rate) == (100, 20, 10.0)
    assert progress.remaining == pytest.approx(8.0)


async def test_rows_and_calls_are_counted() -> None:
    """Rows that were finished count with those of earlier sessions; the speed is that of the calls."""
    session = Session()
    session.tracker.progress()
    for key in range(20):
        session.now += 0.2
        await session.call(OK, key)
        session.context.outcomes[Outcome.REMOVED] += 1
    progress = session.tracker.progress()
    assert (progress.done, progress.outcomes[Outcome.REMOVED], progress.in_flight) == (40, 40, 0)
    assert progress.per_second == pytest.approx(5.0)
    assert progress.remaining == pytest.approx(12.0)
    assert progress.at == session.now + 1e9


async def test_the_window_is_shown() -> None:
    """What the workspace allows, and how much of it is left, comes from its answers."""
    session = Session()
    headers = {
        "X-RateLimit-Limit": "10",
        "X-RateLimit-Remaining": "9",
        "X-RateLimit-Reset": "1700000060000",
        "Date": "Tue, 14 Nov 2023 22:13:20 GMT",
    }
    await session.call(reply(200, b'{"success": true}', headers))
    allowance = session.tracker.progress().allowance
    assert allowance is not None
    assert (allowance.limit, allowance.left, allowance.seconds) == (10, 9, 60)
    assert 59 <= allowance.ends_in <= 61.1


async def test_the_pause_of_another_route_is_shown_while_nothing_is_in_flight() -> None:
    """Rows that all wait for the window of another route are paused, too."""
    session = Session()
    await session.call(TOO_MANY)
    session.now += 1
    limiter = session.context.admission.side_limiter("/api/v1/groups.counters")
    await limiter.acquire()
    limiter.record_response(reply(429, b"", {"Retry-After": "30"}, at=session.now), refused=True)
    waiting = asyncio.create_task(limiter.acquire())
    await turns()
    pause = session.tracker.progress().pause
    assert pause is not None
    assert pause.seconds == pytest.approx(30)
    session.now += 31
    assert session.tracker.progress().pause is None
    waiting.cancel()


async def test_an_outage_is_shown_without_a_remaining_time() -> None:
    """During an outage the remaining time is not known."""
    session = Session()
    for key in range(THRESHOLD):
        session.now += 1
        await session.call(NO_CONNECTION, key)
    session.now += 5
    progress = session.tracker.progress()
    assert progress.outage == OutageStatus(5.0, 0.0, 895.0)
    assert progress.remaining is None


async def test_stopping_counts_down() -> None:
    """Once a stop is requested, the time that calls in flight still have is shown."""
    session = Session()
    assert session.tracker.progress().stopping_in is None
    session.context.stop.request(StopReason.INTERRUPTED)
    assert session.tracker.progress().stopping_in == 10.0
    session.now += 4
    assert session.tracker.progress().stopping_in == 6.0
    assert session.tracker.progress().remaining is None
