"""How many calls are in flight at once."""

import asyncio

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rolecall.engine.throttle.adaptive_concurrency import INTERVAL, AdaptiveConcurrencyLimiter
from tests.unit.engine.virtual import run_virtual, turns


async def test_no_more_than_allowed_and_first_come_first_served() -> None:
    """The third of two waits until one leaves; those who wait enter in their order."""
    concurrency, entered = AdaptiveConcurrencyLimiter(2), list[int]()

    async def call(number: int) -> None:
        await concurrency.calls.acquire()
        entered.append(number)

    tasks = [asyncio.create_task(call(number)) for number in range(5)]
    await turns()
    assert entered == [0, 1]
    for count in (3, 4, 5):
        concurrency.calls.release()
        await turns()
        assert entered == list(range(count))
    await asyncio.gather(*tasks)


async def test_nobody_overtakes_those_who_wait() -> None:
    """A call that comes between a leaving and a waking does not take the place that was given."""
    concurrency, entered = AdaptiveConcurrencyLimiter(1), list[str]()
    await concurrency.calls.acquire()

    async def call(name: str) -> None:
        await concurrency.calls.acquire()
        entered.append(name)
        concurrency.calls.release()

    first = asyncio.create_task(call("first"))
    await turns()
    concurrency.calls.release()
    await asyncio.gather(asyncio.create_task(call("second")), first)
    assert entered == ["first", "second"]


class Crowd:
    """Calls that enter, leave and are cancelled."""

    def __init__(self, most: int) -> None:
        self.concurrency = AdaptiveConcurrencyLimiter(most)
        self.tasks: list[asyncio.Task[None]] = []
        self.inside = 0
        self.now = 0.0

    async def call(self) -> None:
        await self.concurrency.calls.acquire()
        self.inside += 1

    def leave(self) -> None:
        if self.inside:
            self.inside -= 1
            self.concurrency.calls.release()

    def cancel(self, number: int) -> None:
        if self.tasks:
            self.tasks[number % len(self.tasks)].cancel()

    def overload(self) -> None:
        self.now += INTERVAL / 2
        self.concurrency.decrease(self.now)

    async def step(self, kind: str, number: int) -> None:
        match kind:
            case "enter":
                self.tasks.append(asyncio.create_task(self.call()))
            case "leave":
                self.leave()
            case "cancel":
                self.cancel(number)
            case "overload":
                await turns(3)  # whose turn was given before the cut goes in all the same
                self.overload()
            case "relax":
                self.concurrency.increase()
            case _:
                await turns(3)


STEPS = st.tuples(st.sampled_from(["enter", "leave", "cancel", "overload", "relax", "turn"]), st.integers(0, 9))


@given(st.integers(1, 4), st.lists(STEPS))
@example(2, [(kind, 0) for kind in ("enter", "enter", "enter", "turn", "leave", "overload", "overload", "turn")])
@settings(deadline=None, max_examples=400)
def test_any_interleaving_keeps_the_bound_and_leaks_nothing(most: int, steps: list[tuple[str, int]]) -> None:
    """Calls that start, end, are cancelled or limited in any order: never too many, and afterwards all is free."""

    async def scenario() -> None:
        crowd = Crowd(most)
        concurrency = crowd.concurrency
        for step in steps:
            before = max(crowd.inside, concurrency.allowed)
            await crowd.step(*step)
            assert 1 <= concurrency.allowed <= most
            assert crowd.inside <= max(before, concurrency.allowed)
        await turns(5)
        while crowd.inside:
            crowd.leave()
            await turns(3)
        assert all(task.done() for task in crowd.tasks)
        for _ in range(concurrency.allowed):
            await concurrency.calls.acquire()
        one_more = asyncio.create_task(concurrency.calls.acquire())
        await turns(3)
        assert not one_more.done()
        concurrency.calls.release()
        await one_more

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("signs", "allowed"),
    [
        ([0.0], 16),
        ([0.0, 0.1], 8),
        ([0.0, 0.1, 0.2, 0.9], 8),
        ([0.0, 0.1, 1.0, 1.2], 4),
        ([0.0, 5.0, 10.0, 15.0], 16),
        ([number * 0.3 for number in range(100)], 1),
    ],
)
def test_overload_halves_once_in_an_interval(signs: list[float], allowed: int) -> None:
    """A lone sign is chance, two within a second halve what is allowed, and a second halves it only once."""
    concurrency = AdaptiveConcurrencyLimiter(16)
    decreased = [concurrency.decrease(now) for now in signs]
    assert concurrency.allowed == allowed
    assert sum(decreased) == {16: 0, 8: 1, 4: 2, 1: 4}[allowed]


def test_good_answers_bring_it_back_one_for_each_round() -> None:
    """One more call is allowed for about as many good answers as are in flight, up to the most and not beyond."""
    concurrency = AdaptiveConcurrencyLimiter(8)
    for now in (0.0, 0.1, 0.9, 1.2):
        concurrency.decrease(now)
    assert concurrency.allowed == 2
    steps = []
    while concurrency.allowed < 8:
        before, answers = concurrency.allowed, 0
        while concurrency.allowed == before:
            concurrency.increase()
            answers += 1
        steps.append((before, answers))
    assert [before for before, _ in steps] == [2, 3, 4, 5, 6, 7]
    assert all(before <= answers <= before + 2 for before, answers in steps)
    for _ in range(100):
        concurrency.increase()
    assert concurrency.allowed == 8


async def test_nobody_overtakes_those_who_wait_when_more_is_allowed() -> None:
    """A call that comes just when one more is allowed waits behind those who came before."""
    concurrency, entered = AdaptiveConcurrencyLimiter(2), list[str]()

    async def call(name: str) -> None:
        await concurrency.calls.acquire()
        entered.append(name)

    concurrency.decrease(0.0)
    assert concurrency.decrease(0.1) is True
    await concurrency.calls.acquire()
    first = asyncio.create_task(call("first"))
    await turns()
    concurrency.increase()
    assert concurrency.allowed == 2
    second = asyncio.create_task(call("second"))
    await turns()
    concurrency.calls.release()
    await asyncio.gather(first, second)
    assert entered == ["first", "second"]


async def test_after_a_cut_nobody_enters_until_enough_have_left() -> None:
    """Calls in flight above the new bound finish, and only below it others enter."""
    concurrency = AdaptiveConcurrencyLimiter(4)
    for _ in range(4):
        await concurrency.calls.acquire()
    waiting = asyncio.create_task(concurrency.calls.acquire())
    concurrency.decrease(0.0)
    assert concurrency.decrease(0.1) is True
    for _ in range(2):
        concurrency.calls.release()
        await turns()
        assert not waiting.done()
    concurrency.calls.release()
    await waiting


async def test_a_turn_that_was_given_to_a_cancelled_call_goes_on_to_the_next() -> None:
    """Cancelled in the very moment in which its turn came, a call hands it on."""
    concurrency = AdaptiveConcurrencyLimiter(1)
    await concurrency.calls.acquire()
    first, second = asyncio.create_task(concurrency.calls.acquire()), asyncio.create_task(concurrency.calls.acquire())
    await turns()
    concurrency.calls.release()
    first.cancel()
    await second
    assert first.cancelled()
