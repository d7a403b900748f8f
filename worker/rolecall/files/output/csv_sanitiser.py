"""Sanitise CSV cells: formula injection, terminal escapes, line breaks; and read ids back from cells."""

import csv
import re
from collections.abc import Iterable
from typing import Any, Protocol, TextIO

import orjson

from rolecall.models import CsvStyle, Json
from rolecall.text import sanitise

MAX_ID_CELL_LENGTH = 300
"""Characters. More than MAX_ID_LENGTH, so that an id that was too long is still too long after it was cut."""
RFC_4180 = CsvStyle()
MAX_NAME_CELL_LENGTH = 300
"""Characters."""
LINE_END = "\r\n"
YES_NO = {True: "yes", False: "no", None: ""}
"""The cell of a fact that may be unknown."""

_DELIMITERS = ",;\t|"
"""At which another program may split a line."""
_BLANKS = "\\s\ufeff\u200b-\u200f\u2060"
_FORMULA = f"[{_BLANKS}]*[=+\\-@\uff1d\uff0b\uff0d\uff20]"
"""The ASCII and full-width characters that start a formula, after visible or invisible blanks."""
_FORMULA_START = rf"[\t\r]|{_FORMULA}"
"""Few cells need this pattern and those below: they are compiled when they are first used, not at every start."""
_ESCAPED_FORMULA = f"'+{_FORMULA}"
_has_separator = re.compile("[;\t|\r\n]").search
_has_any_separator = re.compile("[,;\t|\r\n]").search
_GAP = " \x0b\x0c\x1c-\x1f\x85\xa0\u1680\u2000-\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
"""Blanks that are no separators. Possessive quantifiers keep long runs of them from taking quadratic time."""
_LATER_FORMULA = rf"'*+[{_GAP}]*+[=+\-@\uff1d\uff0b\uff0d\uff20]"
_AFTER_SEPARATOR = rf'(?<=[;\t|\r\n])([{_GAP}"]*+)'
_AFTER_ANY_SEPARATOR = rf'(?<=[,;\t|\r\n])([{_GAP}"]*+)'
_BEFORE_LATER_FORMULA = f"{_AFTER_SEPARATOR}(?={_LATER_FORMULA})"
"""Find the place for an apostrophe inside a cell: after a separator at which another program may split the line, before
a formula. Quotes around the cell do not stop such a program, because the cell is not the first of the line."""
_BEFORE_ANY_LATER_FORMULA = f"{_AFTER_ANY_SEPARATOR}(?={_LATER_FORMULA})"
"""For ids, and for files in which the comma is no delimiter: another program may split a line at it."""
_BEFORE_ESCAPED_FORMULA = f"{_AFTER_ANY_SEPARATOR}'(?={_LATER_FORMULA})"

_QUOTES = ('""', "``", "\u201c\u201d", "\u201e\u201c", "\u201e\u201d", "\u201d\u201d", "\u00ab\u00bb", "\u00bb\u00ab")
_SINGLE_QUOTES = ("\u2018\u2019", "\u201a\u2018", "\u201a\u2019", "\u2039\u203a")
_WRAPPED_CELL = "|".join(
    [
        '=\\s*"([^"]*)"',
        *(f"{first}([^{first}{last}]*){last}" for first, last in map(tuple, _QUOTES + _SINGLE_QUOTES)),
    ]
)
"""Match what a spreadsheet or a text program puts around an id: `="id"`, straight and typographic quotes."""
_unwrap_apostrophes = re.compile(r"'([^']+)'").fullmatch


class CsvWriter(Protocol):
    """The type of `csv.writer`, which has no name at run time."""

    def writerow(self, row: Iterable[Any], /) -> object:
        """Write one record."""


class _LineEndWriter:
    """Writes lines that end in `ending` with LINE_END in its place."""

    def __init__(self, file: TextIO, ending: str) -> None:
        self._write = file.write
        self._length = len(ending)

    def write(self, line: str) -> int:
        """Write one line."""
        return self._write(line[: -self._length] + LINE_END)


