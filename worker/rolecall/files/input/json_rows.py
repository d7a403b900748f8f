"""Job files that are JSON: an array, lines, or one object; of objects or of `[roomId, userId]` pairs."""

import decimal
import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from rolecall.files.input.columns import Role, missing_columns, role_of
from rolecall.files.input.ids import is_usual, reason_against
from rolecall.files.input.lines import LONGEST_LINE, Lines
from rolecall.files.input.problems import BAD_ROW_REASONS
from rolecall.files.input.source import CHUNK, Source, Utf8Reader
from rolecall.models import BadRow, Json, Row

DEEPEST = 100
"""How many lists and objects in each other one element of an array may have."""
EXPECTED = 'expected objects such as {"roomId": "...", "userId": "..."} or pairs ["roomId", "userId"]'


def read_array(source: Source) -> Iterator[Row | BadRow]:
    """Give the rows of a JSON array one by one, `line` being the place in it; raise `UnusableJob` where it breaks."""
    for place, element in enumerate(_elements(source), start=1):
        if place == 1:
            _refuse_first(source, element, "element 1")
        yield parse_row(element, place)


def read_lines(source: Source) -> Iterator[Row | BadRow]:
    """Give the rows of a JSONL file one by one; raise `UnusableJob` when the first is none, or a line is no text."""
    lines = Lines(source)
    first = True
    for number, line in enumerate(lines, start=1):
        lines.row_size = 0
        if line.isspace():
            continue
        try:
            element = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if first:
                raise source.unusable(
                    f"line {number}, column {error.colno}: not JSON ({error.msg}); {EXPECTED}"
                ) from error
            message = f"Column {error.colno}: {error.msg}. {BAD_ROW_REASONS['not_json']}"
            yield BadRow(number, "", "", "not_json", message, {})
            continue
        if first:
            _refuse_first(source, element, f"line {number}")
            first = False
        yield parse_row(element, number)


def read_object(source: Source, element: Json, line: int) -> Iterator[Row | BadRow]:
    """Give the one row of a file that is a single JSON object, which starts in `line`."""
    _refuse_first(source, element, f"line {line}")
    yield parse_row(element, line)


def parse_row(element: Json, line: int) -> Row | BadRow:
    """Make a row of one JSON value; `line` is where it stands."""
    if isinstance(element, dict):
        return _row_of_object(element, line)
    if not isinstance(element, list):
        return _bad(line, "", "", "not_an_object", {})
    if len(element) != 2:
        return _bad(line, "", "", "not_a_pair", {})
    return _row(line, element[0], element[1], {})


def _row_of_object(element: dict[str, Json], line: int) -> Row | BadRow:
    rooms: list[Json] = []
    users: list[Json] = []
    extra: dict[str, Json] = {}
    for key, value in element.items():
        role = role_of(key)
        if role is Role.EXTRA:
            extra[key] = value
        elif value is not None:
            (rooms if role is Role.ROOM else users).append(value)
    room, user = rooms[0] if rooms else None, users[0] if users else None
    if extra and not _reportable(extra):
        return _bad(line, room, user, "unreportable_value", {})
    if (len(rooms) > 1 or len(users) > 1) and (reason := _reason_against_several(rooms, users)):
        return _bad(line, room, user, reason, extra)
    return _row(line, room, user, extra)


def _reason_against_several(rooms: list[Json], users: list[Json]) -> str:
    for ids, reason in ((rooms, "two_room_ids"), (users, "two_user_ids")):
        if not all(isinstance(each, str) for each in ids):
            return "not_text"
        if len(set(ids)) > 1:
            return reason
    return ""


def _row(line: int, room: Json, user: Json, extra: dict[str, Json]) -> Row | BadRow:
    for each in (room, user):
        if each is not None and not isinstance(each, str):
            return _bad(line, room, user, "not_text", extra)
    room_id, user_id = (room or "").strip(), (user or "").strip()
    if not (is_usual(room_id) and is_usual(user_id)) and (reason := reason_against(room_id, user_id)):
        return _bad(line, room, user, reason, extra)
    return Row(line, room_id, user_id, extra)


def _bad(line: int, room: Json, user: Json, reason: str, extra: dict[str, Json]) -> BadRow:
    return BadRow(line, _as_it_stood(room), _as_it_stood(user), reason, BAD_ROW_REASONS[reason], extra)


def _as_it_stood(value: Json) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return type(value).__name__


