"""Importing a job: the order, duplicates, unusable rows, an edited job, further columns, preset outcomes."""

from collections.abc import AsyncIterator, Sequence

import pytest

from rolecall.models import BadRow, Json, Outcome, Result, Row
from rolecall.store.base import RunStore
from rolecall.store.records import IntentRollback, PresetOutcome
from tests.unit.store.contract.backends import Backend
from tests.unit.store.contract.jobs import (
    all_results,
    due_lines,
    import_job,
    import_lines,
    in_pages,
    keys_by_line,
    reported,
)
from tests.unit.store.values import RUN, bad, intents, outcomes, rollbacks, row, settled

REMOVED, FAILED, UNKNOWN = Outcome.REMOVED, Outcome.FAILED, Outcome.UNKNOWN
DUPLICATE, INVALID, NOT_ATTEMPTED = Outcome.DUPLICATE, Outcome.INVALID, Outcome.NOT_ATTEMPTED


async def test_a_new_store_is_empty(store: RunStore) -> None:
    """Before a job is imported there is no identity, no row, no session, no pause and no fact."""
    assert await store.identity() is None
    assert list(await store.extra_columns()) == []
    assert await store.fetch_due(0, 9, retry_failed=True) == []
    assert await store.count_due(retry_failed=True) == (0, 0)
    assert (await all_results(store), await store.counts(), await store.sessions()) == ([], [], [])
    assert (await store.pauses(0, 9), await store.open_pauses(0), await store.get_meta()) == ([], [], {})
    assert (await store.pairs_by_room(("", ""), 9), await store.pairs_by_user(("", ""), 9)) == ([], [])
    assert await store.count_settled(0) == 0


async def test_the_identity_is_stored(store: RunStore, backend: Backend) -> None:
    """A store that is opened again has its identity and its rows."""
    await import_job(store, [row(2), row(3)])
    await store.close()
    again = await backend.open()
    assert await again.identity() == RUN
    assert await due_lines(again) == [2, 3]


@pytest.mark.parametrize("size", [1, 2, 7, 100])
async def test_rows_keep_their_order_over_pages(store: RunStore, size: int) -> None:
    """The pages' sizes do not matter; a duplicate is found across pages; an empty page changes nothing."""
    rows: list[Row | BadRow] = [*(row(line) for line in range(2, 30)), bad(30), row(31, user="u2")]

    async def pages() -> AsyncIterator[Sequence[Row | BadRow]]:
        yield []
        async for page in in_pages(rows, size):
            yield page

    await store.import_rows(RUN, pages())
    assert [result.line for result in await all_results(store)] == list(range(2, 32))
    assert (await reported(store))[-2:] == [(30, INVALID, "missing_room_id"), (31, DUPLICATE, "duplicate_of")]


@pytest.mark.parametrize("number_of_pages", [0, 1])
async def test_an_empty_job_is_a_job(store: RunStore, number_of_pages: int) -> None:
    """A job without rows is imported, and removes the rows of an earlier one."""

    async def pages() -> AsyncIterator[Sequence[Row | BadRow]]:
        for _ in range(number_of_pages):
            yield []

    await import_job(store, [row(2), bad(3)])
    await store.import_rows(RUN._replace(job_digest="empty"), pages())
    assert await store.identity() == RUN._replace(job_digest="empty")
    assert (await all_results(store), await store.count_due(retry_failed=True)) == ([], (0, 0))


async def test_a_duplicate_names_its_first_line(store: RunStore) -> None:
    """A repeated pair is reported as duplicate of its first line, is not due, and keeps its place in the job."""
    await import_job(store, [row(2, "R", "a"), row(3, "R", "b"), row(4, "R", "a", {"note": "x"}), row(9, "R", "a")])
    assert await due_lines(store) == [2, 3]
    results = await all_results(store)
    assert [(each.line, each.outcome, each.reason, each.message) for each in results if each.outcome is DUPLICATE] == [
        (4, DUPLICATE, "duplicate_of", "the same pair stands in line 2"),
        (9, DUPLICATE, "duplicate_of", "the same pair stands in line 2"),
    ]
    assert [each.line for each in results] == [2, 3, 4, 9]
    assert results[2].extra == {"note": "x"}
    assert [(each.room_id, each.user_id) for each in results] == [("R", "a"), ("R", "b"), ("R", "a"), ("R", "a")]


