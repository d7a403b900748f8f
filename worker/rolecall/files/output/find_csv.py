"""What was found: rows of a job file that people can read too."""

import csv
from collections.abc import Iterable
from typing import NamedTuple, TextIO

from rolecall.files.output.csv_sanitiser import id_cell, text_cell

FIND_COLUMNS = ("roomId", "userId", "roomName", "userName", "fullName", "roles", "active")
MAX_NAME_LENGTH = 300


class RoleAssignment(NamedTuple):
    """One user who has the role in one room."""

    room_id: str
    user_id: str
    room_name: str
    username: str
    name: str
    roles: tuple[str, ...]
    """Every role of the user in this room, in the order of the alphabet."""
    active: bool | None
    """False for a deactivated account; None where that was not told."""


class LookupGap(NamedTuple):
    """Something that could not be seen, so that rows may be missing."""

    reason: str
    what: str
    """A user, a room or a list, in the words of who asked."""
    detail: str = ""
    """The workspace's own words, where they say more than the reason."""


class LookupResult(NamedTuple):
    """What one question to the workspace brought."""

    unit: str
    """The question, in words that stay the same when the command is given again."""
    about: str = ""
    """The id of the user or the room; empty where it is not known."""
    rows: tuple[RoleAssignment, ...] = ()
    unseen: LookupGap | None = None
    note: str = ""
    """What a person may want to know of this answer; empty where there is nothing."""


def write_find_csv(file: TextIO, rows: Iterable[RoleAssignment]) -> None:
    """Write a job file: CSV as RFC 4180 has it (CRLF), harmless in a spreadsheet, whose ids a job reader gets back."""
    table = csv.writer(file, lineterminator="\r\n")
    table.writerow(FIND_COLUMNS)
    table.writerows(map(_cells, rows))


def _cells(row: RoleAssignment) -> list[str]:
    names = (row.room_name, row.username, row.name, " ".join(row.roles))
    active = "" if row.active is None else "yes" if row.active else "no"
    return [
        id_cell(row.room_id),
        id_cell(row.user_id),
        *(text_cell(name, limit=MAX_NAME_LENGTH) for name in names),
        active,
    ]
