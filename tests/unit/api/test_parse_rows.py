"""The rows that a program gives: which are usable, and how they reach the ledger."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.api.change_roles import parse_row_input, parse_rows
from rolecall.models import BadRow, Outcome, Row
from rolecall.store.base import PAGE_SIZE, StoreError
from rolecall.store.records import Identity
from rolecall.store.sqlite.database import SqliteDatabase
from rolecall.store.sqlite.job_import import JobImport
from tests.support.store import as_store

LEAVES = st.none() | st.text() | st.integers() | st.binary()
KEYS = st.text() | st.integers() | st.sampled_from(["roomId", "rid", "userId"])
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner), max_leaves=8
)
RUN = Identity("https://chat.example.org", "groups.removeLeader", "")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteDatabase]:
    """Return a new ledger."""
    ledger = SqliteDatabase(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (("R", "u"), Row(3, "R", "u", {})),
        (["R", " u "], Row(3, "R", "u", {})),
        ({"roomId": "R", "userId": "u"}, Row(3, "R", "u", {})),
        ({"Room ID": "R", "uid": "u", "ticket": 7}, Row(3, "R", "u", {"ticket": 7})),
        (Row(12, "R", "u", {"ticket": 7}), Row(12, "R", "u", {"ticket": 7})),
    ],
)
def test_usable_rows(row: object, expected: Row) -> None:
    """Pairs, mappings with any of the known names, and Rows are taken as they are in job files."""
    assert parse_row_input(row, 3) == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("R",), "not_a_pair"),
        (("R", "u", "more"), "not_a_pair"),
        (("R", None), "missing_user_id"),
        (("", "u"), "missing_room_id"),
        (("R", 7), "not_text"),
        (("R", datetime(2026, 3, 1, tzinfo=UTC)), "not_text"),
        (("R", object()), "not_text"),
        (("R\n", "u\x00"), "user_id_control_character"),
        (Row(3, "R", "u" * 300, {}), "user_id_too_long"),
        ({"roomId": "R"}, "missing_user_id"),
        ({"roomId": "R", "rid": "S", "userId": "u"}, "two_room_ids"),
        ({"roomId": "R", "userId": "u", "note": object()}, "unreportable_value"),
        ({1: "R", 2: "u"}, "not_an_object"),
        ("Ru", "not_an_object"),
        (None, "not_an_object"),
    ],
)
def test_rows_that_cannot_be_used(row: object, reason: str) -> None:
    """Whatever is no row is told as invalid, with the reason that a job file would have."""
    bad = parse_row_input(row, 3)
    assert isinstance(bad, BadRow)
    assert (bad.line, bad.reason) == (3, reason)
    assert bad.message


@given(ANYTHING)
def test_nothing_that_is_given_is_an_error(row: object) -> None:
    """Any value at all becomes a row or a row that cannot be used."""
    assert parse_row_input(row, 1).line == 1


async def taken(ledger: SqliteDatabase, rows: object) -> None:
    """Take rows in as a session does."""
    async with aclosing(parse_rows(rows)) as pages:  # type: ignore[arg-type] # tests pass values of any type
        await as_store(ledger).import_rows(RUN, pages)  # type: ignore[arg-type] # these rows have ids


@pytest.mark.parametrize("number", [0, 1, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, 3 * PAGE_SIZE])
async def test_all_rows_are_taken_in_in_their_order(ledger: SqliteDatabase, number: int) -> None:
    """Around the borders of a chunk no row is lost, doubled or moved."""
    await taken(ledger, ((f"R{n}", "u") for n in range(number)))
    assert [result.room_id for result in ledger.results()] == [f"R{n}" for n in range(number)]


async def test_an_async_iterable_is_iterated_by_one_task(ledger: SqliteDatabase) -> None:
    """An async generator may hold what belongs to a task, such as a timeout: every step of it runs in the same one."""
    tasks = set()

    async def rows() -> AsyncIterator[tuple[str, str]]:
        async with asyncio.timeout(30):
            for n in range(2 * PAGE_SIZE):
                tasks.add(asyncio.current_task())
                await asyncio.sleep(0)
                yield f"R{n}", "u"

    await taken(ledger, rows())
    assert len(list(ledger.results())) == 2 * PAGE_SIZE
    assert tasks == {asyncio.current_task()}


async def test_the_loop_goes_on_meanwhile(ledger: SqliteDatabase) -> None:
    """A long list does not hold the event loop until its end."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(turn())
    await taken(ledger, [(f"R{n}", "u") for n in range(20 * PAGE_SIZE)])
    other.cancel()
    assert turns >= 20


async def test_rows_that_raise_leave_nothing(ledger: SqliteDatabase) -> None:
    """What the iterable raises is raised, and no row is taken in."""

    def rows() -> Iterator[tuple[str, str]]:
        yield from ((f"R{n}", "u") for n in range(2 * PAGE_SIZE + 5))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await taken(ledger, rows())
    assert list(ledger.results()) == []


async def test_a_cancelled_wait_for_rows_leaves_nothing(ledger: SqliteDatabase) -> None:
    """Rows that never come to their end can be given up."""
    waiting = asyncio.Event()

    async def rows() -> AsyncIterator[tuple[str, str]]:
        for n in range(PAGE_SIZE + 1):
            yield f"R{n}", "u"
        waiting.set()
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(taken(ledger, rows()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(ledger.results()) == []


async def test_a_failing_ledger_ends_endless_rows(ledger: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that fails in the middle is told at once, however many rows there are still to come."""

    def add_a_few(job: JobImport, rows: list[Row | BadRow]) -> None:
        if rows[0].line > PAGE_SIZE:
            raise StoreError("full")

    monkeypatch.setattr(JobImport, "add", add_a_few)
    with pytest.raises(StoreError, match="full"):
        await taken(ledger, ((f"R{n}", "u") for n in count()))


async def test_what_no_text_can_hold_is_replaced(ledger: SqliteDatabase) -> None:
    """Half a character or a zero byte in an id makes the row invalid and breaks nothing."""
    await taken(ledger, [("R\ud800", "u"), ("R", "u\x00u"), ("R", "u")])
    assert [result.outcome for result in ledger.results()] == [Outcome.INVALID, Outcome.INVALID, Outcome.NOT_ATTEMPTED]


@pytest.mark.parametrize("line", [None, "7", 0, -1, 2**63])
async def test_a_row_with_a_line_that_is_none(ledger: SqliteDatabase, line: object) -> None:
    """A Row whose line the ledger could not hold, or not tell, is invalid at its place and does not stop the others."""
    await taken(ledger, [("R", "u"), Row(line, "R", "v", {}), ("R", "w")])  # type: ignore[arg-type]
    assert [result.line for result in ledger.results()] == [1, 2, 3]
    assert [result.outcome for result in ledger.results()][1] is Outcome.INVALID


@pytest.mark.parametrize("extra", [None, [], {1: 2}])
async def test_a_row_with_columns_that_are_none(ledger: SqliteDatabase, extra: object) -> None:
    """A Row whose further columns have no names is invalid and does not stop the others."""
    await taken(ledger, [Row(1, "R", "v", extra), ("R", "w")])  # type: ignore[arg-type]
    assert [result.outcome for result in ledger.results()] == [Outcome.INVALID, Outcome.NOT_ATTEMPTED]
