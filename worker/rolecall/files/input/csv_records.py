"""The records of a CSV file or of a workbook's sheet, not yet interpreted."""

import csv
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import NamedTuple

import orjson

from rolecall.files.input.problems import BAD_ROW_REASONS
from rolecall.files.input.source import LineReader, Source


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
