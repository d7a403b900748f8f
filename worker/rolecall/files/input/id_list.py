"""Lists of people or rooms that a person has put together: one a line, CSV with a header, JSON or JSONL."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, TypeAlias

import orjson

from rolecall.files.input.columns import listed
from rolecall.files.input.csv_rows import DELIMITERS
from rolecall.files.input.ids import LONGEST_ID
from rolecall.files.input.lines import BINARY, LONGEST_LINE, Lines, binary
from rolecall.files.input.source import Source, open_source
from rolecall.files.output.csv_sanitiser import unguarded
from rolecall.text import UNSAFE

Columns: TypeAlias = Mapping[str, str]
"""Names of columns without case, white space, `_` and `-`, the best first; each with what its cells begin with."""

PEOPLE: Columns = {
    "userid": "",
    "uid": "",
    "id": "",
    "username": "@",
    "user": "",
    "login": "@",
    "email": "",
    "emailaddress": "",
    "mail": "",
}
ROOMS: Columns = {
    "roomid": "",
    "rid": "",
    "groupid": "",
    "channelid": "",
    "id": "",
    "roomname": "#",
    "room": "",
    "group": "",
    "channel": "",
    "name": "#",
}
LONGEST_DOCUMENT = 64 * LONGEST_LINE
"""Characters of a JSON document that are read."""


def read_id_list(path: str, columns: Columns, stdin: BinaryIO | None = None) -> list[str]:
    """Read a list of words (ids, `@names`, `#names`, addresses), each once, in the order of the file.

    `-` is `stdin` (the process's own when None). Raises UnusableJob where the file cannot be used.
    """
    with open_source(path, stdin) as source:
        words = dict.fromkeys(word for word in _words(source, columns) if word)
        if not words:
            raise source.unusable("there is nothing in it; expected one id or name on each line, CSV or JSON")
        for word in words:
            if fault := fault_of(word):
                raise source.unusable(f"{word[:40]!r} {fault}")
        return list(words)


def fault_of(word: str) -> str:
    """Say what is wrong with an id, a name or an address; empty when it is usable."""
    if len(word) > LONGEST_ID:
        return f"is longer than {LONGEST_ID} characters"
    return "holds a line break, a control or a lost character" if UNSAFE.search(word) else ""


def _words(source: Source, columns: Columns) -> Iterator[str]:
    with source.open_text() as text:
        head = text.read(LONGEST_LINE)
    if any(character in head for character in BINARY):
        raise binary(source, head)
    if head.lstrip().startswith(("[", "{", '"')) and (values := _json_values(source)) is not None:
        return _from_json(source, values, columns)
    return _from_lines(source, columns)


def _json_values(source: Source) -> list[Any] | None:
    """Read a JSON array, or JSONL; None where it is neither (a CSV may begin with a quote)."""
    with source.open_text() as text:
        document = text.read(LONGEST_DOCUMENT)
    try:
        whole = orjson.loads(document)
        return whole if isinstance(whole, list) else [whole]
    except orjson.JSONDecodeError as error:
        try:
            return [orjson.loads(line) for line in document.splitlines() if line.strip()]
        except orjson.JSONDecodeError:
            if document.lstrip().startswith('"'):
                return None
            raise source.unusable(f"line {error.lineno}, column {error.colno}: not JSON ({error.msg})") from None


def _from_json(source: Source, values: Iterable[Any], columns: Columns) -> Iterator[str]:
    for place, value in enumerate(values, start=1):
        word = _of_object(value, columns) if isinstance(value, dict) else value
        if not isinstance(word, str):
            raise source.unusable(f"element {place}: expected text, or an object with {_wanted(columns)}")
        yield word.strip()


def _of_object(value: Mapping[str, Any], columns: Columns) -> str | None:
    """Give the best of an object's values; None where none of its keys is known."""
    by_name = {_normal(key): each for key, each in value.items() if isinstance(each, str)}
    return next((_marked(by_name[name], mark) for name, mark in columns.items() if by_name.get(name)), None)


def _from_lines(source: Source, columns: Columns) -> Iterator[str]:
    """Give the cells of a table's best column; without a header that names one, each line is a word."""
    header, delimiter = _header(source, columns)
    names = [_normal(cell) for cell in header]
    column = next((name for name in columns if name in names), None)
    if column is None:
        if len(header) > 1:
            raise source.unusable(f"the columns found are {listed(header)}; expected one of {_wanted(columns)}")
        yield from (line.strip().strip('"') for line in Lines(source))
        return
    records = _records(source, delimiter)
    next(records)
    place = names.index(column)
    for cells in records:
        if len(cells) > place:
            yield _marked(unguarded(cells[place].strip()), columns[column])


def _header(source: Source, columns: Columns) -> tuple[list[str], str]:
    """Find the delimiter that makes the first line name a column, or else makes the most cells."""
    headers: list[tuple[list[str], str]] = [(next(_records(source, each), []), each) for each in DELIMITERS]
    return max(headers, key=lambda found: (any(_normal(cell) in columns for cell in found[0]), len(found[0])))


def _records(source: Source, delimiter: str) -> Iterator[list[str]]:
    lines = Lines(source)
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        for cells in reader:
            lines.row_size = 0
            if any(map(str.strip, cells)):
                yield cells
    except csv.Error as error:
        raise source.unusable(f"line {reader.line_num}: this is not CSV ({error})") from None


def _marked(word: str, mark: str) -> str:
    """Put the mark of its column before a word that has none."""
    word = word.strip()
    return f"{mark}{word}" if word and not word.startswith(mark) else word


def _normal(name: str) -> str:
    return "".join(c for c in name.casefold() if not c.isspace() and c not in "_-")


def _wanted(columns: Columns) -> str:
    return ", ".join(columns)
