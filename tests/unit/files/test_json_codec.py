"""JSON text: exact, without characters that act on a terminal, and read only if it is an object."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rolecall.files.json_codec import format_json, parse_json_object, replace_surrogates
from rolecall.models import Json
from rolecall.text import UNSAFE


@given(st.text(st.characters(codec="utf-8")), st.booleans())
def test_json_text_is_exact_and_harmless(text: str, indent: bool) -> None:
    """JSON keeps the text exactly, but no character in it acts on a terminal."""
    written = format_json({text: text}, indent=indent)
    assert orjson.loads(written) == {text: text}
    assert set(UNSAFE.findall(written)) <= {"\ufffd", *("\n" * indent)}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":[1]}\n', {"a": [1]}),
        ('{"ü":null}', {"ü": None}),
        (b"{}", {}),
        (b"[1]", None),
        (b"null", None),
        (b'{"a":', None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_only_an_object_is_parsed(text: str | bytes, value: Json) -> None:
    """Other values and text that is not JSON are None."""
    assert parse_json_object(text) == value


def test_lone_surrogates_are_replaced() -> None:
    """Text that JSON cannot represent becomes representable; other text is unchanged."""
    assert replace_surrogates("a\ud800ü") == "a\ufffdü"
    assert replace_surrogates("abc\x1b") == "abc\x1b"
