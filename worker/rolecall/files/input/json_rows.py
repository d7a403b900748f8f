"""The rows of a JSON job file: an array, lines, or documents one after another; of objects or of pairs."""

import re
from collections.abc import Iterator
from functools import partial

import orjson

from rolecall.files.input.columns import DEFAULT_ROLES, ColumnRoles
from rolecall.files.input.ids import BAD_ROW_REASONS, trim
from rolecall.files.input.json_parse_row import parse_rows, simple_row
from rolecall.files.input.json_shapes import EXPECTED, ShapeError, find_element_problem, find_json_problem, row_elements
from rolecall.files.input.json_values import parse_json, stream_json
from rolecall.files.input.source import MAX_ROW_SIZE, LineReader, ReadRows, Source, count_lines
from rolecall.models import BadRow, JobRow, Json


def select_json_reader(source: Source, roles: ColumnRoles, head: str) -> ReadRows:
    """Return the function that reads the rows of a file whose start, `head`, is that of JSON."""
    start = trim(head)
    if start.startswith("["):
        return partial(read_json_lines if _is_array_per_line(start) else read_json_stream, source, roles)
    if len(head) < MAX_ROW_SIZE and (whole := _parse_or_none(start)) is not None:
        return partial(read_json_document, source, whole, count_lines(head[: head.index("{")]), roles)
    return partial(read_json_lines if _is_object_per_line(start) else read_json_stream, source, roles)


def _is_array_per_line(start: str) -> bool:
    """Return whether this is JSONL of pairs, `["room", "user"]` on a line, and not an array of objects or pairs."""
    return not re.match(r"\[\s*[\[{]", start) and bool(_parse_or_none(_lines(start)[0].rstrip().removesuffix(",")))


def _is_object_per_line(start: str) -> bool:
    """Return whether this is JSONL, and not an object on several lines: the first line or the second is whole."""
    lines = _lines(start)
    return _parse_or_none(lines[0].rstrip().removesuffix(",")) is not None or trim(lines[1]).startswith("{")


def _lines(start: str) -> list[str]:
    """Return the first line, the first that is not blank after it (or an empty one), and the rest."""
    return [*re.split(r"[\r\n]\s*", start, maxsplit=2), ""]


def _parse_or_none(text: str) -> Json:
    try:
        return parse_json(text)
    except orjson.JSONDecodeError:
        return None


def read_json_stream(source: Source, roles: ColumnRoles = DEFAULT_ROLES) -> Iterator[JobRow]:
    """Yield the rows of arrays and other documents; `line` is the place among all elements. Raises JobFileError."""
    place = 0
    for value in stream_json(source, roles):
        if row := simple_row(value, place + 1, roles):
            place += 1
            yield row
            continue
        for element in _elements(source, value, roles, f"element {place + 1}"):
            place += 1
            if place == 1:
                _check_first_element(source, element, roles, "element 1")
            yield from parse_rows(element, place, roles)


def read_json_lines(source: Source, roles: ColumnRoles = DEFAULT_ROLES) -> Iterator[JobRow]:
    """Yield the rows of a JSONL file. Raises JobFileError if the first line is not a row, or a line is not text."""
    lines = LineReader(source)
    first = True
    for number, line in enumerate(lines, start=1):
        if line.isspace():
            lines.skip_blank()
            lines.start_row()
            continue
        lines.start_row()
        try:
            value = parse_json(line)
        except orjson.JSONDecodeError as error:
            value, problem = _parse_bare(line, error)
            if problem and first:
                raise source.error(f"line {number}, {problem[0].lower()}{problem[1:]}; {EXPECTED}") from error
            if problem:
                yield BadRow(number, "", "", "not_json", f"{problem}. {BAD_ROW_REASONS['not_json']}", {})
                continue
        if row := simple_row(value, number, roles):
            first = False
            yield row
            continue
        for element in _elements(source, value, roles, f"line {number}"):
            if first:
                _check_first_element(source, element, roles, f"line {number}")
                first = False
            yield from parse_rows(element, number, roles)


def read_json_document(source: Source, value: Json, line: int, roles: ColumnRoles = DEFAULT_ROLES) -> Iterator[JobRow]:
    """Yield the rows of a file that is one JSON object, which starts in `line`. Raises JobFileError.

    If the object is no row itself, `Row.line` is the place among the rows in it.
    """
    for place, element in enumerate(_elements(source, value, roles, f"line {line}"), start=1):
        if place == 1:
            _check_first_element(source, element, roles, f"line {line}" if element is value else "element 1")
        yield from parse_rows(element, line if element is value else place, roles)


def _parse_bare(line: str, error: orjson.JSONDecodeError) -> tuple[Json, str]:
    """Return the value in a line without the comma behind it or the record separator (RFC 7464) before it.

    If it is still no JSON, the second value is the place and the cause; otherwise it is empty.
    """
    try:
        return parse_json(line.strip().removesuffix(",")), ""
    except orjson.JSONDecodeError:
        if problem := find_json_problem(line):
            return None, f"Column {problem.column}: {problem.cause}"
        return None, f"Column {error.colno}: not JSON ({error.msg})"


def _elements(source: Source, value: Json, roles: ColumnRoles, where: str) -> Iterator[Json]:
    """Yield the elements in a value. Raises JobFileError if it is not clear where they are."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):  # a pair
        yield value
        return
    try:
        yield from row_elements(value, roles)
    except ShapeError as error:
        raise source.error(f"{where}: {error}") from error


def _check_first_element(source: Source, element: Json, roles: ColumnRoles, where: str) -> None:
    if problem := find_element_problem(element, roles):
        raise source.error(f"{where}: {problem}")
