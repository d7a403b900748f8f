"""The ledger in a real SQLite file: taking in jobs, what is due, commits, doubts, results, sessions."""

import sqlite3
from collections.abc import Iterator

import pytest

from rolecall.models import BadRow, DueRow, Json, Outcome, Result, Row, is_due
from rolecall.store.base import Batch, Count, Identity, Intent, IntentRollback, Session, StoreError
from rolecall.store.sqlite.database import SqliteDatabase, import_rows
from tests.unit.store.conftest import Reopen
from tests.unit.store.making import RUN, bad, full_disk, intents, outcomes, rollbacks, row, settled

REMOVED, FAILED, UNKNOWN = Outcome.REMOVED, Outcome.FAILED, Outcome.UNKNOWN
DUPLICATE, INVALID, NOT_ATTEMPTED = Outcome.DUPLICATE, Outcome.INVALID, Outcome.NOT_ATTEMPTED


def due(ledger: SqliteDatabase, *, retry_failed: bool = False) -> list[int]:
    """Give the lines that are due, in their order."""
    return [pending.line for _, pending in ledger.fetch_due(0, 1000, retry_failed=retry_failed)]


def told(ledger: SqliteDatabase) -> list[tuple[int | None, Outcome, str]]:
    """Give the results, in short."""
    return [(result.line, result.outcome, result.reason) for result in ledger.results()]


def key_of(ledger: SqliteDatabase, line: int) -> int:
    """Find the key of a row that is due."""
    return next(pending.key for _, pending in ledger.fetch_due(0, 1000, retry_failed=True) if pending.line == line)


def test_a_new_ledger_knows_nothing(ledger: SqliteDatabase) -> None:
    """Before a job is taken in there is no identity, no row, no session."""
    assert ledger.identity() is None
    assert ledger.extra_columns() == []
    assert (ledger.fetch_due(0, 9, retry_failed=True), ledger.count_due(retry_failed=True)) == ([], (0, 0))
    assert (list(ledger.results()), ledger.counts(), ledger.sessions()) == ([], [], [])


def test_the_identity_is_kept(ledger: SqliteDatabase, reopen: Reopen) -> None:
    """A ledger opened again knows which run it is, and its rows."""
    import_rows(ledger, RUN, [row(2), row(3)])
    ledger.close()
    again = reopen()
    assert again.identity() == RUN
    assert due(again) == [2, 3]


def test_a_duplicate_names_its_first_line(ledger: SqliteDatabase) -> None:
    """A pair seen before is told as duplicate of its first line, is not due, and stands where it stood in the job."""
    import_rows(ledger, RUN, [row(2, "R", "a"), row(3, "R", "b"), row(4, "R", "a", {"note": "x"}), row(9, "R", "a")])
    assert due(ledger) == [2, 3]
    results = list(ledger.results())
    assert [(each.line, each.outcome, each.reason, each.message) for each in results if each.outcome is DUPLICATE] == [
        (4, DUPLICATE, "duplicate_of", "the same pair stands in line 2"),
        (9, DUPLICATE, "duplicate_of", "the same pair stands in line 2"),
    ]
    assert [each.line for each in results] == [2, 3, 4, 9]
    assert results[2].extra == {"note": "x"}


@pytest.mark.parametrize(
    ("one", "other"),
    [(("R", "a"), ("r", "a")), (("R", "a"), ("R", "A")), (("a", "b"), ("b", "a")), (("1", "2"), ("01", "2"))],
)
def test_ids_are_told_apart_exactly(ledger: SqliteDatabase, one: tuple[str, str], other: tuple[str, str]) -> None:
    """Ids are opaque: case, order and leading zeros make another pair."""
    import_rows(ledger, RUN, [Row(1, *one, {}), Row(2, *other, {})])
    assert due(ledger) == [1, 2]


