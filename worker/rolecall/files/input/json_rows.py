"""JSON job files: an array, lines, or one object; of objects or of `[roomId, userId]` pairs."""

import decimal
import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from rolecall.files.input.columns import (
    ColumnRole,
    column_role,
    describe_missing_columns,
    find_id_problem,
    is_simple_id,
)
from rolecall.files.input.problems import BAD_ROW_REASONS
from rolecall.files.input.source import MAX_ROW_SIZE, READ_SIZE, LineReader, Source, Utf8Reader
from rolecall.models import BadRow, Json, Row

MAX_DEPTH = 100
"""Levels of lists and objects in one element of an array."""
MAX_DIGITS = 1000
"""Digits in a row in a JSON array, also inside a text."""
EXPECTED = 'expected objects such as {"roomId": "...", "userId": "..."} or pairs ["roomId", "userId"]'

_TOO_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % (MAX_DIGITS + 1))
_SURROGATE_PAIR_SIZE = 12
"""Bytes of the two `\\u` escapes that make one character."""
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_SURROGATE = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))


def read_json_array(source: Source) -> Iterator[Row | BadRow]:
    """Yield the rows of a JSON array; `line` is the place in the array. Raises JobFileError if the file is broken."""
    for place, element in enumerate(_read_elements(source), start=1):
        if place == 1:
            _check_first_element(source, element, "element 1")
        yield parse_row(element, place)


def read_json_lines(source: Source) -> Iterator[Row | BadRow]:
    """Yield the rows of a JSONL file. Raises JobFileError if the first line is not a row, or a line is not text."""
    lines = LineReader(source)
    first = True
    for number, line in enumerate(lines, start=1):
        lines.start_row()
        if line.isspace():
            continue
        try:
            element = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if first:
                raise source.error(
                    f"line {number}, column {error.colno}: not JSON ({error.msg}); {EXPECTED}"
                ) from error
            message = f"Column {error.colno}: {error.msg}. {BAD_ROW_REASONS['not_json']}"
            yield BadRow(number, "", "", "not_json", message, {})
            continue
        if first:
            _check_first_element(source, element, f"line {number}")
            first = False
        yield parse_row(element, number)


def read_json_object(source: Source, element: Json, line: int) -> Iterator[Row | BadRow]:
    """Yield the only row of a file that is one JSON object, which starts in `line`. Raises JobFileError."""
    _check_first_element(source, element, f"line {line}")
    yield parse_row(element, line)


def parse_row(element: Json, line: int) -> Row | BadRow:
    """Return the row in one JSON value; `line` is its place in the file."""
    if isinstance(element, dict):
        return _parse_object(element, line)
    if not isinstance(element, list):
        return _bad_row(line, "", "", "not_an_object", {})
    if len(element) != 2:
        return _bad_row(line, "", "", "not_a_pair", {})
    return _parse_ids(line, element[0], element[1], {})


def _parse_object(element: dict[str, Json], line: int) -> Row | BadRow:
    rooms: list[Json] = []
    users: list[Json] = []
    extra: dict[str, Json] = {}
    for key, value in element.items():
        role = column_role(key)
        if role is ColumnRole.EXTRA:
            extra[key] = value
        elif value is not None:
            (rooms if role is ColumnRole.ROOM else users).append(value)
    room, user = rooms[0] if rooms else None, users[0] if users else None
    if extra and not _is_reportable(extra):
        return _bad_row(line, room, user, "unreportable_value", {})
    if (len(rooms) > 1 or len(users) > 1) and (reason := _find_conflict(rooms, users)):
        return _bad_row(line, room, user, reason, extra)
    return _parse_ids(line, room, user, extra)


def _find_conflict(rooms: list[Json], users: list[Json]) -> str:
    """Return the reason why several ids of one kind are unusable; empty if they are equal."""
    for ids, reason in ((rooms, "two_room_ids"), (users, "two_user_ids")):
        if not all(isinstance(each, str) for each in ids):
            return "not_text"
        if len(set(ids)) > 1:
            return reason
    return ""


