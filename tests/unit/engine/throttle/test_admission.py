"""Admission control: all limits of a call together, and one controller for several runs."""

import asyncio

import pytest

from rolecall.engine.settings import Settings
from rolecall.engine.throttle.admission import AdmissionController, CallKind
from rolecall.engine.throttle.circuit_breaker import THRESHOLD
from rolecall.models import NoReply, RateLimitStatus, Reply
from tests.unit.engine.answers import (
    BAD_GATEWAY,
    NO_CONNECTION,
    OK,
    SERVER_ERROR,
    TOO_MANY,
    reply,
    result_of,
    windowed,
)
from tests.unit.engine.observers import RecordingObserver
from tests.unit.engine.virtual import BEGINNING, EPOCH, turns, virtual_clock

PATH, OTHER = "/api/v1/groups.removeLeader", "/api/v1/groups.addLeader"


class Admission:
    """A controller for two calls in flight at two a second, one of its routes, and the events that it reported."""

    def __init__(self, settings: Settings | None = None, kind: CallKind = CallKind.CHANGE) -> None:
        settings = settings or Settings(rate=2.0, concurrency=2, outage_timeout=60.0)
        self.controller = AdmissionController.build(settings, virtual_clock())
        self.route = self.controller.route(PATH, kind)
        self.observer = RecordingObserver()
        self.observed = self.controller.observed_by(self.observer, kind)
        self.observed.__enter__()

    @classmethod
    async def unlimited(cls) -> "Admission":
        """Return one that knows that the server has no limit."""
        admission = cls()
        await admission.call(OK)
        return admission

    def record(self, answer: Reply | NoReply, request: object = 0, *, probing: bool = False) -> None:
        """Record the end of a call."""
        if isinstance(answer, Reply):
            answer = answer._replace(received_at=asyncio.get_running_loop().time())
        self.route.record_response(request, answer, result_of(answer), probing=probing)

    async def call(self, answer: Reply | NoReply, request: object = 0) -> None:
        """Make one call."""
        self.record(answer, request, probing=await self.route.acquire())

    async def open_breaker(self, last: Reply | NoReply = NO_CONNECTION) -> None:
        """Start an outage."""
        for key in range(THRESHOLD):
            await self.call(NO_CONNECTION if key < THRESHOLD - 1 else last, key)
        assert self.observer.events[-1] == "open"


async def test_a_call_that_is_cancelled_in_the_queue_releases_its_place() -> None:
    """However many calls are cancelled while they wait for their slot, two can be in flight afterwards."""
    admission = await Admission.unlimited()
    await admission.route.acquire()
    for _ in range(5):
        waiting = asyncio.create_task(admission.route.acquire())
        await turns()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(1):
        assert await admission.route.acquire() is False


async def test_a_probe_that_is_cancelled_in_the_queue_releases_its_place() -> None:
    """When a probe is cancelled after the breaker admitted it, the next one can leave."""
    admission = await Admission.unlimited()
    await admission.open_breaker(reply(503, b"", {"Retry-After": "20"}))
    first = asyncio.create_task(admission.route.acquire())
    await asyncio.sleep(3)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    async with asyncio.timeout(30):
        assert await admission.route.acquire() is True


@pytest.mark.parametrize("probing", [False, True])
async def test_a_cancelled_call_releases_everything(probing: bool) -> None:
    """An admitted call that did not leave keeps no place in flight, no room of the window and no probe."""
    admission = await Admission.unlimited()
    if probing:
        await admission.open_breaker()
    async with asyncio.timeout(60):
        for _ in range(6):
            assert await admission.route.acquire() is probing
            admission.route.cancel(probing=probing)


async def test_every_response_releases_its_place() -> None:
    """Each response, of success or fault, makes room for the next call."""
    admission = await Admission.unlimited()
    async with asyncio.timeout(120):
        for answer in (OK, SERVER_ERROR, BAD_GATEWAY, NO_CONNECTION, TOO_MANY, OK):
            await admission.call(answer)
    assert admission.observer.events == ["overload 1"]


async def test_any_response_of_the_workspace_ends_an_outage() -> None:
    """A probe that is refused by 'too many requests' shows that the workspace is back."""
    admission = await Admission.unlimited()
    await admission.open_breaker()
    assert await admission.route.acquire() is True
    admission.record(TOO_MANY, probing=True)
    assert isinstance(admission.observer.events[-1], float)


