"""Text encodings: byte order marks, encodings named by a person, and Windows-1252 where a file is not UTF-8."""

import codecs
import re
from collections.abc import Iterable
from typing import cast

UNDECODABLE = "\udfff"
"""Replaces bytes that could not be decoded. A lone surrogate: decoded text cannot contain it otherwise."""
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF8.decode("cp1252").encode(): "utf-8",  # a mark that was read as Windows-1252 and saved again
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
PLAUSIBILITY_SIZE = 64 * 1024 * 1024
"""Bytes of a file that `is_windows_1252` reads at most."""

_BAD_CHARACTER = "[\0\udc80-\udcff\udfff]"
"""A NUL, or what stands for a byte that could not be decoded. Most files need this pattern and the next one never."""

WINDOWS_1252 = {
    0xDC00 + byte: bytes([byte]).decode("cp1252") for byte in range(0x80, 0x100) if byte not in b"\x81\x8d\x8f\x90\x9d"
}
"""For `str.translate`: the character of each undecodable byte, which stands in the text as a lone surrogate."""

_NO_FILE_ENCODINGS = ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined")
_ASCII = bytes(range(0x80))
_LETTERS = b"\x8a\x8c\x8e\x9a\x9c\x9e\x9f\xaa\xba" + bytes(
    byte for byte in range(0xC0, 0xFF) if byte not in b"\xd7\xf7"
)
_PUNCTUATION = b"\x80\x82\x84\x85\x8b\x91\x92\x93\x94\x95\x96\x97\x99\x9b\xa0\xa7\xa9\xab\xae\xb0\xb4\xb7\xbb"
_IMPLAUSIBLE = (
    rb"[\0-\x08\x0e-\x1a\x1c\x1d\x1f\x81\x8d\x8f\x90\x9d\xff]"  # no text in Windows-1252
    rb"|[\xc0-\xff]{4}"  # a word of another script
    rb"|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"  # UTF-8, damaged
)

codecs.register_error("rolecall.files.undecodable", lambda error: (UNDECODABLE, cast(UnicodeDecodeError, error).end))


def find_bad_character(text: str) -> re.Match[str] | None:
    """Find a NUL, or what stands for a byte that could not be decoded."""
    return re.search(_BAD_CHARACTER, text)


def detect_encoding(start: bytes) -> tuple[bytes, str]:
    """Return the byte order marks at the start (may be empty) and the encoding; UTF-8 if there is no mark."""
    for mark, encoding in BYTE_ORDER_MARKS.items():
        marks = b""
        while start.startswith(marks + mark):
            marks += mark
        if marks:
            return marks, encoding
    return b"", "utf-8"


def find_encoding_problem(name: str) -> str:
    """Return why no text can be read in the encoding called `name`; empty if it can."""
    try:
        is_usable = bool("a".encode(name)) and codecs.lookup(name).name not in _NO_FILE_ENCODINGS
    except (LookupError, ValueError):
        is_usable = False
    hint = "give one such as cp1252 (Windows, Western Europe), cp1250, iso-8859-15, utf-16 or shift_jis"
    return "" if is_usable else f"there is no text encoding called '{name[:40]}'; {hint}"


def is_marked_as(name: str, mark: bytes, encoding: str) -> bool:
    """Return whether a byte order mark, which is more exact, agrees with the encoding that a person has named."""
    return mark != b"" and codecs.lookup(name).name.startswith(encoding[: len("utf-16")].rstrip("-"))


def decoder_errors(encoding: str) -> str:
    """Return the name of the error handler: bytes that are no UTF-8 stay known, because they may be Windows-1252."""
    return "surrogateescape" if encoding == "utf-8" else "rolecall.files.undecodable"


def is_windows_1252(chunks: Iterable[bytes]) -> bool:
    """Return whether bytes that are not UTF-8 are plausible as text in Windows-1252.

    Plausible are letters of Western Europe and typographic signs, at most three letters beyond ASCII in a row, and no
    character of UTF-8. At most PLAUSIBILITY_SIZE bytes are read.
    """
    size = letters = others = 0
    tail = b""
    for chunk in chunks:
        if not chunk.isascii():
            if re.search(_IMPLAUSIBLE, tail + chunk):
                return False
            high = chunk.translate(None, _ASCII)
            letters += len(high) - len(high.translate(None, _LETTERS + _PUNCTUATION))
            others += len(high.translate(None, _LETTERS + _PUNCTUATION))
        tail = chunk[-3:]
        size += len(chunk)
        if size >= PLAUSIBILITY_SIZE:
            break
    return letters > 4 * others