class _CommaGuard:
    """Writes records of a file in which the comma is no delimiter: a formula after a comma gets an apostrophe."""

    def __init__(self, writer: CsvWriter) -> None:
        self._writer = writer

    def writerow(self, row: Iterable[Any], /) -> object:
        """Write one record."""
        return self._writer.writerow([_guard_commas(cell) if isinstance(cell, str) else cell for cell in row])


def csv_writer(file: TextIO, style: CsvStyle = RFC_4180) -> CsvWriter:
    """Return a CSV writer as in RFC 4180 (comma, CRLF), or in another style; it does not sanitise cells.

    It quotes every cell that a program with another delimiter (comma, `;`, tab, `|`) would split.
    """
    if style.has_bom:
        file.write("\ufeff")
    # The csv module quotes every cell that contains the delimiter, a quote or a character of its line terminator, which
    # must not contain the delimiter (an error from Python 3.13 on).
    ending = _DELIMITERS.replace(style.delimiter, "") + LINE_END
    writer = csv.writer(_LineEndWriter(file, ending), delimiter=style.delimiter, lineterminator=ending)
    return writer if style.delimiter == "," else _CommaGuard(writer)


def _guard_commas(cell: str) -> str:
    return re.sub(_BEFORE_ANY_LATER_FORMULA, _guard_unless_guarded, cell) if "," in cell else cell


def text_cell(value: Json, *, limit: int | None = None, keep: str = "") -> str:
    """Return a value as a safe CSV cell: null is empty, other JSON values are JSON, a formula gets an apostrophe.

    Unsafe characters that are not in `keep` become U+FFFD. A text is cut at `limit` characters.
    """
    if value is None or value == "":  # most cells of most rows
        return ""
    text = sanitise(value if isinstance(value, str) else orjson.dumps(value).decode(), limit=limit, keep=keep)
    if _has_separator(text):
        text = re.sub(_BEFORE_LATER_FORMULA, _guard_unless_guarded, text)
    return f"'{text}" if _starts_formula(text) else text


def name_cell(name: str) -> str:
    """Return the name of a room or a user as a safe CSV cell."""
    if name.isalnum() and name.isascii():  # a fast path
        return name
    return text_cell(name, limit=MAX_NAME_CELL_LENGTH)


def id_cell(text: str) -> str:
    """Return an id as a safe CSV cell; `parse_id_cell` returns the id again.

    An unusable id stays unusable: a cut id is still too long, and U+FFFD is rejected when the cell is read.
    """
    if text.isalnum() and text.isascii() and len(text) <= MAX_ID_CELL_LENGTH:  # as Rocket.Chat's own ids are
        return text
    text = sanitise(text, limit=MAX_ID_CELL_LENGTH)
    cell = re.sub(_BEFORE_ANY_LATER_FORMULA, r"\1'", text) if _has_any_separator(text) else text
    return f"'{cell}" if _starts_formula(cell) or parse_id_cell(cell) != text else cell


def parse_id_cell(cell: str) -> str:
    """Return the id in a cell, without what a spreadsheet, a text program or `id_cell` has put around it.

    That is `="id"`, one apostrophe in front, or quotes of any kind.
    """
    if cell.startswith("'"):
        quoted = None if re.match(_ESCAPED_FORMULA, cell) else _unwrap_apostrophes(cell)
        cell = quoted[1] if quoted else cell[1:] or cell
    elif cell and not cell[0].isalnum() and (match := re.fullmatch(_WRAPPED_CELL, cell)):
        cell = match[match.lastindex or 0]
    return re.sub(_BEFORE_ESCAPED_FORMULA, r"\1", cell) if _has_any_separator(cell) else cell


def _starts_formula(cell: str) -> bool:
    return not cell[:1].isalnum() and re.match(_FORMULA_START, cell) is not None


def _guard_unless_guarded(match: re.Match[str]) -> str:
    return match[0] if match.string.startswith("'", match.end()) else f"{match[0]}'"
