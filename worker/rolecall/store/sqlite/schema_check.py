"""The schema of a store file, compared with the one that Rolecall creates: a trigger could change the rows."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from rolecall.models import Advice
from rolecall.store.base import InvalidStoreError
from rolecall.store.sqlite import sql

_READ_SCHEMA = "SELECT type, name, tbl_name, ifnull(sql, '') FROM sqlite_schema"
Entry = tuple[str, ...]
"""One table, index, view or trigger: type, name, name of its table, statement."""


class Connection(Protocol):
    """The part of a connection of SQLite that is needed here."""

    def execute(self, statement: str, /) -> Iterable[Any]:
        """Execute one statement."""

    def executescript(self, script: str, /) -> object:
        """Execute several statements."""


def require_schema(database: Connection, empty: Connection, path: Path) -> None:
    """Raise InvalidStoreError for a file whose schema is not exactly the one that SCHEMA creates in `empty`.

    From the first statement on the file's schema is not trusted: it can call no function with side effects. An index
    that is created when it is first needed may be there or not.
    """
    database.execute("PRAGMA trusted_schema = OFF")
    entries = _read_schema(database)
    empty.executescript(sql.SCHEMA)
    required = _read_schema(empty)
    empty.execute(sql.INDEX_BY_USER)
    for type_, name, *_ in sorted(entries - _read_schema(empty)) + sorted(required - entries):
        raise InvalidStoreError(
            f"{path} has another schema than a run store of this version ({type_} {name}); it is left as it is.",
            Advice.OTHER_DIRECTORY,
        )


def _read_schema(database: Connection) -> set[Entry]:
    """Return all entries; a difference of white space is none."""
    return {tuple(" ".join(str(text).split()) for text in entry) for entry in database.execute(_READ_SCHEMA)}