async def test_refusals_for_longer_than_the_timeout_are_reported() -> None:
    """Only when every response for the whole outage timeout was a refusal."""
    admission, loop = await Admission.unlimited(), asyncio.get_running_loop()
    while not admission.observer.events:
        await admission.call(TOO_MANY)
    assert 60 <= loop.time() - BEGINNING <= 68
    assert admission.observer.events == ["give up"]


async def test_a_route_is_one_object_for_all_runs() -> None:
    """Runs that ask for the same route share its window; another kind or path has its own."""
    controller = Admission().controller
    route = controller.route(PATH, CallKind.CHANGE)
    assert controller.route(PATH, CallKind.CHANGE) is route
    assert controller.route(PATH, CallKind.READ) is not route
    assert controller.route(OTHER, CallKind.CHANGE) is not route
    assert controller.side_limiter(OTHER) is controller.side_limiter(OTHER)


async def test_routes_of_a_kind_share_the_rate_and_kinds_do_not() -> None:
    """Two changing routes leave two calls a second together, while a reading call leaves at once."""
    admission, loop = Admission(), asyncio.get_running_loop()
    other, reading = admission.controller.route(OTHER, CallKind.CHANGE), admission.controller.route(PATH, CallKind.READ)
    await admission.call(OK)
    await reading.acquire()
    assert loop.time() == BEGINNING
    await other.acquire()
    assert loop.time() - BEGINNING == pytest.approx(0.5, rel=0.01)
    await admission.controller.side_limiter("/api/v1/groups.counters").acquire()
    assert loop.time() - BEGINNING == pytest.approx(1.0, rel=0.01)


async def test_an_outage_of_changes_does_not_make_reads_wait() -> None:
    """Each kind has its own circuit breaker and its own places in flight, and its own observers."""
    admission, reads = await Admission.unlimited(), RecordingObserver()
    await admission.open_breaker()
    with admission.controller.observed_by(reads, CallKind.READ):
        reading = admission.controller.route(PATH, CallKind.READ)
        assert await reading.acquire() is False
        assert (reading.in_outage, admission.route.in_outage) == (False, True)
    assert reads.events == []


async def test_each_observer_is_notified_once_and_until_it_leaves() -> None:
    """An observer that joined twice gets an event once; one that left gets none."""
    admission, other = await Admission.unlimited(), RecordingObserver()
    with admission.controller.observed_by(other, CallKind.CHANGE):
        with admission.controller.observed_by(other, CallKind.CHANGE):
            pass
        with admission.controller.observed_by(other, CallKind.CHANGE):
            await admission.open_breaker()
    admission.record(OK, probing=await admission.route.acquire())
    assert other.events == ["overload 1", "open"]
    assert admission.observer.events[:2] == ["overload 1", "open"]
    assert isinstance(admission.observer.events[2], float)


@pytest.mark.parametrize(("kind", "is_reported"), [(CallKind.CHANGE, True), (CallKind.READ, False)])
async def test_a_delay_is_reported_with_the_limit_of_the_rows(kind: CallKind, is_reported: bool) -> None:
    """The limit of a full window comes with the delay of changing calls; that of a reading route limits no rows."""
    admission, loop = Admission(Settings(rate=None), kind), asyncio.get_running_loop()
    await admission.route.acquire()
    server = EPOCH + loop.time()
    admission.record(windowed(5, 0, server + 60, server, at=loop.time()))
    waiting = asyncio.create_task(admission.route.acquire())
    await turns()
    waiting.cancel()
    ((delay, allowance),) = admission.observer.delays
    assert 60 <= delay.until - loop.time() <= 61.1
    assert (allowance is not None) is is_reported
    assert not is_reported or (isinstance(allowance, RateLimitStatus) and allowance.limit == 5)


async def test_the_status_says_why_the_next_call_waits_and_until_when() -> None:
    """A full window is a pause with its seconds, an outage has its own; without either nothing waits."""
    admission, loop = Admission(Settings(rate=None)), asyncio.get_running_loop()
    before = admission.controller.status(PATH)
    assert (before.pause, before.allowance, before.outage, before.calls) == (None, None, None, 0)
    await admission.route.acquire()
    assert admission.controller.status(PATH).in_flight == 1
    server = EPOCH + loop.time()
    admission.record(windowed(5, 0, server + 60, server, at=loop.time()))
    waiting = asyncio.create_task(admission.route.acquire())
    await turns()
    pause = admission.controller.status(PATH).pause
    assert pause is not None
    assert 60 <= pause.seconds <= 61.1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert admission.controller.status(PATH).pause is None
