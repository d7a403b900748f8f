"""The rows of a CSV job file or of a workbook's sheet."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import itemgetter

from rolecall.files.input.columns import Header, clean_name
from rolecall.files.input.csv_dialect import DELIMITERS, CsvDialect, CsvRecord, CsvRecords
from rolecall.files.input.ids import BAD_ROW_REASONS, Words, is_simple_id, make_row, trim, without_sign
from rolecall.files.input.source import Source
from rolecall.files.output.csv_sanitiser import parse_id_cell
from rolecall.models import BadRow, JobRow, row_from_values

_is_plain_name = re.compile(r"[^\W_](?:[\w .-]*\w)?").fullmatch
"""Match a name that needs no trimming and has no sign. A fast path."""
_is_rule = re.compile(r"\s*(?:[:=+-]{3,}\s*)?").fullmatch
"""Match a cell of the line that a drawn table has under its header."""


def read_csv_rows(source: Source, dialect: CsvDialect) -> Iterator[JobRow]:
    """Yield the rows, without blank ones. Raises JobFileError if the file is broken."""
    header = dialect.header
    room, user, width = header.room_index, header.user_index, header.width
    room_name, username = header.room_name_index, header.username_index
    has_ids, has_names = min(room, user) >= 0, max(room_name, username) >= 0
    names, pick_extra = header.extra_names, _picker(header.extra_indexes)
    make = row_from_values
    records = CsvRecords(source, dialect.form)
    started = iter(_unboxed(records) if dialect.is_boxed else records)
    next(islice(started, dialect.skipped - 1, None))
    for record in started:
        line, cells, problem = record
        if has_ids and len(cells) == width and is_simple_id(cells[room]) and is_simple_id(cells[user]):
            extra = dict(zip(names, pick_extra(cells), strict=True)) if names else {}
            if has_names:
                yield make((line, cells[room], cells[user], extra, *_names(cells, room_name, username), None))
            else:
                yield make((line, cells[room], cells[user], extra, "", "", None))
        elif problem:
            yield BadRow(line, "", "", "bad_quotes", problem, {})
        elif row := _parse_unusual_row(record, dialect):
            yield row
        else:
            records.skip_blank()


def _unboxed(records: CsvRecords) -> Iterator[CsvRecord]:
    """Yield the records of a drawn table without what is outside its first and last `|`."""
    for line, cells, problem in records:
        yield CsvRecord(line, [cell.strip() for cell in cells[1:-1]], problem)


def _parse_unusual_row(record: CsvRecord, dialect: CsvDialect) -> JobRow | None:
    """Return a row that is not simple: short, long, with names, or with ids that must be trimmed or rejected.

    None for a row that is blank, or a line under the header of a drawn table.
    """
    line, cells, _ = record
    header = dialect.header
    is_drawn = dialect.form.delimiter == "|"
    if not any(cell and not cell.isspace() for cell in cells) or (is_drawn and all(map(_is_rule, cells))):
        return None
    surplus = len(cells) - header.width
    cells = cells + [""] * -surplus
    raw = Words(*(cells[index] if index >= 0 else "" for index in _word_indexes(header)))
    extra = {name: cells[index] for name, index in zip(header.extra_names, header.extra_indexes, strict=True)}
    if surplus > 0 and any(map(trim, cells[header.width :])):
        message = f"{len(cells)} cells under {header.width} columns. {BAD_ROW_REASONS['too_many_cells']}"
        return BadRow(line, raw.room, raw.user, "too_many_cells", message, extra)
    row = make_row(line, Words(*(parse_id_cell(trim(word)) for word in raw)), extra, raw)
    if isinstance(row, BadRow) and len(record.cells) == 1 and (other := _other_delimiter(record.cells[0], dialect)):
        return row._replace(message=f"The row is separated by {other!r}, the header is not. {row.message}")
    return row


def _word_indexes(header: Header) -> tuple[int, int, int, int]:
    return header.room_index, header.user_index, header.room_name_index, header.username_index


def _other_delimiter(text: str, dialect: CsvDialect) -> str:
    """Return a delimiter that is in the only cell of a row; empty if there is none."""
    return next((each for each in DELIMITERS if each in text and each != dialect.form.delimiter), "")


def _names(cells: Sequence[str], room_index: int, user_index: int) -> tuple[str, str]:
    """Return the names of the room and the user beside their ids, without their signs."""
    room_name = cells[room_index] if room_index >= 0 else ""
    username = cells[user_index] if user_index >= 0 else ""
    if room_name and not _is_plain_name(room_name):
        room_name = without_sign(clean_name(room_name), "#")
    if username and not _is_plain_name(username):
        username = without_sign(clean_name(username), "@")
    return room_name, username


def _picker(indexes: tuple[int, ...]) -> Callable[[Sequence[str]], tuple[str, ...]]:
    """Return a function that picks these cells of a row as a tuple; `itemgetter` alone does so for two or more."""
    if len(indexes) == 1:
        index = indexes[0]
        return lambda cells: (cells[index],)
    return itemgetter(*indexes) if indexes else lambda _: ()
