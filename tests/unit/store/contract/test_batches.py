"""Batches: which rows are due, what intents, outcomes and rollbacks change, and what is durable after a commit."""

import pytest

from rolecall.models import UNKNOWN_PRIOR, DueRow, Outcome, Prior, PriorState, Result, is_due
from rolecall.store.base import RunStore, StoreError
from rolecall.store.records import Batch, Intent, IntentRollback, PriorRecord
from tests.unit.store.contract.backends import Backend
from tests.unit.store.contract.jobs import all_results, due_lines, import_job, import_lines, keys_by_line, reported
from tests.unit.store.values import bad, intents, outcomes, rollbacks, row, settled

REMOVED, FAILED, UNKNOWN, NOT_ATTEMPTED = Outcome.REMOVED, Outcome.FAILED, Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED


async def test_due_rows_come_in_job_order_and_in_pages(store: RunStore) -> None:
    """Due rows come in the order of the job, at most `count`, each beyond the place `after`."""
    await import_job(store, [row(90), bad(5), row(3), row(70), row(3, user="u90"), row(1)])
    first = await store.fetch_due(0, 2, retry_failed=False)
    assert [due.line for _, due in first] == [90, 3]
    second = await store.fetch_due(first[-1][0], 2, retry_failed=False)
    assert [due.line for _, due in second] == [70, 1]
    assert await store.fetch_due(second[-1][0], 2, retry_failed=False) == []
    assert await store.fetch_due(0, 0, retry_failed=False) == []
    places = [place for place, _ in first + second]
    assert places == sorted(places)


async def test_a_due_row_has_its_attempts_and_its_doubt(store: RunStore) -> None:
    """A due row has its key, line, ids, attempts and doubt."""
    await import_job(store, [row(2, "ROOM", "USER"), row(3)])
    key = (await keys_by_line(store))[2]
    await store.commit(intents(key, attempt=4))
    assert (await store.fetch_due(0, 1, retry_failed=False))[0][1] == DueRow(
        key, 2, "ROOM", "USER", 4, True, UNKNOWN_PRIOR, 1000 + key
    )


@pytest.mark.parametrize(
    ("outcome", "is_due", "is_due_with_failed"),
    [
        (REMOVED, False, False),
        (Outcome.NOT_LEADER, False, False),
        (FAILED, False, True),
        (UNKNOWN, True, True),
    ],
)
async def test_which_outcomes_are_due_again(
    store: RunStore, outcome: Outcome, is_due: bool, is_due_with_failed: bool
) -> None:
    """Unknown rows are due, failed ones only with `retry_failed`, finished ones never; the count agrees."""
    (key,) = await import_lines(store, 2)
    await store.commit(outcomes(settled(key, outcome)))
    for retry_failed, expected in ((False, is_due), (True, is_due_with_failed)):
        assert bool(await due_lines(store, retry_failed=retry_failed)) is expected
        assert await store.count_due(retry_failed=retry_failed) == ((1, 1) if expected else (0, 0))


@pytest.mark.parametrize("retry_failed", [False, True])
@pytest.mark.parametrize("outcome", [None, *(outcome for outcome in Outcome if outcome is not NOT_ATTEMPTED)])
async def test_the_store_agrees_with_the_table_of_outcomes(
    store: RunStore, outcome: Outcome | None, retry_failed: bool
) -> None:
    """A row is due exactly where `is_due` returns True; a row that was not attempted has no outcome in the store."""
    (key,) = await import_lines(store, 2)
    if outcome is not None:
        await store.commit(outcomes(settled(key, outcome)))
    expected = is_due(outcome, retry_failed=retry_failed)
    assert bool(await due_lines(store, retry_failed=retry_failed)) is expected
    assert await store.count_due(retry_failed=retry_failed) == ((1, 1) if expected else (0, 0))


async def test_rooms_are_counted_once(store: RunStore) -> None:
    """The number of due rows comes with the number of different rooms among them."""
    await import_job(store, [row(1, "A"), row(2, "A"), row(3, "B"), row(4, "C"), bad(5, "D")])
    await store.commit(outcomes(settled((await keys_by_line(store))[4])))
    assert await store.count_due(retry_failed=False) == (3, 2)


