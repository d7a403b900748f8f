"""How much memory the reader of a workbook would need, measured on its parts before it reads them.

The reader has memory for each cell between the first and the last, for each text in each cell that shows it, and for as
many texts as the workbook announces; a file of some kilobytes can ask for terabytes.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

MAX_CELLS = 10_000_000
"""Rows by columns of a sheet, and shared texts: the reader has memory for each, also for empty ones."""
MAX_TEXT = 2_000_000_000
"""Bytes of the longest shared text by the number of cells, each of which may show it."""
CHUNK_SIZE = 1024 * 1024
MAX_TAG_LENGTH = 65_536
"""Bytes of one tag. The tags of cells and rows are far shorter."""

_PREFIX = rb"<(?:[^\s<>/!?=\"':]*+:)?"
_ATTRIBUTE = rb"""\s++([^\s=<>/"']++)\s*+=\s*+("[^"]*+"|'[^']*+')"""
_usual_cells = re.compile(rb'<c r="([A-Z]{1,9})(\d{1,20})"').findall
_usual_rows = re.compile(rb'<row r="(\d{1,20})"').findall
_cells = re.compile(_PREFIX + rb"c[\s/>]").findall
_rows = re.compile(_PREFIX + rb"row[\s/>]").findall
_tags = re.compile(_PREFIX + rb"(c|row)(?=[\s/>])((?:" + _ATTRIBUTE.replace(b"(", b"(?:") + rb")*+)").finditer
_attributes = re.compile(_ATTRIBUTE).finditer
_texts = re.compile(_PREFIX + rb"si[\s/>]").finditer
_counts = re.compile(rb"""\s(?:uniqueC|c)ount\s*+=\s*+["']\s*+(\d{1,20})""").findall
_cell_reference = re.compile(rb"\s*([A-Za-z]{1,9})(\d{1,20})\s*").fullmatch
_row_reference = re.compile(rb"\s*(\d{1,20})\s*").fullmatch


class PartSize:
    """The size of one part of a workbook. Any part can be a sheet or the shared texts, under any name."""

    def __init__(self) -> None:
        self.cells = 0
        self.longest_text = 0
        """Bytes of the longest shared text, with its markup."""
        self.announced = 0
        """Shared texts, as the part says."""
        self._row = self._column = 0
        """The last row and column that a reference names."""
        self._further_rows = 0
        """Rows without a reference, each of which is the next one."""
        self._in_row = self._further_cells = 0
        """Cells without a reference in the present row, and in the row with the most."""
        self._since_text = -1
        """Bytes since the last shared text began; -1 before the first."""

    @property
    def rows(self) -> int:
        """The number of rows, at most."""
        return self._row + self._further_rows

    @property
    def columns(self) -> int:
        """The number of columns, at most."""
        return self._column + self._further_cells

    def add(self, markup: bytes) -> None:
        """Add the next bytes, which begin and end between two tags."""
        usual_cells, usual_rows = _usual_cells(markup), _usual_rows(markup)
        cells = len(_cells(markup))
        self.cells += cells
        if cells == len(usual_cells) and len(_rows(markup)) == len(usual_rows):  # as spreadsheets write them
            for letters, digits in set(usual_cells):
                self._add_reference(letters, digits)
            self._row = max(self._row, max(map(int, usual_rows), default=0))
            self._in_row = 0 if usual_rows else self._in_row
        else:
            for tag in _tags(markup):
                self._add_tag(tag[1], tag[2])
        self._measure_texts(markup)
        self.announced = max(self.announced, max(map(int, _counts(markup)), default=0))

    def _add_tag(self, name: bytes, attributes: bytes) -> None:
        """Add one row or cell."""
        values = [found[2][1:-1] for found in _attributes(attributes) if found[1] == b"r"] if b"r" in attributes else []
        if name == b"row":
            self._in_row = 0
            references = [int(found[1]) for found in map(_row_reference, values) if found]
            self._row = max(self._row, *references, 0)
            self._further_rows += not references
            return
        found = [each for each in map(_cell_reference, values) if each]
        for each in found:
            self._add_reference(each[1], each[2])
        if not found:
            self._in_row += 1
            self._further_cells = max(self._further_cells, self._in_row)

    def _add_reference(self, letters: bytes, digits: bytes) -> None:
        self._row = max(self._row, int(digits))
        self._column = max(self._column, _column_number(letters))

    def _measure_texts(self, markup: bytes) -> None:
        last = 0
        for text in _texts(markup):
            if self._since_text >= 0:
                self.longest_text = max(self.longest_text, self._since_text + text.start() - last)
            last, self._since_text = text.start(), 0
        if self._since_text >= 0:
            self._since_text += len(markup) - last
            self.longest_text = max(self.longest_text, self._since_text)

    @property
    def problem(self) -> str:
        """Why the part, as far as it was read, would fill the memory; empty if it would not."""
        if self.rows * self.columns > MAX_CELLS:
            return f"a sheet of {self.rows:,} rows and {self.columns:,} columns"
        return f"a workbook of {self.announced:,} texts" if self.announced > MAX_CELLS else ""


def measure_part(stream: BinaryIO) -> PartSize:
    """Read a part to its end, which compares its size and checksum, and measure it, unless it is too large.

    Raises ValueError for a cell or row with a very long tag.
    """
    size = PartSize()
    for markup in _whole_tags(stream):
        size.add(markup)
        if size.problem:
            break
    return size


def find_size_problem(parts: list[PartSize]) -> str:
    """Return why a workbook with these parts would fill the memory; empty if it would not."""
    longest = max((part.longest_text for part in parts), default=0)
    for part in parts:
        if part.problem:
            return part.problem
        if part.cells * longest > MAX_TEXT:
            return f"a sheet of {part.cells:,} cells, with texts of up to {longest:,} bytes"
    return ""


def _whole_tags(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a part, some at a time, so that each tag of a cell or row is in one piece.

    Raises ValueError for such a tag that is too long.
    """
    rest = b""
    while chunk := stream.read(CHUNK_SIZE):
        rest += chunk
        end = rest.rfind(b"<")
        is_open = end >= 0 and rest.find(b">", end) < 0
        if is_open and len(rest) - end > MAX_TAG_LENGTH:
            if next(_tags(rest, end), None):
                raise ValueError("a tag is too long")
            is_open = False
        end = end if is_open else len(rest)
        yield rest[:end]
        rest = rest[end:]
    yield rest


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - 64
    return number
