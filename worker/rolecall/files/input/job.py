"""A job file as its users see it: a name, a digest, and rows to be read as often as wanted."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import BinaryIO, Self

import orjson

from rolecall.files.input.columns import MOST_EXTRA_COLUMNS
from rolecall.files.input.csv_rows import find_table, read_table
from rolecall.files.input.json_rows import read_array, read_lines, read_object
from rolecall.files.input.lines import BINARY, LONGEST_LINE, binary, line_at
from rolecall.files.input.source import Source, open_source
from rolecall.models import BadRow, Row

_nested_array = re.compile(r"\[\s*[\[{]").match

Read = Callable[[], Iterator[Row | BadRow]]


class Job:
    """An open job file; a context manager that closes it."""

    def __init__(self, source: Source, read: Read) -> None:
        self._source = source
        self._read = read
        self._extra_columns: dict[str, None] = {}

    @property
    def name(self) -> str:
        """The file's name without its suffixes, safe as one component of a path; `stdin` for stdin."""
        return self._source.name

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes as given (packed, if they were), in hex."""
        return self._source.digest

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """The further columns met so far, in the order of the file; complete once `rows` has been read to its end."""
        return tuple(self._extra_columns)

    def rows(self) -> Iterator[Row | BadRow]:
        """Give the rows from the first, one by one; may be called again.

        Raises `UnusableJob` where the file turns out to be broken, or at its end when it has no rows at all.
        """
        known = self._extra_columns.keys()
        empty = True
        for row in self._read():
            if row.extra and not row.extra.keys() <= known:
                self._learn(row.extra)
            empty = False
            yield row
        if empty:
            raise self._source.unusable("there are no rows in it; expected at least one roomId and userId")

    def close(self) -> None:
        """Close the file; iterators over its rows cannot go on."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _learn(self, names: Iterable[str]) -> None:
        self._extra_columns.update(dict.fromkeys(names))
        if len(self._extra_columns) > MOST_EXTRA_COLUMNS:
            raise self._source.unusable(f"more than {MOST_EXTRA_COLUMNS} different further columns; drop some")


def open_job(path: str, stdin: BinaryIO | None = None) -> Job:
    """Open the job file at `path`, `-` being `stdin` (the process's own when None), and look at its first row.

    Raises `UnusableJob` when there is no such file, or already its start shows that it is no job file.
    """
    source = open_source(path, stdin)
    try:
        job = Job(source, _reader(source))
        next(job.rows())
    except BaseException:
        source.close()
        raise
    return job


def _reader(source: Source) -> Read:
    """Tell by the content how the file is to be read."""
    with source.open_text() as text:
        head = text.read(LONGEST_LINE)
    if any(character in head for character in BINARY):
        raise binary(source, head)
    start = head.lstrip()
    if start.startswith("["):
        return partial(read_lines if _first_line_is_flat_array(start) else read_array, source)
    if start.startswith("{"):
        if len(head) < LONGEST_LINE and (whole := _parsed(start)):
            return partial(read_object, source, whole, line_at(head, len(head) - len(start)))
        return partial(read_lines, source)
    return partial(read_table, source, find_table(source))


def _first_line_is_flat_array(start: str) -> bool:
    """Tell JSONL of pairs, `["room", "user"]` on a line, from an array of objects or pairs."""
    if _nested_array(start):
        return False
    return bool(_parsed(start.split("\n", 1)[0].split("\r", 1)[0]))


def _parsed(text: str) -> list[object] | dict[str, object] | None:
    """Parse a JSON array or object; None when `text` is anything else, or empty."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, list | dict) else None
