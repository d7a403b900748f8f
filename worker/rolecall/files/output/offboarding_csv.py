"""The combined report of an offboarding: every row of its runs, and the people of whom nothing is known."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rolecall.files.output.csv_sanitiser import csv_writer, id_cell, text_cell
from rolecall.files.output.text_files import replace_atomically
from rolecall.models import CsvStyle, Outcome
from rolecall.text import rfc3339

OFFBOARDING_COLUMNS = (
    "operation",
    "person",
    "roomId",
    "roomName",
    "userId",
    "username",
    "outcome",
    "reason",
    "message",
    "finishedAt",
    "evidence",
)


class OffboardingRow(NamedTuple):
    """One row: a role of a person in a room, or a person of whom no role is known (without operation and room)."""

    operation: str
    person: str
    """As the list names the person."""
    room_id: str
    room_name: str
    user_id: str
    username: str
    outcome: Outcome
    reason: str
    message: str
    finished_at: int | None
    evidence: str


@contextmanager
def offboarding_csv(path: Path, style: CsvStyle) -> Iterator[Callable[[OffboardingRow], object]]:
    """Open the report for writing; it replaces `path` when the block ends without an error. Raises OSError."""
    with replace_atomically(path) as file:
        writer = csv_writer(file, style)
        writer.writerow(OFFBOARDING_COLUMNS)
        yield lambda row: writer.writerow(_cells(row))


def _cells(row: OffboardingRow) -> list[str | None]:
    return [
        row.operation,
        text_cell(row.person),
        id_cell(row.room_id),
        text_cell(row.room_name),
        id_cell(row.user_id),
        text_cell(row.username),
        row.outcome.value,
        text_cell(row.reason),
        text_cell(row.message),
        rfc3339(row.finished_at),
        row.evidence,
    ]
