"""Workbooks that would fill the memory of their reader: each is refused from its tags alone."""

import io
import zipfile
from pathlib import Path

import pytest

from rolecall.files.input import workbook_limits
from rolecall.files.input.job import open_job
from rolecall.files.input.source import JobFileError
from rolecall.files.input.workbook_limits import MAX_TAG_LENGTH, find_size_problem, measure_part
from tests.support.job_files import workbook


def measured(markup: bytes) -> tuple[int, int]:
    """Return rows and columns of a part, at most."""
    size = measure_part(io.BytesIO(markup))
    return size.rows, size.columns


@pytest.mark.parametrize(
    ("markup", "rows", "columns"),
    [
        (b'<row r="1"><c r="A1"/><c r="B1"><v>1</v></c></row><row r="7"><c r="AA7"/></row>', 7, 27),
        (b"<row><c/><c/></row><row><c><v>1</v></c><c/><c/></row>", 2, 3),
        (b'<row r="1"><c/><c/><c/></row><row r="1048576"><c/></row>', 1_048_576, 3),
        (b'<row r="5"/><row/><row/>', 7, 0),
        (b'<x:row r="3"><x:c s="1" r="C3"/></x:row>', 3, 3),
        (b"<row\tr='3' ><c s='1'\nr = ' C3 '/></row>", 3, 3),
        (b"<row><c x=' r=\"A1\"'/><c x=\"<c r='A1'/>\"/><c/></row>", 1, 3),
        (b'<row><c r="A1" r="Z9"/></row>', 9, 26),
        (b'<row><c r="nowhere"/></row>', 1, 1),
        (b"<row><cell/><col/><rows/><v>c</v></row>", 1, 0),
    ],
)
def test_the_size_of_a_sheet(markup: bytes, rows: int, columns: int) -> None:
    """Cells and rows count with and without a reference, with any prefix, quotes and order of attributes."""
    seen = measured(markup)
    assert seen[0] >= rows
    assert seen[1] >= columns
    assert seen[0] <= rows + 2
    assert seen[1] <= columns + 2


def test_a_tag_between_two_chunks_is_seen_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a chunk ends, the size is the same."""
    markup = b'<row r="1"><c r="A1"><v>text</v></c></row><row r="9"><c s="1" r="D9"/><c/></row>'
    whole = measured(markup)
    for length in range(1, len(markup)):
        monkeypatch.setattr(workbook_limits, "CHUNK_SIZE", length)
        assert measured(markup) == whole


def test_a_tag_that_hides_its_reference_is_refused() -> None:
    """A cell whose tag is longer than any real one is damage; a long text, and other long tags, are none."""
    blanks = b" " * (MAX_TAG_LENGTH + workbook_limits.CHUNK_SIZE)
    with pytest.raises(ValueError, match="too long"):
        measured(b"<row><c" + blanks + b'r="XFD1048576"/></row>')
    assert measured(b'<t a="' + blanks + b'"><row r="1"><c r="B1"><v>' + blanks + b"</v></c></row>") == (1, 2)


def test_long_texts_in_many_cells_are_refused() -> None:
    """The reader has memory for each cell that shows a shared text: its length counts for each cell of the sheet."""
    texts = measure_part(io.BytesIO(b"<sst><si><t>a</t></si><si><t>" + b"x" * 3_000_000 + b"</t></si></sst>"))
    assert texts.longest_text >= 3_000_000
    few, many = (measure_part(io.BytesIO(b'<c r="A1"/>' * cells)) for cells in (10, 1_000))
    assert find_size_problem([texts, few]) == ""
    assert "texts of up to 3,000,0" in find_size_problem([many, texts])


@pytest.mark.parametrize(
    ("part", "old", "new", "message"),
    [
        ("xl/worksheets/sheet1.xml", b"</sheetData>", b'<row r="1048576"><c r="A1048576"/></row></sheetData>', ""),
        (
            "xl/worksheets/sheet1.xml",
            b"</sheetData>",
            b"<row>" + b"<c/>" * 3_000 + b'</row><row r="1048576"><c/></row></sheetData>',
            "a sheet of 1,048,",
        ),
        (
            "xl/worksheets/sheet1.xml",
            b"<sheetData>",
            b'<x a=" count=\'4000000000\'"/><sst uniqueCount="4000000000"/><sheetData>',
            "a workbook of 4,000,000,000 texts",
        ),
    ],
)
def test_a_workbook_that_would_fill_the_memory_is_refused(
    tmp_path: Path, part: str, old: bytes, new: bytes, message: str
) -> None:
    """The process is not ended by the reader's allocation: the job is refused in one line."""
    content = workbook([("roomId", "userId"), ("r", "u")])
    path = tmp_path / "job.xlsx"
    with zipfile.ZipFile(io.BytesIO(content)) as given, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for entry in given.infolist():
            made.writestr(entry, given.read(entry).replace(old, new) if entry.filename == part else given.read(entry))
    if message:
        with pytest.raises(JobFileError, match=message), open_job(str(path)) as job:
            list(job.rows())
    else:
        with open_job(str(path)) as job:
            assert len(list(job.rows())) == 1
