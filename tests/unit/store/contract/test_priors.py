"""Prior states, the moment of the last attempt and evidence: what proves later whose call changed a role."""

from collections import Counter

import pytest

from rolecall.models import UNKNOWN_PRIOR, DueRow, Evidence, Outcome, Prior, PriorState, Row
from rolecall.store.base import RunStore
from rolecall.store.records import Batch, Intent, IntentRollback, PresetOutcome, PriorRecord
from tests.unit.store.contract.backends import Backend
from tests.unit.store.contract.jobs import EVERY, all_results, import_job, import_lines, keys_by_line
from tests.unit.store.values import RUN, outcomes, rollbacks, row, settled

READ = Prior(PriorState.HAS_ROLE, 500, "anna")
SENT = READ._replace(accounts=("bot-1",))
OTHER = Prior(PriorState.MEMBER, 900, "anna")


async def due(store: RunStore, *, retry_failed: bool = False) -> list[DueRow]:
    """Return the due rows."""
    return [row for _, row in await store.fetch_due(0, EVERY, retry_failed=retry_failed)]


async def test_a_row_without_a_reading_has_no_prior_state(store: RunStore) -> None:
    """A new row must be read: its prior state is None, and its result has the unknown one."""
    await store.open_session("bot", 1)
    await import_lines(store, 2)
    assert [(each.prior, each.attempted_at) for each in await due(store)] == [(None, None)]
    (result,) = await all_results(store)
    assert (result.prior, result.attempted_at, result.evidence) == (UNKNOWN_PRIOR, None, "")


async def test_a_prior_state_counts_in_the_session_that_read_it(store: RunStore) -> None:
    """Within the session the row need not be read again; the next session reads it again."""
    (key,) = await import_lines(store, 2)
    await store.open_session("bot", 1)
    await store.commit(Batch(priors=[PriorRecord(key, READ)]))
    assert (await due(store))[0].prior == READ
    await store.open_session("bot", 2)
    assert (await due(store))[0].prior is None
    await store.commit(Batch(priors=[PriorRecord(key, OTHER)]))
    assert (await due(store))[0].prior == OTHER
    assert (await all_results(store))[0].prior == OTHER


async def test_an_intent_stores_the_prior_state_for_good(store: RunStore, backend: Backend) -> None:
    """A row in doubt has the prior state and the moment of its last intent, in every later session and process."""
    (key,) = await import_lines(store, 2)
    await store.open_session("bot", 1)
    await store.commit(Batch(intents=[Intent(key, 1, 1000, READ), Intent(key, 2, 2000, SENT)]))
    again = await backend.crash()
    await again.open_session("bot", 2)
    assert await due(again) == [DueRow(key, 2, "R", "u2", 2, True, SENT, 2000, "", SENT.username)]


async def test_the_prior_state_of_a_row_in_doubt_is_never_replaced(store: RunStore) -> None:
    """A reading changes the rows that are not in doubt; the others keep what was read before their first call."""
    one, two, three, four = await import_lines(store, 2, 3, 4, 5)
    await store.open_session("bot", 1)
    await store.commit(Batch(intents=[Intent(key, 1, 1000, SENT) for key in (one, two, three, four)]))
    await store.commit(
        Batch([settled(two, Outcome.UNKNOWN, in_doubt=True)], [IntentRollback(three, 0, in_doubt=False)])
    )
    await store.open_session("bot", 2)
    await store.commit(
        Batch(
            rollbacks=[IntentRollback(four, 0, in_doubt=False)],
            priors=[PriorRecord(key, OTHER) for key in (one, two, three, four)],
        )
    )
    assert [each.prior for each in await due(store)] == [SENT, SENT, OTHER, OTHER]


async def test_a_new_reading_forgets_who_called_before(store: RunStore) -> None:
    """After a rollback nothing of an earlier account was carried out: its later messages are not ours."""
    (key,) = await import_lines(store, 2)
    await store.open_session("bot", 1)
    await store.commit(Batch(intents=[Intent(key, 1, 1000, SENT)]))
    await store.commit(rollbacks(IntentRollback(key, 0, in_doubt=False)))
    await store.open_session("bot", 2)
    await store.commit(Batch(priors=[PriorRecord(key, READ)]))
    assert (await due(store))[0].prior == READ


