"""The example files in `jobs/`."""

from pathlib import Path

import pytest

from rolecall.files.input.ids import BAD_ROW_REASONS
from rolecall.files.input.job import open_job
from rolecall.models import BadRow, JobRow, Row

JOBS = Path(__file__).parents[4] / "jobs"
REFERENCE = JOBS.parent / "docs/reference.md"


def rows_of(name: str) -> list[JobRow]:
    """Return the rows of an example."""
    with open_job(str(JOBS / name)) as job:
        return list(job.rows())


def test_the_examples_are_the_same_rows() -> None:
    """The three examples differ only in their format, and all their rows are usable."""
    csv_rows, array, lines = (rows_of(f"example.{suffix}") for suffix in ("csv", "json", "jsonl"))
    assert [row[1:] for row in csv_rows] == [row[1:] for row in array] == [row[1:] for row in lines]
    assert len(csv_rows) == 6
    assert all(isinstance(row, Row) for row in csv_rows)


def test_the_broken_example_shows_the_mistakes_of_a_csv() -> None:
    """`broken.csv` has some usable rows, a pair twice, and the reasons for which a CSV row can be unusable."""
    rows = rows_of("broken.csv")
    good = [row[1:3] for row in rows if isinstance(row, Row)]
    assert len(good) > len(set(good)) > 1
    assert {row.reason for row in rows if isinstance(row, BadRow)} == {
        "missing_room_id",
        "missing_user_id",
        "too_many_cells",
        "bad_quotes",
        "room_id_control_character",
        "user_id_control_character",
        "room_id_too_long",
    }


@pytest.mark.parametrize("reason", BAD_ROW_REASONS)
def test_every_reason_is_documented(reason: str) -> None:
    """Every reason that a report can have is in the reference."""
    assert f"`{reason}`" in REFERENCE.read_text(encoding="utf-8")
