"""The token in a response: hidden in each spelling, quickly, and nothing else is changed."""

import html
import json
import time
from collections.abc import Callable
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from rolecall.rocketchat.secret_filter import HIDDEN, SecretFilter

TOKEN = "aZ9-tok_EN.x/y+z"
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda character: character,
    "upper case": str.upper,
    "lower case": str.lower,
    "JSON": lambda character: f"\\u{ord(character):04x}",
    "JSON, upper case": lambda character: f"\\u{ord(character):04X}",
    "JSON in JSON": lambda character: f"\\\\u{ord(character):04x}",
    "backslash": lambda character: f"\\{character}",
    "hexadecimal escape": lambda character: f"\\x{ord(character):02x}",
    "URL": lambda character: f"%{ord(character):02X}",
    "URL in a URL": lambda character: f"%25{ord(character):02x}",
    "HTML": lambda character: f"&#{ord(character)};",
    "HTML, hexadecimal": lambda character: f"&#x{ord(character):x};",
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_every_spelling_is_hidden(spelling: Callable[[str], str]) -> None:
    """A token that is escaped in any usual way is hidden; the text around it stays."""
    written = "".join(map(spelling, TOKEN))
    content = f'{{"error": "<{written}>"}}'
    assert SecretFilter(TOKEN).hide(content.encode()).decode() == f'{{"error": "<{HIDDEN}>"}}'


@given(st.lists(st.sampled_from(list(SPELLINGS)), min_size=len(TOKEN), max_size=len(TOKEN)))
def test_a_mixture_of_spellings_is_hidden(chosen: list[str]) -> None:
    """Each character may be spelled in its own way."""
    written = "".join(SPELLINGS[name](character) for name, character in zip(chosen, TOKEN, strict=True))
    hidden = SecretFilter(TOKEN).hide_text(f"begin {written} end")
    assert hidden == f"begin {HIDDEN} end"


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\\"), min_size=8, max_size=60))
@example("%25" * 10)
def test_any_token_is_hidden_as_other_programs_escape_it(token: str) -> None:
    """What JSON, URL and HTML encoders make of any token does not give it back when it is decoded."""
    assume(token != HIDDEN)
    search = SecretFilter(token)
    assert token not in search.hide_text(token)
    assert token not in json.loads(search.hide_text(json.dumps([token])))
    assert token not in unquote(search.hide_text(quote(token, safe="")))
    assert token not in html.unescape(search.hide_text("".join(f"&#{ord(each)};" for each in token)))


@given(st.text())
def test_other_text_is_not_changed(text: str) -> None:
    """What is not the token stays byte by byte, and without a token everything stays."""
    assert SecretFilter("").hide(text.encode("utf-8", "replace")) == text.encode("utf-8", "replace")
    if "9-tok" not in text.lower():
        assert (
            SecretFilter("9-tok" * 4).hide_text(text.encode("utf-8", "replace").decode())
            == text.encode("utf-8", "replace").decode()
        )


def test_headers_are_hidden() -> None:
    """A token in the value or the name of a header is hidden; other headers are passed on as they are."""
    search = SecretFilter(TOKEN)
    headers = CIMultiDict({"Location": f"https://evil.example.org/?t={quote(TOKEN, safe='')}", "Date": "now"})
    hidden = search.hide_headers(headers)
    assert (hidden["location"], hidden["date"]) == (f"https://evil.example.org/?t={HIDDEN}", "now")
    plain = CIMultiDict({"Date": "now"})
    assert search.hide_headers(plain) is plain


@pytest.mark.parametrize("filler", [b"\\", b"\\" * 8 + b"a", b"%25", b"&#0", b"a", b"%", b"\\u00", b"aZ9-tok_"])
def test_no_content_takes_long(filler: bytes) -> None:
    """A body of a mebibyte that was made to be slow to search takes less than two seconds."""
    content = filler * (1_048_576 // len(filler))
    begun = time.process_time()
    SecretFilter(TOKEN).hide(content)
    assert time.process_time() - begun < 2