async def test_a_rollback_restores_the_time_of_the_attempt_in_doubt(store: RunStore) -> None:
    """An attempt that was not sent is not the one that may have been carried out."""
    (key,) = await import_lines(store, 2)
    await store.open_session("bot", 1)
    await store.commit(Batch(intents=[Intent(key, 1, 1000, SENT)]))
    await store.commit(Batch(intents=[Intent(key, 2, 9000, SENT)]))
    assert (await due(store))[0].attempted_at == 9000
    await store.commit(rollbacks(IntentRollback(key, 1, True, 1000)))
    assert (await due(store))[0].attempted_at == 1000


async def test_readings_come_before_the_intents_of_a_batch(store: RunStore) -> None:
    """A row with a reading and an intent in one batch has the prior state of its intent."""
    (key,) = await import_lines(store, 2)
    await store.open_session("bot", 1)
    await store.commit(Batch(priors=[PriorRecord(key, OTHER)], intents=[Intent(key, 1, 5, SENT)]))
    assert (await due(store))[0].prior == SENT


@pytest.mark.parametrize(
    "prior",
    [
        UNKNOWN_PRIOR,
        Prior(PriorState.UNKNOWN, 7),
        Prior(PriorState.STRANGER, 7, "it's \U0010ffff", ("a", "b", "c")),
        Prior(PriorState.MEMBER, None, "", ("a",)),
    ],
)
async def test_every_prior_state_is_returned_complete(store: RunStore, prior: Prior) -> None:
    """State, moment, username and accounts are returned as they were stored."""
    (key,) = await import_lines(store, 2)
    await store.commit(Batch(intents=[Intent(key, 1, 5, prior)]))
    assert (await due(store))[0].prior == prior
    assert (await all_results(store))[0].prior == prior


async def test_due_rows_of_a_room_and_of_a_user(store: RunStore) -> None:
    """The due rows of one room, or user, come in job order and in pages beyond a place; other rows do not come."""
    rows = [row(9, "A", "u"), row(3, "B", "u"), row(5, "A", "v"), row(2, "A", "w"), row(8, "C", "u"), row(7, "A", "x")]
    await import_job(store, rows)
    keys = await keys_by_line(store)
    await store.commit(outcomes(settled(keys[5]), settled(keys[8], Outcome.FAILED), settled(keys[2], Outcome.UNKNOWN)))
    first = await store.due_in_room("A", 0, 2, retry_failed=False)
    assert [each.line for _, each in first] == [9, 2]
    rest = await store.due_in_room("A", first[-1][0], 2, retry_failed=False)
    assert [each.line for _, each in rest] == [7]
    assert await store.due_in_room("A", rest[-1][0], 2, retry_failed=False) == []
    assert [each.line for _, each in await store.due_of_user("u", 0, 9, retry_failed=False)] == [9, 3]
    assert [each.line for _, each in await store.due_of_user("u", 0, 9, retry_failed=True)] == [9, 3, 8]
    assert await store.due_in_room("nowhere", 0, 9, retry_failed=True) == []
    everything = await store.fetch_due(0, EVERY, retry_failed=True)
    of_all = [each for user in "uvwx" for each in await store.due_of_user(user, 0, 9, retry_failed=True)]
    assert sorted(of_all) == everything


