"""JSON values from text and from long files: without loading a file whole, and with keys that are there twice."""

import decimal
import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from rolecall.files.input.columns import ColumnRoles
from rolecall.files.input.json_shapes import RepeatedKeys, find_json_problem, wraps_rows
from rolecall.files.input.source import MAX_ROW_SIZE, READ_SIZE, Source, Utf8Reader
from rolecall.models import Json

MAX_DEPTH = 100
"""Levels of lists and objects in one element of an array."""
MAX_DIGITS = 1000
"""Digits in a row in a JSON file that is read as a stream, also inside a text."""
MAX_EXPLAINED_SIZE = 8 * MAX_ROW_SIZE
"""Characters of a file that are read again to find the place of a mistake."""

_TOO_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % (MAX_DIGITS + 1))
_SURROGATE_PAIR_SIZE = 12
"""Bytes of the two `\\u` escapes that make one character."""
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_SURROGATE = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))
_RECORD_SEPARATOR = b"\x1e"
"""Stands before each record in RFC 7464; JSON text cannot contain it."""
_Events = Iterator[tuple[str, Any]]
"""The events of the JSON parser with their values."""
_find_keys = re.compile(r'"\s*:').findall
_STARTS, _ENDS = ("start_map", "start_array"), ("end_map", "end_array")


def parse_json(text: str) -> Json:
    """Return the JSON value in `text`, with RepeatedKeys where a key is there twice. Raises orjson.JSONDecodeError."""
    value = orjson.loads(text)
    colons = text.count(":")
    if not colons or (value.__class__ is dict and colons == len(value)):  # as nearly always
        return value
    if value.__class__ is dict and text.count('":') == len(value) and not _has_blank_colon(text):
        return value
    if _count_keys(value) == len(_find_keys(text)):
        return value
    repeated: list[Json] = []
    try:
        slow = json.loads(text, object_pairs_hook=lambda pairs: _make_object(pairs, repeated))
    except RecursionError:
        return value
    return slow if repeated else value


def stream_json(source: Source, roles: ColumnRoles) -> Iterator[Json]:
    """Yield the elements of JSON arrays and the objects between them, one after another. Raises JobFileError.

    Of an object that wraps a list of lists or objects, the items of the list are yielded.
    """
    import ijson  # here: only such a file needs it, and the import is slow

    reader = _SizeLimitedReader(Utf8Reader(source), source)
    try:
        # Not ijson.items: it builds a path for each event, so that 64 KiB of "[" would take gigabytes.
        events = ijson.basic_parse(reader, buf_size=READ_SIZE, multiple_values=True)
        for element in _read_documents(events, source, reader, roles):
            reader.end_element()
            yield element
    # An exponent of 20 digits raises ArithmeticError, invalid UTF-8 raises ValueError.
    except (ijson.JSONError, ValueError, ArithmeticError) as error:
        raise source.error(f"after element {reader.elements}: {_explain(source, error)}") from error


class _SizeLimitedReader:
    """Passes bytes to the JSON parser and rejects what the parser cannot handle: long elements and numbers."""

    def __init__(self, stream: Utf8Reader, source: Source) -> None:
        self._stream = stream
        self._source = source
        self._bytes_since_element = 0
        self._tail = b""
        self.elements = 0

    def read(self, size: int) -> bytes:
        self._bytes_since_element += size
        if self._bytes_since_element > MAX_ROW_SIZE + READ_SIZE:
            raise self._source.error(f"after element {self.elements}: the next one is longer than 1 MiB")
        chunk = self._stream.read(size)
        text = self._tail + chunk
        self._check_text(text, max(0, len(self._tail) - _SURROGATE_PAIR_SIZE), at_end=not chunk)
        self._tail = text[-MAX_DIGITS:]
        return chunk.replace(_RECORD_SEPARATOR, b" ")

    def _check_text(self, text: bytes, begin: int, *, at_end: bool) -> None:
        """Raise JobFileError for text on which the parser would crash, or from which it would make another id.

        The last bytes are checked again together with the next chunk, because an escape may continue there.
        """
        if _TOO_LONG_NUMBER.search(text):  # Python rejects a number of 4,300 digits, and the parser crashes on that
            raise self._source.error(f"after element {self.elements}: a number that is far too large")
        lone = _LONE_SURROGATE.search(text, begin)  # the parser replaces a lone surrogate by a question mark
        if lone and (at_end or lone.end() + _SURROGATE_PAIR_SIZE <= len(text)):
            raise self._source.error(f"after element {self.elements}: an escape that is half a character")

    def end_element(self) -> None:
        """Record that the parser has returned a whole element."""
        self.elements += 1
        self._bytes_since_element = 0


