"""Deadlines end a body as `asyncio.timeout` does, whoever else cancels it; for all calls there is one timer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.rocketchat.deadlines import Deadlines
from tests.unit.engine.virtual import BEGINNING, run_virtual, turns

SECONDS = 40.0
END = BEGINNING + SECONDS
Limit = Callable[[], AbstractAsyncContextManager[None]]
Body = Callable[[], Awaitable[None]]


@asynccontextmanager
async def ours() -> AsyncIterator[None]:
    """Limit what it holds, as the client does."""
    with Deadlines(SECONDS).begin():
        yield


@asynccontextmanager
async def theirs() -> AsyncIterator[None]:
    """Limit what it holds, as the standard library does."""
    async with asyncio.timeout(SECONDS):
        yield


BOTH = pytest.mark.parametrize("limit", [ours, theirs])


async def told(limit: Limit, body: Body) -> str:
    """Say how a limited body ends, and how many cancellations its task is left with."""
    task = asyncio.current_task()
    assert task is not None
    how = "in time"
    try:
        async with limit():
            await body()
    except TimeoutError:
        how = "late"
    except asyncio.CancelledError:
        how = "cancelled"
    except OSError:
        how = "failed"
    return f"{how}, {task.cancelling()}"


def sleeping(seconds: float) -> Body:
    """Give a body that lasts so long."""
    return lambda: asyncio.sleep(seconds)


async def swallowing() -> None:
    """Take a cancellation for nothing."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(SECONDS * 2)


async def failing() -> None:
    """Make an error of a cancellation, as a library may that closes its connection."""
    try:
        await asyncio.sleep(SECONDS * 2)
    except asyncio.CancelledError:
        raise OSError("closed") from None


async def limited_within() -> None:
    """Be late by a shorter limit of one's own, and go on."""
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            await asyncio.sleep(SECONDS * 2)


@BOTH
@pytest.mark.parametrize(
    ("body", "how"),
    [
        (sleeping(0), "in time, 0"),
        (sleeping(SECONDS - 1), "in time, 0"),
        (sleeping(SECONDS + 1), "late, 0"),
        (swallowing, "in time, 0"),
        (failing, "failed, 0"),
        (limited_within, "in time, 0"),
    ],
)
def test_a_body_ends_as_with_the_standard_library(limit: Limit, body: Body, how: str) -> None:
    """Whatever a body makes of its end, the task is left without a cancellation that nobody has asked for."""
    assert run_virtual(told(limit, body)) == how


@BOTH
@pytest.mark.parametrize("at", [END - 1, END], ids=["before the deadline", "in the same moment"])
@pytest.mark.parametrize("first", [True, False], ids=["asked for first", "asked for second"])
def test_a_cancellation_by_another_stays_one(limit: Limit, at: float, first: bool) -> None:
    """The run that ends wins over a deadline that passes in the same turn, in either order: the row is not retried."""

    async def main() -> str:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(told(limit, sleeping(SECONDS * 2)))
        if first:
            loop.call_at(at, task.cancel)
        await turns(1)
        if not first:
            loop.call_at(at, task.cancel)
        return await task

    assert run_virtual(main()) == "cancelled, 1"


@BOTH
def test_a_cancellation_from_before_is_not_taken_back(limit: Limit) -> None:
    """A task that was cancelled once and does its last work is late like any other, and stays cancelled."""

    async def last_work() -> str:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(SECONDS * 9)
        return await told(limit, sleeping(SECONDS * 2))

    async def main() -> str:
        task = asyncio.create_task(last_work())
        await turns(1)
        task.cancel()
        return await task

    assert run_virtual(main()) == "late, 1"


@pytest.mark.parametrize(
    ("outer", "how"), [(SECONDS - 1, "cancelled, 1"), (SECONDS, "cancelled, 1"), (SECONDS + 1, "late, 0")]
)
def test_a_limit_around_it_keeps_its_own_cancellation(outer: float, how: str) -> None:
    """Within another limit the earlier one ends the body; where both pass in one turn, the outer one is told."""

    async def main() -> tuple[str, bool]:
        inner = "not ended"
        try:
            async with asyncio.timeout(outer) as around:
                inner = await told(ours, sleeping(SECONDS * 2))
                await asyncio.sleep(0)
        except TimeoutError:
            pass
        return inner, around.expired()

    assert run_virtual(main()) == (how, outer <= SECONDS)


