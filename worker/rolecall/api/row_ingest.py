"""The rows of a program: from its (async) iterable into pages for the store; memory does not grow with them."""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from typing import TypeAlias

from rolecall.files.doubt_columns import take_doubt
from rolecall.files.input.json_parse_row import parse_row
from rolecall.models import JobRow, Row
from rolecall.store.base import PAGE_SIZE

LAST_LINE = 2**63 - 1
"""The greatest line number that the store accepts."""

RowInput: TypeAlias = tuple[str, str] | Mapping[str, object] | Row
"""A (room id, user id) pair, a mapping with ids or names (its keys named as in job files), or a Row."""
RowInputs: TypeAlias = Iterable[RowInput] | AsyncIterable[RowInput]


def parse_row_input(given: object, place: int) -> JobRow:
    """Parse the input of a program by the rules for JSON job files; `place` counts from 1.

    A Row keeps its own line. Anything that is not a row becomes a BadRow.
    """
    match given:
        case Row(line=int(line), extra=Mapping() as extra) if 0 < line <= LAST_LINE and _has_names(extra):
            row = parse_row({**extra, "roomId": given.room_id, "userId": given.user_id}, line)
            is_named = isinstance(row, Row) and (given.room_name or given.username)
            return row._replace(room_name=given.room_name, username=given.username) if is_named else row
        case Row():
            return parse_row(None, place)
        case Mapping() if _has_names(given):
            return parse_row(dict(given), place)
        case tuple() | list():
            return parse_row(list(given), place)
        case _:
            return parse_row(None, place)


def _has_names(columns: Mapping[object, object]) -> bool:
    return all(isinstance(key, str) for key in columns)


async def parse_rows(rows: RowInputs) -> AsyncGenerator[Sequence[JobRow], None]:
    """Return the rows in pages; they are iterated in the task that reads this. What the iterable raises is raised."""
    page: list[JobRow] = []
    place = 0
    async for row in _iterate(rows):
        place += 1
        page.append(take_doubt(parse_row_input(row, place)))
        if len(page) == PAGE_SIZE:
            yield page
            page = []
    if page:
        yield page


async def _iterate(rows: RowInputs) -> AsyncGenerator[object, None]:
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            yield row
    else:
        for row in rows:
            yield row
