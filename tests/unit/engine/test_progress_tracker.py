"""What a display is told: earlier sessions count, speeds are measured between the questions."""

from collections import Counter

import pytest

from rolecall.engine.clock import Clock
from rolecall.engine.events import EngineEvents
from rolecall.engine.progress_tracker import PriorProgress, ProgressTracker, ThroughputMeter
from rolecall.engine.settings import Settings
from rolecall.engine.stop_reasons import StopReason
from rolecall.engine.stop_signal import StopSignal
from rolecall.engine.throttle.adaptive_concurrency import AdaptiveConcurrencyLimiter
from rolecall.engine.throttle.admission import AdmissionController
from rolecall.engine.throttle.circuit_breaker import THRESHOLD, CircuitBreaker
from rolecall.engine.throttle.route_limiter import RouteLimiter
from rolecall.engine.throttle.route_schedule import RouteSchedule
from rolecall.models import NoReply, OutageStatus, Outcome, Reply, RowOutcome
from rolecall.store.base import Count
from tests.unit.engine.answers import NO_CONNECTION, OK, TOO_MANY, pending, reply, verdict_of
from tests.unit.engine.test_events import Told

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
    """Too short a look tells nothing; what is long ago and what was spent waiting does not count."""
    measured = ThroughputMeter()
    told = [measured.note(now, number, idle=idle) for now, number, idle in seen]
    assert told[-1] == (speed if speed is None else pytest.approx(speed))


def test_a_long_hold_takes_no_memory() -> None:
    """However long a run is held and looked at, what is remembered does not grow."""
    speed = ThroughputMeter()
    for moment in range(10_000):
        speed.note(moment / 4, 7, idle=moment > 10)
    assert len(speed._seen) < 50


class Followed:
    """A tracked gate whose time is told by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        clock = Clock(now=lambda: self.now, wall=lambda: self.now + 1e9)
        self.events, self.stop = EngineEvents(Told(), clock), StopSignal()
        self.breaker = CircuitBreaker(
            clock, 900.0, on_open=lambda: None, on_close=lambda _: None, on_give_up=lambda: None
        )
        self.turnstile = RouteLimiter(RouteSchedule(10.0), clock, self.events.held)
        self.gate = AdmissionController(
            AdaptiveConcurrencyLimiter(8),
            self.breaker,
            self.turnstile,
            clock,
            patience=900.0,
            on_give_up=lambda: None,
            on_overload=lambda _: None,
        )
        earlier = PriorProgress(100, 20, Counter({Outcome.REMOVED: 20}))
        self.tracker = ProgressTracker(earlier, self.events, self.stop, Settings(shutdown_timeout=10.0), clock)

    async def call(self, answer: Reply | NoReply, key: int = 0) -> None:
        """Let one call through, and answer it."""
        probing = await self.gate.enter()
        if isinstance(answer, Reply):
            answer = answer._replace(sent_at=self.now, received_at=self.now)
        self.gate.leave(key, answer, verdict_of(answer), probing=probing)


async def test_before_the_first_call_the_rest_is_known() -> None:
    """Before the run has a gate the rows are told; with it, the time at the run's own rate."""
    followed = Followed()
    before = followed.tracker.progress()
    assert (before.total, before.done, before.remaining, before.rate) == (100, 20, None, 10.0)
    followed.events.watch(followed.gate)
    assert followed.tracker.progress().remaining == pytest.approx(8.0)


async def test_rows_and_calls_are_told() -> None:
    """Rows that came to an end count with those of earlier sessions; the speed is that of the calls."""
    followed = Followed()
    followed.events.watch(followed.gate)
    followed.tracker.progress()
    for key in range(20):
        followed.now += 0.2
        await followed.call(OK, key)
        settled = RowOutcome(key, Outcome.REMOVED, "", 200, "", "", 0, 5, in_doubt=False)
        followed.events.settled(pending(key), settled)
    progress = followed.tracker.progress()
    assert (progress.done, progress.outcomes[Outcome.REMOVED], progress.under_way) == (40, 40, 0)
    assert progress.per_second == pytest.approx(5.0)
    assert progress.remaining == pytest.approx(12.0)
    assert progress.at == followed.now + 1e9


async def test_a_window_is_told() -> None:
    """What the workspace allows, and how much of it is left, comes from its answers."""
    followed = Followed()
    followed.events.watch(followed.gate)
    headers = {
        "X-RateLimit-Limit": "10",
        "X-RateLimit-Remaining": "9",
        "X-RateLimit-Reset": "1700000060000",
        "Date": "Tue, 14 Nov 2023 22:13:20 GMT",
    }
    await followed.call(reply(200, b'{"success": true}', headers))
    allowance = followed.tracker.progress().allowance
    assert allowance is not None
    assert (allowance.limit, allowance.left, allowance.seconds) == (10, 9, 60)
    assert 59 <= allowance.ends_in <= 61.1


async def test_another_routes_hold_is_told_while_nothing_goes_on() -> None:
    """Rows that all wait for the window of another route are held, too."""
    followed = Followed()
    followed.events.watch(followed.gate)
    await followed.call(TOO_MANY)
    other = followed.turnstile._pacing.hold(followed.now)
    assert other is not None
    followed.events.held(other._replace(until=followed.now + 30))
    hold = followed.tracker.progress().hold
    assert hold is not None
    assert hold.seconds == pytest.approx(30)
    followed.now += 31
    assert followed.tracker.progress().hold is None


async def test_an_outage_is_told_and_says_nothing_of_the_end() -> None:
    """While the workspace is away nobody knows how long it will take."""
    followed = Followed()
    followed.events.watch(followed.gate)
    for key in range(THRESHOLD):
        followed.now += 1
        await followed.call(NO_CONNECTION, key)
    followed.now += 5
    progress = followed.tracker.progress()
    assert progress.outage == OutageStatus(5.0, 0.0, 895.0)
    assert progress.remaining is None


async def test_stopping_counts_down() -> None:
    """Once the end is asked for, the time that calls under way still have is told."""
    followed = Followed()
    followed.events.watch(followed.gate)
    assert followed.tracker.progress().stopping_in is None
    followed.stop.ask(StopReason.INTERRUPTED)
    assert followed.tracker.progress().stopping_in == 10.0
    followed.now += 4
    assert followed.tracker.progress().stopping_in == 6.0
    assert followed.tracker.progress().remaining is None
