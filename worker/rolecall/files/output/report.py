"""The reports of a run: every row in `report.csv` (and JSON), the rows worth another run in `retry.csv`."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import MappingProxyType
from typing import NamedTuple, TextIO

from rolecall.file_access import Folder, Target
from rolecall.files.doubt_columns import DOUBT_COLUMNS, RunTarget, doubt_cells
from rolecall.files.input.columns import unique_name
from rolecall.files.output.csv_sanitiser import (
    LINE_END,
    MAX_ID_CELL_LENGTH,
    CsvWriter,
    csv_writer,
    id_cell,
    name_cell,
    text_cell,
)
from rolecall.files.output.text_files import format_json, replace_atomically, replace_surrogates
from rolecall.models import OUTCOMES, CsvStyle, Json, ReportFormat, Result
from rolecall.text import rfc3339, sanitise

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
    "evidence",
    "roomName",
    "username",
)
RETRY_COLUMNS = ("roomId", "userId")
MAX_MESSAGE_CELL_LENGTH = 2_000
"""Characters."""

_is_plain = re.compile("(?:[A-Za-z0-9][A-Za-z0-9._-]*+)?+(?:,(?:[A-Za-z0-9][A-Za-z0-9._-]*+)?+)*+").fullmatch
"""Match cells, with commas between them, that are written as they are: each is empty or begins like a word."""

WriteResult = Callable[[Result], object]
ExtraReport = Callable[[TextIO], AbstractContextManager[WriteResult]]
"""A report in another form: opens on a file and writes each result into it."""


class ReportFiles(NamedTuple):
    """The files that `open_reports` writes beside `report.csv`."""

    formats: Collection[str] = ()
    """Forms besides CSV, of REPORT_FORMATS."""
    extra: Mapping[str, ExtraReport] = MappingProxyType({})
    """Reports in other forms, by file name."""
    retry: bool = True
    doubts_of: RunTarget | None = None
    """The run whose doubts `retry.csv` carries, in columns of their own; None where no row is in doubt."""
    style: CsvStyle = CsvStyle()
    """Of the CSV files."""


_ONLY_CSV = ReportFiles()


@contextmanager
def open_reports(
    folder: Folder, extra_columns: Sequence[str], files: ReportFiles = _ONLY_CSV
) -> Iterator[Callable[[Iterable[Result]], None]]:
    """Open `report.csv` and the other `files` of a run in `folder`; the value writes results into all of them.

    `extra_columns` are the job's columns besides the two ids. Each file is replaced when the block ends without an
    exception. `retry.csv` has the rows that are worth another run; if there are none, an old file is removed. CSV is as
    in RFC 4180 (CRLF), in UTF-8. `files.extra` are finished last: if one of them fails, the other reports are written.
    Raises OSError.
    """
    with ExitStack() as reports:
        writers = [reports.enter_context(_extra_report(folder / name, report)) for name, report in files.extra.items()]
        writers.append(reports.enter_context(_csv_report(folder / "report.csv", extra_columns, files.style)))
        for name, open_report in _FURTHER_REPORTS.items():
            if name in files.formats:
                writers.append(reports.enter_context(open_report(folder / f"report.{name}", extra_columns)))
        if files.retry:
            writers.append(reports.enter_context(_retry_report(folder / "retry.csv", extra_columns, files)))

        def write(results: Iterable[Result]) -> None:
            for result in results:
                for writer in writers:
                    writer(result)

        yield write


def report_header(own_columns: Sequence[str], extra_columns: Sequence[str]) -> list[str]:
    """Return the column names of a report: its own, then the job's, renamed `job_...` if the name is taken."""
    names = dict.fromkeys(own_columns)
    for number, column in enumerate(extra_columns, start=1):
        name = sanitise(column) or f"column {number}"
        names[unique_name(f"job_{name}" if name in names else name, names)] = None
    return list(names)


def belongs_in_retry_csv(result: Result) -> bool:
    """Return whether a row is worth another run: still in the job, and neither finished nor unusable."""
    return result.line is not None and OUTCOMES[result.outcome].is_retryable


@contextmanager
def _csv_report(path: Target, extra_columns: Sequence[str], style: CsvStyle) -> Iterator[WriteResult]:
    with replace_atomically(path) as file:
        writer = csv_writer(file, style)
        writer.writerow(map(text_cell, report_header(REPORT_COLUMNS, extra_columns)))

        def write(result: Result) -> None:
            line = usual_csv_line(result, extra_columns) if style.delimiter == "," else None
            if line is None:
                writer.writerow(csv_cells(result, extra_columns))
            else:
                file.write(line)

        yield write


@contextmanager
def _jsonl_report(path: Target, extra_columns: Sequence[str]) -> Iterator[WriteResult]:
    names = report_header(REPORT_COLUMNS, extra_columns)
    with replace_atomically(path) as file:
        yield lambda result: file.write(_json_object(result, names, extra_columns) + "\n")