def _read_documents(events: _Events, source: Source, reader: _SizeLimitedReader, roles: ColumnRoles) -> Iterator[Json]:
    """Yield the items of the outermost arrays, and the outermost objects, from the parser's events."""
    for event, value in events:
        if event == "start_array":
            yield from _read_items(events, source, reader)
        elif event == "start_map":
            yield from _read_object(events, source, reader, roles)
        else:
            yield value


def _read_items(events: _Events, source: Source, reader: _SizeLimitedReader) -> Iterator[Json]:
    """Yield the items of an array whose start was read."""
    for event, value in events:
        if event == "end_array":
            return
        yield _build(event, value, events, source, reader)


def _read_object(events: _Events, source: Source, reader: _SizeLimitedReader, roles: ColumnRoles) -> Iterator[Json]:
    """Yield the object whose start was read; if it wraps a list of rows, the items of the list in its place."""
    whole: dict[str, Json] = {}
    is_wrapper = False
    for event, key in events:
        if event == "end_map":
            break
        event, value = next(events)  # noqa: PLW2901 - the event after the key
        if event != "start_array":
            item = _build(event, value, events, source, reader)
        else:
            item = []
            is_streamed = False
            for each in _read_items(events, source, reader):
                is_streamed = is_streamed or (not item and wraps_rows(whole, each, roles))
                if is_streamed:
                    yield each
                else:
                    item.append(each)
            is_wrapper = is_wrapper or is_streamed
        whole = _set(whole, key, item)
    if not is_wrapper:
        yield whole


def _build(event: str, value: Any, events: _Events, source: Source, reader: _SizeLimitedReader) -> Json:
    """Return the value that begins with this event."""
    if not event.startswith("start_"):
        return float(value) if isinstance(value, decimal.Decimal) else value
    parents: list[tuple[Any, str]] = []
    container: Any = {} if event == "start_map" else []
    key = ""
    for event, value in events:
        if event == "map_key":
            key = value
        elif event in _STARTS:
            if len(parents) >= MAX_DEPTH:
                raise source.error(f"element {reader.elements + 1}: nested deeper than {MAX_DEPTH}")
            parents.append((container, key))
            container = {} if event == "start_map" else []
        elif event not in _ENDS:
            container = _add(container, key, float(value) if isinstance(value, decimal.Decimal) else value)
        elif parents:
            item, (container, key) = container, parents.pop()
            container = _add(container, key, item)
        else:
            break
    return container


def _add(container: Any, key: str, item: Json) -> Any:
    """Return the list or object with one more item."""
    if isinstance(container, list):
        container.append(item)
        return container
    return _set(container, key, item)


def _set(container: dict[str, Json], key: str, item: Json) -> dict[str, Json]:
    """Return the object with one more key; if it has the key, it becomes a RepeatedKeys."""
    if key in container:
        repeated = RepeatedKeys(container)
        repeated.repeated = getattr(container, "repeated", "") or key
        container = repeated
    container[key] = item
    return container


def _make_object(pairs: list[tuple[str, Json]], repeated: list[Json]) -> dict[str, Json]:
    value: dict[str, Json] = {}
    for key, item in pairs:
        value = _set(value, key, item)
    if isinstance(value, RepeatedKeys):
        repeated.append(value)
    return value


def _has_blank_colon(text: str) -> bool:
    """Return whether a colon may be a key's without the key's quote right before it."""
    return " :" in text or "\t:" in text or "\n:" in text or "\r:" in text


def _count_keys(value: Json) -> int:
    """Return the number of keys of all objects in a value."""
    count, rest = 0, [value]
    while rest:
        each = rest.pop()
        if isinstance(each, dict):
            count += len(each)
            rest.extend(item for item in each.values() if isinstance(item, dict | list))
        elif isinstance(each, list):
            rest.extend(item for item in each if isinstance(item, dict | list))
    return count


def _explain(source: Source, error: Exception) -> str:
    """Return the place and the cause of an error of the parser, which reports neither."""
    with source.open_text() as stream:
        text = stream.read(MAX_EXPLAINED_SIZE + 1)
    if len(text) <= MAX_EXPLAINED_SIZE and (problem := find_json_problem(source.clean_text(text))):
        return f"line {problem.line}, column {problem.column}: {problem.cause}"
    text = str(error)
    if "premature EOF" in text or not text:
        return "the JSON array is cut off; make or copy the file again"
    if "UTF8" in text or isinstance(error, UnicodeError):
        return "bytes that are not text; expected UTF-8, or UTF-16 with a byte order mark"
    if isinstance(error, ArithmeticError):
        return "a number that is far too large"
    return f"not JSON ({text.removeprefix(chr(98) + chr(39)).splitlines()[0]})"
