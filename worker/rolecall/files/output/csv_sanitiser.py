"""Sanitise CSV cells: formula injection, terminal escapes, line breaks."""

import csv
import re
from collections.abc import Iterable
from typing import Any, Protocol, TextIO

import orjson

from rolecall.models import Json
from rolecall.text import sanitise

MAX_ID_CELL_LENGTH = 300
"""Characters. More than MAX_ID_LENGTH, so that an id that was too long is still too long after it was cut."""

_FORMULA = "[\\s\ufeff\u200b-\u200f\u2060]*[=+\\-@\uff1d\uff0b\uff0d\uff20]"
"""The ASCII and full-width characters that start a formula, after visible or invisible blanks."""
_starts_formula = re.compile(rf"[\t\r]|{_FORMULA}").match
_starts_escaped_formula = re.compile(rf"'+{_FORMULA}").match


class CsvWriter(Protocol):
    """The type of `csv.writer`, which has no name at run time."""

    def writerow(self, row: Iterable[Any], /) -> object:
        """Write one record."""


def csv_writer(file: TextIO) -> CsvWriter:
    """Return a CSV writer as in RFC 4180 (comma, CRLF); it does not sanitise cells."""
    return csv.writer(file, lineterminator="\r\n")


def text_cell(value: Json, *, limit: int | None = None, keep: str = "") -> str:
    """Return a value as a safe CSV cell: null is empty, other JSON values are JSON, a formula gets an apostrophe.

    Unsafe characters that are not in `keep` become U+FFFD. A text is cut at `limit` characters.
    """
    if value is None or value == "":  # most cells of most rows
        return ""
    text = sanitise(value if isinstance(value, str) else orjson.dumps(value).decode(), limit=limit, keep=keep)
    return f"'{text}" if _starts_formula(text) else text


def id_cell(text: str) -> str:
    """Return an id as a safe CSV cell; `parse_id_cell` returns the id again.

    An unusable id stays unusable: a cut id is still too long, and U+FFFD is rejected when the cell is read.
    """
    if text.isalnum() and text.isascii() and len(text) <= MAX_ID_CELL_LENGTH:  # as Rocket.Chat's own ids are
        return text
    text = sanitise(text, limit=MAX_ID_CELL_LENGTH)
    return f"'{text}" if _starts_formula(text) or _starts_escaped_formula(text) else text


def parse_id_cell(cell: str) -> str:
    """Return the id in a cell, without the apostrophe that `id_cell` puts before a formula character."""
    return cell[1:] if _starts_escaped_formula(cell) else cell
