"""Job files and reports for tests: ids that a job may contain, its further columns, Excel workbooks."""

import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from hypothesis import strategies as st

from rolecall.files.input.ids import Words, make_row, trim
from rolecall.files.input.job import ReadOptions, open_job
from rolecall.files.output.report import ReportFiles, open_reports
from rolecall.models import MAX_ID_LENGTH, BadRow, JobRow, Result, Row
from rolecall.text import UNSAFE, format_room, format_user

_SPREADSHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def is_usable(room_id: str, user_id: str) -> bool:
    """Return whether both are ids, and not names or anything that a reader removes or rejects."""
    row = make_row(1, Words(room_id, user_id), {})
    return isinstance(row, Row) and (row.room_id, row.user_id) == (room_id, user_id)


def usable(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return those of `texts` that are usable as a room id and as a user id, made usable where that is easy."""
    cleaned = texts.map(lambda text: trim(UNSAFE.sub("", text)))
    return cleaned.filter(lambda text: is_usable(text, text))


usable_ids = usable(st.text(st.characters(codec="utf-8"), min_size=1, max_size=MAX_ID_LENGTH))
"""Every id that a JSON job may contain."""


def extra_columns(rows: Iterable[JobRow]) -> tuple[str, ...]:
    """Return the columns of a job besides the ids, in the order of the file."""
    return tuple(dict.fromkeys(name for row in rows for name in row.extra))


def write_report(
    folder: Path, results: Iterable[Result], columns: Sequence[str], files: ReportFiles | None = None
) -> None:
    """Write the reports of a run from its results; `columns` are the job's besides the ids."""
    with open_reports(folder, columns, files or ReportFiles()) as write:
        write(results)


Taken = list[tuple[str, str] | str]
"""For each row its pair, with `#name` or `@name` in place of an id; or the reason why it is unusable."""


class Read(NamedTuple):
    """What was read of a file."""

    rows: list[JobRow]
    warnings: list[str]


def read(content: bytes, options: ReadOptions = ReadOptions()) -> Read:  # noqa: B008 - it is frozen
    """Return the rows of a job file and the warnings about it."""
    warnings: list[str] = []
    with open_job("-", io.BytesIO(content), options, warnings.append) as job:
        rows = list(job.rows())
        assert list(job.rows()) == rows
    return Read(rows, warnings)


def taken(rows: list[JobRow]) -> Taken:
    """Return each row as a case expects it."""
    found: Taken = []
    for row in rows:
        if isinstance(row, BadRow):
            found.append(row.reason)
        else:
            room, user = format_room(row.room_id, row.room_name), format_user(row.user_id, row.username)
            found.append((row.room_id or room, row.user_id or user))
    return found


def encode(content: str | bytes) -> bytes:
    """Return the content of a file as bytes."""
    return content if isinstance(content, bytes) else content.encode()


Cell = str | int | float | bool


def workbook(
    rows: Iterable[Sequence[Cell]], *, others: Sequence[tuple[str, str]] = (), first: tuple[int, int] = (1, 1)
) -> bytes:
    """Return an Excel workbook with one sheet of these rows, which begins at the row and column `first`.

    `others` are further sheets: the state (`visible`, `hidden`) and the XML of the rows of each.
    """
    down, right = first
    sheet = "".join(_row(number, right, row) for number, row in enumerate(rows, start=down))
    return raw_workbook([("visible", sheet), *others])


def raw_workbook(sheets: Sequence[tuple[str, str]]) -> bytes:
    """Return an Excel workbook with these sheets: the state and the XML of the rows of each."""
    file = io.BytesIO()
    numbers = range(1, len(sheets) + 1)
    listed = "".join(
        f'<sheet name="Sheet {n}" sheetId="{n}" state="{sheets[n - 1][0]}" r:id="rId{n}"/>' for n in numbers
    )
    links = "".join(_relation(n, f"{_OFFICE}/worksheet", f"worksheets/sheet{n}.xml") for n in numbers)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", f'<Types xmlns="{_PACKAGE}/content-types"/>')
        archive.writestr("_rels/.rels", _relations(_relation(1, f"{_OFFICE}/officeDocument", "xl/workbook.xml")))
        archive.writestr("xl/_rels/workbook.xml.rels", _relations(links))
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{_SPREADSHEET}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>',
        )
        for n in numbers:
            body = f'<worksheet xmlns="{_SPREADSHEET}"><sheetData>{sheets[n - 1][1]}</sheetData></worksheet>'
            archive.writestr(f"xl/worksheets/sheet{n}.xml", body)
    return file.getvalue()


def _row(number: int, right: int, row: Sequence[Cell]) -> str:
    cells = "".join(_cell(number, place, value) for place, value in enumerate(row, start=right))
    return f'<row r="{number}">{cells}</row>'


def _cell(row: int, column: int, value: Cell) -> str:
    place = f"{chr(64 + column)}{row}"
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{place}"><v>{value!r}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def _relation(number: int, kind: str, target: str) -> str:
    return f'<Relationship Id="rId{number}" Type="{kind}" Target="{target}"/>'


def _relations(relations: str) -> str:
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{relations}</Relationships>'