async def test_an_intent_without_an_outcome_is_in_doubt(store: RunStore, backend: Backend) -> None:
    """After a crash a row with an intent and no outcome is unknown, due and in doubt; the others are not attempted."""
    key, _ = await import_lines(store, 2, 3)
    await store.open_session("bulk.bot", 1)
    await store.commit(intents(key))
    again = await backend.crash()
    assert await reported(again) == [(2, UNKNOWN, "killed_in_flight"), (3, NOT_ATTEMPTED, "killed")]
    assert [due.in_doubt for _, due in await again.fetch_due(0, 9, retry_failed=False)] == [True, False]


async def test_every_part_of_a_batch_is_durable(store: RunStore, backend: Backend) -> None:
    """After a commit has returned, a power cut loses neither its outcomes nor its rollbacks nor its intents."""
    one, two, three = await import_lines(store, 2, 3, 4)
    await store.commit(intents(one, two))
    await store.commit(Batch([settled(one)], [IntentRollback(two, 0, False)], [Intent(three, 1, 5)]))
    again = await backend.crash()
    assert await reported(again) == [(2, REMOVED, ""), (3, NOT_ATTEMPTED, ""), (4, UNKNOWN, "killed_in_flight")]


async def test_a_retry_hides_the_old_outcome(store: RunStore) -> None:
    """While a failed row is sent again it is in doubt, and nothing of its earlier outcome is reported or counted."""
    (key,) = await import_lines(store, 2)
    await store.commit(intents(key))
    await store.commit(outcomes(settled(key, FAILED, reason="room_not_found", message="old words")))
    assert await store.count_settled(0) == 1
    await store.commit(intents(key, attempt=2))
    (result,) = await all_results(store)
    expected = Result(2, "R", "u2", UNKNOWN, "killed_in_flight", None, "", "", 2, 1000 + key, None, None, {})
    assert result == expected._replace(attempted_at=1000 + key)
    assert await store.count_settled(0) == 0


@pytest.mark.parametrize(
    ("rollback", "expected"),
    [
        (IntentRollback(1, 0, False), (2, NOT_ATTEMPTED, "")),
        (IntentRollback(1, 2, False), (2, NOT_ATTEMPTED, "")),
        (IntentRollback(1, 2, True), (2, UNKNOWN, "killed_in_flight")),
    ],
)
async def test_a_rollback_restores_attempts_and_doubt(
    store: RunStore, rollback: IntentRollback, expected: tuple[int, Outcome, str]
) -> None:
    """After the rollback of a request that was not sent, attempts and doubt are those of the rollback."""
    (key,) = await import_lines(store, 2)
    await store.commit(intents(key, attempt=3))
    await store.commit(rollbacks(rollback._replace(key=key)))
    assert await reported(store) == [expected]
    due = (await store.fetch_due(0, 1, retry_failed=False))[0][1]
    assert (due.attempts, due.in_doubt) == (rollback.attempts, rollback.in_doubt)


@pytest.mark.parametrize("outcome", [FAILED, UNKNOWN])
async def test_a_rollback_restores_the_outcome_of_before(store: RunStore, outcome: Outcome) -> None:
    """A row that failed, whose new request was not sent, is reported, counted and due as before the intent."""
    (key,) = await import_lines(store, 2)
    await store.commit(intents(key))
    await store.commit(outcomes(settled(key, outcome, reason="room_not_found", message="words")))
    before, counted = await all_results(store), await store.counts()
    (due,) = [due for _, due in await store.fetch_due(0, 1, retry_failed=True)]
    assert (due.outcome, due.reason) == (outcome, "room_not_found")
    await store.commit(intents(key, attempt=2))
    await store.commit(rollbacks(IntentRollback(key, 1, False, None, due.outcome, due.reason)))
    assert await all_results(store) == before
    assert await store.counts() == counted == [(outcome, "room_not_found", 1)]
    assert await store.evidence_counts() == {(outcome, ""): 1}
    assert await store.count_settled(0) == 1
    assert await store.fetch_due(0, 1, retry_failed=True) == [(1, due)]