def test_an_invalid_row_is_kept_and_never_due(ledger: SqliteDatabase) -> None:
    """An unusable row is reported with its reason, sentence, ids and further columns, as it stood in the file."""
    import_rows(ledger, RUN, [row(2), bad(3, "", "u", {"note": 1}), row(4)])
    assert due(ledger) == [2, 4]
    assert list(ledger.results())[1] == Result(
        3, "", "u", INVALID, "missing_room_id", None, "", "There is no room.", 0, None, None, None, {"note": 1}
    )


@pytest.mark.parametrize("order", [[4, 3, 2], [3, 2, 4], [2, 3, 4]])
def test_an_edited_job_keeps_what_came_of_its_rows(ledger: SqliteDatabase, order: list[int]) -> None:
    """Rows are known by their pair: reordered, their outcomes, attempts and doubts stay, and the order is the new."""
    import_rows(ledger, RUN, [row(line) for line in (2, 3, 4)])
    keys = {line: key_of(ledger, line) for line in (2, 3, 4)}
    ledger.commit(intents(keys[2], keys[3]))
    ledger.commit(outcomes(settled(keys[2])))
    import_rows(
        ledger, RUN._replace(job_digest="new"), [Row(10 + n, "R", f"u{line}", {}) for n, line in enumerate(order)]
    )
    expected = {2: (REMOVED, 1), 3: (UNKNOWN, 1), 4: (NOT_ATTEMPTED, 0)}
    assert [(result.line, result.user_id, (result.outcome, result.attempts)) for result in ledger.results()] == [
        (10 + place, f"u{line}", expected[line]) for place, line in enumerate(order)
    ]
    assert ledger.identity() == RUN._replace(job_digest="new")


def test_a_row_that_left_the_job_is_kept_only_when_worked_on(ledger: SqliteDatabase) -> None:
    """Dropped rows with an attempt or an outcome come last with no line and are not due; the others are forgotten."""
    import_rows(ledger, RUN, [row(line) for line in (2, 3, 4, 5)] + [bad(6), row(7, user="u2")])
    keys = {line: key_of(ledger, line) for line in (2, 3, 4, 5)}
    ledger.commit(intents(keys[2], keys[4]))
    ledger.commit(outcomes(settled(keys[2]), settled(keys[3], FAILED, reason="room_not_found")))
    import_rows(ledger, RUN, [row(9)])
    assert told(ledger) == [
        (9, NOT_ATTEMPTED, ""),
        (None, REMOVED, ""),
        (None, FAILED, "room_not_found"),
        (None, UNKNOWN, "killed_in_flight"),
    ]
    assert due(ledger, retry_failed=True) == [9]
    assert ledger.count_due(retry_failed=True) == (1, 1)
    import_rows(ledger, RUN, [row(8, user="u3"), row(9), row(10, user="u4")])
    assert due(ledger, retry_failed=True) == [8, 9, 10]
    assert told(ledger)[-1] == (None, REMOVED, "")


def test_a_doubtful_row_without_a_counted_attempt_is_not_forgotten(ledger: SqliteDatabase) -> None:
    """A probe of a workspace that is away counts no attempt, but may have been carried out: the row is worked on."""
    import_rows(ledger, RUN, [row(2), row(3)])
    key = key_of(ledger, 2)
    ledger.commit(intents(key))
    ledger.commit(rollbacks(IntentRollback(key, 0, in_doubt=True)))
    import_rows(ledger, RUN, [row(3)])
    assert told(ledger) == [(3, NOT_ATTEMPTED, ""), (None, UNKNOWN, "killed_in_flight")]