def _reportable(extra: dict[str, Json]) -> bool:
    # The lists around it leave room for those who wrap the values once more before they write them.
    try:
        orjson.dumps([[[extra]]])
    except TypeError:
        return False
    return True


def _refuse_first(source: Source, element: Json, where: str) -> None:
    """Raise `UnusableJob` when the first element shows that the whole file is something else."""
    if isinstance(element, dict):
        if not any(role_of(key) is not Role.EXTRA for key in element):
            raise source.unusable(f"{where}: {missing_columns(element)}; {EXPECTED}, not wrapped in anything")
    elif not isinstance(element, list) or len(element) != 2 or any(isinstance(e, list | dict) for e in element):
        raise source.unusable(f"{where}: this is neither an object nor a pair; {EXPECTED}")


MOST_DIGITS = 1000
"""Digits in a row that a JSON array may have, also inside a text."""
_ENDLESS_NUMBER = re.compile(rb"[0-9]{%d}" % (MOST_DIGITS + 1))


PAIR = 12
"""Bytes of two escapes that make one character."""
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF_PAIR = re.compile(rb"%b(?!%b)|(?<!%b)%b" % (_HIGH, _LOW, _HIGH, _LOW))


class _SizeLimitedReader:
    """Hands bytes to the parser, and refuses when an element has too many of them."""

    def __init__(self, stream: Utf8Reader, source: Source) -> None:
        self._stream = stream
        self._source = source
        self._since_element = 0
        self._tail = b""
        self.elements = 0

    def read(self, size: int) -> bytes:
        self._since_element += size
        if self._since_element > LONGEST_LINE + CHUNK:
            raise self._source.unusable(f"after element {self.elements}: the next one is longer than 1 MiB")
        chunk = self._stream.read(size)
        text = self._tail + chunk
        self._refuse_traps(text, max(0, len(self._tail) - PAIR), at_end=not chunk)
        self._tail = text[-MOST_DIGITS:]
        return chunk

    def _refuse_traps(self, text: bytes, begin: int, *, at_end: bool) -> None:
        """Refuse what the parser would make a crash of, or another id; the end of a text is looked at once more."""
        if _ENDLESS_NUMBER.search(text):  # Python refuses to read a number of 4,300 digits, the parser falls over that
            raise self._source.unusable(f"after element {self.elements}: a number that is far too large")
        half = _HALF_PAIR.search(text, begin)  # the parser puts a question mark for half a surrogate pair
        if half and (at_end or half.end() + PAIR <= len(text)):
            raise self._source.unusable(f"after element {self.elements}: an escape that is half a character")

    def delivered(self) -> None:
        self.elements += 1
        self._since_element = 0


def _elements(source: Source) -> Iterator[Json]:
    import ijson  # here, since only a JSON array needs it and it takes its time to import

    metered = _SizeLimitedReader(source.open_utf8(), source)
    try:
        # Not ijson.items: it writes a path for each event, so that 64 KiB of "[" would take gigabytes.
        for element in _built(ijson.basic_parse(metered, buf_size=CHUNK), source, metered):
            metered.delivered()
            yield element
    # An exponent of 20 digits comes as ArithmeticError, bad UTF-8 as ValueError.
    except (ijson.JSONError, ValueError, ArithmeticError) as error:
        raise source.unusable(f"after element {metered.elements}: {_explained(error)}") from error


def _built(events: Iterable[tuple[str, Any]], source: Source, metered: _SizeLimitedReader) -> Iterator[Json]:
    """Put the parser's events together to the elements of the outermost array."""
    outer: list[Any] = []
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
            if len(outer) > DEEPEST:
                raise source.unusable(f"element {metered.elements + 1}: nested deeper than {DEEPEST}")
            outer.append(container)
            keys.append(key)
            container = {} if event == "start_map" else []
            continue
        if event.startswith("end_"):
            item, container, key = container, outer.pop(), keys.pop()
            if not outer:
                continue
        elif isinstance(value, decimal.Decimal):
            item = float(value)
        if len(outer) == 1:
            yield item
        elif isinstance(container, dict):
            container[key] = item
        else:
            container.append(item)


def _explained(error: Exception) -> str:
    text = str(error)
    if "premature EOF" in text or not text:
        return "the JSON array is cut off; make or copy the file again"
    if "UTF8" in text or isinstance(error, UnicodeError):
        return "bytes that are not text; expected UTF-8, or UTF-16 with a byte order mark"
    if isinstance(error, ArithmeticError):
        return "a number that is far too large"
    return f"not JSON ({text.removeprefix(chr(98) + chr(39)).splitlines()[0]})"
