"""Rows of a database and the values of a store: what each column becomes, what is counted, and what is stored."""

import json
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rolecall.models import UNKNOWN_PRIOR, DueRow, Outcome, Prior, PriorState, Result, RowDoubt, is_due
from rolecall.store.records import DOUBT_MESSAGE, KILLED, KILLED_IN_FLIGHT, Count, Intent, Pair, PriorRecord, Session
from rolecall.store.rows import (
    Group,
    batch_json,
    counts_of,
    doubt_columns,
    evidence_counts_of,
    intent_values,
    json_text,
    keyed_json,
    prior_values,
    removed_in_doubt_of,
    reported_outcome,
    stop_reason_of,
    to_due_row,
    to_pair,
    to_prior,
    to_result,
    to_text,
)

LED = Prior(PriorState.HAS_ROLE, 5, "lea", ("bot", "bot-2"))
LED_COLUMNS = ("has_role", 5, "lea", "bot bot-2")
NO_COLUMNS = (None, None, None, None)

# Counts


@pytest.mark.parametrize("retry_failed", [False, True])
@pytest.mark.parametrize("outcome", [None, *Outcome])
def test_only_rows_of_the_job_are_due(outcome: Outcome | None, retry_failed: bool) -> None:
    """Pairs that left the job and rows that are never sent are not, whatever their outcome."""
    due = [Group(part, outcome or "", "", 0, "", 1) for part in ("job", "removed", "unsent")]
    expected = [is_due(outcome, retry_failed=retry_failed), False, False]
    assert [group.is_due(retry_failed=retry_failed) for group in due] == expected


@pytest.mark.parametrize(
    ("part", "outcome", "in_doubt", "is_counted"),
    [
        ("removed", "", 1, True),
        ("removed", "unknown", 0, True),
        ("removed", "", 0, False),
        ("removed", "failed", 0, False),
        ("job", "", 1, False),
        ("job", "unknown", 1, False),
        ("unsent", "unknown", 1, False),
    ],
)
def test_doubts_of_pairs_that_left_the_job(part: str, outcome: str, in_doubt: int, is_counted: bool) -> None:
    """In doubt without an outcome, or `unknown`; each pair of the group counts."""
    group = Group(part, outcome, "", in_doubt, "", 3)
    assert group.is_removed_in_doubt is is_counted
    assert removed_in_doubt_of([group, Group("removed", "unknown", "", 1, "", 2)]) == (5 if is_counted else 2)


def test_rows_are_counted_by_what_is_reported() -> None:
    """By outcome in its order, then the most frequent reason first, then by the reason."""
    groups = [
        Group("job", "failed", "b", 0, "", 2),
        Group("job", "failed", "a", 0, "", 2),
        Group("job", "failed", "c", 0, "response", 1),
        Group("removed", "failed", "c", 0, "", 4),
        Group("job", "", "", 1, "", 3),
        Group("job", "", "", 0, "", 6),
        Group("unsent", "invalid", "missing_room_id", 0, "", 1),
        Group("job", "removed", "", 0, "response", 7),
    ]
    assert counts_of(groups, "outage") == sorted(
        [
            Count(Outcome.REMOVED, "", 7),
            Count(Outcome.FAILED, "c", 5),
            Count(Outcome.FAILED, "a", 2),
            Count(Outcome.FAILED, "b", 2),
            Count(Outcome.UNKNOWN, KILLED_IN_FLIGHT, 3),
            Count(Outcome.NOT_ATTEMPTED, "outage", 6),
            Count(Outcome.INVALID, "missing_room_id", 1),
        ],
        key=lambda count: list(Outcome).index(count.outcome),
    )
    assert counts_of([], "") == []


def test_evidence_is_counted_of_pairs_with_an_outcome() -> None:
    """By outcome and evidence, over all reasons, with the pairs that left the job."""
    groups = [
        Group("job", "removed", "", 0, "response", 5),
        Group("removed", "removed", "x", 0, "response", 2),
        Group("job", "removed", "", 0, "message", 1),
        Group("job", "", "", 1, "", 9),
        Group("unsent", "invalid", "", 0, "", 4),
    ]
    expected = {(Outcome.REMOVED, "response"): 7, (Outcome.REMOVED, "message"): 1}
    assert evidence_counts_of(groups) == Counter(expected)


