"""Columns and ids of a job: which columns have the room and the user, and whether an id is usable."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from rolecall.files.doubt_columns import DOUBT_COLUMNS
from rolecall.models import MAX_ID_LENGTH
from rolecall.text import UNSAFE

MAX_EXTRA_COLUMNS = 200
MAX_NAMES_SHOWN = 10
MAX_SHOWN_LENGTH = 40
"""Characters of a name that a message shows."""


class ColumnRole(Enum):
    """What a column contains."""

    ROOM = "roomId"
    USER = "userId"
    EXTRA = ""


ID_ROLES = (ColumnRole.ROOM, ColumnRole.USER)
COLUMN_ALIASES = {
    "roomid": ColumnRole.ROOM,
    "rid": ColumnRole.ROOM,
    "groupid": ColumnRole.ROOM,
    "userid": ColumnRole.USER,
    "uid": ColumnRole.USER,
}
"""The known column names, as `normalise_name` returns them."""


class Header(NamedTuple):
    """The columns of a CSV file. Indexes count from 0."""

    room_index: int
    user_index: int
    extra_names: tuple[str, ...]
    """The names of the other columns, all different, in the order of the file."""
    extra_indexes: tuple[int, ...]
    width: int


def normalise_name(name: str) -> str:
    """Return a column name in lower case, without white space, `_` and `-`."""
    return "".join(c for c in name.casefold() if not c.isspace() and c not in "_-")


@lru_cache(maxsize=1024)
def column_role(name: str) -> ColumnRole:
    """Return what the column called `name` contains."""
    return COLUMN_ALIASES.get(normalise_name(name), ColumnRole.EXTRA)


def has_id_columns(names: Iterable[str]) -> bool:
    """Return whether both the room and the user have a column."""
    return set(ID_ROLES) <= {column_role(name) for name in names}


def find_header_problem(names: Sequence[str]) -> str:
    """Return in one sentence why a file with these columns is unusable; empty if it is usable."""
    for role in ID_ROLES:
        columns = [name.strip() for name in names if column_role(name) is role]
        if len(columns) > 1:
            return f"two columns name the {role.value}: {format_names(columns)}; keep one"
    if not has_id_columns(names):
        return f"{describe_missing_columns(names)}; the first line must name the columns, such as roomId,userId"
    further = sum(name.strip() not in DOUBT_COLUMNS for name in names) - 2
    if further > MAX_EXTRA_COLUMNS:
        return f"{further} further columns; at most {MAX_EXTRA_COLUMNS} are carried into the report"
    return ""


def describe_missing_columns(names: Collection[str]) -> str:
    """Return which id columns are missing among `names`, and which names look similar."""
    missing = [role for role in ID_ROLES if not any(column_role(name) is role for name in names)]
    wanted = " and no ".join(f"{role.value} column" for role in missing)
    similar = [f"{format_names([name])} looks like {role.value}" for role in missing for name in _similar(role, names)]
    return "; ".join([f"there is no {wanted}; the columns found are {format_names(names)}", *similar])


def parse_header(names: Sequence[str]) -> Header:
    """Return the columns of a header in which `find_header_problem` finds no problem."""
    roles = [column_role(name) for name in names]
    extra_indexes = tuple(index for index, role in enumerate(roles) if role is ColumnRole.EXTRA)
    return Header(
        room_index=roles.index(ColumnRole.ROOM),
        user_index=roles.index(ColumnRole.USER),
        extra_names=_make_unique({index: names[index].strip() for index in extra_indexes}),
        extra_indexes=extra_indexes,
        width=len(names),
    )


def format_names(names: Iterable[str]) -> str:
    """Format column names for a message: quoted, cut, at most ten of them."""
    shown = [f"'{name.strip()[:MAX_SHOWN_LENGTH]}'" for name in names] or ["none"]
    more = len(shown) - MAX_NAMES_SHOWN
    return ", ".join(shown[:MAX_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def unique_name(name: str, used: Collection[str]) -> str:
    """Return `name`, or `name (2)`, `name (3)` ... if it is in `used`."""
    number, candidate = 1, name
    while candidate in used:
        number += 1
        candidate = f"{name} ({number})"
    return candidate


is_simple_id = re.compile(r"[!-&(-~][!-~]{0,255}").fullmatch
"""Match an id that needs no trimming and no further check, as nearly every id does: printable ASCII without blanks and
without an apostrophe in front. A fast path."""


def find_id_problem(room_id: str, user_id: str) -> str:
    """Return the reason (of BAD_ROW_REASONS) why a trimmed pair is unusable; empty if it is usable.

    Ids are opaque: only what can be no id at all is rejected.
    """
    for name, text in (("room_id", room_id), ("user_id", user_id)):
        if not text:
            return f"missing_{name}"
        if len(text) > MAX_ID_LENGTH:
            return f"{name}_too_long"
        if UNSAFE.search(text):
            return f"{name}_control_character"
    return ""


def _make_unique(names: Mapping[int, str]) -> tuple[str, ...]:
    used: dict[str, None] = {}
    for index, name in names.items():
        used[unique_name(name or f"column {index + 1}", used)] = None
    return tuple(used)


def _similar(role: ColumnRole, names: Collection[str]) -> list[str]:
    """Return the first name that looks like a misspelt alias of `role`, if there is one."""
    aliases = [alias for alias, meant in COLUMN_ALIASES.items() if meant is role and len(alias) > 3]
    others = [name for name in names if column_role(name) is ColumnRole.EXTRA and len(name) <= MAX_SHOWN_LENGTH]
    return [name for name in others if get_close_matches(normalise_name(name), aliases, n=1, cutoff=0.7)][:1]
