"""A proxy that limits calls without saying so: its rate is learnt from its refusals."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rolecall.engine.settings import Settings
from rolecall.engine.throttle.admission import AdmissionController, CallKind
from rolecall.models import Outcome, Reply
from tests.unit.engine.answers import OK, reply, result_of
from tests.unit.engine.runs import PLAIN, Run, Start
from tests.unit.engine.virtual import BEGINNING, virtual_clock

PAGE = b"<html><head><title>%d</title></head><body><center>nginx</center></body></html>"


class LimitReq:
    """nginx `limit_req` with `nodelay`: a leaky bucket; refused calls are not counted."""

    def __init__(self, rate: float, burst: int, status: int, *, ends_at: float = float("inf")) -> None:
        self._rate, self._burst, self._status, self._ends_at = rate, burst, status, ends_at
        self._excess, self._at = 0.0, 0.0
        self.refused: list[float] = []

    def __call__(self, now: float) -> Reply:
        """Answer a call that comes now."""
        excess = max(0.0, self._excess - (now - self._at) * self._rate + 1.0)
        if excess > self._burst and now < self._ends_at:
            self.refused.append(now - BEGINNING)
            return reply(self._status, PAGE % self._status, {"Server": "nginx"})
        self._excess, self._at = excess, now
        return OK


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Return a function that starts a run."""
    starter = Start(tmp_path / "run.sqlite")
    yield starter
    starter.done()


ROWS = [f"u{number}" for number in range(300)]


def seconds(run: Run) -> float:
    """Return when the last call left."""
    return run.client.calls[-1][1] - BEGINNING


@pytest.mark.parametrize("burst", [0, 5])
@pytest.mark.parametrize(("status", "own"), [(429, 50.0), (429, 20.0), (429, None), (503, 50.0), (503, 20.0)])
async def test_the_rate_of_a_hidden_limiter_is_learnt(
    start: Callable[..., Run], burst: int, status: int, own: float | None
) -> None:
    """At 10 calls a second 300 rows take 1.10 of the ideal, unlimited ones 1.15, and none is left in doubt."""
    limiter = LimitReq(10.0, burst, status)
    run = start(ROWS, limiter, replace(PLAIN, rate=own, max_attempts=5))
    await run.go()
    assert run.outcomes() == {(Outcome.REMOVED, ""): 300}
    assert seconds(run) <= (1.10 if own is not None else 1.15) * (299 - burst) / 10
    assert len(limiter.refused) <= (16 if own is not None else 24), "unlimited, all calls in flight are refused at once"


@pytest.mark.parametrize("burst", [0, 5])
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("own", [50.0, 20.0, 8.0])
@pytest.mark.parametrize("took", [0.005, 0.05])
async def test_reads_and_changes_together_keep_to_the_learnt_rate(
    burst: int, status: int, own: float, took: float
) -> None:
    """At 10 calls a second for both kinds together, 150 of each take 1.10 of the ideal, without a burst 1.15."""
    limiter = LimitReq(10.0, burst, status)
    loop, admission = asyncio.get_running_loop(), AdmissionController.build(Settings(rate=own), virtual_clock())
    accepted: list[float] = []

    async def work(kind: CallKind, numbers: Iterator[int]) -> None:
        """Repeat each call until it is accepted."""
        route = admission.route(f"/{kind.name}", kind)
        for number in numbers:
            reply = None
            while reply is not OK:
                probing = await route.acquire()
                sent_at = loop.time()
                reply = limiter(sent_at)
                await asyncio.sleep(took)
                timed = reply._replace(sent_at=sent_at, received_at=loop.time())
                route.record_response(number, timed, result_of(timed), probing=probing)
            accepted.append(sent_at)

    queues = {kind: iter(range(150)) for kind in CallKind}
    await asyncio.gather(*(work(kind, queue) for kind, queue in queues.items() for _ in range(8)))
    assert len(accepted) == 300
    assert max(accepted) - BEGINNING <= (1.10 if burst else 1.15) * (299 - burst) / 10
    assert len(limiter.refused) <= 16


async def test_the_rate_recovers_once_the_limiter_is_gone(start: Callable[..., Run]) -> None:
    """A minute after the last refusal the own rate is reached again."""
    limiter = LimitReq(10.0, 5, 429, ends_at=BEGINNING + 10)
    run = start([f"u{number}" for number in range(3500)], limiter, replace(PLAIN, rate=50.0))
    await run.go()
    late = [moment for _, moment in run.client.calls if moment > BEGINNING + 70]
    assert (len(late) - 1) / (late[-1] - late[0]) >= 49


async def test_an_outage_of_503_slows_nothing_down(start: Callable[..., Run]) -> None:
    """A proxy without a server behind it is waited for; afterwards the own rate is reached again soon."""

    def answer(now: float) -> Reply:
        return reply(503, PAGE % 503) if 2.0 <= now - BEGINNING < 12.0 else OK

    run = start(ROWS, answer, replace(PLAIN, rate=20.0, max_attempts=9))
    await run.go()
    assert run.outcomes() == {(Outcome.REMOVED, ""): 300}
    assert seconds(run) <= 1.25 * (10 + 300 / 20) + 0.5, "the first refusals slow the calls down"