def test_the_stop_reason_is_that_of_the_latest_session() -> None:
    """Empty without a session."""
    killed, stopped = Session(1, None, "", "bot"), Session(2, 3, "outage", "bot")
    assert [stop_reason_of(each) for each in ([], [killed], [killed, stopped])] == ["", KILLED, "outage"]


@pytest.mark.parametrize(
    ("outcome", "reason", "in_doubt", "expected"),
    [
        ("failed", "forbidden", 1, (Outcome.FAILED, "forbidden")),
        ("removed", None, 0, (Outcome.REMOVED, "")),
        (None, "old", 1, (Outcome.UNKNOWN, KILLED_IN_FLIGHT)),
        (None, "old", 0, (Outcome.NOT_ATTEMPTED, "stop")),
    ],
)
def test_what_is_reported(
    outcome: str | None, reason: str | None, in_doubt: int, expected: tuple[Outcome, str]
) -> None:
    """The recorded outcome; without one the doubt, or the stop reason."""
    assert reported_outcome(outcome, reason, in_doubt, "stop") == expected


# Rows of the database


def test_a_pair_from_its_columns() -> None:
    """Empty columns are empty texts, and no outcome."""
    full = to_pair((7, 2, "R", "u", "failed", "forbidden", 1, "general", "lea"))
    assert full == Pair(7, 2, "R", "u", Outcome.FAILED, "forbidden", True, "general", "lea")
    assert type(full.outcome) is Outcome
    bare = to_pair((7, None, "R", "u", None, None, 0, None, None))
    assert bare == Pair(7, None, "R", "u", None, "", False)
    assert (bare.in_doubt, bare.reason, bare.room_name, bare.username) == (False, "", "", "")


def result_row(outcome: str | None, *, in_doubt: int = 0) -> tuple[object, ...]:
    """Return the columns of a row of the report with every value."""
    words = ("reason", 400, "error-x", "words")
    times = (2, 10, 30, 20)
    return (
        7, 1, "R", "u", outcome, *words, *times, '{"a":1}', in_doubt, "roles", *LED_COLUMNS, 11, "general", "old",
    )  # fmt: skip


def test_a_result_from_its_columns() -> None:
    """Every value has its place; the username of the prior state is newer than that of the row."""
    expected = Result(
        1, "R", "u", Outcome.FAILED, "reason", 400, "error-x", "words", 2, 10, 30, 20, {"a": 1}, "roles", LED, 11,
        "general", "lea",
    )  # fmt: skip
    assert to_result(result_row("failed"), "stop") == expected
    nameless = (*result_row("failed")[:18], None, *result_row("failed")[19:])
    assert to_result(nameless, "stop") == expected._replace(prior=LED._replace(username=""), username="old")


@pytest.mark.parametrize(
    ("in_doubt", "reported"), [(1, (Outcome.UNKNOWN, KILLED_IN_FLIGHT)), (0, (Outcome.NOT_ATTEMPTED, "stop"))]
)
def test_a_result_without_an_outcome_has_nothing_of_an_earlier_one(
    in_doubt: int, reported: tuple[Outcome, str]
) -> None:
    """Status, words, time and evidence of an earlier session do not describe the row any more."""
    expected = Result(
        1, "R", "u", *reported, None, "", "", 2, 10, None, None, {"a": 1}, "", LED, 11, "general", "lea"
    )  # fmt: skip
    assert to_result(result_row(None, in_doubt=in_doubt), "stop") == expected


def test_a_result_of_a_row_that_was_never_sent() -> None:
    """Empty columns are empty texts; its prior state is not known."""
    row = (7, 1, "R", "u", "invalid", *(None,) * 4, 0, *(None,) * 4, 0, None, *NO_COLUMNS, None, None, None)
    assert to_result(row, "") == Result(1, "R", "u", Outcome.INVALID, "", None, "", "", 0, None, None, None, {})


