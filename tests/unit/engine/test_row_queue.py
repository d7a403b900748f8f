"""Which rows are handed out, and in which order."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.engine import room_cache as rooms_module
from rolecall.engine import row_queue as queue_module
from rolecall.engine.room_cache import RoomCache
from rolecall.engine.row_queue import CHUNK, RowQueue
from rolecall.models import DueRow
from rolecall.store.batch_writer import BatchWriter
from tests.unit.engine.answers import ARCHIVED, OK, TIMEOUT, pending, result_of
from tests.unit.engine.virtual import run_virtual


class Listed(BatchWriter):
    """A journal whose due rows stand in a list."""

    def __init__(self, rows: Sequence[DueRow]) -> None:
        self.rows = rows
        self.requested: list[tuple[int, int, bool]] = []

    async def fetch_due(self, after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        """Return a chunk, as the store does: each row with its place, counted from 1."""
        self.requested.append((after, count, retry_failed))
        await asyncio.sleep(0.001)
        return list(enumerate(self.rows, start=1))[after : after + count]


async def take_all(queue: RowQueue) -> list[DueRow]:
    """Take all rows, answering each at once."""
    found = []
    while (row := await queue.next()) is not None:
        found.append(row)
        queue.record_response(row, result_of(OK))
    return found


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
@pytest.mark.parametrize("cache", [True, False])
async def test_all_rows_in_job_order(count: int, cache: bool) -> None:
    """One worker gets each row once, in the job's order, and then None."""
    rows = [pending(key, f"room{key % 7}") for key in range(count)]
    queue = RowQueue(Listed(rows), RoomCache() if cache else None, retry_failed=False)
    assert await take_all(queue) == rows
    assert await queue.next() is None


async def test_reading_is_bounded_and_passes_the_option_on() -> None:
    """No more than a chunk is read ahead, and the store gets the option whether failed rows are due again."""
    journal = Listed([pending(key, f"room{key}") for key in range(3 * CHUNK)])
    queue = RowQueue(journal, RoomCache(), retry_failed=True)
    for _ in range(CHUNK):
        await queue.next()
    assert journal.requested == [(0, CHUNK, True)]
    await asyncio.gather(*(queue.next() for _ in range(8)))
    assert journal.requested == [(0, CHUNK, True), (CHUNK, CHUNK, True)]


async def test_rows_that_waited_are_next_in_their_order() -> None:
    """When a scout is answered, the rows that waited for it go before the rest."""
    rows = [pending(0, "a"), pending(1, "a"), pending(2, "a"), pending(3, "b"), pending(4, "c")]
    queue = RowQueue(Listed(rows), RoomCache(), retry_failed=False)
    scout = await queue.next()
    other = await queue.next()
    assert (scout, other) == (rows[0], rows[3])
    queue.record_response(rows[0], result_of(OK))
    assert [await queue.next() for _ in range(3)] == [rows[1], rows[2], rows[4]]


async def test_at_the_end_workers_wait_for_the_scouts() -> None:
    """While a first row is in flight the rows of its room may be released: idle workers wait for them and then end."""
    rows = [pending(key, "a") for key in range(5)]
    queue = RowQueue(Listed(rows), RoomCache(), retry_failed=False)
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


async def test_without_a_room_cache_every_row_is_asked() -> None:
    """`rooms=None`: nothing is parked, nothing is closed."""
    rows = [pending(key, "a") for key in range(5)]
    queue = RowQueue(Listed(rows), None, retry_failed=False)
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
        queue = RowQueue(Listed(rows), known_rooms, retry_failed=False)

        async def work() -> None:
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

        await asyncio.gather(*(work() for _ in range(workers)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue_module, "CHUNK", chunk)
        patch.setattr(rooms_module, "MAX_PARKED", parked)
        patch.setattr(rooms_module, "MAX_ROOMS", known)
        run_virtual(scenario())
    assert sorted(row.key for row in found) == list(range(len(rows)))
    assert known_rooms is None or known_rooms.parked == 0
