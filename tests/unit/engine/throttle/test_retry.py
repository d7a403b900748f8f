"""Another attempt: how many, when, and what comes of them."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from rolecall.engine.clock import Clock
from rolecall.engine.throttle.retry import MAX_BACKOFF, RetryBudget, RetryPolicy, is_retryable, retry
from rolecall.models import NoReply, Reply
from rolecall.rocketchat.response_classifier import CallResult
from tests.unit.engine.answers import (
    BAD_GATEWAY,
    FORBIDDEN,
    NO_CONNECTION,
    NOT_A_LEADER,
    OK,
    SERVER_ERROR,
    TIMEOUT,
    TOO_MANY,
    UNAUTHORIZED,
    result_of,
)
from tests.unit.engine.virtual import virtual_clock

BAD, GOOD = result_of(SERVER_ERROR), result_of(OK)


class Script:
    """Attempts with the results of a list; records when each was made and which retries were reported."""

    def __init__(self, *results: CallResult) -> None:
        self.results = list(results)
        self.made: list[float] = []
        self.retries: list[tuple[CallResult, float]] = []

    async def attempt(self) -> CallResult:
        self.made.append(asyncio.get_running_loop().time())
        return self.results.pop(0)

    async def run(
        self, first: CallResult, *, most: int = 5, backoff: float = 0.5, budget: RetryBudget | None = None
    ) -> CallResult:
        return await retry(
            first,
            self.attempt,
            RetryPolicy(most, backoff, budget or RetryBudget(virtual_clock())),
            lambda result, seconds: self.retries.append((result, seconds)),
        )


@pytest.mark.parametrize("most", [1, 2, 5, 9])
async def test_at_most_so_many_attempts_with_the_first(most: int) -> None:
    """The first attempt counts and is not made again; the last result is what comes of it."""
    results = [BAD._replace(message=str(number)) for number in range(2, 12)]
    script = Script(*results)
    last = await script.run(BAD._replace(message="1"), most=most)
    assert last.message == str(most)
    assert len(script.made) == most - 1
    assert [result.message for result, _ in script.retries] == [str(number) for number in range(1, most)]


@pytest.mark.parametrize("answer", [OK, NOT_A_LEADER, FORBIDDEN, UNAUTHORIZED])
async def test_a_verdict_that_asks_for_no_more_ends_it(answer: Reply) -> None:
    """The first result that is final is returned, and no attempt follows it."""
    script = Script(BAD, result_of(answer), BAD)
    assert await script.run(BAD) == result_of(answer)
    assert len(script.made) == 2


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (OK, False),
        (NOT_A_LEADER, False),
        (FORBIDDEN, False),
        (UNAUTHORIZED, False),
        (TOO_MANY, False),
        (SERVER_ERROR, True),
        (BAD_GATEWAY, True),
        (TIMEOUT, True),
        (NO_CONNECTION, True),
    ],
)
def test_what_asks_for_another_attempt(answer: Reply | NoReply, expected: bool) -> None:
    """Faults are retryable; refusals, 429 and results that stop the run are not."""
    assert is_retryable(result_of(answer)) is expected


@pytest.mark.parametrize("backoff", [0.5, 2.0])
async def test_backoff_is_exponential_with_full_jitter(backoff: float) -> None:
    """Each wait lies anywhere between nought and a bound that doubles up to the longest."""
    waits: list[list[float]] = [[] for _ in range(9)]
    budget = RetryBudget(virtual_clock(), capacity=1e9)
    for _ in range(300):
        script = Script(*[BAD] * 9)
        begun = asyncio.get_running_loop().time()
        await script.run(BAD, most=10, backoff=backoff, budget=budget)
        for found, (earlier, later) in zip(waits, pairwise([begun, *script.made]), strict=True):
            found.append(later - earlier)
        assert [seconds for _, seconds in script.retries] == pytest.approx(
            [later - earlier for earlier, later in pairwise([begun, *script.made])], abs=1e-6
        )
    for doubled, found in enumerate(waits):
        bound = min(backoff * 2**doubled, MAX_BACKOFF)
        assert min(found) >= 0
        assert max(found) <= bound + 1e-6
        assert min(found) < bound * 0.1, "full jitter: a wait can be short"
        assert max(found) > bound * 0.9, "full jitter: a wait can be as long as the bound"


async def test_an_empty_budget_makes_retries_wait() -> None:
    """Retries beyond the budget leave two a second, independent of their backoff."""
    budget = RetryBudget(virtual_clock(), capacity=10.0, per_second=2.0)
    scripts = [Script(GOOD) for _ in range(50)]
    begun = asyncio.get_running_loop().time()
    await asyncio.gather(*(script.run(BAD, budget=budget) for script in scripts))
    moments = sorted(script.made[0] - begun for script in scripts)
    assert moments[9] <= 0.5
    assert 19.5 <= moments[-1] <= 20.5
    assert all(sum(start <= moment < start + 1 for moment in moments) <= 13 for start in range(21))


async def test_the_wait_that_is_told_is_the_wait() -> None:
    """`on_retry` gets the seconds until the next attempt, also where the budget makes it wait."""
    budget = RetryBudget(virtual_clock(), capacity=0.0)
    script = Script(BAD, BAD, GOOD)
    begun = asyncio.get_running_loop().time()
    await script.run(BAD, budget=budget)
    waits = [later - earlier for earlier, later in pairwise([begun, *script.made])]
    assert [seconds for _, seconds in script.retries] == pytest.approx(waits, abs=1e-6)


async def test_only_retries_that_are_made_are_paid_for() -> None:
    """The last attempt, which no other follows, spends nothing of the budget."""
    budget = RetryBudget(virtual_clock(), capacity=10.0, per_second=0.001)
    for _ in range(5):
        await Script(BAD).run(BAD, most=2, budget=budget)
        await Script().run(BAD, most=1, budget=budget)
    assert [budget.spend() for _ in range(5)] == [0.0] * 5
    assert budget.spend() > 0


def ticking() -> tuple[Clock, Callable[[float], None]]:
    """Give a clock that stands still, and what moves it."""
    now = 0.0

    def move(seconds: float) -> None:
        nonlocal now
        now += seconds

    return Clock(now=lambda: now, wall=lambda: now), move


def test_the_budget_is_spent_and_earned() -> None:
    """A full budget lets its tokens go at once; then time and good answers each earn their part, never above it."""
    clock, move = ticking()
    budget = RetryBudget(clock, capacity=3.0, per_success=0.5, per_second=2.0)
    assert [budget.spend() for _ in range(5)] == [0.0, 0.0, 0.0, 0.5, 1.0]
    move(1.0)
    assert budget.spend() == 0.5
    for _ in range(4):
        budget.refill_on_success()
    assert budget.spend() == 0.0
    move(1000.0)
    for _ in range(100):
        budget.refill_on_success()
    assert [budget.spend() for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


async def test_cancellation_passes_through() -> None:
    """A cancelled attempt or wait ends it at once, without another attempt."""
    made = 0

    async def hangs() -> CallResult:
        nonlocal made
        made += 1
        await asyncio.Event().wait()
        return GOOD

    def ignore(result: CallResult, seconds: float) -> None:
        pass

    budget = RetryBudget(virtual_clock())
    for after, attempts in ((60.0, 1), (0.0, 0)):
        made = 0
        task = asyncio.create_task(retry(BAD, hangs, RetryPolicy(5, 0.5, budget), ignore))
        await asyncio.sleep(after)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert made == attempts


async def test_exceptions_are_not_retried() -> None:
    """An exception of an attempt is raised as it is."""
    made = 0

    async def breaks() -> CallResult:
        nonlocal made
        made += 1
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await retry(BAD, breaks, RetryPolicy(5, 0.5, RetryBudget(virtual_clock())), lambda *_: None)
    assert made == 1
