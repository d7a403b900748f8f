"""CSV cells: no formula for a spreadsheet, no escape sequence for a terminal."""

import csv
import io
import re
import time
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rolecall.files.output.csv_sanitiser import (
    MAX_ID_CELL_LENGTH,
    MAX_NAME_CELL_LENGTH,
    csv_writer,
    id_cell,
    name_cell,
    parse_id_cell,
    text_cell,
)
from rolecall.models import CsvStyle
from rolecall.text import UNSAFE, sanitise


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("plain", "plain"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "'  =1"),
        ("\n=1", "\n'=1"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("\u200b=1", "'\u200b=1"),
        ("\uff1d1", "'\uff1d1"),
        ("\uff0b1", "'\uff0b1"),
        ("\uff0d1", "'\uff0d1"),
        ("\uff20x", "'\uff20x"),
        ("'=1", "'=1"),
        ("a=1", "a=1"),
        ("a\nb", "a\nb"),
        ("a;=1", "a;'=1"),
        ("a; \u200b+1", "a; \u200b'+1"),
        ("a|@x|b", "a|'@x|b"),
        ("a\t-1", "a\t'-1"),
        ("a\r\n=1", "a\r\n'=1"),
        ('a;"=1', "a;\"'=1"),
        ("a;'=1", "a;'=1"),
        ("=1;=2", "'=1;'=2"),
        ("a;b-1", "a;b-1"),
        ([1, -5], "[1,-5]"),
        ("\x1b[31mred", "\ufffd[31mred"),
        ("a\x85b\u2028c\u202ed\x7f", "a\ufffdb\ufffdc\ufffdd\ufffd"),
        (None, ""),
        (True, "true"),
        (-5, "'-5"),
        (1.5, "1.5"),
        ({"a": [1, "ü"]}, '{"a":[1,"ü"]}'),
        (["=1"], '["=1"]'),
    ],
)
def test_text_cell(value: Any, cell: str) -> None:
    """Formulas get an apostrophe, control and direction characters are replaced, JSON values are JSON."""
    assert text_cell(value, keep="\t\r\n") == cell


@given(st.text())
def test_no_cell_is_a_formula_or_has_unsafe_characters(text: str) -> None:
    """The cell of any text starts no formula and has no unsafe character except the replacement."""
    for cell in (text_cell(text), id_cell(text)):
        assert not cell.lstrip().startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))
        assert set(UNSAFE.findall(cell)) <= {"\ufffd"}


@given(st.text("'=-@+\uff1d\u200b \u00a0ab", max_size=6).map(str.strip))
def test_an_id_is_read_back_from_its_cell(text: str) -> None:
    """Any mix of apostrophes and formula characters in front of an id is read back unchanged."""
    assert parse_id_cell(id_cell(text)).strip() == text


@given(st.text("'=-@;|\t\"`\u201c\u201d\u201e ab", max_size=8).map(str.strip))
def test_an_id_with_quotes_or_separators_is_read_back(text: str) -> None:
    """Quotes of any kind around an id, and formulas after a separator in it, are read back unchanged."""
    assume(not UNSAFE.search(text))
    assert parse_id_cell(id_cell(text)).strip() == text


@given(st.lists(st.text(max_size=12), min_size=1, max_size=4), st.sampled_from(";\t|"))
def test_no_program_with_another_delimiter_sees_a_formula(texts: list[str], delimiter: str) -> None:
    """However a line is split, at the delimiter alone or by a CSV parser, no cell after the first starts a formula."""
    file = io.StringIO(newline="")
    csv_writer(file).writerow(["1", *(text_cell(text, keep="\t\r\n") for text in texts)])
    written = file.getvalue()
    parsed = [cell for record in csv.reader(io.StringIO(written, newline=""), delimiter=delimiter) for cell in record]
    for cell in [*re.split(f"[{delimiter}\r\n]", written), *parsed]:
        assert not cell.lstrip(' "').startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "\n", '"'])
def test_a_cell_that_a_separator_would_split_is_in_quotes(separator: str) -> None:
    """Each usual delimiter inside a cell puts the cell into quotes; lines end in CRLF as before."""
    file = io.StringIO(newline="")
    csv_writer(file).writerow(["x", f"a{separator}b", None, 5])
    doubled = separator.replace('"', '""')
    assert file.getvalue() == f'x,"a{doubled}b",,5\r\n'


