"""Results and counts: what is recorded of a row is what the reports are made from."""

from contextlib import aclosing

import pytest

from rolecall.models import Outcome, Prior, PriorState, Result, Row, RowDoubt
from rolecall.store.base import RunStore, StoreError
from rolecall.store.records import Batch, Count, Intent, Pause, PauseKind
from tests.unit.store.contract.backends import Backend
from tests.unit.store.contract.jobs import (
    EVERY,
    all_results,
    due_lines,
    import_job,
    import_lines,
    keys_by_line,
    reported,
)
from tests.unit.store.values import bad, intents, outcomes, row, settled

REMOVED, FAILED, UNKNOWN = Outcome.REMOVED, Outcome.FAILED, Outcome.UNKNOWN
PRIOR = Prior(PriorState.HAS_ROLE, 900, "anna", ("bot-1", "bot-2"))
DUPLICATE, INVALID, NOT_ATTEMPTED = Outcome.DUPLICATE, Outcome.INVALID, Outcome.NOT_ATTEMPTED


@pytest.mark.parametrize("outcome", [REMOVED, Outcome.NOT_LEADER, FAILED, UNKNOWN])
@pytest.mark.parametrize("in_doubt", [False, True])
async def test_an_outcome_is_returned_complete(
    store: RunStore, backend: Backend, outcome: Outcome, in_doubt: bool
) -> None:
    """Everything that is recorded of a row is in its result, also for a new process."""
    (key,) = await import_lines(store, 2)
    await store.commit(Batch(intents=[Intent(key, 3, 1000, PRIOR)]))
    end = settled(key, outcome, reason="why", message="words", in_doubt=in_doubt)
    await store.commit(outcomes(end._replace(evidence="roles")))
    await store.close()
    assert await all_results(await backend.open()) == [
        Result(
            2,
            "R",
            "u2",
            outcome,
            "why",
            200,
            "error-x",
            "words",
            3,
            1000,
            2000 + key,
            12,
            {},
            "roles",
            PRIOR,
            1000,
            "",
            "anna",
        )
    ]


async def test_a_row_that_left_the_job_keeps_all_but_its_line(store: RunStore) -> None:
    """Everything that is recorded of it is in its result, as of a row of the job."""
    await import_job(store, [Row(2, "R", "u2", {"note": "x"}, "room", "name")])
    key = (await keys_by_line(store))[2]
    await store.commit(Batch(intents=[Intent(key, 3, 1000, PRIOR)]))
    end = settled(key, FAILED, reason="why", message="words", in_doubt=True)
    await store.commit(outcomes(end._replace(evidence="roles")))
    before = await all_results(store)
    await import_job(store, [])
    assert await all_results(store) == [before[0]._replace(line=None)]
    assert await store.results_by_key([key]) == [before[0]._replace(line=None)]


async def test_an_outcome_without_a_call(store: RunStore) -> None:
    """A row for which no request was sent has no status, no duration, no attempt and no start."""
    (key,) = await import_lines(store, 2)
    entry = settled(key, FAILED, reason="room_not_found")._replace(http_status=None, duration_ms=None)
    await store.commit(outcomes(entry))
    (result,) = await all_results(store)
    assert (result.http_status, result.duration_ms, result.attempts, result.started_at) == (None, None, 0, None)


@pytest.mark.parametrize(
    "text", ["", "it's", "a\x00b", "12", "null", "true", "\x1b[31m\r\n", "\u2028", "\U0010ffff", '["x"]', "w" * 1000]
)
async def test_text_of_the_server_is_returned_unchanged(store: RunStore, text: str) -> None:
    """Reason, error type and message are returned as text; a zero byte may be replaced, but does not cut the text."""
    (key,) = await import_lines(store, 2)
    await store.commit(outcomes(settled(key, FAILED)._replace(reason=text, error_type=text, message=text)))
    (result,) = await all_results(store)
    assert {result.reason, result.error_type, result.message} <= {text, text.replace("\x00", "\ufffd")}


@pytest.mark.parametrize("text", ["\ud800", "x\udcffy"])
async def test_a_lone_surrogate_is_recorded_or_refused(store: RunStore, text: str) -> None:
    """An outcome whose message is not encodable is either recorded, or refused with StoreError and not recorded."""
    (key,) = await import_lines(store, 2)
    try:
        await store.commit(outcomes(settled(key, FAILED, message=text)))
    except StoreError:
        assert await due_lines(store) == [2]
    else:
        assert await due_lines(store) == []


