"""Excel workbooks (.xlsx): the records of the sheet that has the list, through python-calamine."""

import zipfile
from datetime import datetime, time
from typing import Any, BinaryIO, cast

import orjson

from rolecall.files.input.workbook_limits import find_size_problem, measure_part

MAX_PACKED_SIZE = 100_000_000
"""Bytes of a workbook: the reader has it in memory as a whole."""
MAX_UNPACKED_SIZE = 500_000_000
"""Bytes of all parts of a workbook."""
MAX_PARTS = 10_000
MAX_EXACT = 10**15
"""A spreadsheet has rounded whole numbers from here on."""
SAVE_AS = "save the sheet as 'CSV UTF-8'"
INSTALL = f"install its reader with: pip install 'rolecall[xlsx]'; or {SAVE_AS}"


class WorkbookError(Exception):
    """The workbook is unusable; str() is the problem and what to do."""


def write_sheet(file: BinaryIO, records: BinaryIO) -> None:
    """Write the rows of the only visible sheet that is not empty, each a JSON list of texts on a line of its own.

    The number of the line is that of the row. Raises WorkbookError.
    """
    _check_archive(file)
    try:
        import python_calamine as calamine  # here: an optional library
    except ImportError:
        raise WorkbookError(f"this is an Excel workbook; {INSTALL}") from None
    file.seek(0)
    try:
        with calamine.CalamineWorkbook.from_filelike(cast(Any, file)) as workbook:
            visible = calamine.SheetVisibleEnum.Visible
            names = [sheet.name for sheet in workbook.sheets_metadata if sheet.visible == visible]
            sheets = [sheet for sheet in map(workbook.get_sheet_by_name, names) if sheet.height]
            for sheet in sheets[:1]:
                rows = (list(map(_text, cells)) for cells in sheet.iter_rows())
                records.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
    except Exception as error:
        raise WorkbookError(f"the workbook cannot be read ({error}); {SAVE_AS}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of the reader's Rust code; it has no importable name
            raise
        raise WorkbookError(f"the workbook is damaged; {SAVE_AS}") from error
    if len(sheets) != 1:
        raise WorkbookError(_describe_sheets([sheet.name for sheet in sheets]))
    records.flush()


def _check_archive(file: BinaryIO) -> None:
    """Raise WorkbookError for a zip file that is no workbook or would fill the memory."""
    file.seek(0, 2)
    if file.tell() > MAX_PACKED_SIZE:
        raise WorkbookError(f"a workbook of more than 100 MB; {SAVE_AS}")
    try:
        with zipfile.ZipFile(file) as archive:
            problem = _find_archive_problem(archive)
    except Exception as error:  # zipfile and its decompressors raise many kinds for damaged files
        raise WorkbookError(f"a damaged or encrypted Excel workbook or zip file ({error}); {SAVE_AS}") from error
    if problem:
        raise WorkbookError(problem)


def _find_archive_problem(archive: zipfile.ZipFile) -> str:
    """Return why a zip file is no usable workbook; empty if it is one."""
    parts = archive.infolist()
    if not any(part.filename == "xl/workbook.xml" for part in parts):
        return _describe_archive(parts)
    if len(parts) > MAX_PARTS:
        return f"a workbook of {len(parts):,} parts; {SAVE_AS}"
    if sum(part.file_size for part in parts) > MAX_UNPACKED_SIZE:
        return f"a workbook of more than 500 MB when unpacked; {SAVE_AS}"
    sizes = []
    for part in parts:
        with archive.open(part) as stream:
            sizes.append(measure_part(cast(BinaryIO, stream)))
    problem = find_size_problem(sizes)
    return problem and f"{problem}; {SAVE_AS}"


def _describe_archive(parts: list[zipfile.ZipInfo]) -> str:
    names = {part.filename for part in parts}
    if "content.xml" in names:
        return "this is an OpenDocument file; save the sheet as .xlsx or as 'CSV UTF-8'"
    if "xl/workbook.bin" in names:
        return "this is a binary Excel workbook; save the sheet as .xlsx or as 'CSV UTF-8'"
    return "this is a zip file and no Excel workbook; unpack it first"


def _describe_sheets(names: list[str]) -> str:
    if not names:
        return "there is nothing in its visible sheets; expected a header with roomId and userId"
    shown = ", ".join(f"'{name[:40]}'" for name in names[:10])
    return f"there are {len(names)} sheets with content: {shown}; keep one, or save the right one as 'CSV UTF-8'"


def _text(value: Any) -> str:
    """Return the value of a cell as text, as a spreadsheet shows it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float | int):
        if abs(value) >= MAX_EXACT:
            return f"{value:.5E}"
        return str(int(value)) if value == int(value) else repr(value)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ")
    return str(value)
