"""The circuit breaker, in virtual time."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.engine.throttle.circuit_breaker import MAX_PAUSE, THRESHOLD, CircuitBreaker
from tests.unit.engine.observers import RecordingObserver
from tests.unit.engine.virtual import BEGINNING, run_virtual, turns, virtual_clock


class Observed:
    """A circuit breaker and the events that it reported."""

    def __init__(self, max_outage: float = 900.0) -> None:
        observer = RecordingObserver()
        self.events = observer.events
        self.breaker = CircuitBreaker(virtual_clock(), observer, max_outage=max_outage)


def opened(max_outage: float = 900.0) -> Observed:
    """Return a breaker that has just opened."""
    observed = Observed(max_outage)
    for key in range(THRESHOLD):
        observed.breaker.record_failure(key, reached=True, probing=False)
    assert observed.events == ["open"]
    return observed


@pytest.mark.parametrize(
    ("keys", "reached", "opens"),
    [
        ([1, 2, 3, 4, 5], True, True),
        ([1, 1, 1, 1, 2], True, True),
        ([2, 1, 1, 1, 1], True, True),
        ([1, 2, 3, 4], True, False),
        ([1] * 20, True, False),
        ([1] * 5, False, True),
        ([1] * 4, False, False),
        ([], True, False),
    ],
)
async def test_what_makes_an_outage(keys: list[int], reached: bool, opens: bool) -> None:
    """Five faults in a row over several rows, or of one row where nothing was reached."""
    observed = Observed()
    for key in keys:
        assert await observed.breaker.acquire() is False
        observed.breaker.record_failure(key, reached=reached, probing=False)
    assert observed.events == (["open"] if opens else [])


async def test_an_answer_between_faults_starts_the_count_anew() -> None:
    """Only faults in a row count, and only the rows among them."""
    observed = Observed()
    for _ in range(5):
        for key in range(THRESHOLD - 1):
            observed.breaker.record_failure(key, reached=False, probing=False)
        observed.breaker.record_success(probing=False)
    for _ in range(THRESHOLD):
        observed.breaker.record_failure(1, reached=True, probing=False)
    assert observed.events == []


async def test_one_probe_at_a_time_with_growing_pauses() -> None:
    """While the workspace is away, one call at a time leaves, each after twice the pause, at most fifteen seconds."""
    observed = opened()
    loop, probes = asyncio.get_running_loop(), list[float]()

    async def row(key: int) -> None:
        while await observed.breaker.acquire():
            probes.append(loop.time())
            await asyncio.sleep(0.25)
            if len(probes) == 9:
                observed.breaker.record_success(probing=True)
                return
            observed.breaker.record_failure(key, reached=True, probing=True)

    await asyncio.gather(*(row(key) for key in range(4)))
    gaps = [later - earlier - 0.25 for earlier, later in zip([BEGINNING - 0.25, *probes], probes, strict=False)]
    assert gaps == pytest.approx([0.5, 1, 2, 4, 8, MAX_PAUSE, MAX_PAUSE, MAX_PAUSE, MAX_PAUSE])
    assert observed.events[-1] == pytest.approx(probes[-1] + 0.25 - BEGINNING)


async def test_the_first_answer_wakes_everybody_at_once() -> None:
    """When the workspace answers, all who wait go on in the same moment, none of them as a probe."""
    observed = opened()
    waiting = [asyncio.create_task(observed.breaker.acquire()) for _ in range(20)]
    probing, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in probing] == [True]
    await asyncio.sleep(3)
    observed.breaker.record_success(probing=True)
    begun = asyncio.get_running_loop().time()
    rest = await asyncio.gather(*(task for task in waiting if task not in probing))
    assert rest == [False] * 19
    assert asyncio.get_running_loop().time() == begun
    assert observed.events == ["open", pytest.approx(3.5)]


async def test_an_answer_to_an_older_call_closes_it_too() -> None:
    """Any answer of the workspace ends the outage, also while a probe waits or is in flight."""
    observed = opened()
    waiting = asyncio.create_task(observed.breaker.acquire())
    await asyncio.sleep(0.1)
    observed.breaker.record_success(probing=False)
    assert await waiting is False
    assert asyncio.get_running_loop().time() == pytest.approx(BEGINNING + 0.1)
    assert await observed.breaker.acquire() is False


async def test_a_second_outage_begins_with_the_first_pause() -> None:
    """The pauses of an outage that ended do not go on in the next one."""
    observed = opened()
    for _ in range(4):
        assert await observed.breaker.acquire() is True
        observed.breaker.record_failure(1, reached=False, probing=True)
    observed.breaker.record_success(probing=False)
    for key in range(THRESHOLD):
        observed.breaker.record_failure(key, reached=True, probing=False)
    begun = asyncio.get_running_loop().time()
    assert await observed.breaker.acquire() is True
    assert asyncio.get_running_loop().time() - begun == pytest.approx(0.5)


async def test_it_gives_up_after_the_maximum_outage() -> None:
    """The first fault after the maximum outage is reported as giving up, none before."""
    observed, loop = opened(max_outage=20.0), asyncio.get_running_loop()
    moments = []
    while "give up" not in observed.events:
        assert await observed.breaker.acquire() is True
        observed.breaker.record_failure(1, reached=True, probing=True)
        moments.append(loop.time() - BEGINNING)
    assert [moment >= 20.0 for moment in moments] == [False] * (len(moments) - 1) + [True]


@pytest.mark.parametrize("how", ["cancel waiting", "cancel pausing", "withdraw"])
async def test_a_probe_that_goes_away_leaves_its_place(how: str) -> None:
    """However the probe ends without an answer, the next row takes its place."""
    observed = opened()
    first, second = asyncio.create_task(observed.breaker.acquire()), asyncio.create_task(observed.breaker.acquire())
    await turns()
    match how:
        case "cancel waiting":
            second.cancel()
            assert await first is True
            observed.breaker.record_failure(1, reached=True, probing=True)
        case "cancel pausing":
            first.cancel()
            assert await second is True
            observed.breaker.cancel(probing=True)
        case _:
            assert await first is True
            observed.breaker.cancel(probing=True)
            assert await second is True
            observed.breaker.cancel(probing=True)
    async with asyncio.timeout(60):
        assert await observed.breaker.acquire() is True


@given(st.lists(st.tuples(st.floats(0, 20), st.booleans(), st.booleans()), min_size=1, max_size=30), st.floats(0, 60))
@settings(deadline=None)
def test_no_interleaving_locks_it(rows: list[tuple[float, bool, bool]], back_after: float) -> None:
    """Rows that come, probe, fail and are cancelled at any moment all get through once the workspace is back."""

    async def scenario() -> None:
        observed, loop = opened(), asyncio.get_running_loop()
        probing_now = 0

        async def row(key: int, start: float, reached: bool) -> None:
            nonlocal probing_now
            await asyncio.sleep(start)
            while True:
                probing = await observed.breaker.acquire()
                probing_now += probing
                assert probing_now <= 1
                try:
                    await asyncio.sleep(0.3)
                except asyncio.CancelledError:
                    observed.breaker.cancel(probing=probing)
                    raise
                finally:
                    probing_now -= probing
                if loop.time() - BEGINNING > back_after:
                    observed.breaker.record_success(probing=probing)
                    return
                observed.breaker.record_failure(key, reached=reached, probing=probing)

        tasks = [asyncio.create_task(row(key, start, reached)) for key, (start, reached, _) in enumerate(rows)]
        for task, (start, _, cancelled) in zip(tasks, rows, strict=True):
            if cancelled:
                loop.call_later(start + 0.2 + start % 1, task.cancel)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
        assert loop.time() - BEGINNING <= max(20.0, back_after) + 2 * MAX_PAUSE
        for key in range(THRESHOLD):
            observed.breaker.record_failure(key, reached=True, probing=False)
        async with asyncio.timeout(2 * MAX_PAUSE):
            assert await observed.breaker.acquire() is True

    run_virtual(scenario())