async def test_single_rows_are_read_by_their_keys(store: RunStore) -> None:
    """Rows come in job order with all that is recorded, each once; unknown keys and no keys return nothing for them."""
    await import_job(store, [row(4), bad(5), row(3), row(2), row(1)])
    keys = await keys_by_line(store)
    await store.commit(outcomes(settled(keys[2]), settled(keys[3], FAILED, reason="why")))
    wanted = [keys[1], keys[2], keys[3], keys[2], 999]
    every = {result.line: result for result in await all_results(store)}
    assert await store.results_by_key(wanted) == [every[3], every[2], every[1]]
    assert await store.results_by_key([]) == []


async def test_pages_of_results_are_stable_while_outcomes_are_committed(store: RunStore) -> None:
    """Every row comes once and in order, with its state before or after the commits that happen between the pages."""
    lines = range(2, 3002)
    keys = await import_lines(store, *lines)
    await store.commit(outcomes(*(settled(key) for key in keys[:10])))
    results: list[Result] = []
    pages = 0
    async for page in store.results():
        pages += 1
        results += page
        await store.commit(outcomes(*(settled(key, FAILED, reason="why") for key in keys[10 + pages :: 7])))
        await store.commit(intents(*keys[10 + pages :: 11]))
        await store.set_meta(pages=str(pages))
    assert pages > 1
    assert [result.line for result in results] == list(lines)
    assert {result.outcome for result in results[:10]} == {REMOVED}
    assert {(result.outcome, result.reason) for result in results[10:]} <= {
        (NOT_ATTEMPTED, ""), (FAILED, "why"), (UNKNOWN, "killed_in_flight")
    }  # fmt: skip


async def test_results_that_are_not_read_to_the_end_block_nothing(store: RunStore) -> None:
    """After the first of several pages the rest can be left out: commits, imports and the close work."""
    keys = await import_lines(store, *range(2, 3002))
    async with aclosing(store.results()) as pages:
        assert len(await anext(pages)) < len(keys)
    await store.commit(outcomes(*map(settled, keys)))
    await import_job(store, [row(2)])
    assert await store.counts() == [Count(REMOVED, "", 3000)]
    await store.close()


async def test_several_readers_have_their_own_pages(store: RunStore) -> None:
    """Results that are read alternately do not disturb each other."""
    await import_lines(store, *range(2, 2502))
    async with aclosing(store.results()) as one, aclosing(store.results()) as other:
        both = [(await anext(one), await anext(other)) for _ in range(2)]
    assert all(left == right for left, right in both)
    assert [result.line for page, _ in both for result in page] == list(range(2, 2 + sum(len(p) for p, _ in both)))


async def test_counts_have_an_order(store: RunStore) -> None:
    """Counts come in the order of the outcomes, the most frequent reason first; one count for each reason."""
    await import_job(store, [*(row(line) for line in range(1, 8)), bad(8), row(9, user="u1")])
    keys = [due.key for _, due in await store.fetch_due(0, EVERY, retry_failed=False)]
    await store.commit(
        outcomes(
            settled(keys[0], FAILED, reason="a"),
            settled(keys[1], FAILED, reason="b", in_doubt=True),
            settled(keys[2], FAILED, reason="b"),
            settled(keys[3]),
        )
    )
    await store.commit(intents(keys[4]))
    await store.close_session("", 1)
    assert await store.counts() == [
        Count(REMOVED, "", 1),
        Count(FAILED, "b", 2),
        Count(FAILED, "a", 1),
        Count(UNKNOWN, "killed_in_flight", 1),
        Count(INVALID, "missing_room_id", 1),
        Count(DUPLICATE, "duplicate_of", 1),
        Count(NOT_ATTEMPTED, "", 2),
    ]


async def test_counts_follow_every_change(store: RunStore) -> None:
    """Counts that were read after a session closed are right again after the next change of any kind."""
    await import_job(store, [row(1), row(2), bad(3)])
    one, other = (await keys_by_line(store)).values()
    await store.open_session("bulk.bot", 1)
    await store.commit(outcomes(settled(one)))
    await store.close_session("", 2)
    assert await store.counts() == [(REMOVED, "", 1), (INVALID, "missing_room_id", 1), (NOT_ATTEMPTED, "", 1)]
    await store.set_meta(reported="yes")
    assert await store.counts() == [(REMOVED, "", 1), (INVALID, "missing_room_id", 1), (NOT_ATTEMPTED, "", 1)]
    await store.commit(intents(other))
    assert await store.counts() == [(REMOVED, "", 1), (UNKNOWN, "killed_in_flight", 1), (INVALID, "missing_room_id", 1)]
    await store.close_session("", 3)
    await import_job(store, [row(1)])
    assert await store.counts() == [(REMOVED, "", 1), (UNKNOWN, "killed_in_flight", 1)]
    await store.close_session("", 4)
    await store.delete_removed_pairs()
    assert await store.counts() == [(REMOVED, "", 1)]
    await store.close_session("outage", 5)
    await store.reset_outcomes()
    assert await store.counts() == [(NOT_ATTEMPTED, "outage", 1)]


