"""The records of a CSV file: its header, delimiter and quotes; or what the file is instead."""

import csv
import re
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from typing import NamedTuple

import orjson

from rolecall.files.input.columns import (
    MAX_EXTRA_COLUMNS,
    ColumnRoles,
    Header,
    find_header_problem,
    has_subject_columns,
    parse_header,
)
from rolecall.files.input.ids import BAD_ROW_REASONS, trim
from rolecall.files.input.source import JobFileError, LineReader, Source

DELIMITERS = (",", ";", "\t", "|")
OTHER_DELIMITERS = {
    ":": "':'",
    "^": "'^'",
    "~": "'~'",
    "#": "'#'",
    "/": "'/'",
    "\x01": "a control character",
    "\x1f": "a control character",
    "\uff0c": "a full-width comma",
    "\uff1b": "a full-width semicolon",
    "\u3001": "an ideographic comma",
    "\u060c": "an Arabic comma",
    " ": "blanks",
}
"""Delimiters that are named in the refusal: each may be part of an id or a name."""
MAX_LEADING_RECORDS = 20
"""Records (titles, comments) before the header."""
_declared_delimiter = re.compile(r"""\s*["']?sep=([^"'\w\s]|\t)["']?[,;\t|]*\s*(?:[\r\n]|\Z)""", re.IGNORECASE).match
_is_no_title = re.compile(r"""["']?(?:sep=|#|//|--)""", re.IGNORECASE).match
_is_single_quoted = re.compile(r"\s*'[^']*'\s*").fullmatch


class CsvForm(NamedTuple):
    """How cells are separated and quoted."""

    delimiter: str
    quote: str = '"'
    skips_blanks: bool = False
    """Blanks after a delimiter do not belong to the cell, so that a quote may follow them."""


class CsvRecord(NamedTuple):
    """One record of a CSV file."""

    line: int
    """The physical line where the record starts, from 1; the row of a sheet."""
    cells: list[str]
    problem: str
    """Why the record could not be parsed, for a person; empty if it could."""


class CsvRecords:
    """The records of a file from the first that is not blank; iterate once. Raises JobFileError if it is broken."""

    def __init__(self, source: Source, form: CsvForm, *, strict: bool = True) -> None:
        """If `strict` is false, misplaced quotes are accepted as text."""
        self._source = source
        self._lines = LineReader(source)
        self._form = form
        self._strict = strict

    def __iter__(self) -> Iterator[CsvRecord]:
        """Return the iterator."""
        records = self._read_sheet() if self._source.is_workbook else self._read_csv()
        for record in records:
            if record.problem or any(map(str.strip, record.cells)):
                return chain((record,), records)
            self.skip_blank()
        return records

    def skip_blank(self) -> None:
        """Count the last record as blank. Raises JobFileError if the file has hardly anything else."""
        self._lines.skip_blank()

    def _read_csv(self) -> Iterator[CsvRecord]:
        delimiter, quote, skips_blanks = self._form
        lines, record = self._lines, partial(tuple.__new__, CsvRecord)  # half the time of CsvRecord(...)
        reader = csv.reader(
            lines, delimiter=delimiter, quotechar=quote, skipinitialspace=skips_blanks, strict=self._strict
        )
        while True:
            line = reader.line_num + 1
            lines.start_row()
            try:
                for cells in reader:
                    yield record((line, cells, ""))
                    line = reader.line_num + 1
                    lines.start_row()
            except csv.Error as error:
                # After a misplaced quote the reader continues with the next line; after any other error it cannot.
                if "expected after" not in str(error):
                    raise self._source.error(f"line {line}: {_describe_csv_error(error)}") from error
                yield CsvRecord(line, [], _describe_misplaced_quote(line, reader.line_num))
            else:
                return

    def _read_sheet(self) -> Iterator[CsvRecord]:
        for number, line in enumerate(self._lines, start=1):
            yield CsvRecord(number, orjson.loads(line), "")
            self._lines.start_row()


def _describe_csv_error(error: csv.Error) -> str:
    if "field larger" in str(error):
        return "a cell that starts here is longer than 128 KiB; is its closing quote missing?"
    if "unexpected end" in str(error):
        return "a quote that opens in this row is never closed"
    return f"this is not CSV ({error})"


def _describe_misplaced_quote(first_line: int, last_line: int) -> str:
    lines = f" The row takes lines {first_line} to {last_line}." if last_line > first_line else ""
    return BAD_ROW_REASONS["bad_quotes"] + lines


class CsvDialect(NamedTuple):
    """How to read a CSV file."""

    form: CsvForm
    header: Header
    skipped: int
    """Records up to the header, which is the last of them."""
    is_boxed: bool
    """The file is a table drawn with `|` on both sides of each line, as in Markdown."""


class _FoundHeader(NamedTuple):
    form: CsvForm
    number: int
    """Place of the header among the records that are not blank, from 1."""
    record: CsvRecord


