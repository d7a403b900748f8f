"""Closing a store: once, after the calls that have begun, and for good."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import pytest

from rolecall.models import BadRow, FoundName, NameKey, NameKind, Outcome, Row
from rolecall.store.base import RunStore, StoreError
from rolecall.store.records import Batch
from tests.unit.store.contract.backends import Backend
from tests.unit.store.contract.jobs import all_results, due_lines, import_job, import_lines, reported
from tests.unit.store.values import RUN, outcomes, row, settled


async def add_name(store: RunStore) -> None:
    """Add a name while a job is imported."""

    async def pages() -> AsyncIterator[Sequence[Row | BadRow]]:
        await store.add_name(FoundName(NameKey(NameKind.ROOM, "finance"), "R", "finance"))
        yield [row(2)]

    await store.import_rows(RUN, pages())


CALLS: Mapping[str, Callable[[RunStore], Awaitable[object]]] = {
    "identity": lambda store: store.identity(),
    "extra_columns": lambda store: store.extra_columns(),
    "import_rows": lambda store: import_job(store, [row(2)]),
    "fetch_due": lambda store: store.fetch_due(0, 1, retry_failed=False),
    "due_in_room": lambda store: store.due_in_room("R", 0, 1, retry_failed=False),
    "due_of_user": lambda store: store.due_of_user("u2", 0, 1, retry_failed=False),
    "count_due_users": lambda store: store.count_due_users(retry_failed=False),
    "count_removed_in_doubt": lambda store: store.count_removed_in_doubt(),
    "count_due": lambda store: store.count_due(retry_failed=False),
    "pairs_by_room": lambda store: store.pairs_by_room(("", ""), 1),
    "pairs_by_user": lambda store: store.pairs_by_user(("", ""), 1),
    "count_rooms_and_users": lambda store: store.count_rooms_and_users(list(Outcome)),
    "rooms_by_pairs": lambda store: store.rooms_by_pairs(list(Outcome), None, 1),
    "find_names": lambda store: store.find_names([NameKey(NameKind.ROOM, "finance")]),
    "add_name": add_name,
    "delete_names": lambda store: store.delete_names(),
    "delete_removed_pairs": lambda store: store.delete_removed_pairs(),
    "reset_outcomes": lambda store: store.reset_outcomes(),
    "commit": lambda store: store.commit(Batch()),
    "open_session": lambda store: store.open_session("bulk.bot", 1),
    "close_session": lambda store: store.close_session("", 1),
    "sessions": lambda store: store.sessions(),
    "pauses": lambda store: store.pauses(0, 1),
    "open_pauses": lambda store: store.open_pauses(0),
    "results": all_results,
    "results_by_key": lambda store: store.results_by_key([1]),
    "counts": lambda store: store.counts(),
    "evidence_counts": lambda store: store.evidence_counts(),
    "count_settled": lambda store: store.count_settled(0),
    "set_meta": lambda store: store.set_meta(name="value"),
    "get_meta": lambda store: store.get_meta(),
}


def test_every_method_is_called() -> None:
    """The table has every method of the protocol."""
    methods = {name for name in vars(RunStore) if not name.startswith("_")}
    assert methods == {*CALLS, "close"}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_closed_store_refuses_every_call(
    store: RunStore, call: Callable[[RunStore], Awaitable[object]]
) -> None:
    """Every method works before the close and raises StoreError after it."""
    await import_job(store, [row(2)])
    await call(store)
    await store.close()
    with pytest.raises(StoreError):
        await call(store)


async def test_close_is_idempotent(store: RunStore, backend: Backend) -> None:
    """A store can be closed often, also at once, also without having been used."""
    await asyncio.gather(*(store.close() for _ in range(5)))
    await store.close()
    again = await backend.open()
    await import_job(again, [row(2)])
    await again.close()
    await again.close()


async def test_close_comes_after_the_calls_that_have_begun(store: RunStore, backend: Backend) -> None:
    """A commit that has begun when the store is closed is carried out."""
    keys = await import_lines(store, *range(2, 52))
    commits = [asyncio.create_task(store.commit(outcomes(settled(key)))) for key in keys]
    await asyncio.sleep(0)
    await store.close()
    ended = await asyncio.gather(*commits, return_exceptions=True)
    done = [key for key, error in zip(keys, ended, strict=True) if error is None]
    assert done
    assert all(error is None or isinstance(error, StoreError) for error in ended)
    again = await backend.open()
    assert [result.outcome for result in await again.results_by_key(done)] == [Outcome.REMOVED] * len(done)


@pytest.mark.parametrize("turns", range(4))
async def test_a_cancelled_close_closes(store: RunStore, backend: Backend, turns: int) -> None:
    """A close that is cancelled once it has begun, also several times, has closed the store when it ends."""
    await import_job(store, [row(2), row(3)])
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    for _ in range(turns):
        closing.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(closing, return_exceptions=True)
    with pytest.raises(StoreError):
        await store.counts()
    await store.close()
    assert await due_lines(await backend.open()) == [2, 3]


async def test_close_after_a_cancelled_call(store: RunStore, backend: Backend) -> None:
    """A store whose call was cancelled is closed as any other."""
    (key,) = await import_lines(store, 2)
    task = asyncio.create_task(store.commit(outcomes(settled(key))))
    await asyncio.sleep(0)
    task.cancel()
    await store.close()
    await asyncio.gather(task, return_exceptions=True)
    assert await (await backend.open()).identity() == RUN


async def test_close_undoes_an_import_that_waits_for_rows(store: RunStore, backend: Backend) -> None:
    """The import raises StoreError with its next page and is not stored; calls that waited for it are refused."""
    await import_job(store, [row(2)])
    waiting, gate = asyncio.Event(), asyncio.Event()

    async def pages() -> AsyncIterator[Sequence[Row | BadRow]]:
        yield [row(10)]
        waiting.set()
        await gate.wait()
        yield [row(11)]

    importing = asyncio.create_task(store.import_rows(RUN, pages()))
    await waiting.wait()
    counting = asyncio.create_task(store.counts())
    await asyncio.sleep(0)
    await store.close()
    gate.set()
    ended = await asyncio.gather(importing, counting, return_exceptions=True)
    assert [type(each) for each in ended] == [StoreError, StoreError]
    assert await reported(await backend.open()) == [(2, Outcome.NOT_ATTEMPTED, "")]


async def test_results_end_with_the_close(store: RunStore) -> None:
    """A reader that is between two pages when the store is closed receives StoreError, not the end of the rows."""
    await import_lines(store, *range(2, 3002))
    pages = store.results()
    await anext(pages)
    await store.close()
    with pytest.raises(StoreError):
        await anext(pages)
    await pages.aclose()
