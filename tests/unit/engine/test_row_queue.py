"""Which rows are handed out, and in which order."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.engine import row_queue as queue_module
from rolecall.engine.row_queue import READ_AHEAD, RoomCache, RowQueue
from rolecall.models import DueRow
from rolecall.store.base import StoreError
from tests.unit.engine.answers import ARCHIVED, OK, TIMEOUT, pending, result_of
from tests.unit.engine.virtual import run_virtual

CHUNK = 100
"""Rows that a source returns at once."""


class Listed:
    """A source of rows that stand in a list."""

    def __init__(self, rows: Sequence[DueRow], chunk: int = CHUNK, failure: Exception | None = None) -> None:
        """Return `rows`, so many at a time; then raise `failure`, if there is one."""
        self._rows = rows
        self._chunk = chunk
        self._failure = failure
        self.read = 0
        """Rows that were read."""
        self.is_closed = False

    async def rows(self) -> AsyncGenerator[Sequence[DueRow], None]:
        """Return the rows."""
        try:
            for start in range(0, len(self._rows), self._chunk):
                await asyncio.sleep(0.001)
                rows = self._rows[start : start + self._chunk]
                self.read += len(rows)
                yield rows
            if self._failure is not None:
                raise self._failure
        finally:
            self.is_closed = True


def queue_of(rows: Sequence[DueRow], rooms: RoomCache | None) -> RowQueue:
    """Return a queue of rows that stand in a list."""
    return RowQueue(Listed(rows).rows(), rooms)


async def take_all(queue: RowQueue) -> list[DueRow]:
    """Take all rows, answering each at once."""
    found = []
    while (row := await queue.next()) is not None:
        found.append(row)
        queue.record_response(row, result_of(OK))
    return found


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 2 * READ_AHEAD + 1])
@pytest.mark.parametrize("cache", [True, False])
async def test_all_rows_in_job_order(count: int, cache: bool) -> None:
    """One worker gets each row once, in the job's order, and then None."""
    rows = [pending(key, f"room{key % 7}") for key in range(count)]
    async with queue_of(rows, RoomCache() if cache else None) as queue:
        assert await take_all(queue) == rows
        assert await queue.next() is None
        assert queue.is_empty


async def test_reading_is_bounded() -> None:
    """The source is read ahead up to the bound, and read on only when rows were taken."""
    source = Listed([pending(key, f"room{key}") for key in range(3 * READ_AHEAD)])
    most = READ_AHEAD + CHUNK - 1
    async with RowQueue(source.rows(), RoomCache()) as queue:
        await asyncio.sleep(1)
        assert READ_AHEAD <= source.read <= most
        first = source.read
        for _ in range(first - READ_AHEAD):
            await queue.next()
        await asyncio.sleep(1)
        assert source.read == first
        await queue.next()
        await asyncio.sleep(1)
        assert source.read == first + CHUNK
        assert not source.is_closed


async def test_rows_come_before_the_source_has_ended() -> None:
    """A row is handed out as soon as its part is read, while the source works on the next one."""
    gate = asyncio.Event()

    async def source() -> AsyncGenerator[Sequence[DueRow], None]:
        yield [pending(0)]
        await gate.wait()
        yield [pending(1, "other")]

    async with RowQueue(source(), RoomCache()) as queue:
        assert await queue.next() == pending(0)
        assert not queue.is_empty
        waiting = asyncio.create_task(queue.next())
        await asyncio.sleep(1)
        assert not waiting.done()
        gate.set()
        assert await waiting == pending(1, "other")
        assert await queue.next() is None


async def test_a_source_that_fails_ends_every_worker() -> None:
    """The rows that were read before are handed out; then each worker gets the failure, also one that waits already."""
    rows = [pending(key, f"room{key}") for key in range(3)]
    source = Listed(rows, failure=StoreError("disk gone"))
    async with RowQueue(source.rows(), RoomCache()) as queue:
        workers = [asyncio.create_task(queue.next()) for _ in range(5)]
        found = await asyncio.gather(*workers, return_exceptions=True)
        assert found[:3] == rows
        assert [str(error) for error in found[3:]] == ["disk gone"] * 2
        with pytest.raises(StoreError, match="disk gone"):
            await queue.next()
    assert source.is_closed


