"""Which columns name the room and the user, and what the further columns are called."""

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

MOST_EXTRA_COLUMNS = 200


class Role(Enum):
    """What a column is for."""

    ROOM = "roomId"
    USER = "userId"
    EXTRA = ""


ALIASES = {
    "roomid": Role.ROOM,
    "rid": Role.ROOM,
    "groupid": Role.ROOM,
    "userid": Role.USER,
    "uid": Role.USER,
}
"""The names known, without case, white space, `_` and `-`."""


class Header(NamedTuple):
    """The columns of a table, found in its header."""

    room: int
    """The place of the room's column, from 0; `user` likewise."""
    user: int
    extra: tuple[str, ...]
    """The further columns' names, each different, in the order of the file."""
    extra_places: tuple[int, ...]
    width: int


@lru_cache(maxsize=1024)
def role_of(name: str) -> Role:
    """Tell what the column called `name` is for."""
    return ALIASES.get(_normal(name), Role.EXTRA)


def names_both(names: Iterable[str]) -> bool:
    """Tell whether both the room and the user have a column."""
    return {Role.ROOM, Role.USER} <= {role_of(name) for name in names}


def fault_of(names: Sequence[str]) -> str:
    """Say in one sentence why a file with these columns cannot be used; empty when it can."""
    for role in (Role.ROOM, Role.USER):
        named = [name.strip() for name in names if role_of(name) is role]
        if len(named) > 1:
            return f"two columns name the {role.value}: {listed(named)}; keep one"
    if not names_both(names):
        return f"{missing_columns(names)}; the first line must name the columns, such as roomId,userId"
    if len(names) - 2 > MOST_EXTRA_COLUMNS:
        return f"{len(names) - 2} further columns; at most {MOST_EXTRA_COLUMNS} are carried into the report"
    return ""


def missing_columns(names: Collection[str]) -> str:
    """Say which id columns are missing among `names`, and which name looks near."""
    missing = [r for r in (Role.ROOM, Role.USER) if not any(role_of(name) is r for name in names)]
    wanted = " and no ".join(f"{role.value} column" for role in missing)
    near = [f"{listed([name])} looks like {role.value}" for role in missing for name in _near(role, names)]
    return f"there is no {wanted}; the columns found are {listed(names)}" + "".join(f"; {n}" for n in near)


def understand(names: Sequence[str]) -> Header:
    """Sort the columns of a header in which `fault_of` finds nothing wrong."""
    roles = [role_of(name) for name in names]
    places = tuple(place for place, role in enumerate(roles) if role is Role.EXTRA)
    return Header(
        room=roles.index(Role.ROOM),
        user=roles.index(Role.USER),
        extra=_distinct({place: names[place].strip() for place in places}),
        extra_places=places,
        width=len(names),
    )


def listed(names: Iterable[str]) -> str:
    """Write some names for a person: quoted, each cut at 40 characters, at most ten of them."""
    shown = [f"'{name.strip()[:40]}'" for name in names] or ["none"]
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")


def distinct_name(name: str, taken: Collection[str]) -> str:
    """Give `name`, or `name (2)`, `name (3)` ... when it is taken."""
    number, made = 1, name
    while made in taken:
        number += 1
        made = f"{name} ({number})"
    return made


def _distinct(names: dict[int, str]) -> tuple[str, ...]:
    taken: dict[str, None] = {}
    for place, name in names.items():
        taken[distinct_name(name or f"column {place + 1}", taken)] = None
    return tuple(taken)


def _normal(name: str) -> str:
    return "".join(c for c in name.casefold() if not c.isspace() and c not in "_-")


def _near(role: Role, names: Collection[str]) -> list[str]:
    wanted = [alias for alias, meant in ALIASES.items() if meant is role and len(alias) > 3]
    others = [name for name in names if role_of(name) is Role.EXTRA and len(name) <= 40]
    return [name for name in others if get_close_matches(_normal(name), wanted, n=1, cutoff=0.7)][:1]