def _parse_ids(line: int, room: Json, user: Json, extra: dict[str, Json]) -> Row | BadRow:
    for each in (room, user):
        if each is not None and not isinstance(each, str):
            return _bad_row(line, room, user, "not_text", extra)
    room_id, user_id = (room or "").strip(), (user or "").strip()
    if not (is_simple_id(room_id) and is_simple_id(user_id)) and (reason := find_id_problem(room_id, user_id)):
        return _bad_row(line, room, user, reason, extra)
    return Row(line, room_id, user_id, extra)


def _bad_row(line: int, room: Json, user: Json, reason: str, extra: dict[str, Json]) -> BadRow:
    return BadRow(line, _raw_text(room), _raw_text(user), reason, BAD_ROW_REASONS[reason], extra)


def _raw_text(value: Json) -> str:
    """Return an id as it is in the file, also if it is not text."""
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return type(value).__name__


def _is_reportable(extra: dict[str, Json]) -> bool:
    # orjson limits the depth: the outer lists reserve levels for callers that nest the values before writing them.
    try:
        orjson.dumps([[[extra]]])
    except TypeError:
        return False
    return True


def _check_first_element(source: Source, element: Json, where: str) -> None:
    """Raise JobFileError if the first element shows that the whole file is not a job file."""
    if isinstance(element, dict):
        if not any(column_role(key) is not ColumnRole.EXTRA for key in element):
            raise source.error(f"{where}: {describe_missing_columns(element)}; {EXPECTED}, not wrapped in anything")
    elif not isinstance(element, list) or len(element) != 2 or any(isinstance(e, list | dict) for e in element):
        raise source.error(f"{where}: this is neither an object nor a pair; {EXPECTED}")


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
        return chunk

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


def _read_elements(source: Source) -> Iterator[Json]:
    """Yield the elements of a JSON array without loading the whole array."""
    import ijson  # here: only a JSON array needs it, and the import is slow

    reader = _SizeLimitedReader(source.open_utf8(), source)
    try:
        # Not ijson.items: it builds a path for each event, so that 64 KiB of "[" would take gigabytes.
        for element in _build_elements(ijson.basic_parse(reader, buf_size=READ_SIZE), source, reader):
            reader.end_element()
            yield element
    # An exponent of 20 digits raises ArithmeticError, invalid UTF-8 raises ValueError.
    except (ijson.JSONError, ValueError, ArithmeticError) as error:
        raise source.error(f"after element {reader.elements}: {_describe_parser_error(error)}") from error


def _build_elements(events: Iterable[tuple[str, Any]], source: Source, reader: _SizeLimitedReader) -> Iterator[Json]:
    """Build the elements of the outermost array from the parser's events."""
    parents: list[Any] = []
    container: Any = None
    """The list or object that is being filled; None between two elements."""
    key = ""
    keys: list[str] = []
    for event, value in events:
        item = value
        if event == "map_key":
            key = value
            continue
        if event.startswith("start_"):
            if len(parents) > MAX_DEPTH:
                raise source.error(f"element {reader.elements + 1}: nested deeper than {MAX_DEPTH}")
            parents.append(container)
            keys.append(key)
            container = {} if event == "start_map" else []
            continue
        if event.startswith("end_"):
            item, container, key = container, parents.pop(), keys.pop()
            if not parents:
                continue
        elif isinstance(value, decimal.Decimal):
            item = float(value)
        if len(parents) == 1:
            yield item
        elif isinstance(container, dict):
            container[key] = item
        else:
            container.append(item)


def _describe_parser_error(error: Exception) -> str:
    text = str(error)
    if "premature EOF" in text or not text:
        return "the JSON array is cut off; make or copy the file again"
    if "UTF8" in text or isinstance(error, UnicodeError):
        return "bytes that are not text; expected UTF-8, or UTF-16 with a byte order mark"
    if isinstance(error, ArithmeticError):
        return "a number that is far too large"
    return f"not JSON ({text.removeprefix(chr(98) + chr(39)).splitlines()[0]})"