async def test_a_rollback_leaves_an_outcome_that_was_recorded_since(store: RunStore) -> None:
    """The last attempt of a row is rolled back with its outcome in one batch, or after it: the outcome stays."""
    one, other = await import_lines(store, 2, 3)
    await store.commit(outcomes(settled(one, FAILED, reason="old"), settled(other, FAILED, reason="old")))
    await store.commit(intents(one, other, attempt=2))
    back = [IntentRollback(key, 1, False, None, FAILED, "old") for key in (one, other)]
    await store.commit(Batch([settled(one, FAILED, reason="new"), settled(other, reason="new")], back))
    await store.commit(rollbacks(*back))
    assert await reported(store) == [(2, FAILED, "new"), (3, REMOVED, "new")]


async def test_an_intent_after_a_rollback_hides_the_outcome_again(store: RunStore) -> None:
    """A row that is rolled back and sent again in one batch is in doubt."""
    (key,) = await import_lines(store, 2)
    await store.commit(outcomes(settled(key, FAILED, reason="old")))
    await store.commit(intents(key))
    await store.commit(
        Batch(rollbacks=[IntentRollback(key, 0, False, None, FAILED, "old")], intents=[Intent(key, 1, 5)])
    )
    assert await reported(store) == [(2, UNKNOWN, "killed_in_flight")]


async def test_the_first_attempt_is_the_start(store: RunStore) -> None:
    """A later attempt does not change when the first one was sent."""
    (key,) = await import_lines(store, 2)
    for attempt, at in ((1, 500), (2, 900)):
        await store.commit(Batch(intents=[Intent(key, attempt, at)]))
    assert [(result.started_at, result.attempts) for result in await all_results(store)] == [(500, 2)]


@pytest.mark.parametrize(
    ("attempts", "in_doubt", "started_at"), [(0, False, None), (0, True, 500), (1, False, 500), (2, True, 500)]
)
async def test_a_row_without_an_attempt_was_not_started(
    store: RunStore, attempts: int, in_doubt: bool, started_at: int | None
) -> None:
    """After the rollback of its only intent a row has no start, unless it is in doubt; an intent keeps its time."""
    (key,) = await import_lines(store, 2)
    await store.commit(Batch(intents=[Intent(key, 1, 500)]))
    await store.commit(rollbacks(IntentRollback(key, attempts, in_doubt)))
    found = [(result.started_at, result.attempted_at) for result in await all_results(store)]
    assert found == [(started_at, 500)]


async def test_intents_come_after_outcomes_and_rollbacks(store: RunStore) -> None:
    """A row with an outcome or a rollback and an intent in one batch is in doubt after it."""
    one, other = await import_lines(store, 2, 3)
    await store.commit(
        Batch([settled(one, UNKNOWN)], [IntentRollback(other, 0, False)], [Intent(one, 2, 7), Intent(other, 1, 8)])
    )
    assert await reported(store) == [(2, UNKNOWN, "killed_in_flight"), (3, UNKNOWN, "killed_in_flight")]


async def test_a_batch_is_written_whole_or_not_at_all(store: RunStore) -> None:
    """A value in the last part of a batch that cannot be stored leaves nothing of the earlier parts."""
    one, other = await import_lines(store, 2, 3)
    broken = Intent(other, None, 1)  # type: ignore[arg-type] # the fault: an intent without its attempt
    with pytest.raises(StoreError):
        await store.commit(Batch([settled(one)], [], [broken]))
    assert await reported(store) == [(2, NOT_ATTEMPTED, ""), (3, NOT_ATTEMPTED, "")]
    await store.commit(outcomes(settled(one)))
    assert (await reported(store))[0] == (2, REMOVED, "")


async def test_an_empty_batch_and_unknown_keys_change_nothing(store: RunStore) -> None:
    """Entries for rows that the store does not have are passed over; so is a batch without entries."""
    (key,) = await import_lines(store, 2)
    await store.commit(Batch())
    await store.commit(Batch([settled(key + 1)], [IntentRollback(key + 2, 1, True)], [Intent(key + 3, 1, 1)]))
    await store.commit(Batch(priors=[PriorRecord(key + 4, Prior(PriorState.MEMBER))]))
    assert await reported(store) == [(2, NOT_ATTEMPTED, "")]
    assert await store.counts() == [(NOT_ATTEMPTED, "", 1)]
