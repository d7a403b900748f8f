"""A job file: a name, a digest, and rows that can be read any number of times."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import BinaryIO, Self

import orjson

from rolecall.files.doubt_columns import take_doubt
from rolecall.files.input.columns import MAX_EXTRA_COLUMNS
from rolecall.files.input.csv_rows import detect_dialect, read_csv_rows
from rolecall.files.input.json_rows import read_json_array, read_json_lines, read_json_object
from rolecall.files.input.source import MAX_ROW_SIZE, Source, count_lines, open_source
from rolecall.files.json_codec import parse_json_object
from rolecall.models import BadRow, Row

_starts_nested_array = re.compile(r"\[\s*[\[{]").match

ReadRows = Callable[[], Iterator[Row | BadRow]]


class Job:
    """An open job file; a context manager that closes it."""

    def __init__(self, source: Source, read_rows: ReadRows) -> None:
        self._source = source
        self._read_rows = read_rows
        self._extra_columns: dict[str, None] = {}

    @property
    def name(self) -> str:
        """The file's name without its suffixes, safe as a path component; `stdin` for stdin."""
        return self._source.name

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes as given (packed, if they were), in hex."""
        return self._source.digest

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """The columns besides the ids, in the order of the file; complete after `rows` was read to its end."""
        return tuple(self._extra_columns)

    def rows(self) -> Iterator[Row | BadRow]:
        """Yield the rows from the first; may be called again.

        Raises JobFileError if the file is broken, and at its end if it has no rows at all.
        """
        known = self._extra_columns.keys()
        empty = True
        for row in map(take_doubt, self._read_rows()):
            if row.extra and not row.extra.keys() <= known:
                self._add_columns(row.extra)
            empty = False
            yield row
        if empty:
            raise self._source.error("there are no rows in it; expected at least one roomId and userId")

    def close(self) -> None:
        """Close the file; iterators over its rows cannot continue."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _add_columns(self, names: Iterable[str]) -> None:
        self._extra_columns.update(dict.fromkeys(names))
        if len(self._extra_columns) > MAX_EXTRA_COLUMNS:
            raise self._source.error(f"more than {MAX_EXTRA_COLUMNS} different further columns; drop some")


def open_job(path: str, stdin: BinaryIO | None = None) -> Job:
    """Open the job file at `path` and check its first row; `-` is `stdin` (the process's own if None).

    Raises JobFileError if the file cannot be read, or its start shows that it is not a job file.
    """
    source = open_source(path, stdin)
    try:
        job = Job(source, _select_reader(source))
        next(job.rows())
    except BaseException:
        source.close()
        raise
    return job


def _select_reader(source: Source) -> ReadRows:
    """Return the function that reads the rows, by the content of the file."""
    head = source.read_start()
    start = head.lstrip()
    if start.startswith("["):
        return partial(read_json_lines if _is_array_per_line(start) else read_json_array, source)
    if start.startswith("{"):
        if len(head) < MAX_ROW_SIZE and (whole := parse_json_object(start)):
            return partial(read_json_object, source, whole, count_lines(head[: len(head) - len(start)]))
        return partial(read_json_lines, source)
    return partial(read_csv_rows, source, detect_dialect(source))


def _is_array_per_line(start: str) -> bool:
    """Return whether this is JSONL of pairs, `["room", "user"]` on a line, and not an array of objects or pairs."""
    if _starts_nested_array(start):
        return False
    try:
        return bool(orjson.loads(start.split("\n", 1)[0].split("\r", 1)[0]))
    except orjson.JSONDecodeError:
        return False
