"""The import of a job into a store file: its rows with their places, in one transaction."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from rolecall.models import BadRow, Outcome, Row
from rolecall.store.records import Identity, PresetOutcome
from rolecall.store.rows import doubt_columns, json_text, to_text
from rolecall.store.sqlite import sql
from rolecall.store.sqlite.connection import SqliteConnection


class JobImport:
    """The transaction that makes the rows of a job the store's. Raises StoreError."""

    def __init__(self, connection: SqliteConnection) -> None:
        """Begin the transaction; `finish` or the abort of the connection must follow."""
        self._connection = connection
        self._db = connection.db
        self._columns: dict[str, None] = {}
        self._place = 0
        with connection.errors():
            connection.begin()
        with self._or_abort():
            self._db.execute(sql.CLEAR_PLACES)
            self._db.execute(sql.DELETE_UNSENT)
            self._db.execute(sql.DELETE_UNKNOWN_NAMES)

    def add(self, rows: Iterable[Row | BadRow]) -> None:
        """Insert the next rows."""
        with self._or_abort():
            for row in rows:
                self._place += 1
                if row.extra:
                    self._columns.update(dict.fromkeys(row.extra))
                self._add(self._place, row)

    def finish(self, identity: Identity, preset: Iterable[PresetOutcome], meta: Mapping[str, str]) -> None:
        """Commit the rows with their identity."""
        with self._or_abort():
            self._db.execute(sql.DELETE_UNTOUCHED)
            self._db.executemany(sql.PRESET_OUTCOME, preset)
            columns = json_text(list(self._columns))
            self._db.executemany(sql.SET_META, {**identity._asdict(), **meta, "extra_columns": columns}.items())
            self._connection.count_groups()
            self._connection.commit()

    @contextmanager
    def _or_abort(self) -> Iterator[None]:
        try:
            with self._connection.errors():
                yield
        except BaseException:
            self._connection.abort()
            raise

    def _add(self, place: int, row: Row | BadRow) -> None:
        extra = json_text(row.extra) if row.extra else None
        if isinstance(row, BadRow):
            self._add_unsent(place, row, (Outcome.INVALID, row.reason, row.message, extra))
            return
        values = (row.room_id, row.user_id, place, row.line, extra)
        if row.room_name or row.username:
            names = (row.room_name, row.username)
            is_new = self._db.execute(sql.INSERT_NAMED_PAIR, (*values, *names)).rowcount
        else:
            is_new = self._db.execute(sql.INSERT_PAIR, values).rowcount
        if not is_new:
            first = self._db.execute(sql.FIRST_LINE, (row.room_id, row.user_id)).fetchone()[0]
            message = f"the same pair stands in line {first}"
            self._add_unsent(place, row, (Outcome.DUPLICATE, "duplicate_of", message, extra))
        elif row.doubt is not None:
            self._db.execute(sql.IMPORT_DOUBT, (row.room_id, row.user_id, *doubt_columns(row.doubt)))

    def _add_unsent(self, place: int, row: Row | BadRow, values: tuple[Outcome, str, str, str | None]) -> None:
        names = (to_text(row.room_name) or None, to_text(row.username) or None)
        ids = (to_text(row.room_id), to_text(row.user_id))
        self._db.execute(sql.INSERT_UNSENT, (place, row.line, *ids, *values, *names))
