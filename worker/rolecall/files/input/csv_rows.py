"""Job files that are tables: CSV with a header, whatever its delimiter."""

import csv
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

from rolecall.files.input.columns import Header, fault_of, names_both, understand
from rolecall.files.input.ids import is_usual, reason_against
from rolecall.files.input.lines import Lines
from rolecall.files.input.problems import BAD_ROW_REASONS
from rolecall.files.input.source import Source
from rolecall.files.output.csv_sanitiser import unguarded
from rolecall.models import BadRow, Row

DELIMITERS = (",", ";", "\t", "|")


class CsvDialect(NamedTuple):
    """How a CSV file is to be read."""

    delimiter: str
    header: Header


class _Record(NamedTuple):
    line: int
    """The physical line where the record starts, from 1."""
    cells: list[str]
    fault: str
    """Why the record could not be parsed, for a person; empty when it could."""


def find_table(source: Source) -> CsvDialect:
    """Read the header; raise `UnusableJob` when no delimiter makes it name the room and the user."""
    headers = {delimiter: _first_record(source, delimiter) for delimiter in DELIMITERS}
    naming_both = [delimiter for delimiter in DELIMITERS if names_both(headers[delimiter].cells)]
    delimiter = naming_both[0] if naming_both else max(DELIMITERS, key=lambda found: len(headers[found].cells))
    record = headers[delimiter]
    if fault := record.fault or fault_of(record.cells):
        raise source.unusable(f"line {record.line}, the header: {fault}")
    return CsvDialect(delimiter, understand(record.cells))


def read_table(source: Source, table: CsvDialect) -> Iterator[Row | BadRow]:
    """Give the table's rows one by one, blank ones left out; raise `UnusableJob` where the file breaks."""
    header = table.header
    room, user, width = header.room, header.user, header.width
    names, pick = header.extra, _picker(header.extra_places)
    records = _records(source, table.delimiter)
    next(records)
    for line, cells, fault in records:
        if len(cells) == width and is_usual(cells[room]) and is_usual(cells[user]):
            yield Row(line, cells[room], cells[user], dict(zip(names, pick(cells), strict=True)) if names else {})
        elif fault:
            yield BadRow(line, "", "", "bad_quotes", fault, {})
        elif row := _unusual(line, cells, header):
            yield row


def _unusual(line: int, cells: list[str], header: Header) -> Row | BadRow | None:
    if not any(cell and not cell.isspace() for cell in cells):
        return None
    surplus = len(cells) - header.width
    cells += [""] * -surplus
    raw_room, raw_user = cells[header.room], cells[header.user]
    extra = {name: cells[place] for name, place in zip(header.extra, header.extra_places, strict=True)}
    if surplus > 0:
        message = f"{header.width + surplus} cells under {header.width} columns. {BAD_ROW_REASONS['too_many_cells']}"
        return BadRow(line, raw_room, raw_user, "too_many_cells", message, extra)
    room_id, user_id = (unguarded(raw.strip()).strip() for raw in (raw_room, raw_user))
    if reason := reason_against(room_id, user_id):
        return BadRow(line, raw_room, raw_user, reason, BAD_ROW_REASONS[reason], extra)
    return Row(line, room_id, user_id, extra)


def _first_record(source: Source, delimiter: str) -> _Record:
    for record in _records(source, delimiter):
        return record
    raise source.unusable("the file is blank; expected a header with roomId and userId")


def _records(source: Source, delimiter: str) -> Iterator[_Record]:
    """Give the records of a CSV file from the first that is not blank, its header."""
    lines = Lines(source)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    started = False
    while True:
        line = reader.line_num + 1
        lines.row_size = 0
        try:
            for cells in reader:
                if started or any(map(str.strip, cells)):
                    started = True
                    yield _Record(line, cells, "")
                line = reader.line_num + 1
                lines.row_size = 0
        except csv.Error as error:
            # After a misplaced quote the reader goes on with the next line; after anything else the rest is guesswork.
            if "expected after" not in str(error):
                raise source.unusable(f"line {line}: {_explained(error)}") from error
            started = True
            yield _Record(line, [], _misquoted(line, reader.line_num))
        else:
            return


def _explained(error: csv.Error) -> str:
    if "field larger" in str(error):
        return "a cell that starts here is longer than 128 KiB; is its closing quote missing?"
    if "unexpected end" in str(error):
        return "a quote that opens in this row is never closed"
    return f"this is not CSV ({error})"


def _misquoted(first: int, last: int) -> str:
    where = f" The row takes lines {first} to {last}." if last > first else ""
    return BAD_ROW_REASONS["bad_quotes"] + where


def _picker(places: tuple[int, ...]) -> Callable[[Sequence[str]], tuple[str, ...]]:
    if len(places) == 1:
        place = places[0]
        return lambda cells: (cells[place],)
    return itemgetter(*places) if places else lambda _: ()