def test_a_due_row_from_its_columns() -> None:
    """With its place; without a prior state it must be read."""
    full = to_due_row((3, 7, 1, "R", "u", 2, 1, *LED_COLUMNS, 11, "general", "old", "failed", "why"))
    assert full == (3, DueRow(7, 1, "R", "u", 2, True, LED, 11, "general", "old", Outcome.FAILED, "why"))
    assert type(full[1].outcome) is Outcome
    assert full[1].in_doubt is True
    bare = to_due_row((3, 7, 1, "R", "u", 0, 0, *NO_COLUMNS, None, None, None, None, None))
    assert bare == (3, DueRow(7, 1, "R", "u", 0, False))
    assert (bare[1].prior, bare[1].room_name, bare[1].username) == (None, "", "")


def test_a_prior_state_from_its_columns() -> None:
    """Unknown without a state; a word that no version knows is an error, and no state."""
    assert to_prior(*LED_COLUMNS) == LED
    assert type(to_prior(*LED_COLUMNS).state) is PriorState
    assert to_prior("member", None, None, None) == Prior(PriorState.MEMBER)
    assert to_prior(None, 5, "lea", "bot") is UNKNOWN_PRIOR
    with pytest.raises(ValueError, match="'chief' is not a valid"):
        to_prior("chief", 5, "lea", "bot")
    with pytest.raises(ValueError, match="'done' is not a valid"):
        to_result(result_row("done"), "")


# What is stored


def test_the_values_that_statements_get() -> None:
    """In the order of their columns, which the way back understands."""
    assert intent_values(Intent(7, 2, 1000, LED)) == (7, 2, 1000, *LED_COLUMNS)
    assert prior_values(PriorRecord(7, LED, "general")) == (7, *LED_COLUMNS, "general")
    doubt = RowDoubt("time\x00out", LED._replace(username="le\ud800a", accounts=("b\x00t",)), 1000)
    expected = ("time\ufffdout", DOUBT_MESSAGE, "has_role", 5, "le\ufffda", "b\ufffdt", 1000)
    assert doubt_columns(doubt) == expected


TEXTS = st.lists(st.characters() | st.sampled_from("\x00\ud800\udfff\\u0"), max_size=8).map("".join)
ENTRIES = st.lists(
    st.tuples(st.integers(0, 99), TEXTS | st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(PriorState)),
    max_size=4,
    unique_by=lambda entry: entry[0],
)


def stored(entry: tuple[object, ...]) -> list[object]:
    """Return what the database gets of an entry."""
    return [to_text(str(value)) if isinstance(value, str) else value for value in entry]


@given(ENTRIES)
@example([(1, "a\x00b"), (2, "c")])
@example([(1, "a\ud800b"), (2, None), (3, PriorState.MEMBER)])
def test_a_batch_is_stored_as_it_is_but_for_what_is_no_text(entries: list[tuple[object, ...]]) -> None:
    """Zero bytes and lone surrogates are replaced, in every entry; all else comes back unchanged."""
    assert json.loads(batch_json(entries)) == [stored(entry) for entry in entries]
    assert json.loads(keyed_json(entries)) == {str(entry[0]): stored(entry) for entry in entries}
    assert "\\u0000" not in json.dumps(json.loads(batch_json(entries)))


@given(st.dictionaries(TEXTS, TEXTS | st.integers(-9, 9) | st.none(), max_size=4))
def test_further_columns_are_stored_as_json_text(extra: dict[str, object]) -> None:
    """Lone surrogates, which are not text, are replaced; what is text is the same."""
    text = json_text(extra)
    text.encode()
    if all(key.isprintable() and str(value).isprintable() for key, value in extra.items()):
        assert json.loads(text) == extra


def test_what_is_replaced_in_a_text() -> None:
    """Each zero byte and each lone surrogate, and nothing beside them."""
    assert to_text("a\x00b\ud800c\udfff") == "a\ufffdb\ufffdc\ufffd"
    assert to_text("\x01\ud7ff\ue000\U0001f600") == "\x01\ud7ff\ue000\U0001f600"
    assert json.loads(json_text({"k\ud800": "é"})) == {"k\ufffd": "é"}
