"""The doubts in `retry.csv`: what a run wrote is read again, and nothing that was edited is believed."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.files.doubt_columns import DOUBT_COLUMNS, RunTarget, belongs_to, doubt_cells, take_doubt
from rolecall.files.input.columns import MAX_EXTRA_COLUMNS
from rolecall.files.input.job import open_job
from rolecall.files.output.report import ReportFiles
from rolecall.models import Outcome, Prior, PriorState, Result, Row, RowDoubt
from tests.support.job_files import extra_columns, write_report

TARGET = RunTarget("https://chat.example.org", "groups.removeLeader")
PRIOR = Prior(PriorState.HAS_ROLE, 1_772_357_400_250, "anna", ("bot1", "bot2"))
ATTEMPTED_AT = 1_772_357_401_000


def result(room: str = "r", user: str = "u", prior: Prior = PRIOR, outcome: Outcome = Outcome.UNKNOWN) -> Result:
    """Return the result of a row."""
    made = Result(2, room, user, outcome, "answer_lost", None, "", "", 1, 1, 2, 3, {"note": "x"})
    return made._replace(prior=prior, attempted_at=ATTEMPTED_AT)


def as_row(cells: list[str], room: str = "r", user: str = "u") -> Row:
    """Return the row that a job file with these cells has."""
    row = take_doubt(Row(2, room, user, {"note": "x", **dict(zip(DOUBT_COLUMNS, cells, strict=True))}))
    assert isinstance(row, Row)
    return row


@given(
    st.sampled_from([PriorState.HAS_ROLE, PriorState.MEMBER, PriorState.UNKNOWN]),
    st.none() | st.integers(0, 4_000_000_000_000),
    st.sampled_from(["", "anna", "=cmd", "-dash", "'quoted", "@at", "ä.b"]),
    st.lists(st.text("abcXYZ0123456789-=", min_size=1, max_size=17), max_size=3),
)
def test_a_doubt_is_read_as_it_was_written(
    state: PriorState, read_at: int | None, username: str, accounts: list[str]
) -> None:
    """Every prior state, also with names that a spreadsheet would take for a formula, comes back with a valid seal."""
    prior = Prior(state, read_at, username, tuple(accounts))
    row = as_row(doubt_cells(result(prior=prior), TARGET))
    assert row.extra == {"note": "x"}
    assert row.doubt is not None
    assert row.doubt._replace(seal="") == RowDoubt("answer_lost", prior, ATTEMPTED_AT)
    assert belongs_to(row, TARGET)


@pytest.mark.parametrize("number", range(len(DOUBT_COLUMNS)))
@pytest.mark.parametrize("text", ["", "member", "2026-03-01T09:30:02Z", "other", "2026-99-99", "0000000000000000"])
def test_an_edited_value_is_not_believed(number: int, text: str) -> None:
    """Whatever is put into any of the columns, the doubt does not belong to the run any more."""
    cells = doubt_cells(result(), TARGET)
    cells[number] = text
    assert not belongs_to(as_row(cells), TARGET)


@pytest.mark.parametrize(
    ("room", "user", "target"),
    [
        ("other", "u", TARGET),
        ("r", "other", TARGET),
        ("r", "u", TARGET._replace(workspace="https://other.example.org")),
        ("r", "u", TARGET._replace(operation="groups.removeOwner")),
        ("r", "u", TARGET._replace(operation="check of groups.removeLeader")),
    ],
)
def test_a_doubt_belongs_to_its_pair_workspace_and_operation(room: str, user: str, target: RunTarget) -> None:
    """A doubt that was moved to another row or run is not believed."""
    assert not belongs_to(as_row(doubt_cells(result(), TARGET), room, user), target)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.NOT_ATTEMPTED])
def test_other_rows_carry_no_doubt(outcome: Outcome) -> None:
    """Only unknown rows are in doubt; the cells of the others are empty, and empty cells are no doubt."""
    cells = doubt_cells(result(outcome=outcome), TARGET)
    assert set(cells) == {""}
    assert as_row(cells).doubt is None


def test_the_columns_are_not_the_jobs(tmp_path: Path) -> None:
    """`retry.csv` is a job file with the job's own columns, however many: those of the doubt are not among them."""
    names = [f"c{number}" for number in range(MAX_EXTRA_COLUMNS)]
    rows = [result(), result(user="v", outcome=Outcome.FAILED)]
    write_report(tmp_path, rows, names, ReportFiles(doubts_of=TARGET))
    with open_job(str(tmp_path / "retry.csv")) as job:
        first, second = job.rows()
        assert extra_columns(job.rows()) == tuple(names)
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert belongs_to(first, TARGET)
    assert second.doubt is None


def test_without_doubts_there_are_no_such_columns(tmp_path: Path) -> None:
    """A retry file of a run without unknown rows has the ids and the job's columns only."""
    write_report(tmp_path, [result(outcome=Outcome.FAILED)], ["note"], ReportFiles())
    with (tmp_path / "retry.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["roomId", "userId", "note"]
