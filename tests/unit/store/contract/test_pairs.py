"""Pairs grouped by room and by user, and what a check deletes before it starts again."""

import pytest

from rolecall.models import Outcome
from rolecall.store.base import RunStore
from rolecall.store.records import Pair
from tests.unit.store.contract.jobs import all_results, import_job, import_lines, keys_by_line, reported
from tests.unit.store.values import bad, intents, outcomes, row, settled

REMOVED, FAILED, NOT_ATTEMPTED = Outcome.REMOVED, Outcome.FAILED, Outcome.NOT_ATTEMPTED
ROOMS = ("b", "a", "B", "é", "a a", "𐀀", "￿")


async def pages(store: RunStore, size: int, *, by_room: bool) -> list[Pair]:
    """Return all pairs, read in pages of `size`."""
    found: list[Pair] = []
    after = ("", "")
    read = store.pairs_by_room if by_room else store.pairs_by_user
    while page := await read(after, size):
        assert len(page) <= size
        found += page
        last = page[-1]
        after = (last.room_id, last.user_id) if by_room else (last.user_id, last.room_id)
    return found


@pytest.mark.parametrize("by_room", [True, False])
@pytest.mark.parametrize("size", [1, 2, 5, 100])
async def test_pairs_come_in_the_order_of_their_ids(store: RunStore, size: int, by_room: bool) -> None:
    """Every pair of the store comes once, in the order of the code points of its ids, in pages of any size."""
    await import_job(
        store,
        [
            *(row(line, room, user) for line, (room, user) in enumerate(((r, u) for u in ROOMS for r in ROOMS), 2)),
            bad(99),
        ],
    )
    expected = sorted((first, second) for first in ROOMS for second in ROOMS)
    found = await pages(store, size, by_room=by_room)
    read = [(pair.room_id, pair.user_id) if by_room else (pair.user_id, pair.room_id) for pair in found]
    assert read == expected


@pytest.mark.parametrize("by_room", [True, False])
async def test_a_pair_has_its_recorded_outcome(store: RunStore, by_room: bool) -> None:
    """A pair has its outcome, reason and doubt, and None for each that is not recorded; also one that left the job."""
    await import_job(store, [row(2), row(3), row(4), row(5)])
    keys = await keys_by_line(store)
    await store.commit(outcomes(settled(keys[2], FAILED, reason="why", in_doubt=True), settled(keys[5])))
    await store.commit(intents(keys[3]))
    await import_job(store, [row(2), row(3), row(4)])
    assert await pages(store, 9, by_room=by_room) == [
        Pair(keys[2], 2, "R", "u2", FAILED, "why", True),
        Pair(keys[3], 3, "R", "u3", None, "", True),
        Pair(keys[4], 4, "R", "u4", None, "", False),
        Pair(keys[5], None, "R", "u5", REMOVED, "", False),
    ]


async def test_a_pair_that_is_sent_again_has_no_outcome(store: RunStore) -> None:
    """Nothing of its earlier outcome is left, nor of one that was deleted."""
    one, other = await import_lines(store, 2, 3)
    await store.commit(outcomes(settled(one, FAILED, reason="why"), settled(other, FAILED, reason="why")))
    await store.commit(intents(one))
    assert (await store.pairs_by_room(("", ""), 1))[0][4:7] == (None, "", True)
    await store.reset_outcomes()
    assert [pair[4:7] for pair in await store.pairs_by_room(("", ""), 9)] == [(None, "", False)] * 2
    assert await store.evidence_counts() == {}


async def test_pages_of_pairs_are_stable_while_outcomes_are_committed(store: RunStore) -> None:
    """Outcomes that are committed between two pages make no pair vanish or come twice."""
    await import_job(store, [row(line, f"R{line % 3}") for line in range(2, 20)])
    found: list[Pair] = []
    while page := await store.pairs_by_room((found[-1].room_id, found[-1].user_id) if found else ("", ""), 4):
        found += page
        await store.commit(outcomes(*(settled(pair.key) for pair in page)))
    assert len({pair.key for pair in found}) == len(found) == 18
    assert all(pair.outcome is None for pair in found)


async def test_rooms_and_users_are_counted_by_outcome_and_reason(store: RunStore) -> None:
    """Rooms and users of the pairs with one of the outcomes, and with the reason where one is given."""
    await import_job(store, [row(1, "A", "u"), row(2, "A", "v"), row(3, "B", "u"), row(4, "C", "w")])
    keys = await keys_by_line(store)
    await store.commit(
        outcomes(
            settled(keys[1]),
            settled(keys[2], FAILED, reason="x"),
            settled(keys[3], FAILED, reason="y"),
        )
    )
    assert await store.count_rooms_and_users([REMOVED, FAILED]) == (2, 2)
    assert await store.count_rooms_and_users([FAILED]) == (2, 2)
    assert await store.count_rooms_and_users([FAILED], "x") == (1, 1)
    assert await store.count_rooms_and_users([REMOVED], "x") == (0, 0)
    assert await store.count_rooms_and_users([REMOVED], "") == (1, 1)
    assert await store.count_rooms_and_users([]) == (0, 0)
    assert await store.count_rooms_and_users(list(Outcome)) == (2, 2)


async def test_removed_pairs_can_be_deleted(store: RunStore) -> None:
    """Pairs that left the job are deleted with their outcomes; the pairs of the job stay as they are."""
    await store.commit(outcomes(*map(settled, await import_lines(store, 2, 3))))
    await import_job(store, [row(3), row(4)])
    await store.delete_removed_pairs()
    assert await reported(store) == [(3, REMOVED, ""), (4, NOT_ATTEMPTED, "")]
    assert [pair.user_id for pair in await store.pairs_by_room(("", ""), 9)] == ["u3", "u4"]
    await import_job(store, [row(2)])
    assert (await reported(store))[0] == (2, NOT_ATTEMPTED, "")


async def test_outcomes_can_be_deleted(store: RunStore) -> None:
    """Rows without their outcome are due and show nothing of it; invalid rows stay invalid."""
    await import_job(store, [row(2), bad(3), row(4)])
    one, other = (await keys_by_line(store)).values()
    await store.commit(outcomes(settled(one, FAILED, reason="why", message="words"), settled(other)))
    await store.reset_outcomes()
    assert await reported(store) == [
        (2, NOT_ATTEMPTED, ""),
        (3, Outcome.INVALID, "missing_room_id"),
        (4, NOT_ATTEMPTED, ""),
    ]
    result = (await all_results(store))[0]
    assert (result.http_status, result.error_type, result.message, result.finished_at) == (None, "", "", None)
    assert await store.count_due(retry_failed=False) == (2, 1)
    assert await store.count_settled(0) == 0
