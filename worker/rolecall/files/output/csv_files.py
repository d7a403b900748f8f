"""The CSV files of two commands: the job file that `find` writes, and `verify.csv` with the rows that differ."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TextIO

from rolecall.file_access import Target
from rolecall.files.output.csv_sanitiser import RFC_4180, YES_NO, csv_writer, id_cell, name_cell, text_cell
from rolecall.files.output.text_files import replace_atomically
from rolecall.models import CsvStyle, RoleAssignment

VERIFY_COLUMNS = ("line", "roomId", "userId", "outcome", "reason", "hasRole", "finding", "why", "roomName", "username")
FIND_COLUMNS = ("roomId", "userId", "roomName", "userName", "fullName", "roles", "active")


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
        *map(name_cell, names),
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
    room_name: str = ""
    username: str = ""


@contextmanager
def verify_csv(path: Target, style: CsvStyle = RFC_4180) -> Iterator[Callable[[VerifyCsvRow], object]]:
    """Open `verify.csv` for writing; it replaces `path` when the block ends without an error. Raises OSError."""
    with replace_atomically(path) as file:
        writer = csv_writer(file, style)
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
        name_cell(row.room_name),
        name_cell(row.username),
    ]
