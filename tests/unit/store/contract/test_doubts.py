"""Importing what an earlier run left in doubt."""

from rolecall.models import Outcome, Prior, PriorState, RowDoubt
from rolecall.store.base import RunStore
from rolecall.store.records import DOUBT_MESSAGE, IntentRollback, PresetOutcome
from tests.unit.store.contract.jobs import EVERY, all_results, import_job, keys_by_line, reported
from tests.unit.store.values import intents, outcomes, rollbacks, row, settled

PRIOR = Prior(PriorState.HAS_ROLE, 500, "anna", ("bot1", "bot2"))
DOUBT = RowDoubt("answer_lost", PRIOR, 700, "seal")


async def test_a_doubt_is_imported(store: RunStore) -> None:
    """The row is unknown, due and in doubt, with the prior state and the time of the last attempt; others are new."""
    await import_job(store, [row(2)._replace(doubt=DOUBT), row(3)])
    (_, first), (_, second) = await store.fetch_due(0, EVERY, retry_failed=False)
    assert (first.in_doubt, first.prior, first.attempted_at, first.attempts) == (True, PRIOR, 700, 0)
    assert (second.in_doubt, second.prior, second.attempted_at) == (False, None, None)
    assert await reported(store) == [(2, Outcome.UNKNOWN, "answer_lost"), (3, Outcome.NOT_ATTEMPTED, "")]
    result = (await all_results(store))[0]
    assert (result.message, result.prior, result.attempted_at, result.evidence) == (DOUBT_MESSAGE, PRIOR, 700, "")


async def test_a_doubt_survives_the_next_import(store: RunStore) -> None:
    """The same job again keeps what is known: a finished row stays finished, a row that was sent keeps its attempt."""
    rows = [row(line)._replace(doubt=DOUBT) for line in (2, 3, 4)]
    await import_job(store, rows)
    keys = await keys_by_line(store)
    await store.commit(outcomes(settled(keys[2])))
    await store.commit(intents(keys[3]))
    await import_job(store, rows)
    assert await reported(store) == [
        (2, Outcome.REMOVED, ""),
        (3, Outcome.UNKNOWN, "killed_in_flight"),
        (4, Outcome.UNKNOWN, "answer_lost"),
    ]


async def test_a_doubt_shows_nothing_of_an_attempt_that_was_rolled_back(store: RunStore) -> None:
    """Nor of the outcome before it; the row was finished at the time of the attempt in doubt."""
    await import_job(store, [row(2)])
    key = (await keys_by_line(store))[2]
    await store.commit(outcomes(settled(key, Outcome.FAILED, reason="why", message="old")))
    await store.commit(intents(key))
    await store.commit(rollbacks(IntentRollback(key, 0, in_doubt=False)))
    await import_job(store, [row(2)._replace(doubt=DOUBT)])
    (result,) = await all_results(store)
    assert result[3:11] == (Outcome.UNKNOWN, "answer_lost", None, "", DOUBT_MESSAGE, 0, None, 700)


async def test_a_duplicate_brings_no_doubt(store: RunStore) -> None:
    """Only the first row of a pair counts."""
    await import_job(store, [row(2, user="u"), row(3, user="u")._replace(doubt=DOUBT)])
    ((_, due),) = await store.fetch_due(0, EVERY, retry_failed=False)
    assert (due.in_doubt, due.prior) == (False, None)


async def test_a_preset_outcome_settles_no_doubt(store: RunStore) -> None:
    """A row in doubt is not settled by a plan without evidence."""
    preset = PresetOutcome("R", "u2", Outcome.NOT_LEADER, "not_needed", "", 1)
    await import_job(store, [row(2)._replace(doubt=DOUBT)], preset=[preset])
    assert await reported(store) == [(2, Outcome.UNKNOWN, "answer_lost")]


async def test_a_preset_outcome_with_evidence_settles_a_doubt(store: RunStore) -> None:
    """A row in doubt that a plan shows as changed by another account is not due."""
    preset = PresetOutcome("R", "u2", Outcome.NOT_LEADER, "removed_by_other", "", 1, "message")
    await import_job(store, [row(2)._replace(doubt=DOUBT)], preset=[preset])
    assert await reported(store) == [(2, Outcome.NOT_LEADER, "removed_by_other")]
    assert [pair.in_doubt for pair in await store.pairs_by_room(("", ""), 9)] == [False]
    assert await store.fetch_due(0, EVERY, retry_failed=False) == []
