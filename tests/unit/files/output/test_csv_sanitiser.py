"""Cells that neither a spreadsheet runs nor a terminal obeys."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.files.output.csv_sanitiser import id_cell, json_text, text_cell, unguarded
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
    """Formulas get an apostrophe, control and direction characters a visible sign, JSON values their JSON."""
    assert text_cell(value, keep="\t\r\n") == cell


def test_plain_cuts_and_says_so() -> None:
    """A text beyond the limit ends in an ellipsis and has exactly the limit's length; a line break does not stay."""
    assert sanitise("abcdef", limit=4) == "abc…"
    assert sanitise("abcd", limit=4) == "abcd"
    assert sanitise("a\r\nb") == "a\ufffd\ufffdb"


@given(st.text())
def test_no_cell_is_a_formula_or_has_unsafe_characters(text: str) -> None:
    """Whatever a text is, its cell starts no formula and holds nothing unsafe but the replacement."""
    for cell in (text_cell(text), id_cell(text)):
        assert not cell.lstrip().startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))
        assert set(UNSAFE.findall(cell)) <= {"\ufffd"}


@given(st.text("'=-@+\uff1d\u200b \u00a0ab", max_size=6).map(str.strip))
def test_id_cells_give_the_id_back(text: str) -> None:
    """Apostrophes and formula characters in front of an id, however mixed, survive the way through a cell."""
    assert unguarded(id_cell(text)).strip() == text


@given(st.text(st.characters(codec="utf-8")))
def test_json_text_is_exact_and_harmless(text: str) -> None:
    """JSON keeps the text exactly, and nothing in it that a terminal obeys stands there as itself."""
    written = json_text({text: text})
    assert orjson.loads(written) == {text: text}
    assert set(UNSAFE.findall(written)) <= {"\ufffd"}