async def test_rows_that_left_the_job_are_counted_apart(store: RunStore) -> None:
    """A later reading may settle them, in one batch with rows of the job that have the same outcome."""
    gone, other, stays = await import_lines(store, 2, 3, 4)
    await store.commit(intents(gone, other, stays))
    await import_job(store, [row(4)])
    assert await store.count_removed_in_doubt() == 2
    assert await store.count_due(retry_failed=False) == (1, 1)
    await store.commit(outcomes(settled(gone), settled(stays)))
    assert await store.count_removed_in_doubt() == 1
    assert await store.count_due(retry_failed=True) == (0, 0)
    await store.commit(outcomes(settled(other, UNKNOWN, reason="why")))
    assert await store.count_removed_in_doubt() == 1
    assert await store.counts() == [Count(REMOVED, "", 2), Count(UNKNOWN, "why", 1)]


async def test_counts_are_the_same_after_the_next_import(store: RunStore) -> None:
    """Outcomes of one batch with the same reason are counted apart, and so are reasons of the same outcome."""
    keys = await import_lines(store, 2, 3, 4, 5, 6)
    ends = [(REMOVED, "a"), (Outcome.NOT_LEADER, "a"), (FAILED, "a"), (FAILED, "b")]
    await store.commit(outcomes(*(settled(key, end, reason=why) for key, (end, why) in zip(keys, ends, strict=False))))
    expected = [*(Count(end, why, 1) for end, why in ends), Count(NOT_ATTEMPTED, "", 1)]
    assert await store.counts() == expected
    await import_job(store, [row(line) for line in range(2, 7)])
    assert await store.counts() == expected


async def test_counts_follow_a_doubt_of_an_earlier_run(store: RunStore) -> None:
    """It has no evidence until it is settled, and is then counted with that alone."""
    doubt = RowDoubt("answer_lost", PRIOR, 700)
    await import_job(store, [row(2)._replace(doubt=doubt), row(3)._replace(doubt=doubt)])
    keys = await keys_by_line(store)
    assert await store.evidence_counts() == {(UNKNOWN, ""): 2}
    await store.commit(outcomes(settled(keys[2])._replace(evidence="roles")))
    assert await store.evidence_counts() == {(UNKNOWN, ""): 1, (REMOVED, "roles"): 1}
    assert await store.counts() == [Count(REMOVED, "", 1), Count(UNKNOWN, "answer_lost", 1)]


async def test_a_batch_that_fails_changes_no_counts(store: RunStore) -> None:
    """A batch is counted completely or not at all: a pause without a session undoes the outcomes before it."""
    one, two = await import_lines(store, 2, 3)
    await store.commit(outcomes(settled(one)))
    before = await store.counts(), await store.evidence_counts()
    with pytest.raises(StoreError):
        await store.commit(outcomes(settled(two, FAILED))._replace(pauses=[Pause(PauseKind.WINDOW, 1, 2)]))
    assert (await store.counts(), await store.evidence_counts()) == before


async def test_settled_rows_are_counted_from_a_moment_on(store: RunStore) -> None:
    """Rows with an outcome at or after the moment are counted, with any outcome."""
    one, two, three = await import_lines(store, 2, 3, 4)
    await store.commit(outcomes(settled(one), settled(two, FAILED), settled(three, UNKNOWN)))
    moments = (0, 2000 + one, 2000 + two, 2000 + three, 2001 + three)
    assert [await store.count_settled(moment) for moment in moments] == [3, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("stops", "reason"),
    [
        ([], ""),
        ([None], "killed"),
        (["outage"], "outage"),
        (["interrupted", "credentials"], "credentials"),
        (["interrupted", ""], ""),
        (["interrupted", None], "killed"),
    ],
)
async def test_the_latest_session_is_the_reason_of_a_row_that_was_not_attempted(
    store: RunStore, stops: list[str | None], reason: str
) -> None:
    """Its reason is the stop reason of the latest session; a session without an end was killed."""
    await import_job(store, [row(2)])
    for at, stop in enumerate(stops):
        await store.open_session("bulk.bot", at * 10)
        if stop is not None:
            await store.close_session(stop, at * 10 + 5)
    assert await reported(store) == [(2, NOT_ATTEMPTED, reason)]
    assert await store.counts() == [Count(NOT_ATTEMPTED, reason, 1)]
