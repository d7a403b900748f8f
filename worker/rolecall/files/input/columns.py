"""Columns of a job: which contain the ids and names of rooms and users."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from rolecall.files.doubt_columns import DOUBT_COLUMNS
from rolecall.files.input.ids import INVISIBLE, trim
from rolecall.files.output.csv_sanitiser import parse_id_cell

MAX_EXTRA_COLUMNS = 200
MAX_NAMES_SHOWN = 10
MAX_SHOWN_LENGTH = 40
"""Characters of a name that a message shows."""
MAX_CACHED_NAMES = 1_024


class ColumnRole(Enum):
    """What a column contains."""

    ROOM = "roomId"
    USER = "userId"
    ROOM_NAME = "roomName"
    USERNAME = "username"
    EXTRA = ""


class Subject(NamedTuple):
    """The thing that one or two columns name."""

    id_role: ColumnRole
    name_role: ColumnRole
    option: str
    """The option that chooses its column."""


SUBJECTS = (
    Subject(ColumnRole.ROOM, ColumnRole.ROOM_NAME, "--room-column"),
    Subject(ColumnRole.USER, ColumnRole.USERNAME, "--user-column"),
)
COLUMN_ALIASES = {
    **dict.fromkeys(("roomid", "rid", "groupid", "channelid", "room.id", "group.id", "channel.id"), ColumnRole.ROOM),
    **dict.fromkeys(("userid", "uid", "u.id", "user.id", "member.id"), ColumnRole.USER),
    **dict.fromkeys(
        ("roomname", "groupname", "channelname", "room.name", "#name", "room", "group", "channel"), ColumnRole.ROOM_NAME
    ),
    **dict.fromkeys(("username", "u.username", "user.username", "@name", "user"), ColumnRole.USERNAME),
    **dict.fromkeys(("email", "mail", "emailaddress", "useremail", "user.email"), ColumnRole.USERNAME),
    # German
    **dict.fromkeys(("raumid", "gruppenid", "kanalid"), ColumnRole.ROOM),
    **dict.fromkeys(("benutzerid", "nutzerid"), ColumnRole.USER),
    **dict.fromkeys(("raumname", "gruppenname", "kanalname", "raum", "gruppe", "kanal"), ColumnRole.ROOM_NAME),
    **dict.fromkeys(("benutzername", "nutzername", "benutzer", "nutzer"), ColumnRole.USERNAME),
    **dict.fromkeys(("emailadresse", "mailadresse"), ColumnRole.USERNAME),
}
"""The known column names, as `normalise_name` returns them."""
VAGUE_NAMES = frozenset(
    ("room", "group", "channel", "user", "raum", "gruppe", "kanal", "benutzer", "nutzer"),
)
"""Names of columns that count only where no other column has the name."""
ADDRESS_NAMES = frozenset(
    ("email", "mail", "emailaddress", "useremail", "user.email", "emailadresse", "mailadresse"),
)
"""Names of columns with e-mail addresses: they count only where nothing else names the user."""
_ends_in_id = re.compile(r"ids?\W*\Z").search
_NOT_COUNTED = re.compile(rf"[\s_\-{INVISIBLE}]+")


class Header(NamedTuple):
    """The columns of a CSV file. Indexes count from 0; -1 where there is no such column."""

    room_index: int
    user_index: int
    extra_names: tuple[str, ...]
    """The names of the other columns, all different, in the order of the file."""
    extra_indexes: tuple[int, ...]
    width: int
    room_name_index: int = -1
    username_index: int = -1


class ColumnRoles(dict[str, ColumnRole]):
    """The role of each column name. A room or user column that a person has chosen is the only one of its kind."""

    def __init__(self, room_column: str = "", user_column: str = "") -> None:
        self.chosen = {"--room-column": room_column, "--user-column": user_column}

    def has_chosen(self, role: ColumnRole) -> bool:
        """Return whether a person has chosen the column of this kind."""
        return any(self.chosen[each.option] for each in SUBJECTS if role in (each.id_role, each.name_role))

    def __missing__(self, name: str) -> ColumnRole:
        role = self._find(name)
        if len(self) < MAX_CACHED_NAMES:
            self[name] = role
        return role

    def _find(self, name: str) -> ColumnRole:
        normalised = normalise_name(name)
        for subject in SUBJECTS:
            chosen = normalise_name(self.chosen[subject.option])
            if chosen and normalised == chosen:
                is_id = COLUMN_ALIASES.get(normalised) is subject.id_role or _ends_in_id(normalised)
                return subject.id_role if is_id else subject.name_role
        role = COLUMN_ALIASES.get(normalised, ColumnRole.EXTRA)
        return ColumnRole.EXTRA if self.has_chosen(role) else role


DEFAULT_ROLES = ColumnRoles()


def normalise_name(name: str) -> str:
    """Return a column name in lower case, without white space, invisible characters, `_`, `-` and quotes around it."""
    return _NOT_COUNTED.sub("", clean_name(name).casefold())


def clean_name(name: str) -> str:
    """Return a column name without what a spreadsheet or an editor has put around it."""
    return trim(parse_id_cell(trim(name)))


def has_subject_columns(names: Iterable[str], roles: ColumnRoles) -> bool:
    """Return whether both the room and the user have a column, with ids or names."""
    return not _missing_subjects(names, roles)


def find_header_problem(names: Sequence[str], roles: ColumnRoles) -> str:
    """Return in one sentence why a file with these columns is unusable; empty if it is usable."""
    for subject in SUBJECTS:
        columns = [clean_name(name) for name in names if roles[name] is subject.id_role]
        if not columns:
            columns = best_name_columns(
                [name for name in names if roles[name] is subject.name_role], use_addresses=True
            )
        if len(columns) > 1:
            what = subject.id_role.value
            return f"two columns name the {what}: {format_names(columns)}; keep one, or choose it with {subject.option}"
    if not has_subject_columns(names, roles):
        return (
            f"{describe_missing_columns(names, roles)}; the first line must name the columns, such as roomId,userId; "
            f"other names are chosen with {' and '.join(each.option + ' NAME' for each in SUBJECTS)}"
        )
    further = sum(clean_name(name) not in DOUBT_COLUMNS for name in names) - 2
    if further > MAX_EXTRA_COLUMNS:
        return f"{further} further columns; at most {MAX_EXTRA_COLUMNS} are carried into the report"
    return ""


def describe_missing_columns(names: Collection[str], roles: ColumnRoles) -> str:
    """Return which columns are missing among `names`, and which names look similar."""
    missing = _missing_subjects(names, roles)
    if absent := [f"'{roles.chosen[each.option]}' ({each.option})" for each in missing if roles.chosen[each.option]]:
        return f"there is no column {' and no '.join(absent)}; the columns found are {format_names(names)}"
    wanted = " and no ".join(f"{each.id_role.value} column" for each in missing)
    similar = [
        f"{format_names([name])} looks like {each.id_role.value}"
        for each in missing
        for name in _similar(each.id_role, names)
    ]
    return "; ".join([f"there is no {wanted}; the columns found are {format_names(names)}", *similar])


def parse_header(names: Sequence[str], roles: ColumnRoles) -> Header:
    """Return the columns of a header in which `find_header_problem` finds no problem."""
    found = [roles[name] for name in names]
    indexes = {role: found.index(role) if role in found else -1 for role in ColumnRole}
    for subject in SUBJECTS:
        named = [name for name in names if roles[name] is subject.name_role]
        best = best_name_columns(named, use_addresses=indexes[subject.id_role] < 0)
        indexes[subject.name_role] = names.index(best[0]) if len(best) == 1 else -1
    ids = (ColumnRole.ROOM, ColumnRole.USER)
    extra_indexes = tuple(index for index, role in enumerate(found) if role not in ids)
    return Header(
        room_index=indexes[ColumnRole.ROOM],
        user_index=indexes[ColumnRole.USER],
        extra_names=_make_unique({index: trim(names[index]) for index in extra_indexes}),
        extra_indexes=extra_indexes,
        width=len(names),
        room_name_index=indexes[ColumnRole.ROOM_NAME],
        username_index=indexes[ColumnRole.USERNAME],
    )


def best_name_columns(names: Sequence[str], *, use_addresses: bool) -> list[str]:
    """Return which of these columns name a subject: the exact ones (`roomName`), or else the vague ones (`room`).

    With `use_addresses` those of addresses count where there is no other.
    """
    others = [name for name in names if normalise_name(name) not in ADDRESS_NAMES]
    exact = [name for name in others if normalise_name(name) not in VAGUE_NAMES]
    return exact or others or (list(names) if use_addresses else [])


def format_names(names: Iterable[str]) -> str:
    """Format column names for a message: quoted, cut, at most ten of them."""
    shown = [f"'{clean_name(name)[:MAX_SHOWN_LENGTH]}'" for name in names] or ["none"]
    more = len(shown) - MAX_NAMES_SHOWN
    return ", ".join(shown[:MAX_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def unique_name(name: str, used: Collection[str]) -> str:
    """Return `name`, or `name (2)`, `name (3)` ... if it is in `used`."""
    number, candidate = 1, name
    while candidate in used:
        number += 1
        candidate = f"{name} ({number})"
    return candidate


def _missing_subjects(names: Iterable[str], roles: ColumnRoles) -> list[Subject]:
    found = {roles[name] for name in names}
    return [subject for subject in SUBJECTS if subject.id_role not in found and subject.name_role not in found]


def _make_unique(names: Mapping[int, str]) -> tuple[str, ...]:
    used: dict[str, None] = {}
    for index, name in names.items():
        used[unique_name(name or f"column {index + 1}", used)] = None
    return tuple(used)


def _similar(role: ColumnRole, names: Collection[str]) -> list[str]:
    """Return the first name that looks like a misspelt alias of `role`, if there is one."""
    from difflib import get_close_matches  # here: most headers are right

    aliases = [alias for alias, meant in COLUMN_ALIASES.items() if meant is role and len(alias) > 3]
    others = [name for name in names if DEFAULT_ROLES[name] is ColumnRole.EXTRA and len(name) <= MAX_SHOWN_LENGTH]
    return [name for name in others if get_close_matches(normalise_name(name), aliases, n=1, cutoff=0.7)][:1]
