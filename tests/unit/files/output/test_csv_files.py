"""The job file that `find` writes: read back by the job reader, without formulas for a spreadsheet."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from rolecall.files.input.job import open_job
from rolecall.files.output.csv_files import FIND_COLUMNS, write_find_csv
from rolecall.models import RoleAssignment, Row
from tests.support.job_files import extra_columns, usable_ids

NAMES = st.text(st.characters(codec="utf-8"), max_size=30)
ROWS = st.builds(
    RoleAssignment,
    usable_ids,
    usable_ids,
    NAMES,
    NAMES,
    NAMES,
    st.lists(NAMES, max_size=3).map(tuple),
    st.sampled_from([True, False, None]),
)


@given(st.lists(ROWS, min_size=1, max_size=5))
def test_a_job_reader_returns_the_same_ids(rows: list[RoleAssignment]) -> None:
    """With any ids, the rows of the file are exactly the pairs that were found."""
    text = io.StringIO(newline="")
    write_find_csv(text, rows)
    with open_job("-", io.BytesIO(text.getvalue().encode())) as job:
        read = list(job.rows())
    assert [(row.room_id, row.user_id) for row in read if isinstance(row, Row)] == [row[:2] for row in rows]
    assert extra_columns(read) == FIND_COLUMNS[2:]


@given(ROWS)
def test_no_cell_is_a_formula(row: RoleAssignment) -> None:
    """Hostile names are text in a spreadsheet and do not break a row."""
    text = io.StringIO(newline="")
    write_find_csv(text, [row])
    _, cells = csv.reader(io.StringIO(text.getvalue(), newline=""))
    assert len(cells) == len(FIND_COLUMNS)
    assert not any(cell.strip().startswith(("=", "+", "-", "@")) for cell in cells)


def test_the_row_is_written_for_people_too() -> None:
    """The names, all roles and whether the account is active are in the row, after the ids."""
    text = io.StringIO(newline="")
    write_find_csv(text, [RoleAssignment("r", "u", "budget", "anna", "Anna K", ("leader", "owner"), active=False)])
    assert text.getvalue().splitlines() == [
        "roomId,userId,roomName,userName,fullName,roles,active",
        "r,u,budget,anna,Anna K,leader owner,no",
    ]