def detect_dialect(source: Source, roles: ColumnRoles, head: str) -> CsvDialect:
    """Find the first record that names both the room and the user. Raises JobFileError if there is none.

    `head` is the start of the file's text; empty for a workbook.
    """
    forms = [CsvForm(",")] if source.is_workbook else _possible_forms(head)
    found = [header for form in forms if (header := _find_header(source, form, roles))]
    if not found:
        raise _refusal(source, forms, roles)
    form, number, record = min(found, key=lambda each: each.number)
    if form.quote == '"' and not source.is_workbook and all(map(_is_single_quoted, record.cells)):
        form = form._replace(quote="'")
        record = next(islice(CsvRecords(source, form), number - 1, None), record)
    is_boxed = form.delimiter == "|" and len(record.cells) > 3 and not (record.cells[0] + record.cells[-1]).strip()
    names = record.cells[1:-1] if is_boxed else list(record.cells)
    if len(names) > MAX_EXTRA_COLUMNS:
        names = _without_empty_columns(names)
    if problem := find_header_problem(names, roles):
        raise source.error(f"line {record.line}, the header: {problem}")
    return CsvDialect(form, parse_header(names, roles), number, is_boxed)


def _without_empty_columns(names: list[str]) -> list[str]:
    """Return the names without the empty ones at the end: the rest of a sheet's width."""
    last = max((index for index, name in enumerate(names) if trim(name)), default=-1)
    return names[: last + 1]


def _possible_forms(head: str) -> list[CsvForm]:
    declared = _declared_delimiter(head)
    delimiters = (declared[1],) if declared else DELIMITERS
    return [CsvForm(delimiter, skips_blanks=_has_blank_before_quote(head, delimiter)) for delimiter in delimiters]


def _has_blank_before_quote(head: str, delimiter: str) -> bool:
    """Return whether a quoted cell begins after a delimiter and blanks, outside other quoted cells."""
    if f'{delimiter} "' not in head and f'{delimiter}  "' not in head:
        return False
    separator = re.escape(delimiter)
    unquoted = re.sub(rf'(?:(?<={separator})|^)"(?:[^"]|"")*"', "", head, flags=re.MULTILINE)
    return re.search(rf'{separator} +"[^"\r\n]*"[ ]*(?:{separator}|[\r\n]|\Z)', unquoted) is not None


def _find_header(source: Source, form: CsvForm, roles: ColumnRoles) -> _FoundHeader | None:
    try:
        for number, record in enumerate(_leading(source, form), start=1):
            if has_subject_columns(record.cells, roles):
                return _FoundHeader(form, number, record)
    except JobFileError:  # with this delimiter; if there is no other, `_refusal` reports it
        return None
    return None


def _refusal(source: Source, forms: list[CsvForm], roles: ColumnRoles) -> JobFileError:
    """Return the error for a file without a header; it is about the first record that is no comment."""
    records = [record for form in forms if (record := _first_title(source, form))]
    if not records:
        return source.error("the file is blank; expected a header with roomId and userId")
    record = max(records, key=lambda each: len(each.cells))
    problem = record.problem or _name_format(record.cells, roles) or find_header_problem(record.cells, roles)
    return source.error(f"line {record.line}, the header: {problem}")


def _first_title(source: Source, form: CsvForm) -> CsvRecord | None:
    """Return the first record that is neither blank nor a comment; the first of all if there is none."""
    first = None
    for record in _leading(source, form):
        first = first or record
        is_blank = not any(map(str.strip, record.cells))
        if record.problem or not (is_blank or _is_no_title(record.cells[0].strip())):
            return record
    return first


def _leading(source: Source, form: CsvForm) -> Iterator[CsvRecord]:
    return islice(CsvRecords(source, form), MAX_LEADING_RECORDS)


def _name_format(cells: list[str], roles: ColumnRoles) -> str:
    """Return what a first line is that is no header; empty if it is none of the known mistakes."""
    text = cells[0].strip()
    if len(cells) > 1:
        return "this is HTML or XML; export the list as CSV" if re.match(r"<[!?\w]", text) else ""
    for delimiter in DELIMITERS:
        if has_subject_columns(text.split(delimiter), roles):
            return "each line is in quotes as a whole; remove the quotes around the lines, or save as CSV UTF-8"
    for delimiter, what in OTHER_DELIMITERS.items():
        names = text.split() if delimiter == " " else text.split(delimiter)
        if has_subject_columns(names, roles):
            return (
                f"the columns are separated by {what}; expected a comma, a semicolon, a tab or '|': save as CSV UTF-8"
            )
    if re.match(r"<[!?\w]", text):
        return "this is HTML or XML (a login page?); export the list as CSV"
    if re.match(r"(?:-\s+)?[\w-]+:(?:\s|\Z)|---\Z", text):
        return "this looks like YAML; convert it to JSON or save it as CSV UTF-8"
    return ""
