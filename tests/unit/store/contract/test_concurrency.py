"""Concurrent calls: each is carried out, none sees half of another, and calls during an import wait for its end."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest

from rolecall.models import BadRow, Outcome, Row
from rolecall.store.base import RunStore
from rolecall.store.records import Batch, Intent, Pause, PauseKind
from tests.unit.store.contract.jobs import all_results, due_lines, import_job, import_lines, keys_by_line, reported
from tests.unit.store.values import RUN, outcomes, row, settled

REMOVED, NOT_ATTEMPTED = Outcome.REMOVED, Outcome.NOT_ATTEMPTED


async def let_threads_work() -> None:
    """Return after other tasks, and calls on threads that they make, had their turn."""
    for _ in range(50):
        await asyncio.to_thread(int)


class GatedPages:
    """The pages of a job of which the second one comes when `gate` is set."""

    def __init__(self, *, fails: bool = False) -> None:
        self.waiting = asyncio.Event()
        self.gate = asyncio.Event()
        self._fails = fails

    async def __aiter__(self) -> AsyncIterator[Sequence[Row | BadRow]]:
        """Return the pages."""
        yield [row(10), row(11)]
        self.waiting.set()
        await self.gate.wait()
        if self._fails:
            raise ValueError("cut off")
        yield [row(12)]


async def test_many_calls_at_once_are_all_carried_out(store: RunStore) -> None:
    """Hundreds of commits and reads at once: no write is lost, and each read returns a whole state."""
    keys = await import_lines(store, *range(2, 302))
    await store.open_session("bulk.bot", 1)
    pause = Pause(PauseKind.WINDOW, 1, 2)

    async def work(key: int) -> None:
        await store.commit(Batch(intents=[Intent(key, 1, key)]))
        assert sum(count.rows for count in await store.counts()) == len(keys)
        await store.commit(Batch([settled(key)], pauses=[pause]))

    async def read(number: int) -> None:
        assert len(await all_results(store)) == len(keys)
        await store.set_meta(**{f"name{number}": str(number)})
        assert len(await store.pairs_by_user(("", ""), 1000)) == len(keys)

    await asyncio.gather(*map(work, keys), *map(read, range(20)))
    assert Counter(result.outcome for result in await all_results(store)) == {REMOVED: len(keys)}
    assert len(await store.pauses(0, 1000)) == len(keys)
    assert {f"name{number}" for number in range(20)} <= set(await store.get_meta())


@pytest.mark.parametrize("fails", [False, True])
async def test_calls_during_an_import_wait_for_its_end(store: RunStore, fails: bool) -> None:
    """Reads see the old job or the new one, never a part; writes neither fail nor are undone with a failing import."""
    await import_job(store, [row(2), row(3)])
    keys = await keys_by_line(store)
    pages = GatedPages(fails=fails)
    importing = asyncio.create_task(store.import_rows(RUN, aiter(pages)))
    await pages.waiting.wait()
    lines, counts, results = (
        asyncio.create_task(due_lines(store)),
        asyncio.create_task(store.counts()),
        asyncio.create_task(reported(store)),
    )
    writes = [
        asyncio.create_task(store.commit(outcomes(settled(keys[3])))),
        asyncio.create_task(store.set_meta(name="value")),
        asyncio.create_task(store.open_session("bulk.bot", 1)),
    ]
    await let_threads_work()
    pages.gate.set()
    ended = await asyncio.gather(importing, return_exceptions=True)
    assert [type(each) for each in ended] == [ValueError if fails else type(None)]
    await asyncio.gather(*writes)
    expected = [2, 3] if fails else [10, 11, 12]
    assert await lines in (expected, [2])
    assert sum(count.rows for count in await counts) == len(expected)
    assert [line for line, *_ in await results] == expected
    assert (await store.get_meta())["name"] == "value"
    assert len(await store.sessions()) == 1
    assert (REMOVED in {outcome for _, outcome, _ in await reported(store)}) is fails


async def test_imports_wait_for_each_other(store: RunStore) -> None:
    """Of several imports at once each is complete; the last one is the job."""
    first = GatedPages()
    one = asyncio.create_task(store.import_rows(RUN, aiter(first)))
    await first.waiting.wait()
    other = asyncio.create_task(import_job(store, [row(20), row(21)], RUN._replace(job_digest="other")))
    await let_threads_work()
    first.gate.set()
    await asyncio.gather(one, other)
    assert await due_lines(store) == [20, 21]
    identity = await store.identity()
    assert identity is not None
    assert identity.job_digest == "other"


async def test_a_cancelled_call_does_not_disturb_the_others(store: RunStore) -> None:
    """Calls that are cancelled while they wait for an import are not carried out; the others are."""
    await import_job(store, [row(2)])
    pages = GatedPages()
    importing = asyncio.create_task(store.import_rows(RUN, aiter(pages)))
    await pages.waiting.wait()
    tasks = [asyncio.create_task(store.set_meta(**{f"name{number}": ""})) for number in range(6)]
    await let_threads_work()
    for task in tasks[::2]:
        task.cancel()
    pages.gate.set()
    await asyncio.gather(importing, *tasks, return_exceptions=True)
    assert {name for name in await store.get_meta() if name.startswith("name")} == {"name1", "name3", "name5"}


async def test_a_cancelled_commit_is_whole_or_absent(store: RunStore) -> None:
    """A commit that is cancelled at any moment is written completely or not at all, and later calls work."""
    keys = await import_lines(store, *range(2, 22))
    for turns in range(10):
        pair = keys[2 * turns : 2 * turns + 2]
        task = asyncio.create_task(store.commit(outcomes(*map(settled, pair))))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        states = [result.outcome for result in await store.results_by_key(pair)]
        assert states in ([REMOVED] * 2, [NOT_ATTEMPTED] * 2)