@pytest.mark.parametrize("text", ["\n" * 130_000, ";" + " " * 130_000, ";" + "'" * 130_000, ';"' * 65_000])
def test_a_long_cell_takes_little_time(text: str) -> None:
    """The time for a cell does not grow with the square of its length."""
    started = time.monotonic()
    text_cell(text, keep="\r\n\t")
    parse_id_cell(id_cell(text))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("other", [",", ";", "\t", "|"])
@given(cells=st.lists(st.text(st.sampled_from("ab,;\t|\"'=+-@ \n"), max_size=8), min_size=2, max_size=4))
def test_no_program_finds_a_formula_at_another_delimiter(delimiter: str, other: str, cells: list[str]) -> None:
    """A file of any style has its cells again for its own delimiter, and no formula where another one splits it."""
    file = io.StringIO()
    csv_writer(file, CsvStyle(delimiter)).writerow(map(text_cell, cells))
    written = file.getvalue()
    (row,) = csv.reader(io.StringIO(written, newline=""), delimiter=delimiter)
    assert len(row) == len(cells)
    assert not any(cell.lstrip()[:1] in tuple("=+-@") for cell in row)
    for split in csv.reader(io.StringIO(written, newline=""), delimiter=other):
        assert not any(cell.lstrip()[:1] in tuple("=+-@") for cell in split)


@given(st.text(st.sampled_from("ab,;'=+@ "), min_size=1, max_size=10))
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_an_id_is_the_same_again_in_each_style(delimiter: str, text: str) -> None:
    """An id is read back as it was, with a comma inside too."""
    assume(text == text.strip() and parse_id_cell(text) == text)
    file = io.StringIO()
    csv_writer(file, CsvStyle(delimiter)).writerow([id_cell(text), "x"])
    ((cell, _),) = csv.reader(io.StringIO(file.getvalue(), newline=""), delimiter=delimiter)
    assert parse_id_cell(cell) == text


def test_a_byte_order_mark_comes_first() -> None:
    """Excel recognises UTF-8 by it."""
    file = io.StringIO()
    csv_writer(file, CsvStyle(";", has_bom=True)).writerow(["a", "b;c"])
    assert file.getvalue() == '\ufeffa;"b;c"\r\n'


@pytest.mark.parametrize(
    ("name", "cell"),
    [("finance", "finance"), ("", ""), ("=ops", "'=ops"), ("@bob:remote.example", "'@bob:remote.example")],
)
def test_names_are_safe_cells(name: str, cell: str) -> None:
    """A name is text for people, and no formula."""
    assert name_cell(name) == cell


def test_a_long_text_is_cut_at_its_limit() -> None:
    """Names and ids have one; an id of that length is whole, and a longer one is still too long when it is read."""
    assert text_cell("a b" * 200, limit=7) == sanitise("a b" * 200, limit=7)
    assert text_cell("a b" * 200) == "a b" * 200
    name = "A name " * 100
    assert name_cell(name) == sanitise(name, limit=MAX_NAME_CELL_LENGTH)
    for letter in "a\u00e4":
        whole, longer = letter * MAX_ID_CELL_LENGTH, letter * (MAX_ID_CELL_LENGTH + 1)
        assert id_cell(whole) == whole
        assert id_cell(longer) == sanitise(longer, limit=MAX_ID_CELL_LENGTH)
        assert len(id_cell(longer)) <= MAX_ID_CELL_LENGTH + 1


@pytest.mark.parametrize("cell", [7, None, "a,=1", "a,'=1", "a"])
def test_only_a_file_without_commas_gets_apostrophes_after_commas(cell: object) -> None:
    """In a CSV file with commas the cell is in quotes; a cell that has its apostrophe gets no second one."""
    for delimiter, expected in ((",", cell), (";", "a,'=1" if cell == "a,=1" else cell)):
        file = io.StringIO()
        csv_writer(file, CsvStyle(delimiter=delimiter)).writerow([cell, "x"])
        written = next(csv.reader([file.getvalue()], delimiter=delimiter))
        assert written == ["" if expected is None else str(expected), "x"]


@pytest.mark.parametrize(
    ("cell", "text"),
    [('="u1"', "u1"), ("\u201cu1\u201d", "u1"), ("'u1'", "u1"), ("'=u1", "=u1"), ("'", "'"), ("a,'=1", "a,=1")],
)
def test_what_surrounds_an_id_is_removed(cell: str, text: str) -> None:
    """As a spreadsheet or a text program put it there."""
    assert parse_id_cell(cell) == text
