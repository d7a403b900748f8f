"""CSV job files: a header with the ids' columns, and any of four delimiters."""

import csv
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

from rolecall.files.input.columns import (
    Header,
    find_header_problem,
    find_id_problem,
    has_id_columns,
    is_simple_id,
    parse_header,
)
from rolecall.files.input.problems import BAD_ROW_REASONS
from rolecall.files.input.source import LineReader, Source
from rolecall.files.output.csv_sanitiser import parse_id_cell
from rolecall.models import BadRow, Row

DELIMITERS = (",", ";", "\t", "|")


class CsvDialect(NamedTuple):
    """How to read a CSV file."""

    delimiter: str
    header: Header


class CsvRecord(NamedTuple):
    """One record of a CSV file."""

    line: int
    """The physical line where the record starts, from 1."""
    cells: list[str]
    problem: str
    """Why the record could not be parsed, for a person; empty if it could."""


def detect_dialect(source: Source) -> CsvDialect:
    """Read the header and find the delimiter with which it has both id columns. Raises JobFileError if none has."""
    headers = {delimiter: _first_record(source, delimiter) for delimiter in DELIMITERS}
    matching = [delimiter for delimiter in DELIMITERS if has_id_columns(headers[delimiter].cells)]
    delimiter = matching[0] if matching else max(DELIMITERS, key=lambda each: len(headers[each].cells))
    record = headers[delimiter]
    if problem := record.problem or find_header_problem(record.cells):
        raise source.error(f"line {record.line}, the header: {problem}")
    return CsvDialect(delimiter, parse_header(record.cells))


def read_csv_rows(source: Source, dialect: CsvDialect) -> Iterator[Row | BadRow]:
    """Yield the rows, without blank ones. Raises JobFileError if the file is broken."""
    header = dialect.header
    room, user, width = header.room_index, header.user_index, header.width
    names, pick_extra = header.extra_names, _picker(header.extra_indexes)
    records = read_records(source, dialect.delimiter)
    next(records)
    for line, cells, problem in records:
        if len(cells) == width and is_simple_id(cells[room]) and is_simple_id(cells[user]):
            yield Row(line, cells[room], cells[user], dict(zip(names, pick_extra(cells), strict=True)) if names else {})
        elif problem:
            yield BadRow(line, "", "", "bad_quotes", problem, {})
        elif row := _parse_unusual_row(line, cells, header):
            yield row


def read_records(source: Source, delimiter: str, *, strict: bool = True) -> Iterator[CsvRecord]:
    """Yield the records of a CSV file from the first that is not blank. Raises JobFileError if the file is broken.

    If `strict` is false, misplaced quotes are accepted as text.
    """
    lines = LineReader(source)
    reader = csv.reader(lines, delimiter=delimiter, strict=strict)
    started = False
    while True:
        line = reader.line_num + 1
        lines.start_row()
        try:
            for cells in reader:
                if started or any(map(str.strip, cells)):
                    started = True
                    yield CsvRecord(line, cells, "")
                line = reader.line_num + 1
                lines.start_row()
        except csv.Error as error:
            # After a misplaced quote the reader continues with the next line; after any other error it cannot.
            if "expected after" not in str(error):
                raise source.error(f"line {line}: {_describe_csv_error(error)}") from error
            started = True
            yield CsvRecord(line, [], _describe_misplaced_quote(line, reader.line_num))
        else:
            return


def _parse_unusual_row(line: int, cells: list[str], header: Header) -> Row | BadRow | None:
    """Return a row that is not simple: short, long, or with ids that must be trimmed or rejected. None if blank."""
    if not any(cell and not cell.isspace() for cell in cells):
        return None
    surplus = len(cells) - header.width
    cells += [""] * -surplus
    raw_room, raw_user = cells[header.room_index], cells[header.user_index]
    extra = {name: cells[index] for name, index in zip(header.extra_names, header.extra_indexes, strict=True)}
    if surplus > 0:
        message = f"{header.width + surplus} cells under {header.width} columns. {BAD_ROW_REASONS['too_many_cells']}"
        return BadRow(line, raw_room, raw_user, "too_many_cells", message, extra)
    room_id, user_id = (parse_id_cell(raw.strip()).strip() for raw in (raw_room, raw_user))
    if reason := find_id_problem(room_id, user_id):
        return BadRow(line, raw_room, raw_user, reason, BAD_ROW_REASONS[reason], extra)
    return Row(line, room_id, user_id, extra)


def _first_record(source: Source, delimiter: str) -> CsvRecord:
    for record in read_records(source, delimiter):
        return record
    raise source.error("the file is blank; expected a header with roomId and userId")


def _describe_csv_error(error: csv.Error) -> str:
    if "field larger" in str(error):
        return "a cell that starts here is longer than 128 KiB; is its closing quote missing?"
    if "unexpected end" in str(error):
        return "a quote that opens in this row is never closed"
    return f"this is not CSV ({error})"


def _describe_misplaced_quote(first_line: int, last_line: int) -> str:
    lines = f" The row takes lines {first_line} to {last_line}." if last_line > first_line else ""
    return BAD_ROW_REASONS["bad_quotes"] + lines


def _picker(indexes: tuple[int, ...]) -> Callable[[Sequence[str]], tuple[str, ...]]:
    """Return a function that picks these cells of a row as a tuple; `itemgetter` alone does so for two or more."""
    if len(indexes) == 1:
        index = indexes[0]
        return lambda cells: (cells[index],)
    return itemgetter(*indexes) if indexes else lambda _: ()