def test_a_job_that_breaks_off_changes_nothing(ledger: SqliteDatabase) -> None:
    """An error while the job is read leaves the ledger as it was before."""
    import_rows(ledger, RUN, [row(2, extra={"old": 1}), bad(3)])
    before = (told(ledger), ledger.get_meta(), ledger.fetch_due(0, 9, retry_failed=False))

    def broken() -> Iterator[Row | BadRow]:
        yield row(7, extra={"new": 2})
        yield bad(8)
        raise ValueError("cut off")

    with pytest.raises(ValueError, match="cut off"):
        import_rows(ledger, RUN._replace(job_digest="other"), broken())
    assert (told(ledger), ledger.get_meta(), ledger.fetch_due(0, 9, retry_failed=False)) == before
    import_rows(ledger, RUN, [row(5)])
    assert due(ledger) == [5]


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
def test_further_columns_come_back_as_they_were(ledger: SqliteDatabase, extra: dict[str, Json]) -> None:
    """The job's own columns make the round trip untouched and in their order, on every kind of row."""
    import_rows(ledger, RUN, [row(2, extra=extra), row(3, user="u2", extra=extra), bad(4, extra=extra)])
    for result in ledger.results():
        assert result.extra == extra
        assert list(result.extra) == list(extra)
    assert ledger.extra_columns() == list(extra)


def test_columns_are_named_in_the_order_of_their_appearance(ledger: SqliteDatabase) -> None:
    """Columns that come later in the job come later in the report; a new job has its own."""
    import_rows(ledger, RUN, [row(2, extra={"b": 1}), bad(3, extra={"a": 1, "b": 2}), row(4, extra={"c": 1})])
    assert ledger.extra_columns() == ["b", "a", "c"]
    import_rows(ledger, RUN, [row(2)])
    assert ledger.extra_columns() == []


@pytest.mark.parametrize(
    "text", ["\x00", "a\x00b", "\x1b[31m", "\u202e", "\ufffd", "\U0010ffff", "\ud800x", "x\udcffy", "🤝" * 300]
)
def test_odd_text_does_not_break_the_job(ledger: SqliteDatabase, text: str) -> None:
    """Whatever stands in an unusable row or in a further column, the job is taken in and the row is reported."""
    import_rows(ledger, RUN, [bad(2, text, text), row(3, extra={"note": text}), row(4, extra={text: 1})])
    assert [(result.line, result.outcome) for result in ledger.results()] == [
        (2, INVALID), (3, NOT_ATTEMPTED), (4, NOT_ATTEMPTED)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "it's", "a\x00b", "12", "null", "true", "\x1b[31m\r\n", "\u2028", "\U0010ffff", '["x"]', "w" * 1000]
)
def test_the_servers_words_come_back(ledger: SqliteDatabase, text: str) -> None:
    """Reason, error type and message make the round trip as text; a zero byte may be replaced, but cuts nothing off."""
    import_rows(ledger, RUN, [row(2)])
    key = key_of(ledger, 2)
    ledger.commit(outcomes(settled(key, FAILED)._replace(reason=text, error_type=text, message=text)))
    (result,) = ledger.results()
    assert {result.reason, result.error_type, result.message} <= {text, text.replace("\x00", "\ufffd")}


@pytest.mark.parametrize("text", ["\ud800", "x\udcffy"])
def test_words_that_are_no_text_are_recorded_or_refused_as_a_failure(ledger: SqliteDatabase, text: str) -> None:
    """A message with a lone surrogate must not leave the ledger in another way than it says: it is written or fails."""
    import_rows(ledger, RUN, [row(2)])
    try:
        ledger.commit(outcomes(settled(key_of(ledger, 2), FAILED, message=text)))
    except StoreError:
        assert due(ledger) == [2]
    else:
        assert due(ledger) == []


@pytest.mark.parametrize("outcome", [REMOVED, Outcome.NOT_LEADER, FAILED, UNKNOWN])
@pytest.mark.parametrize("in_doubt", [False, True])
def test_an_outcome_comes_back_whole(ledger: SqliteDatabase, reopen: Reopen, outcome: Outcome, in_doubt: bool) -> None:
    """All that is recorded of a row stands in its result, also for a new process."""
    import_rows(ledger, RUN, [row(2)])
    key = key_of(ledger, 2)
    ledger.commit(Batch([], [], [Intent(key, 3, 1000)]))
    ledger.commit(outcomes(settled(key, outcome, reason="why", message="words", in_doubt=in_doubt)))
    ledger.close()
    assert list(reopen().results()) == [
        Result(2, "R", "u2", outcome, "why", 200, "error-x", "words", 3, 1000, 2000 + key, 12, {})
    ]