@pytest.mark.parametrize(
    ("one", "other"),
    [(("R", "a"), ("r", "a")), (("R", "a"), ("R", "A")), (("a", "b"), ("b", "a")), (("1", "2"), ("01", "2"))],
)
async def test_ids_are_compared_exactly(store: RunStore, one: tuple[str, str], other: tuple[str, str]) -> None:
    """Ids are opaque: a difference in case, order or leading zeros makes another pair."""
    await import_job(store, [Row(1, *one, {}), Row(2, *other, {})])
    assert await due_lines(store) == [1, 2]


async def test_an_invalid_row_is_reported_and_never_due(store: RunStore) -> None:
    """An unusable row is reported with its reason, message, ids and further columns, as in the file."""
    await import_job(store, [row(2), bad(3, "", "u", {"note": 1}), row(4)])
    assert await due_lines(store) == [2, 4]
    assert (await all_results(store))[1] == Result(
        3, "", "u", INVALID, "missing_room_id", None, "", "There is no room.", 0, None, None, None, {"note": 1}
    )


@pytest.mark.parametrize("order", [[4, 3, 2], [3, 2, 4], [2, 3, 4]])
async def test_an_edited_job_keeps_the_outcomes_of_its_rows(store: RunStore, order: list[int]) -> None:
    """Rows are recognised by their pair: in another order they keep outcome, attempts and doubt."""
    one, other, _ = await import_lines(store, 2, 3, 4)
    await store.commit(intents(one, other))
    await store.commit(outcomes(settled(one)))
    new = RUN._replace(job_digest="new")
    await import_job(store, [Row(10 + place, "R", f"u{line}", {}) for place, line in enumerate(order)], new)
    expected = {2: (REMOVED, 1), 3: (UNKNOWN, 1), 4: (NOT_ATTEMPTED, 0)}
    assert [(each.line, each.user_id, (each.outcome, each.attempts)) for each in await all_results(store)] == [
        (10 + place, f"u{line}", expected[line]) for place, line in enumerate(order)
    ]
    assert await store.identity() == new


async def test_a_row_that_left_the_job_stays_only_after_an_attempt_or_outcome(store: RunStore) -> None:
    """Such rows come last, without a line, and are not due; all others that left the job are deleted."""
    await import_job(store, [*(row(line) for line in (2, 3, 4, 5)), bad(6), row(7, user="u2")])
    keys = await keys_by_line(store)
    await store.commit(intents(keys[2], keys[4]))
    await store.commit(outcomes(settled(keys[2]), settled(keys[3], FAILED, reason="room_not_found")))
    await import_job(store, [row(9)])
    assert await reported(store) == [
        (9, NOT_ATTEMPTED, ""),
        (None, REMOVED, ""),
        (None, FAILED, "room_not_found"),
        (None, UNKNOWN, "killed_in_flight"),
    ]
    assert await due_lines(store, retry_failed=True) == [9]
    assert await store.count_due(retry_failed=True) == (1, 1)
    await import_job(store, [row(8, user="u3"), row(9), row(10, user="u4")])
    assert await due_lines(store, retry_failed=True) == [8, 9, 10]
    assert (await reported(store))[-1] == (None, REMOVED, "")


async def test_a_row_in_doubt_without_a_counted_attempt_stays(store: RunStore) -> None:
    """A probe during an outage counts no attempt but may have been carried out: its row is not deleted."""
    key, _ = await import_lines(store, 2, 3)
    await store.commit(intents(key))
    await store.commit(rollbacks(IntentRollback(key, 0, in_doubt=True)))
    await import_job(store, [row(3)])
    assert await reported(store) == [(3, NOT_ATTEMPTED, ""), (None, UNKNOWN, "killed_in_flight")]


@pytest.mark.parametrize(
    "extra",
    [
        {"name": "Zoë", "n": 1, "x": 1.5, "yes": True, "none": None},
        {"list": [1, [2, {"deep": ["x"]}]], "": "no name"},
        {"z": 1, "a": 2, "m": 3},
        {"big": 2**63 - 1, "small": -(2**63), "tiny": 5e-324},
        {"\x00": "\x00", "quote'\"": "';--", "emoji": "\U0001f600", "line": "a\nb\u2028c", "bidi": "\u202e"},
    ],
)
async def test_further_columns_are_stored_unchanged(store: RunStore, backend: Backend, extra: dict[str, Json]) -> None:
    """The job's own columns are returned unchanged and in their order, for every kind of row, after a restart too."""
    await import_job(store, [row(2, extra=extra), row(3, user="u2", extra=extra), bad(4, extra=extra)])
    await store.close()
    again = await backend.open()
    for result in await all_results(again):
        assert result.extra == extra
        assert list(result.extra) == list(extra)
    assert list(await again.extra_columns()) == list(extra)


