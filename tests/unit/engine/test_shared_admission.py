"""Several runs of one workspace share an admission controller: what it limits, it limits for all of them together."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from rolecall.engine.settings import Settings
from rolecall.engine.stop_signal import StopReason
from rolecall.engine.throttle.admission import AdmissionController
from rolecall.models import Outcome
from tests.unit.engine.answers import NO_CONNECTION, OK, reply
from tests.unit.engine.runs import PLAIN, TOOK, Run, Start, Step
from tests.unit.engine.throttle.fixed_window import Server
from tests.unit.engine.virtual import BEGINNING, virtual_clock

Script = Mapping[str, Sequence[Step]] | Callable[[float], Step]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[int, Script, Settings], list[Run]]]:
    """Return a function that starts two runs of so many rows each, with stores of their own."""
    starters = [Start(tmp_path / name) for name in ("one.sqlite", "two.sqlite")]

    def start(rows: int, script: Script, settings: Settings) -> list[Run]:
        return [starter([f"u{number}" for number in range(rows)], script, settings) for starter in starters]

    yield start
    for starter in starters:
        starter.done()


Started = Callable[[int, Script, Settings], list[Run]]


def moments(runs: list[Run]) -> list[float]:
    """Return when the calls of all runs left, in seconds since the beginning."""
    return sorted(moment - BEGINNING for run in runs for _, moment in run.client.calls)


async def go(runs: list[Run]) -> None:
    """Process the rows of all runs at once with one controller."""
    admission = AdmissionController.build(runs[0].settings, virtual_clock())
    await asyncio.gather(*(run.go(admission) for run in runs))


async def test_the_rate_holds_across_two_runs(start: Started) -> None:
    """Two runs of 15 rows leave ten calls a second together, evenly spaced."""
    runs = start(15, {}, replace(PLAIN, rate=10.0))
    await go(runs)
    left = moments(runs)
    assert len(left) == 30
    assert left[-1] == pytest.approx(29 * 0.1, rel=0.02)
    assert max(sum(begin <= moment < begin + 1 for moment in left) for begin in left) <= 10
    assert all(run.outcomes() == {(Outcome.REMOVED, ""): 15} for run in runs)


async def test_the_servers_window_is_learnt_once(start: Started) -> None:
    """Three windows' rows of two runs take two windows' time, without a single 429."""
    server = Server(10, 60.0)

    def answer(moment: float) -> Step:
        status, headers, body = server.take(moment)
        return reply(status, body, headers)

    runs = start(15, answer, PLAIN)
    await go(runs)
    assert len(moments(runs)) == 30
    assert 120 <= moments(runs)[-1] <= 124
    assert all(run.log.events.count("rate limit pause") == 2 for run in runs)


async def test_the_calls_in_flight_are_bounded_together(start: Started) -> None:
    """No more calls are in flight than one run may have."""
    runs = start(40, lambda _: 1.0, replace(PLAIN, concurrency=4))
    await go(runs)
    left = moments(runs)
    assert max(sum(moment - 0.99 < other <= moment for other in left) for moment in left) == 4


async def test_an_outage_is_reported_to_both_and_probed_by_one(start: Started) -> None:
    """While the workspace is unreachable one call at a time probes it for both runs; then both go on."""
    runs = start(20, lambda now: OK if now - BEGINNING >= 60 else NO_CONNECTION, replace(PLAIN, max_attempts=9))
    await go(runs)
    for run in runs:
        assert run.log.events.count("outage began") == run.log.events.count("outage ended") == 1
        assert run.outcomes() == {(Outcome.REMOVED, ""): 20}
    probes = [moment for moment in moments(runs) if 5 < moment < 60]
    assert all(later - earlier > TOOK for earlier, later in pairwise(probes))
    assert len(probes) <= 10


async def test_an_outage_without_end_stops_both(start: Started) -> None:
    """After the outage timeout both runs stop for the same reason, with all rows due."""
    runs = start(20, lambda _: NO_CONNECTION, replace(PLAIN, max_attempts=50, outage_timeout=60.0))
    await go(runs)
    assert [run.stop.reason for run in runs] == [StopReason.OUTAGE] * 2
    assert all(run.outcomes() == {(Outcome.NOT_ATTEMPTED, "outage"): 20} for run in runs)


async def test_a_run_that_is_stopped_leaves_the_other_alone(start: Started) -> None:
    """What a stopped run had reserved is free again: the other run finishes as fast as if it were alone."""
    one, two = runs = start(30, {}, replace(PLAIN, rate=10.0))
    asyncio.get_running_loop().call_later(1.0, one.stop.request, StopReason.INTERRUPTED)
    await go(runs)
    assert one.stop.reason is StopReason.INTERRUPTED
    assert two.outcomes() == {(Outcome.REMOVED, ""): 30}
    assert one.counted[Outcome.REMOVED] == one.outcomes()[Outcome.REMOVED, ""] == len(one.client.calls)
    assert moments([two])[-1] == pytest.approx((len(one.client.calls) + 29) * 0.1, abs=0.15)