def test_an_outcome_without_a_call_comes_back(ledger: SqliteDatabase) -> None:
    """A row that was not asked has no status and no duration, and no attempt."""
    import_rows(ledger, RUN, [row(2)])
    entry = settled(key_of(ledger, 2), FAILED, reason="room_not_found")._replace(http_status=None, duration_ms=None)
    ledger.commit(outcomes(entry))
    (result,) = ledger.results()
    assert (result.http_status, result.duration_ms, result.attempts, result.started_at) == (None, None, 0, None)


def test_due_is_in_job_order_and_limited(ledger: SqliteDatabase) -> None:
    """Rows come in the order of the job, at most so many, each beyond the place that was given."""
    import_rows(ledger, RUN, [row(90), bad(5), row(3), row(70), row(3, user="u90"), row(1)])
    first = ledger.fetch_due(0, 2, retry_failed=False)
    assert [pending.line for _, pending in first] == [90, 3]
    second = ledger.fetch_due(first[-1][0], 2, retry_failed=False)
    assert [pending.line for _, pending in second] == [70, 1]
    assert ledger.fetch_due(second[-1][0], 2, retry_failed=False) == []
    assert ledger.fetch_due(0, 0, retry_failed=False) == []
    places = [place for place, _ in first + second]
    assert places == sorted(places)


def test_a_pending_row_says_all_that_is_known(ledger: SqliteDatabase) -> None:
    """A row is due with its attempts and its doubt."""
    import_rows(ledger, RUN, [row(2, "ROOM", "USER"), row(3)])
    key = key_of(ledger, 2)
    ledger.commit(intents(key, attempt=4))
    assert ledger.fetch_due(0, 1, retry_failed=False)[0][1] == DueRow(key, 2, "ROOM", "USER", 4, True)


@pytest.mark.parametrize(
    ("outcome", "is_due", "is_due_with_failed"),
    [
        (REMOVED, False, False),
        (Outcome.NOT_LEADER, False, False),
        (FAILED, False, True),
        (UNKNOWN, True, True),
    ],
)
def test_what_is_due_again(ledger: SqliteDatabase, outcome: Outcome, is_due: bool, is_due_with_failed: bool) -> None:
    """Unknown rows are due, failed ones only when asked for, finished ones never; the count says the same."""
    import_rows(ledger, RUN, [row(2)])
    ledger.commit(outcomes(settled(key_of(ledger, 2), outcome)))
    for retry_failed, expected in ((False, is_due), (True, is_due_with_failed)):
        assert bool(due(ledger, retry_failed=retry_failed)) is expected
        assert ledger.count_due(retry_failed=retry_failed) == ((1, 1) if expected else (0, 0))


@pytest.mark.parametrize("retry_failed", [False, True])
@pytest.mark.parametrize("outcome", [None, *(outcome for outcome in Outcome if outcome is not NOT_ATTEMPTED)])
def test_the_sql_agrees_with_the_table_of_outcomes(
    ledger: SqliteDatabase, outcome: Outcome | None, retry_failed: bool
) -> None:
    """A row is due in SQL exactly where `is_due` says so; a row that was not attempted has no outcome in the store."""
    import_rows(ledger, RUN, [row(2)])
    if outcome is not None:
        ledger.commit(outcomes(settled(key_of(ledger, 2), outcome)))
    expected = is_due(outcome, retry_failed=retry_failed)
    assert bool(due(ledger, retry_failed=retry_failed)) is expected
    assert ledger.count_due(retry_failed=retry_failed) == ((1, 1) if expected else (0, 0))


def test_rooms_are_counted_once(ledger: SqliteDatabase) -> None:
    """The count of rows comes with the count of different rooms among them."""
    import_rows(ledger, RUN, [row(1, "A"), row(2, "A"), row(3, "B"), row(4, "C"), bad(5, "D")])
    ledger.commit(outcomes(settled(key_of(ledger, 4))))
    assert ledger.count_due(retry_failed=False) == (3, 2)