def test_one_within_another_ends_each_at_its_own_time() -> None:
    """A task may hold two deadlines of the same length; the later one still holds after the earlier has passed."""

    async def main() -> list[float]:
        deadlines, ended, now = Deadlines(SECONDS), list[float](), asyncio.get_running_loop().time
        try:
            with deadlines.begin():
                await asyncio.sleep(10)
                with suppress(TimeoutError), deadlines.begin():
                    await asyncio.sleep(1)
                ended.append(now() - BEGINNING)
                await asyncio.sleep(SECONDS * 2)
        except TimeoutError:
            ended.append(now() - BEGINNING)
        return ended

    assert run_virtual(main()) == [11.0, SECONDS]


def test_a_task_is_used_again() -> None:
    """A worker makes call after call: one that was late does not shorten or end the next."""

    async def main() -> list[str]:
        deadlines = Deadlines(SECONDS)

        @asynccontextmanager
        async def limit() -> AsyncIterator[None]:
            with deadlines.begin():
                yield

        return [await told(limit, sleeping(seconds)) for seconds in (50, 39, 39, 0, 41, 39)]

    assert run_virtual(main()) == ["late, 0", *["in time, 0"] * 3, "late, 0", "in time, 0"]


class Watched(Deadlines):
    """Counts how often its timer fires."""

    looks = 0

    def _expire_due(self) -> None:
        self.looks += 1
        super()._expire_due()


@given(st.lists(st.tuples(st.floats(0, 90), st.floats(0, 90)), min_size=1, max_size=30))
@settings(deadline=None)
def test_each_call_has_its_own_deadline(calls: list[tuple[float, float]]) -> None:
    """However calls overlap, each ends after its own time or at its own deadline, and timers are far fewer."""

    async def call(deadlines: Deadlines, begins: float, lasts: float) -> None:
        await asyncio.sleep(begins)
        started, loop = asyncio.get_running_loop().time(), asyncio.get_running_loop()
        late = False
        try:
            with deadlines.begin():
                await asyncio.sleep(lasts)
        except TimeoutError:
            late = True
        if abs(lasts - SECONDS) > 1e-6:
            assert late == (lasts > SECONDS)
        assert loop.time() - started == pytest.approx(min(lasts, SECONDS), abs=1e-6)

    async def main() -> int:
        deadlines = Watched(SECONDS)
        await asyncio.gather(*(call(deadlines, begins, lasts) for begins, lasts in calls))
        return deadlines.looks

    assert run_virtual(main()) <= len(calls)


def test_calls_that_follow_each_other_share_a_timer() -> None:
    """While a thousand calls go on, ten deadlines' time in all, the timer fires some ten times."""

    async def main() -> int:
        deadlines = Watched(SECONDS)
        for _ in range(1000):
            with deadlines.begin():
                await asyncio.sleep(SECONDS / 100)
        return deadlines.looks

    assert 9 <= run_virtual(main()) <= 11


def test_nothing_is_left_once_it_is_closed() -> None:
    """A client that is closed ends nothing any more and leaves no timer behind."""

    async def main() -> str:
        deadlines = Deadlines(SECONDS)

        @asynccontextmanager
        async def limit() -> AsyncIterator[None]:
            with deadlines.begin():
                deadlines.close()
                yield

        return await told(limit, sleeping(SECONDS * 2))

    assert run_virtual(main()) == "in time, 0"


def test_a_deadline_needs_a_task() -> None:
    """Outside of a task there is nothing to cancel: that is refused at once."""

    async def main() -> str:
        deadlines, refused = Deadlines(SECONDS), asyncio.get_running_loop().create_future()

        def outside() -> None:
            try:
                with deadlines.begin():
                    refused.set_result("entered")
            except RuntimeError:
                refused.set_result("refused")

        asyncio.get_running_loop().call_soon(outside)
        return str(await refused)

    assert run_virtual(main()) == "refused"


def test_it_works_on_uvloop() -> None:
    """A loop whose clock has whole milliseconds ends each of a hundred calls, none before its time."""

    async def call(deadlines: Deadlines) -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            with deadlines.begin():
                await asyncio.sleep(60)
        except TimeoutError:
            return loop.time() - started
        raise AssertionError("not ended")

    async def main() -> list[float]:
        deadlines = Deadlines(0.05)
        return await asyncio.gather(*(call(deadlines) for _ in range(100)))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert min(runner.run(main())) > 0.049
