"""Values as SQLite takes them: batches and further columns as JSON, texts without what is no text."""

import json
import re
from collections.abc import Iterable, Sequence

import orjson

_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


def batch_json(part: Iterable[Sequence[object]]) -> str:
    """Write a batch as one JSON text; zero bytes, at which `->>` ends a text, and lone surrogates are replaced."""
    rows = [tuple(entry) for entry in part]
    try:
        text = orjson.dumps(rows).decode()
    except TypeError:
        text = ""
    if text and "\\u0000" not in text:
        return text
    return orjson.dumps(
        [[whole_text(value) if isinstance(value, str) else value for value in row] for row in rows]
    ).decode()


def json_text(value: object) -> str:
    """Write further columns as JSON; lone surrogates, which are no text, are replaced."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return whole_text(json.dumps(value, ensure_ascii=False))


def whole_text(value: str) -> str:
    """Replace what is no text for SQLite: zero bytes and lone surrogates."""
    return _NO_TEXT.sub("\ufffd", value)