def test_an_intent_without_an_outcome_is_in_doubt(ledger: SqliteDatabase, reopen: Reopen) -> None:
    """After a crash a row with an intent and no outcome is unknown, due, and in_doubt; the others are not attempted."""
    import_rows(ledger, RUN, [row(2), row(3)])
    ledger.open_session("bulk.bot", 1)
    ledger.commit(intents(key_of(ledger, 2)))
    ledger.close()
    again = reopen()
    assert told(again) == [(2, UNKNOWN, "killed_in_flight"), (3, NOT_ATTEMPTED, "killed")]
    assert [pending.in_doubt for _, pending in again.fetch_due(0, 9, retry_failed=False)] == [True, False]


def test_a_retry_forgets_the_old_words(ledger: SqliteDatabase) -> None:
    """While a failed row is tried again it is in doubt, and what an earlier session wrote is not what it is told."""
    import_rows(ledger, RUN, [row(2)])
    key = key_of(ledger, 2)
    ledger.commit(intents(key))
    ledger.commit(outcomes(settled(key, FAILED, reason="room_not_found", message="old words")))
    ledger.commit(intents(key, attempt=2))
    (result,) = ledger.results()
    assert result == Result(2, "R", "u2", UNKNOWN, "killed_in_flight", None, "", "", 2, 1000 + key, None, None, {})


@pytest.mark.parametrize(
    ("withdrawal", "attempts", "expected"),
    [
        (IntentRollback(1, 0, False), 0, (2, NOT_ATTEMPTED, "")),
        (IntentRollback(1, 2, False), 2, (2, NOT_ATTEMPTED, "")),
        (IntentRollback(1, 2, True), 2, (2, UNKNOWN, "killed_in_flight")),
    ],
)
def test_a_withdrawal_takes_the_intent_back(
    ledger: SqliteDatabase, withdrawal: IntentRollback, attempts: int, expected: tuple[int, Outcome, str]
) -> None:
    """A request that did not leave puts doubt and attempts back to what they were."""
    import_rows(ledger, RUN, [row(2)])
    key = key_of(ledger, 2)
    ledger.commit(intents(key, attempt=3))
    ledger.commit(rollbacks(withdrawal._replace(key=key)))
    assert told(ledger) == [expected]
    pending = ledger.fetch_due(0, 1, retry_failed=False)[0][1]
    assert (pending.attempts, pending.in_doubt) == (attempts, withdrawal.in_doubt)


def test_the_first_attempt_is_the_start(ledger: SqliteDatabase) -> None:
    """A later attempt does not move the moment at which the first one left."""
    import_rows(ledger, RUN, [row(2)])
    key = key_of(ledger, 2)
    for attempt, at in ((1, 500), (2, 900)):
        ledger.commit(Batch([], [], [Intent(key, attempt, at)]))
    assert [(result.started_at, result.attempts) for result in ledger.results()] == [(500, 2)]


def test_within_a_batch_a_later_intent_stands(ledger: SqliteDatabase) -> None:
    """Outcomes and rollbacks of a batch come before its intents: a row taken back and meant again is in doubt."""
    import_rows(ledger, RUN, [row(2), row(3)])
    one, other = key_of(ledger, 2), key_of(ledger, 3)
    ledger.commit(
        Batch([settled(one, UNKNOWN)], [IntentRollback(other, 0, False)], [Intent(one, 2, 7), Intent(other, 1, 8)])
    )
    assert told(ledger) == [(2, UNKNOWN, "killed_in_flight"), (3, UNKNOWN, "killed_in_flight")]


def test_a_batch_is_taken_whole_or_not_at_all(ledger: SqliteDatabase) -> None:
    """A value in the last part of a batch that cannot be stored leaves nothing of the earlier parts."""
    import_rows(ledger, RUN, [row(2), row(3)])
    one, other = key_of(ledger, 2), key_of(ledger, 3)
    broken = Intent(other, None, 1)  # type: ignore[arg-type] # the fault: NULL where the table takes none
    with pytest.raises(StoreError):
        ledger.commit(Batch([settled(one)], [], [broken]))
    assert told(ledger) == [(2, NOT_ATTEMPTED, ""), (3, NOT_ATTEMPTED, "")]
    ledger.commit(outcomes(settled(one)))
    assert told(ledger)[0] == (2, REMOVED, "")


