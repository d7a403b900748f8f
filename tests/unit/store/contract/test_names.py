"""Names: what was found by the names of a job is stored with its rows, once for the run."""

from collections.abc import AsyncIterator, Sequence

import pytest

from rolecall.models import BadRow, FoundName, NameKey, NameKind, Outcome, Prior, PriorState, Row
from rolecall.store.base import RunStore, StoreError
from rolecall.store.records import Batch, Intent, PriorRecord, RoomCount
from tests.unit.store.contract.backends import Backend
from tests.unit.store.contract.jobs import all_results, import_job, import_lines
from tests.unit.store.values import RUN, outcomes, row, settled

FINANCE = FoundName(NameKey(NameKind.ROOM, "finance"), "R1", "finance")
ALICE = FoundName(NameKey(NameKind.USER, "alice"), "U1", "Alice")
NOBODY = FoundName(NameKey(NameKind.USER, "nobody"), reason="user_name_not_found", message="There is no user @nobody.")
KEYS = [FINANCE.key, ALICE.key, NOBODY.key]


async def import_names(store: RunStore, *found: FoundName, then: Exception | None = None) -> list[FoundName]:
    """Add names while a job is imported, and return what the import found stored of KEYS."""
    stored: list[FoundName] = []

    async def pages() -> AsyncIterator[Sequence[Row | BadRow]]:
        stored.extend(await store.find_names(KEYS))
        for each in found:
            await store.add_name(each)
        yield [row(2)]
        if then is not None:
            raise then

    await store.import_rows(RUN, pages())
    return sorted(stored)


async def test_what_was_found_is_stored_with_the_rows(store: RunStore, backend: Backend) -> None:
    """A later process finds the names with their ids; another kind or name is unknown."""
    assert await import_names(store, FINANCE, ALICE) == []
    again = await backend.crash()
    assert sorted(await again.find_names(KEYS)) == [FINANCE, ALICE]
    assert await again.find_names([NameKey(NameKind.USER, "finance"), NameKey(NameKind.ROOM, "Finance")]) == []


async def test_names_are_found_while_a_job_is_imported(store: RunStore) -> None:
    """An import sees the names of earlier ones; those without an id are unknown to it, so they are looked up again."""
    await import_names(store, FINANCE, NOBODY)
    assert sorted(await store.find_names(KEYS)) == [FINANCE, NOBODY]
    assert await import_names(store, NOBODY._replace(id="U9", name="nobody", reason="", message="")) == [FINANCE]
    assert [found.id for found in await store.find_names([NOBODY.key])] == ["U9"]


async def test_a_stored_name_keeps_its_id(store: RunStore) -> None:
    """A room that got the name later changes nothing: the rows of the run stay those of the first."""
    await import_names(store, FINANCE)
    await import_names(store, FINANCE._replace(id="R9"))
    assert await store.find_names([FINANCE.key]) == [FINANCE]


async def test_an_import_that_fails_adds_no_name(store: RunStore) -> None:
    """Names are a part of the import: what ends it undoes them."""
    with pytest.raises(ZeroDivisionError):
        await import_names(store, FINANCE, then=ZeroDivisionError())
    assert await store.find_names(KEYS) == []


async def test_names_are_added_only_while_a_job_is_imported(store: RunStore) -> None:
    """There are no names without the rows that have them."""
    with pytest.raises(StoreError, match="only while a job is imported"):
        await store.add_name(FINANCE)


async def test_names_are_deleted(store: RunStore) -> None:
    """A check that begins anew looks all names up again."""
    await import_names(store, FINANCE, ALICE)
    await store.delete_names()
    assert await store.find_names(KEYS) == []


async def test_rows_have_the_latest_names(store: RunStore) -> None:
    """The names of the job are replaced by those that are read; the username of the prior state is the latest."""
    await import_job(store, [Row(2, "R", "U", {}, "old", "old.name"), BadRow(3, "", "", "bad", "", {}, "x", "y")])
    (key,) = [due.key for _, due in await store.fetch_due(0, 9, retry_failed=False)]
    await store.open_session("bot", 1)

    async def names() -> list[tuple[str, str]]:
        results = [(result.room_name, result.username) for result in await all_results(store)]
        due = [(due.room_name, due.username) for _, due in await store.fetch_due(0, 9, retry_failed=True)]
        pairs = [(pair.room_name, pair.username) for pair in await store.pairs_by_room(("", ""), 9)]
        assert due in ([], results[:1])
        assert pairs == results[:1]
        assert await store.pairs_by_user(("", ""), 9) == await store.pairs_by_room(("", ""), 9)
        return results

    assert await names() == [("old", "old.name"), ("x", "y")]
    await store.commit(Batch(priors=[PriorRecord(key, Prior(PriorState.HAS_ROLE, 5, "anna"), "finance")]))
    assert await names() == [("finance", "anna"), ("x", "y")]
    await store.commit(Batch(priors=[PriorRecord(key, Prior(PriorState.HAS_ROLE, 5, "anna"))]))
    assert await names() == [("finance", "anna"), ("x", "y")]
    await store.commit(Batch(intents=[Intent(key, 1, 1000)]))
    assert await names() == [("finance", "old.name"), ("x", "y")]
    await store.commit(outcomes(settled(key)._replace(room_name="ops", username="bob")))
    assert await names() == [("ops", "bob"), ("x", "y")]
    await store.commit(outcomes(settled(key)))
    assert await names() == [("ops", "bob"), ("x", "y")]


async def test_rooms_by_their_rows(store: RunStore) -> None:
    """The rooms with the most rows of an outcome and a reason come first, with their names where they are known."""
    rows = [Row(line, room, f"u{line}", {}, name) for line, (room, name) in enumerate([("A", ""), *[("B", "b")] * 2])]
    last = [Row(5, "0", "u5", {}, "a"), Row(6, "0", "u6", {}, "c"), Row(7, "1", "u7", {}), Row(8, "A", "u8", {})]
    await import_job(store, [*last[:3], *rows, last[3]])
    for _, due in await store.fetch_due(0, 9, retry_failed=False):
        outcome = Outcome.REMOVED if due.line > 4 else Outcome.FAILED
        await store.commit(outcomes(settled(due.key, outcome, reason="why" if due.line < 5 else "else")))
    await import_lines(store, 9)
    assert await store.rooms_by_pairs([Outcome.FAILED], "why", 9) == [RoomCount("B", "b", 2), RoomCount("A", "", 1)]
    assert await store.rooms_by_pairs([Outcome.FAILED], None, 1) == [RoomCount("B", "b", 2)]
    assert await store.rooms_by_pairs([Outcome.FAILED], "other", 9) == []
    assert await store.rooms_by_pairs([Outcome.REMOVED], "why", 9) == []
    await import_job(store, [last[2], *last[:2], *rows, last[3]])
    expected = [RoomCount("0", "c", 2), RoomCount("1", "", 1), RoomCount("A", "", 1)]
    assert await store.rooms_by_pairs([Outcome.REMOVED], None, 9) == expected
