"""`verify.csv`: the rows where the workspace is not as the report says, or could not be read."""

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rolecall.files.output.atomic_write import replace_atomically
from rolecall.files.output.csv_sanitiser import id_cell, text_cell

VERIFY_COLUMNS = ("line", "roomId", "userId", "outcome", "reason", "hasRole", "finding", "why")


class VerifyCsvRow(NamedTuple):
    """One row of the file."""

    line: int | None
    """None for a row that the job file no longer has."""
    room_id: str
    user_id: str
    outcome: str
    reason: str
    has_role: bool | None
    """None where it could not be read."""
    finding: str
    why: str


@contextmanager
def verify_csv(path: Path) -> Iterator[Callable[[VerifyCsvRow], object]]:
    """Write the rows that are told to `path`, which takes its place when the block ends well. Raises OSError."""
    with replace_atomically(path) as file:
        rows = csv.writer(file, lineterminator="\r\n")
        rows.writerow(VERIFY_COLUMNS)

        def write(odd: VerifyCsvRow) -> None:
            line, room_id, user_id, outcome, reason, has_role, finding, why = odd
            held = {True: "yes", False: "no", None: ""}[has_role]
            ids = id_cell(room_id), id_cell(user_id)
            rows.writerow((line, *ids, outcome, text_cell(reason), held, finding, text_cell(why)))

        yield write