def test_a_full_disk_fails_the_commit_and_loses_nothing(ledger: SqliteDatabase, reopen: Reopen) -> None:
    """Where the disk takes no more the commit fails; what was durable is there, and with room it goes on."""
    import_rows(ledger, RUN, [row(line) for line in range(2, 200)])
    keys = [pending.key for _, pending in ledger.fetch_due(0, 1000, retry_failed=False)]
    ledger.commit(outcomes(settled(keys[0])))
    wal = ledger.path.with_name("ledger.sqlite-wal")
    long = "w" * 1000
    with full_disk(wal.stat().st_size + 5000), pytest.raises(StoreError, match="ledger"):
        ledger.commit(outcomes(*(settled(key, FAILED, message=long) for key in keys[1:])))
    assert [outcome for _, outcome, _ in told(ledger)].count(REMOVED) == 1
    assert ledger.count_due(retry_failed=True)[0] == len(keys) - 1
    ledger.commit(outcomes(settled(keys[1])))
    ledger.close()
    again = reopen()
    assert [outcome for _, outcome, _ in told(again)].count(REMOVED) == 2


def test_a_full_disk_undoes_the_taking_in(ledger: SqliteDatabase) -> None:
    """A job that does not fit on the disk is not half taken in."""
    import_rows(ledger, RUN, [row(2)])
    with full_disk(200_000), pytest.raises(StoreError):
        import_rows(
            ledger, RUN._replace(job_digest="big"), (row(line, extra={"x": "y" * 900}) for line in range(20_000))
        )
    assert (due(ledger), ledger.identity()) == ([2], RUN)


def test_counts_have_their_order(ledger: SqliteDatabase) -> None:
    """Counts come in the order of the outcomes, the most frequent reason first, and a reason's rows are one count."""
    import_rows(ledger, RUN, [row(line) for line in range(1, 8)] + [bad(8), row(9, user="u1")])
    keys = [pending.key for _, pending in ledger.fetch_due(0, 99, retry_failed=False)]
    ledger.commit(
        outcomes(
            settled(keys[0], FAILED, reason="a"),
            settled(keys[1], FAILED, reason="b", in_doubt=True),
            settled(keys[2], FAILED, reason="b"),
            settled(keys[3]),
        )
    )
    ledger.commit(intents(keys[4]))
    ledger.close_session("", 1)
    assert ledger.counts() == [
        Count(REMOVED, "", 1),
        Count(FAILED, "b", 2),
        Count(FAILED, "a", 1),
        Count(UNKNOWN, "killed_in_flight", 1),
        Count(INVALID, "missing_room_id", 1),
        Count(DUPLICATE, "duplicate_of", 1),
        Count(NOT_ATTEMPTED, "", 2),
    ]


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
def test_the_last_session_says_why_a_row_was_not_attempted(
    ledger: SqliteDatabase, stops: list[str | None], reason: str
) -> None:
    """A row that is not attempted is told why the last session stopped; a session without an end was killed."""
    import_rows(ledger, RUN, [row(2)])
    for at, stop in enumerate(stops):
        ledger.open_session("bulk.bot", at * 10)
        if stop is not None:
            ledger.close_session(stop, at * 10 + 5)
    assert told(ledger) == [(2, NOT_ATTEMPTED, reason)]
    assert ledger.counts() == [Count(NOT_ATTEMPTED, reason, 1)]


def test_sessions_are_listed(ledger: SqliteDatabase, reopen: Reopen) -> None:
    """Each start of the command is kept with its account and its end; closing touches the last one only."""
    ledger.open_session("one", 10)
    ledger.open_session("two", 20)
    ledger.close_session("outage", 30)
    ledger.close()
    assert reopen().sessions() == [Session(10, None, "", "one"), Session(20, 30, "outage", "two")]