async def test_columns_are_named_in_the_order_of_their_appearance(store: RunStore) -> None:
    """Columns that first appear later in the job come later; a new job has only its own columns."""
    await import_job(store, [row(2, extra={"b": 1}), bad(3, extra={"a": 1, "b": 2}), row(4, extra={"c": 1})])
    assert list(await store.extra_columns()) == ["b", "a", "c"]
    await import_job(store, [row(2)])
    assert list(await store.extra_columns()) == []


@pytest.mark.parametrize(
    "text", ["\x00", "a\x00b", "\x1b[31m", "\u202e", "\ufffd", "\U0010ffff", "\ud800x", "x\udcffy", "🤝" * 300]
)
async def test_unusual_text_does_not_break_the_import(store: RunStore, text: str) -> None:
    """With any text in an unusable row or a further column, the job is imported and the row is reported."""
    await import_job(store, [bad(2, text, text), row(3, extra={"note": text}), row(4, extra={text: 1})])
    assert [(result.line, result.outcome) for result in await all_results(store)] == [
        (2, INVALID), (3, NOT_ATTEMPTED), (4, NOT_ATTEMPTED)
    ]  # fmt: skip


async def test_a_preset_outcome_is_for_rows_without_attempt_and_outcome(store: RunStore) -> None:
    """A pair that was never sent is reported with its preset outcome and is not due; other pairs keep their state."""
    fresh, sent, done, doubt = await import_lines(store, 2, 3, 4, 5)
    await store.commit(intents(sent, doubt))
    await store.commit(outcomes(settled(done)))
    await store.commit(rollbacks(IntentRollback(sent, 1, False), IntentRollback(doubt, 0, True)))
    lines = (2, 3, 4, 5, 99)
    preset = [PresetOutcome("R", f"u{line}", Outcome.NOT_LEADER, "planned", "as planned", 77) for line in lines]
    await import_job(store, [row(line) for line in (2, 3, 4, 5)], RUN, preset, {"plan": "p"})
    assert await reported(store) == [
        (2, Outcome.NOT_LEADER, "planned"),
        (3, NOT_ATTEMPTED, ""),
        (4, REMOVED, ""),
        (5, UNKNOWN, "killed_in_flight"),
    ]
    assert await store.results_by_key([fresh]) == [
        Result(2, "R", "u2", Outcome.NOT_LEADER, "planned", None, "", "as planned", 0, None, 77, None, {})
    ]
    assert await due_lines(store) == [3, 5]
    assert (await store.get_meta())["plan"] == "p"


async def test_a_preset_outcome_shows_nothing_of_an_attempt_that_was_rolled_back(store: RunStore) -> None:
    """Nor of the outcome before it, whose status, error type and duration the store still has."""
    (key,) = await import_lines(store, 2)
    await store.commit(outcomes(settled(key, FAILED, reason="why", message="old")))
    await store.commit(intents(key))
    await store.commit(rollbacks(IntentRollback(key, 0, in_doubt=False)))
    await import_job(store, [row(2)], RUN, [PresetOutcome("R", "u2", Outcome.NOT_LEADER, "planned", "", 77)])
    (result,) = await all_results(store)
    assert result[:12] == (2, "R", "u2", Outcome.NOT_LEADER, "planned", None, "", "", 0, None, 77, None)


async def test_a_preset_outcome_does_not_show_an_earlier_response(store: RunStore) -> None:
    """A row whose outcome was deleted shows nothing of the old response beside its preset outcome."""
    (key,) = await import_lines(store, 2)
    await store.commit(outcomes(settled(key, FAILED, reason="why", message="old")))
    await store.reset_outcomes()
    await import_job(store, [row(2)], RUN, [PresetOutcome("R", "u2", Outcome.NOT_LEADER, "planned", "", 77)])
    assert await all_results(store) == [
        Result(2, "R", "u2", Outcome.NOT_LEADER, "planned", None, "", "", 0, None, 77, None, {})
    ]
