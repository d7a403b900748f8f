"""`verify.csv`: the rows whose role in the workspace differs from the report, or could not be read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rolecall.files.output.atomic_write import replace_atomically
from rolecall.files.output.csv_sanitiser import YES_NO, csv_writer, id_cell, name_cell, text_cell

VERIFY_COLUMNS = ("line", "roomId", "userId", "outcome", "reason", "hasRole", "finding", "why", "roomName", "username")


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
def verify_csv(path: Path) -> Iterator[Callable[[VerifyCsvRow], object]]:
    """Open `verify.csv` for writing; it replaces `path` when the block ends without an error. Raises OSError."""
    with replace_atomically(path) as file:
        writer = csv_writer(file)
        writer.writerow(VERIFY_COLUMNS)
        yield lambda row: writer.writerow(_cells(row))


def _cells(row: VerifyCsvRow) -> list[str | int | None]:
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
