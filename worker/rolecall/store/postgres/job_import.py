"""The import of a job into a run: its rows arrive by COPY and are packed into shards of whole rooms in SQL.

All of it is one transaction, which the caller commits or undoes.
"""

from collections.abc import Iterable, Mapping, Sequence

from rolecall.models import BadRow, Row
from rolecall.store.base import StoreError, read_pages
from rolecall.store.postgres import import_sql, sql
from rolecall.store.postgres.connection import Connection
from rolecall.store.records import Identity, PresetOutcome
from rolecall.store.rows import doubt_columns, json_text, to_text

Values = tuple[object, ...]


class JobImport:
    """The rows of a job on their way into a run. Raises psycopg.Error."""

    def __init__(self, connection: Connection, run_id: int, shard_rows: int) -> None:
        """Use a connection with an open transaction."""
        self._connection = connection
        self._values = {"run": run_id, "shard_rows": shard_rows}
        self._columns: dict[str, None] = {}
        self._place = 0
        self._has_doubts = False

    async def begin(self) -> None:
        """Lock the run and prepare it for the rows. Raises StoreError for a run that was released to workers."""
        for (is_released,) in await self._execute(import_sql.LOCK_RUN):
            if is_released:
                raise StoreError("The rows of a run that was released to workers cannot change.")
        await self._execute(import_sql.CLEAR_PLACES)
        await self._execute(import_sql.DELETE_UNSENT)
        await self._execute(import_sql.DELETE_UNKNOWN_NAMES)
        await self._connection.execute(import_sql.CREATE_ARRIVALS.encode())

    async def add(self, rows: Iterable[Row | BadRow]) -> None:
        """Insert the next rows."""
        arrivals: list[Values] = []
        doubts: list[Values] = []
        for row in rows:
            self._place += 1
            if row.extra:
                self._columns.update(dict.fromkeys(row.extra))
            arrivals.append(_arrival(self._place, row))
            if isinstance(row, Row) and row.doubt is not None:
                doubts.append((self._place, *doubt_columns(row.doubt)))
        await self._copy(import_sql.COPY_ROWS, arrivals)
        if doubts:
            self._has_doubts = True
            await self._copy(import_sql.COPY_DOUBTS, doubts)

    async def finish(self, identity: Identity, preset: Iterable[PresetOutcome], meta: Mapping[str, str]) -> None:
        """Make the rows the run's, with their identity."""
        await self._insert_rows()
        await self._insert_presets(preset)
        await self._execute(import_sql.SET_IDENTITY, operation=identity.operation, job_digest=identity.job_digest)
        columns = json_text(list(self._columns))
        for name, value in {**identity._asdict(), **meta, "extra_columns": columns}.items():
            await self._execute(sql.SET_META, name=name, value=value)
        await self._execute(import_sql.REOPEN_SHARDS)
        await self._execute(sql.COUNT_GROUPS)
        await self._execute(import_sql.DELETE_EMPTY_SHARDS)

    async def _insert_rows(self) -> None:
        await self._execute(import_sql.ANALYSE_ARRIVALS)
        ((is_known,),) = await self._execute(import_sql.HAS_PAIRS)
        ((is_repeated,),) = await self._execute(import_sql.HAS_DUPLICATES)
        if is_known:
            await self._execute(import_sql.MOVE_PAIRS)
        await self._execute(import_sql.PACK_ROOMS)
        await self._execute(import_sql.ANALYSE_ROOMS)
        await self._execute(import_sql.INSERT_OTHER_PAIRS if is_known or is_repeated else import_sql.INSERT_PAIRS)
        await self._execute(import_sql.INSERT_INVALID)
        if is_repeated:
            await self._execute(import_sql.INSERT_DUPLICATES)
        if self._has_doubts:
            await self._execute(import_sql.IMPORT_DOUBTS)
        await self._execute(import_sql.DELETE_UNTOUCHED)

    async def _insert_presets(self, preset: Iterable[PresetOutcome]) -> None:
        number = 0
        async for page in read_pages(preset):
            await self._copy(
                import_sql.COPY_PRESETS, [_preset(number + place, each) for place, each in enumerate(page)]
            )
            number += len(page)
        if number:
            await self._execute(import_sql.PRESET_OUTCOMES)

    async def _execute(self, statement: str, **values: object) -> list[tuple[object, ...]]:
        cursor = await self._connection.execute(statement.encode(), {**self._values, **values})
        return await cursor.fetchall() if cursor.description else []

    async def _copy(self, statement: str, rows: Sequence[Values]) -> None:
        async with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for row in rows:
                await copy.write_row(row)


def _arrival(place: int, row: Row | BadRow) -> Values:
    extra = json_text(row.extra) if row.extra else None
    room_name = (to_text(row.room_name) or None) if row.room_name else None
    username = (to_text(row.username) or None) if row.username else None
    if isinstance(row, BadRow):
        ids = (to_text(row.room_id), to_text(row.user_id))
        return (place, row.line, *ids, extra, room_name, username, to_text(row.reason), to_text(row.message))
    return (place, row.line, row.room_id, row.user_id, extra, room_name, username, None, None)


def _preset(number: int, preset: PresetOutcome) -> Values:
    outcome, reason, message = str(preset.outcome), to_text(preset.reason), to_text(preset.message)
    return (number, preset.room_id, preset.user_id, outcome, reason, message, preset.at, preset.evidence)