def test_notes_are_kept_by_name(ledger: SqliteDatabase, reopen: Reopen) -> None:
    """A note replaces the one of the same name, and stays beside those of the identity."""
    import_rows(ledger, RUN, [])
    ledger.set_meta(finished="no", other="ü")
    ledger.set_meta(finished="yes")
    ledger.close()
    notes = reopen().get_meta()
    assert (notes["finished"], notes["other"]) == ("yes", "ü")
    assert Identity(notes["workspace"], notes["operation"], notes["job_digest"]) == RUN


def test_results_can_be_read_while_the_run_goes_on(ledger: SqliteDatabase, reopen: Reopen) -> None:
    """Another process reads the report as of its start, while this one commits; neither waits for the other."""
    import_rows(ledger, RUN, [row(line) for line in range(1, 500)])
    keys = [pending.key for _, pending in ledger.fetch_due(0, 500, retry_failed=False)]
    reader = reopen().results()
    next(reader)
    ledger.commit(outcomes(*(settled(key) for key in keys)))
    assert {result.outcome for result in reader} == {NOT_ATTEMPTED}
    assert {result.outcome for result in ledger.results()} == {REMOVED}


@pytest.mark.parametrize("call", ["due", "count_due", "commit", "results", "counts", "note", "notes", "sessions"])
def test_a_ledger_that_is_gone_fails_in_its_own_way(ledger: SqliteDatabase, call: str) -> None:
    """Whatever SQLite raises comes as StoreError, with the ledger's name."""
    import_rows(ledger, RUN, [row(2)])
    ledger.close()
    calls = {
        "due": lambda: ledger.fetch_due(0, 1, retry_failed=False),
        "count_due": lambda: ledger.count_due(retry_failed=False),
        "commit": lambda: ledger.commit(intents(1)),
        "results": lambda: list(ledger.results()),
        "counts": ledger.counts,
        "note": lambda: ledger.set_meta(x="y"),
        "notes": ledger.get_meta,
        "sessions": ledger.sessions,
    }
    with pytest.raises(StoreError, match=r"ledger\.sqlite"):
        calls[call]()


def test_a_closed_session_keeps_its_counts(ledger: SqliteDatabase) -> None:
    """While nothing changes, all rows need not be looked at again to count them; whatever changes them ends that."""
    import_rows(ledger, RUN, [row(1), row(2), row(3), bad(4)])
    ledger.open_session("bulk.bot", 1)
    ledger.commit(outcomes(settled(1), settled(2)))
    ledger.close_session("", 2)
    told = [Count(REMOVED, "", 2), Count(INVALID, "missing_room_id", 1), Count(NOT_ATTEMPTED, "", 1)]
    with sqlite3.connect(ledger.path) as behind:
        behind.execute("UPDATE pair SET outcome = 'failed', reason = 'x' WHERE key = 1")
    behind.close()
    assert ledger.counts() == told
    assert ledger.count_due(retry_failed=False) == (1, 1)
    ledger.commit(outcomes(settled(3)))
    assert ledger.counts() == [Count(REMOVED, "", 2), Count(FAILED, "x", 1), Count(INVALID, "missing_room_id", 1)]
    assert ledger.count_due(retry_failed=False) == (0, 0)


@pytest.mark.parametrize("kept", [True, False])
def test_a_change_that_fails_leaves_the_counts(ledger: SqliteDatabase, kept: bool) -> None:
    """A transaction that is undone takes nothing with it, whether counts were kept or not."""
    import_rows(ledger, RUN, [row(1), row(2)])
    ledger.open_session("bulk.bot", 1)
    if kept:
        ledger.close_session("", 2)
    before = ledger.counts()

    def broken() -> Iterator[Row]:
        yield row(9)
        raise ValueError("half a file")

    with pytest.raises(ValueError, match="half a file"):
        import_rows(ledger, RUN, broken())
    assert ledger.counts() == before
    ledger.commit(outcomes(settled(1), settled(2)))
    assert ledger.counts() == [Count(REMOVED, "", 2)]
