"""The job file that `find` writes: ids for the job reader, names for people."""

from collections.abc import Iterable
from typing import TextIO

from rolecall.files.output.csv_sanitiser import MAX_NAME_CELL_LENGTH, YES_NO, csv_writer, id_cell, text_cell
from rolecall.models import RoleAssignment

FIND_COLUMNS = ("roomId", "userId", "roomName", "userName", "fullName", "roles", "active")


def write_find_csv(file: TextIO, rows: Iterable[RoleAssignment]) -> None:
    """Write a job file as sanitised CSV, from which a job reader returns the same ids."""
    writer = csv_writer(file)
    writer.writerow(FIND_COLUMNS)
    for row in rows:
        writer.writerow(_cells(row))


def _cells(row: RoleAssignment) -> list[str]:
    names = (row.room_name, row.username, row.name, " ".join(row.roles))
    return [
        id_cell(row.room_id),
        id_cell(row.user_id),
        *(text_cell(name, limit=MAX_NAME_CELL_LENGTH) for name in names),
        YES_NO[row.active],
    ]
