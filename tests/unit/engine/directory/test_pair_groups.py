"""Pairs room by room and user by user, every pair once in whole groups; and work on several items at once."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from pathlib import Path

import pytest

from rolecall.engine.directory import pair_groups
from rolecall.models import Outcome, Row, RowOutcome
from rolecall.store.records import Batch, Identity, Pair
from rolecall.store.sqlite.database import SqliteDatabase
from tests.support.store import as_store, import_rows


def ledger_of(path: Path, rooms: int, users: int) -> SqliteDatabase:
    """Return a store in which every user is in every room, in the order of the users."""
    ledger = SqliteDatabase(path / "ledger.sqlite")
    pairs = [(f"room{room:03}", f"user{user:03}") for user in range(users) for room in range(rooms)]
    rows = (Row(line, room, user, {}) for line, (room, user) in enumerate(pairs, start=2))
    import_rows(ledger, Identity("w", "o", "d"), rows)
    return ledger


async def each(items: Iterable[int]) -> AsyncGenerator[int, None]:
    """Return the items one by one."""
    for item in items:
        yield item


def anything(_: Pair) -> bool:
    """Want every pair."""
    return True


async def test_each_group_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group that reaches over several pages comes in one piece, and no pair is missing or comes twice."""
    monkeypatch.setattr(pair_groups, "PAGE_SIZE", 7)
    ledger = ledger_of(tmp_path, rooms=5, users=23)
    by_room = [group async for group in pair_groups.pairs_grouped_by_room(as_store(ledger), anything)]
    by_user = [group async for group in pair_groups.pairs_grouped_by_user(as_store(ledger), anything)]
    ledger.close()
    assert [len(group) for group in by_room] == [23] * 5
    assert [len(group) for group in by_user] == [5] * 23
    assert len({pair.key for group in by_room for pair in group}) == 115
    assert all(len({pair.user_id for pair in group}) == 1 for group in by_user)


async def test_what_is_settled_meanwhile_changes_no_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes that are written while the groups are read make no pair vanish or come twice."""
    monkeypatch.setattr(pair_groups, "PAGE_SIZE", 4)
    ledger = ledger_of(tmp_path, rooms=6, users=5)
    seen = []
    async for group in pair_groups.pairs_grouped_by_room(as_store(ledger), lambda pair: pair.outcome is None):
        seen += [pair.key for pair in group]
        done = [RowOutcome(pair.key, Outcome.REMOVED, "", None, "", "", 1, None, in_doubt=False) for pair in group]
        ledger.commit(Batch(done))
    ledger.close()
    assert sorted(seen) == list(range(1, 31))


async def test_the_first_exception_ends_all() -> None:
    """One work that fails ends the others, and its own exception is what is raised."""
    ended = []

    async def work(item: int) -> None:
        if item == 3:
            raise ValueError(item)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(item)

    with pytest.raises(ValueError, match="3"):
        await pair_groups.for_each_concurrently(each([1, 2, 3, 4]), work, concurrency=3)
    assert sorted(ended) == [1, 2]


@pytest.mark.parametrize("at_once", [1, 3, 50])
async def test_no_more_than_wanted_at_once(at_once: int) -> None:
    """Each item is worked on once, and never more of them at a time than allowed."""
    busy, most, done = 0, 0, []

    async def work(item: int) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0)
        busy -= 1
        done.append(item)

    await pair_groups.for_each_concurrently(each(range(20)), work, at_once)
    assert sorted(done) == list(range(20))
    assert most == min(at_once, 20)


async def test_answers_come_in_the_order_of_the_questions() -> None:
    """Lookups run at the same time, at most so many, and a quick result waits for those before it."""
    under_way, most, gates = 0, 0, [asyncio.Event() for _ in range(6)]
    gates[5].set()

    async def work(number: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if number % 3 == 2:  # the last of each three lets the others go, the latest first
            for gate in reversed(gates[number - 2 : number + 1]):
                gate.set()
                await asyncio.sleep(0)
        await gates[number].wait()
        under_way -= 1
        return number

    async with aclosing(pair_groups.ordered_map(each(range(6)), work, at_once=3)) as answers:
        assert [answer async for answer in answers] == list(range(6))
    assert most == 3


async def test_what_is_under_way_ends_with_the_first_failure() -> None:
    """After an exception no question is left behind."""
    ended = []

    async def work(number: int) -> int:
        try:
            if number == 1:
                raise LookupError
            if number > 1:
                await asyncio.Event().wait()
        finally:
            ended.append(number)
        return number

    async with aclosing(pair_groups.ordered_map(each(range(9)), work, at_once=4)) as answers:
        assert await anext(answers) == 0
        with pytest.raises(LookupError):
            await anext(answers)
    assert sorted(ended) == list(range(len(ended)))
    assert asyncio.all_tasks() == {asyncio.current_task()}
