"""The reports of a run: every row in `report.csv` (and JSON beside it), those worth another run in `retry.csv`."""

import csv
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TextIO

from rolecall.files.input.columns import distinct_name
from rolecall.files.output.atomic_write import replace_atomically
from rolecall.files.output.csv_sanitiser import id_cell, json_text, scrubbed, text_cell
from rolecall.models import OUTCOMES, Json, Result
from rolecall.text import sanitise

REPORT_COLUMNS = (
    "line",
    "roomId",
    "userId",
    "outcome",
    "reason",
    "httpStatus",
    "errorType",
    "message",
    "attempts",
    "startedAt",
    "finishedAt",
    "durationMs",
)
RETRY_COLUMNS = ("roomId", "userId")
REPORT_FORMATS = ("csv", "jsonl", "json")
MAX_MESSAGE_LENGTH = 2_000

Write = Callable[[Result], object]
ExtraReport = Callable[[TextIO], AbstractContextManager[Write]]
"""Writes a report of another form into an open file: a block that takes each result."""


class CsvWriter(Protocol):
    """What `csv.writer` gives; its own type has no name at run time."""

    def writerow(self, row: Iterable[Any], /) -> object:
        """Write one record."""


@contextmanager
def open_reports(
    folder: Path,
    extra_columns: Sequence[str],
    formats: Collection[str] = ("csv",),
    further: Mapping[str, ExtraReport] | None = None,
    *,
    retry: bool = True,
) -> Iterator[Callable[[Iterable[Result]], None]]:
    """Open the reports of a run in `folder`; the value writes rows, in the order of the job, into all of them.

    `extra_columns` are the job's further columns. `report.csv` is always written, `report.jsonl` and `report.json`
    when `formats` names them. `retry.csv`, where it is wanted, has the rows that are worth another run, without those
    that the job no longer has; where there are none, an old one is removed. Each file gets its name when the block
    ends without an exception. CSV is RFC 4180 (CRLF) in UTF-8. `further` has, by file name, reports that are written
    elsewhere; they end last, so that the tables are there even if one of them fails. Raises OSError.
    """
    with ExitStack() as files:
        writers = [
            files.enter_context(_further_report(folder / name, report)) for name, report in (further or {}).items()
        ]
        writers.append(files.enter_context(_csv_report(folder / "report.csv", extra_columns)))
        if "jsonl" in formats:
            writers.append(files.enter_context(_jsonl_report(folder / "report.jsonl", extra_columns)))
        if "json" in formats:
            writers.append(files.enter_context(_json_report(folder / "report.json", extra_columns)))
        if retry:
            writers.append(files.enter_context(_retry(folder / "retry.csv", extra_columns)))

        def write(results: Iterable[Result]) -> None:
            for result in results:
                for writer in writers:
                    writer(result)

        yield write


def write_report(
    folder: Path,
    results: Iterable[Result],
    extra_columns: Sequence[str],
    formats: Collection[str] = ("csv",),
    further: Mapping[str, ExtraReport] | None = None,
    *,
    retry: bool = True,
) -> None:
    """Write the reports of a run, see `open_reports`."""
    with open_reports(folder, extra_columns, formats, further, retry=retry) as write:
        write(results)


def column_names(own: Sequence[str], extra_columns: Sequence[str]) -> list[str]:
    """Give the header of a report: its own columns, then the job's, renamed `job_...` where a name is taken."""
    names = dict.fromkeys(own)
    for number, column in enumerate(extra_columns, start=1):
        name = sanitise(column) or f"column {number}"
        names[distinct_name(f"job_{name}" if name in names else name, names)] = None
    return list(names)


def is_retryable_row(result: Result) -> bool:
    """Tell whether a row belongs into `retry.csv`: still in the job, and neither done nor unusable."""
    return result.line is not None and OUTCOMES[result.outcome].is_retryable


def rfc3339(milliseconds: int | None) -> str | None:
    """Write a time given in milliseconds since the epoch, such as `2026-03-01T09:30:00.250Z`."""
    if milliseconds is None:
        return None
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@contextmanager
def _csv_report(path: Path, extra_columns: Sequence[str]) -> Iterator[Write]:
    with replace_atomically(path) as file:
        rows = _csv_writer(file)
        rows.writerow(map(text_cell, column_names(REPORT_COLUMNS, extra_columns)))
        yield lambda result: rows.writerow(_csv_cells(result, extra_columns))


@contextmanager
def _jsonl_report(path: Path, extra_columns: Sequence[str]) -> Iterator[Write]:
    names = column_names(REPORT_COLUMNS, extra_columns)
    with replace_atomically(path) as file:
        yield lambda result: file.write(_json_object(result, names, extra_columns) + "\n")


@contextmanager
def _json_report(path: Path, extra_columns: Sequence[str]) -> Iterator[Write]:
    names = column_names(REPORT_COLUMNS, extra_columns)
    before = "[\n"
    with replace_atomically(path) as file:

        def write(result: Result) -> None:
            nonlocal before
            file.write(before + _json_object(result, names, extra_columns))
            before = ",\n"

        yield write
        file.write("\n]\n" if before == ",\n" else "[]\n")


@contextmanager
def _further_report(path: Path, report: ExtraReport) -> Iterator[Write]:
    with replace_atomically(path) as file, report(file) as write:
        yield write


@contextmanager
def _retry(path: Path, extra_columns: Sequence[str]) -> Iterator[Write]:
    rows: CsvWriter | None = None
    with ExitStack() as opened:

        def write(result: Result) -> None:
            nonlocal rows
            if not is_retryable_row(result):
                return
            if rows is None:
                rows = _csv_writer(opened.enter_context(replace_atomically(path)))
                rows.writerow(map(text_cell, column_names(RETRY_COLUMNS, extra_columns)))
            rows.writerow([id_cell(result.room_id), id_cell(result.user_id), *_extra_cells(result, extra_columns)])

        yield write
    if rows is None:
        path.unlink(missing_ok=True)


def _csv_writer(file: TextIO) -> CsvWriter:
    return csv.writer(file, lineterminator="\r\n")


def _csv_cells(result: Result, extra_columns: Sequence[str]) -> list[str | int | None]:
    return [
        result.line,
        id_cell(result.room_id),
        id_cell(result.user_id),
        result.outcome.value,
        text_cell(result.reason),
        result.http_status,
        text_cell(result.error_type, limit=MAX_MESSAGE_LENGTH),
        text_cell(result.message, limit=MAX_MESSAGE_LENGTH),
        result.attempts,
        rfc3339(result.started_at),
        rfc3339(result.finished_at),
        result.duration_ms,
        *_extra_cells(result, extra_columns),
    ]


def _extra_cells(result: Result, extra_columns: Sequence[str]) -> Iterator[str]:
    # A line break inside quotes is good CSV, and the job's own columns are carried as they are.
    return (text_cell(result.extra.get(column), keep="\t\r\n") for column in extra_columns)


def _json_object(result: Result, names: Sequence[str], extra_columns: Sequence[str]) -> str:
    values: tuple[Json, ...] = (
        result.line,
        scrubbed(result.room_id),
        scrubbed(result.user_id),
        result.outcome.value,
        result.reason,
        result.http_status,
        scrubbed(result.error_type),
        scrubbed(result.message),
        result.attempts,
        rfc3339(result.started_at),
        rfc3339(result.finished_at),
        result.duration_ms,
        *map(result.extra.get, extra_columns),
    )
    return json_text(dict(zip(names, values, strict=True)))