@contextmanager
def _json_report(path: Target, extra_columns: Sequence[str]) -> Iterator[WriteResult]:
    names = report_header(REPORT_COLUMNS, extra_columns)
    separator = "[\n"
    with replace_atomically(path) as file:

        def write(result: Result) -> None:
            nonlocal separator
            file.write(separator + _json_object(result, names, extra_columns))
            separator = ",\n"

        yield write
        file.write("\n]\n" if separator == ",\n" else "[]\n")


_FURTHER_REPORTS: Mapping[ReportFormat, Callable[[Target, Sequence[str]], AbstractContextManager[WriteResult]]] = (
    MappingProxyType({"jsonl": _jsonl_report, "json": _json_report})
)


@contextmanager
def _extra_report(path: Target, report: ExtraReport) -> Iterator[WriteResult]:
    with replace_atomically(path) as file, report(file) as write:
        yield write


@contextmanager
def _retry_report(path: Target, extra_columns: Sequence[str], files: ReportFiles) -> Iterator[WriteResult]:
    """Write `retry.csv`, which is created with its first row."""
    doubts_of = files.doubts_of
    names = [*report_header(RETRY_COLUMNS, extra_columns), *(DOUBT_COLUMNS if doubts_of else ())]
    writer: CsvWriter | None = None
    with ExitStack() as opened:

        def write(result: Result) -> None:
            nonlocal writer
            if not belongs_in_retry_csv(result):
                return
            if writer is None:
                writer = csv_writer(opened.enter_context(replace_atomically(path)), files.style)
                writer.writerow(map(text_cell, names))
            doubt = doubt_cells(result, doubts_of) if doubts_of else ()
            ids = (id_cell(result.room_id), id_cell(result.user_id))
            writer.writerow([*ids, *_extra_cells(result, extra_columns), *doubt])

        yield write
    if writer is None:
        path.unlink(missing_ok=True)


def usual_csv_line(result: Result, extra_columns: Sequence[str]) -> str | None:
    """Return the line of `csv_cells` for a row without a message and with plain texts only; None for any other row.

    Most rows are such. Their cells need neither quotes nor a check for formulas, which takes half of the time.
    """
    line, room, user, outcome, reason, status, error_type, message, attempts, started, finished, took = result[:12]
    if error_type or message:
        return None
    names = f"{result.evidence},{result.room_name},{result.username}"
    for column in extra_columns:
        value = result.extra.get(column)
        if value is not None and type(value) is not str:
            return None
        names += f",{value or ''}"
    texts = f"{room},{user},{reason},{names}"
    if len(texts) > MAX_ID_CELL_LENGTH or not _is_plain(texts) or texts.count(",") != 5 + len(extra_columns):
        return None
    return (
        f"{'' if line is None else line},{room},{user},{outcome},{reason},{'' if status is None else status},,,"
        f"{attempts},{rfc3339(started) or ''},{rfc3339(finished) or ''},{'' if took is None else took},"
        f"{names}{LINE_END}"
    )


def csv_cells(result: Result, extra_columns: Sequence[str]) -> list[str | int | None]:
    """Return the cells of a row of `report.csv`, safe in a spreadsheet."""
    return [
        result.line,
        id_cell(result.room_id),
        id_cell(result.user_id),
        result.outcome.value,
        text_cell(result.reason),
        result.http_status,
        text_cell(result.error_type, limit=MAX_MESSAGE_CELL_LENGTH),
        text_cell(result.message, limit=MAX_MESSAGE_CELL_LENGTH),
        result.attempts,
        rfc3339(result.started_at),
        rfc3339(result.finished_at),
        result.duration_ms,
        result.evidence,
        name_cell(result.room_name),
        name_cell(result.username),
        *_extra_cells(result, extra_columns),
    ]


def _extra_cells(result: Result, extra_columns: Sequence[str]) -> Iterator[str]:
    # Line breaks inside quotes are valid CSV, and the job's own columns are copied unchanged.
    return (text_cell(result.extra.get(column), keep="\t\r\n") for column in extra_columns)


def _json_object(result: Result, names: Sequence[str], extra_columns: Sequence[str]) -> str:
    values: tuple[Json, ...] = (
        result.line,
        replace_surrogates(result.room_id),
        replace_surrogates(result.user_id),
        result.outcome.value,
        result.reason,
        result.http_status,
        replace_surrogates(result.error_type),
        replace_surrogates(result.message),
        result.attempts,
        rfc3339(result.started_at),
        rfc3339(result.finished_at),
        result.duration_ms,
        result.evidence,
        replace_surrogates(result.room_name),
        replace_surrogates(result.username),
        *map(result.extra.get, extra_columns),
    )
    return format_json(dict(zip(names, values, strict=True)))
