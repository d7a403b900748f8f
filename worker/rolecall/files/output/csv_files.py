"""The CSV files of two commands: the job file that `find` writes, and `verify.csv` with the rows that differ."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TextIO

from rolecall.file_access import Target
from rolecall.files.output.csv_sanitiser import YES_NO, csv_writer, id_cell, text_cell
from rolecall.files.output.text_files import replace_atomically
from rolecall.models import RoleAssignment

VERIFY_COLUMNS = ("line", "roomId", "userId", "outcome", "reason", "hasRole", "finding", "why")
FIND_COLUMNS = ("roomId", "userId", "roomName", "userName", "fullName", "roles", "active")
MAX_NAME_CELL_LENGTH = 300
"""Characters."""


def write_find_csv(file: TextIO, rows: Iterable[RoleAssignment]) -> None:
    """Write a job file as sanitised CSV, from which a job reader returns the same ids."""
    writer = csv_writer(file)
    writer.writerow(FIND_COLUMNS)
    for row in rows:
        writer.writerow(_find_cells(row))


def _find_cells(row: RoleAssignment) -> list[str]:
    names = (row.room_name, row.username, row.name, " ".join(row.roles))
    return [
        id_cell(row.room_id),
        id_cell(row.user_id),
        *(text_cell(name, limit=MAX_NAME_CELL_LENGTH) for name in names),
        YES_NO[row.active],
    ]


class VerifyCsvRow(NamedTuple):
    """One row of the file."""

    line: int | None
    """None for a row that the job file no longer has."""
    room_id: str
    user_id: str
    outcome: str
    reason: str
    has_role: bool | None
    """None if it could not be read."""
    finding: str
    why: str


@contextmanager
def verify_csv(path: Target) -> Iterator[Callable[[VerifyCsvRow], object]]:
    """Open `verify.csv` for writing; it replaces `path` when the block ends without an error. Raises OSError."""
    with replace_atomically(path) as file:
        writer = csv_writer(file)
        writer.writerow(VERIFY_COLUMNS)
        yield lambda row: writer.writerow(_verify_cells(row))


def _verify_cells(row: VerifyCsvRow) -> list[str | int | None]:
    return [
        row.line,
        id_cell(row.room_id),
        id_cell(row.user_id),
        row.outcome,
        text_cell(row.reason),
        YES_NO[row.has_role],
        row.finding,
        text_cell(row.why),
    ]
