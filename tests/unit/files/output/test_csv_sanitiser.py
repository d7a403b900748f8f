"""CSV cells: no formula for a spreadsheet, no escape sequence for a terminal."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.files.output.csv_sanitiser import id_cell, parse_id_cell, text_cell
from rolecall.text import UNSAFE


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("plain", "plain"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "'  =1"),
        ("\n=1", "'\n=1"),
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
