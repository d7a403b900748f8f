"""Which rows are handed out, and in which order."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecall.engine import room_cache as rooms_module
from rolecall.engine import row_queue as feed_module
from rolecall.engine.room_cache import RoomCache
from rolecall.engine.row_queue import CHUNK, RowQueue
from rolecall.models import DueRow
from rolecall.store.batch_writer import BatchWriter
from tests.unit.engine.answers import ARCHIVED, OK, TIMEOUT, pending, verdict_of
from tests.unit.engine.virtual import run_virtual


class Listed(BatchWriter):
    """A journal whose due rows stand in a list."""

    def __init__(self, rows: Sequence[DueRow]) -> None:
        self.rows = rows
        self.asked: list[tuple[int, int, bool]] = []

    async def fetch_due(self, after: int, count: int, *, retry_failed: bool) -> list[tuple[int, DueRow]]:
        """Give a chunk, as the ledger does: each row with its place, counted from 1."""
        self.asked.append((after, count, retry_failed))
        await asyncio.sleep(0.001)
        return list(enumerate(self.rows, start=1))[after : after + count]


async def taken(feed: RowQueue) -> list[DueRow]:
    """Take all rows, answering each at once."""
    found = []
    while (row := await feed.next()) is not None:
        found.append(row)
        feed.record_response(row, verdict_of(OK))
    return found


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
@pytest.mark.parametrize("cache", [True, False])
async def test_all_rows_in_job_order(count: int, cache: bool) -> None:
    """One worker is handed each row once, in the job's order, and then told that there are no more."""
    rows = [pending(key, f"room{key % 7}") for key in range(count)]
    feed = RowQueue(Listed(rows), RoomCache() if cache else None, retry_failed=False)
    assert await taken(feed) == rows
    assert await feed.next() is None


async def test_reading_is_bounded_and_passes_the_option_on() -> None:
    """No more than a chunk is read ahead, and the ledger is told whether failed rows are due again."""
    journal = Listed([pending(key, f"room{key}") for key in range(3 * CHUNK)])
    feed = RowQueue(journal, RoomCache(), retry_failed=True)
    for _ in range(CHUNK):
        await feed.next()
    assert journal.asked == [(0, CHUNK, True)]
    await asyncio.gather(*(feed.next() for _ in range(8)))
    assert journal.asked == [(0, CHUNK, True), (CHUNK, CHUNK, True)]


async def test_rows_that_waited_are_next_in_their_order() -> None:
    """When a scout is answered, the rows that waited for it go before the rest."""
    rows = [pending(0, "a"), pending(1, "a"), pending(2, "a"), pending(3, "b"), pending(4, "c")]
    feed = RowQueue(Listed(rows), RoomCache(), retry_failed=False)
    scout = await feed.next()
    other = await feed.next()
    assert (scout, other) == (rows[0], rows[3])
    feed.record_response(rows[0], verdict_of(OK))
    assert [await feed.next() for _ in range(3)] == [rows[1], rows[2], rows[4]]


async def test_at_the_end_workers_wait_for_the_scouts() -> None:
    """While a scout is under way its rows may be released: idle workers wait for them and then end."""
    rows = [pending(key, "a") for key in range(5)]
    feed = RowQueue(Listed(rows), RoomCache(), retry_failed=False)
    scout = await feed.next()
    assert scout is not None
    others = [asyncio.create_task(feed.next()) for _ in range(8)]
    await asyncio.sleep(5)
    assert not any(other.done() for other in others)
    feed.record_response(scout, verdict_of(ARCHIVED))
    found = await asyncio.gather(*others)
    assert [row for row in found if row is not None] == rows[1:]
    assert found.count(None) == 4
    assert all(feed.rejection(row) == (verdict_of(ARCHIVED), scout.line) for row in rows[1:])


async def test_without_a_room_cache_every_row_is_asked() -> None:
    """`rooms=None`: nothing is parked, nothing is closed."""
    rows = [pending(key, "a") for key in range(5)]
    feed = RowQueue(Listed(rows), None, retry_failed=False)
    assert [await feed.next() for _ in range(5)] == rows
    feed.record_response(rows[0], verdict_of(ARCHIVED))
    assert feed.rejection(rows[1]) is None
    assert await feed.next() is None


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
    told = {room: random.choice(ANSWERS) for room in set(rooms)}
    known_rooms = RoomCache() if cache else None

    async def scenario() -> None:
        feed = RowQueue(Listed(rows), known_rooms, retry_failed=False)

        async def work() -> None:
            while (row := await feed.next()) is not None:
                found.append(row)
                if known_rooms is not None:
                    assert known_rooms.parked <= parked
                if feed.rejection(row) is not None:
                    assert not row.in_doubt
                    assert told[rooms[row.key]] is ARCHIVED
                    continue
                await asyncio.sleep(random.choice([0, 0, 0.1, 1.0]))
                feed.record_response(row, verdict_of(told[rooms[row.key]]))

        await asyncio.gather(*(work() for _ in range(workers)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed_module, "CHUNK", chunk)
        patch.setattr(rooms_module, "MAX_PARKED", parked)
        patch.setattr(rooms_module, "MAX_ROOMS", known)
        run_virtual(scenario())
    assert sorted(row.key for row in found) == list(range(len(rows)))
    assert known_rooms is None or known_rooms.parked == 0