async def test_due_rows_of_a_room_and_of_a_user_are_those_of_the_job(store: RunStore) -> None:
    """They have the same names, attempts and doubt, and the prior state of this session or of a row in doubt."""
    places = ((room, user) for room in "AB" for user in "uvwx")
    await import_job(store, [Row(line, *pair, {}, "room", "name") for line, pair in enumerate(places, start=2)])
    keys = await keys_by_line(store)
    await store.open_session("bot", 1)
    await store.commit(Batch(priors=[PriorRecord(keys[2], READ), PriorRecord(keys[6], READ)]))
    await store.commit(Batch(intents=[Intent(keys[3], 3, 1000, SENT), Intent(keys[7], 4, 1001, SENT)]))
    await store.open_session("bot", 2)
    await store.commit(Batch(priors=[PriorRecord(keys[4], OTHER), PriorRecord(keys[8], OTHER)]))
    await store.commit(outcomes(settled(keys[5]), settled(keys[9], Outcome.FAILED)))
    await store.commit(Batch(intents=[Intent(keys[6], 1, 1002)]))
    for retry_failed in (False, True):
        every = await store.fetch_due(0, EVERY, retry_failed=retry_failed)
        assert [due.prior for _, due in every[:3]] == [None, SENT, OTHER]
        assert [due.username for _, due in every if due.line in (3, 6)] == ["anna", "name"]
        assert await store.count_due(retry_failed=retry_failed) == (len(every), 2)
        for room in "AB":
            expected = [each for each in every if each[1].room_id == room]
            assert await store.due_in_room(room, 0, EVERY, retry_failed=retry_failed) == expected
        for user in "uvwx":
            expected = [each for each in every if each[1].user_id == user]
            assert await store.due_of_user(user, 0, EVERY, retry_failed=retry_failed) == expected
            assert await store.due_of_user(user, 0, 1, retry_failed=retry_failed) == expected[:1]


async def test_users_are_counted_once(store: RunStore) -> None:
    """The number of users with due rows; users whose rows are finished or left the job do not count."""
    await import_job(store, [row(1, "A", "u"), row(2, "B", "u"), row(3, "A", "v"), row(4, "A", "w"), row(5, "A", "x")])
    keys = await keys_by_line(store)
    await store.commit(outcomes(settled(keys[3]), settled(keys[4], Outcome.FAILED)))
    assert await store.count_due_users(retry_failed=False) == 2
    assert await store.count_due_users(retry_failed=True) == 3
    await store.commit(outcomes(settled(keys[5], Outcome.UNKNOWN), settled(keys[1]), settled(keys[2])))
    assert await store.count_due_users(retry_failed=False) == 1
    assert await store.count_due_users(retry_failed=True) == 2
    await import_job(store, [row(3, "A", "v"), row(4, "A", "w")])
    assert await store.count_due_users(retry_failed=True) == 1


async def test_evidence_is_counted_by_outcome(store: RunStore) -> None:
    """Rows with a recorded outcome are counted by their evidence; rows in doubt are not, nor are those without one."""
    keys = await import_lines(store, *range(2, 9))
    ends = [
        settled(keys[0])._replace(evidence=Evidence.RESPONSE),
        settled(keys[1])._replace(evidence=Evidence.RESPONSE),
        settled(keys[2])._replace(evidence=Evidence.INFERRED),
        settled(keys[3], Outcome.FAILED),
        settled(keys[4])._replace(evidence=Evidence.MESSAGE),
    ]
    await store.commit(outcomes(*ends))
    await store.commit(Batch(intents=[Intent(keys[4], 1, 5), Intent(keys[5], 1, 5)]))
    expected = {
        (Outcome.REMOVED, "response"): 2,
        (Outcome.REMOVED, "inferred"): 1,
        (Outcome.FAILED, ""): 1,
    }
    assert await store.evidence_counts() == Counter(expected)


async def test_evidence_goes_with_its_outcome(store: RunStore) -> None:
    """A row that is sent again, is reset or gets a preset outcome shows nothing of its earlier evidence."""
    keys = await import_lines(store, 2, 3, 4)
    ends = [settled(key, Outcome.FAILED)._replace(evidence=Evidence.ROLES) for key in keys]
    await store.commit(outcomes(*ends))
    assert [result.evidence for result in await all_results(store)] == ["roles"] * 3
    await store.commit(Batch(intents=[Intent(key, 1, 5) for key in keys[:2]]))
    assert [result.evidence for result in await all_results(store)] == ["", "", "roles"]
    await store.commit(rollbacks(IntentRollback(keys[1], 0, in_doubt=False)))
    preset = PresetOutcome("R", "u3", Outcome.NOT_LEADER, "not_needed", "", 7)
    await import_job(store, [row(2), row(3), row(4)], RUN, [preset])
    assert [(result.outcome, result.evidence) for result in await all_results(store)] == [
        (Outcome.UNKNOWN, ""),
        (Outcome.NOT_LEADER, ""),
        (Outcome.FAILED, "roles"),
    ]
    await store.reset_outcomes()
    assert [result.evidence for result in await all_results(store)] == [""] * 3