async def test_closing_ends_a_reading_that_is_under_way() -> None:
    """A queue that is closed while its source waits closes the source, and leaves no task."""
    ended = []

    async def source() -> AsyncGenerator[Sequence[DueRow], None]:
        try:
            yield [pending(0)]
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async with RowQueue(source(), None) as queue:
        assert await queue.next() == pending(0)
    assert ended == [True]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closing_ends_a_reading_that_waits_for_room() -> None:
    """A queue that is full when it is closed closes its source."""
    source = Listed([pending(key) for key in range(3 * READ_AHEAD)])
    async with RowQueue(source.rows(), None):
        await asyncio.sleep(1)
    assert source.is_closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_rows_that_waited_are_next_in_their_order() -> None:
    """When a scout is answered, the rows that waited for it go before the rest."""
    rows = [pending(0, "a"), pending(1, "a"), pending(2, "a"), pending(3, "b"), pending(4, "c")]
    async with queue_of(rows, RoomCache()) as queue:
        scout = await queue.next()
        other = await queue.next()
        assert (scout, other) == (rows[0], rows[3])
        queue.record_response(rows[0], result_of(OK))
        assert [await queue.next() for _ in range(3)] == [rows[1], rows[2], rows[4]]


async def test_at_the_end_workers_wait_for_the_scouts() -> None:
    """While a first row is in flight the rows of its room may be released: idle workers wait for them and then end."""
    rows = [pending(key, "a") for key in range(5)]
    async with queue_of(rows, RoomCache()) as queue:
        scout = await queue.next()
        assert scout is not None
        others = [asyncio.create_task(queue.next()) for _ in range(8)]
        await asyncio.sleep(5)
        assert not any(other.done() for other in others)
        queue.record_response(scout, result_of(ARCHIVED))
        found = await asyncio.gather(*others)
        assert [row for row in found if row is not None] == rows[1:]
        assert found.count(None) == 4
        assert all(queue.rejection(row) == (result_of(ARCHIVED), scout.line) for row in rows[1:])


async def test_without_a_room_cache_every_row_is_sent() -> None:
    """`rooms=None`: nothing is parked, nothing is closed."""
    rows = [pending(key, "a") for key in range(5)]
    async with queue_of(rows, None) as queue:
        assert [await queue.next() for _ in range(5)] == rows
        queue.record_response(rows[0], result_of(ARCHIVED))
        assert queue.rejection(rows[1]) is None
        assert await queue.next() is None


ANSWERS = (OK, ARCHIVED, TIMEOUT)


@given(
    rooms=st.lists(st.integers(0, 12), max_size=60),
    in_doubt=st.sets(st.integers(0, 59)),
    workers=st.integers(1, 9),
    chunk=st.integers(1, 20),
    ahead=st.integers(1, 20),
    parked=st.integers(0, 6),
    known=st.integers(1, 4),
    cache=st.booleans(),
    seed=st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=300)
def test_each_row_once_whatever_the_order_of_the_answers(
    rooms: list[int],
    in_doubt: set[int],
    workers: int,
    chunk: int,
    ahead: int,
    parked: int,
    known: int,
    cache: bool,
    seed: int,
) -> None:
    """However answers come, each row is handed out exactly once, all workers end, and no bound is passed."""
    rows = [pending(key, f"room{room}", in_doubt=key in in_doubt) for key, room in enumerate(rooms)]
    random, found = Random(seed), list[DueRow]()
    answers = {room: random.choice(ANSWERS) for room in set(rooms)}
    known_rooms = RoomCache() if cache else None

    async def scenario() -> None:
        async def work(queue: RowQueue) -> None:
            while (row := await queue.next()) is not None:
                found.append(row)
                if known_rooms is not None:
                    assert known_rooms.parked <= parked
                if queue.rejection(row) is not None:
                    assert not row.in_doubt
                    assert answers[rooms[row.key]] is ARCHIVED
                    continue
                await asyncio.sleep(random.choice([0, 0, 0.1, 1.0]))
                queue.record_response(row, result_of(answers[rooms[row.key]]))

        async with RowQueue(Listed(rows, chunk).rows(), known_rooms) as queue:
            await asyncio.gather(*(work(queue) for _ in range(workers)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue_module, "READ_AHEAD", ahead)
        patch.setattr(queue_module, "MAX_PARKED", parked)
        patch.setattr(queue_module, "MAX_ROOMS", known)
        run_virtual(scenario())
    assert sorted(row.key for row in found) == list(range(len(rows)))
    assert known_rooms is None or known_rooms.parked == 0
