"""Lists of users or rooms that a person has made: one on each line, CSV with a header, JSON or JSONL."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, TypeAlias

import orjson

from rolecall.files.input.columns import format_names, normalise_name
from rolecall.files.input.csv_dialect import DELIMITERS, CsvForm, CsvRecords
from rolecall.files.input.ids import trim
from rolecall.files.input.open_source import open_source
from rolecall.files.input.source import MAX_ROW_SIZE, LineReader, Source
from rolecall.files.output.csv_sanitiser import parse_id_cell
from rolecall.models import MAX_ID_LENGTH
from rolecall.text import UNSAFE

ListColumns: TypeAlias = Mapping[str, str]
"""Column names as `normalise_name` returns them, the best first; each with the prefix of its values (`@`, `#`)."""

USER_COLUMNS: ListColumns = {
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
ROOM_COLUMNS: ListColumns = {
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
MAX_DOCUMENT_SIZE = 64 * MAX_ROW_SIZE
"""Characters of a JSON document that are read."""


def read_id_list(path: str, columns: ListColumns, stdin: BinaryIO | None = None) -> list[str]:
    """Return the words of a list (ids, `@names`, `#names`, addresses), each once, in the order of the file.

    `-` is `stdin` (the process's own if None). Raises JobFileError if the file is unusable.
    """
    with open_source(path, stdin) as source:
        words = list(dict.fromkeys(word for word in _read_words(source, columns) if word))
        if not words:
            raise source.error("there is nothing in it; expected one id or name on each line, CSV or JSON")
        for word in words:
            if problem := find_word_problem(word):
                raise source.error(f"{word[:40]!r} {problem}")
        return words


def find_word_problem(word: str) -> str:
    """Return why an id, a name or an address is unusable; empty if it is usable."""
    if len(word) > MAX_ID_LENGTH:
        return f"is longer than {MAX_ID_LENGTH} characters"
    return "contains a line break, a control or a lost character" if UNSAFE.search(word) else ""


def _read_words(source: Source, columns: ListColumns) -> Iterator[str]:
    start = "" if source.is_workbook else source.read_start().lstrip()
    if start.startswith(("[", "{", '"')) and (values := _read_json_values(source)) is not None:
        return _words_of_json(source, values, columns)
    return _words_of_lines(source, columns)


def _read_json_values(source: Source) -> list[Any] | None:
    """Return the values of a JSON array or of JSONL; None if it is neither (CSV may begin with a quote)."""
    with source.open_text() as text:
        document = source.clean_text(text.read(MAX_DOCUMENT_SIZE))
    try:
        whole = orjson.loads(document)
        return whole if isinstance(whole, list) else [whole]
    except orjson.JSONDecodeError as error:
        try:
            return [orjson.loads(line) for line in document.splitlines() if line.strip()]
        except orjson.JSONDecodeError:
            if document.lstrip().startswith('"'):
                return None
            raise source.error(f"line {error.lineno}, column {error.colno}: not JSON ({error.msg})") from None


def _words_of_json(source: Source, values: Iterable[Any], columns: ListColumns) -> Iterator[str]:
    for place, value in enumerate(values, start=1):
        word = _best_value(value, columns) if isinstance(value, dict) else value
        if not isinstance(word, str):
            raise source.error(f"element {place}: expected text, or an object with {', '.join(columns)}")
        yield trim(word)


def _best_value(element: Mapping[str, Any], columns: ListColumns) -> str | None:
    """Return the value of an object's best column; None if it has none of the columns."""
    values = {normalise_name(key): value for key, value in element.items() if isinstance(value, str)}
    return next((_add_prefix(values[name], prefix) for name, prefix in columns.items() if values.get(name)), None)


def _words_of_lines(source: Source, columns: ListColumns) -> Iterator[str]:
    """Yield the cells of a CSV file's best column; without a header that names one, each line is a word."""
    header, delimiter = _detect_header(source, columns)
    names = [normalise_name(cell) for cell in header]
    column = next((name for name in columns if name in names), None)
    if column is not None:
        index = names.index(column)
        records = _read_cells(source, delimiter)
        next(records)
        for cells in records:
            if len(cells) > index:
                yield _add_prefix(parse_id_cell(trim(cells[index])), columns[column])
    elif len(header) > 1 or source.is_workbook:
        raise source.error(f"the columns found are {format_names(header)}; expected one of {', '.join(columns)}")
    else:
        lines = LineReader(source)
        for line in lines:
            if line.isspace():
                lines.skip_blank()
            lines.start_row()
            yield trim(line).strip('"')


def _detect_header(source: Source, columns: ListColumns) -> tuple[list[str], str]:
    """Return the first record and the delimiter with which it names a column, or else has the most cells."""
    headers = [(next(_read_cells(source, delimiter), []), delimiter) for delimiter in DELIMITERS]
    return max(headers, key=lambda each: (any(normalise_name(cell) in columns for cell in each[0]), len(each[0])))


def _read_cells(source: Source, delimiter: str) -> Iterator[list[str]]:
    """Yield the cells of each record that is not blank."""
    records = CsvRecords(source, CsvForm(delimiter), strict=False)
    for record in records:
        if any(map(str.strip, record.cells)):
            yield record.cells
        else:
            records.skip_blank()


def _add_prefix(word: str, prefix: str) -> str:
    """Return a word with the prefix of its column, if it does not have it."""
    word = trim(word)
    return f"{prefix}{word}" if word and not word.startswith(prefix) else word
