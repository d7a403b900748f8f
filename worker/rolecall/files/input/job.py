"""A job file: a name, a digest, and rows that can be read any number of times."""

import hashlib
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from rolecall.files.doubt_columns import take_doubt
from rolecall.files.input.columns import MAX_EXTRA_COLUMNS, ColumnRoles
from rolecall.files.input.csv_dialect import detect_dialect
from rolecall.files.input.csv_rows import read_csv_rows
from rolecall.files.input.ids import trim
from rolecall.files.input.open_source import open_source
from rolecall.files.input.source import MAX_ROW_SIZE, READ_SIZE, ReadRows, Source, Warn, ignore_warning
from rolecall.models import JobRow


class ReadOptions(NamedTuple):
    """How a person wants a job file to be read; all empty to detect everything."""

    encoding: str = ""
    room_column: str = ""
    """The name of the column with the rooms."""
    user_column: str = ""


DETECT_ALL = ReadOptions()


class Job:
    """An open job file; a context manager that closes it."""

    def __init__(self, source: Source, read_rows: ReadRows, options: ReadOptions = DETECT_ALL) -> None:
        self._source = source
        self._read_rows = read_rows
        self._options = options

    @property
    def name(self) -> str:
        """The file's name without its suffixes, safe as a path component; `stdin` for stdin."""
        return self._source.name

    @property
    def path(self) -> str:
        """Where the file is, as an absolute path; for stdin, `stdin` in the working directory."""
        return str(Path(self._source.label).absolute())

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes as given (packed, if they were), in hex; read with other options it is another job."""
        if self._options == DETECT_ALL:
            return self._source.digest
        return hashlib.sha256("\0".join((self._source.digest, *self._options)).encode()).hexdigest()

    def rows(self) -> Iterator[JobRow]:
        """Yield the rows from the first; may be called again.

        Raises JobFileError if the file is broken, and at its end if it has no rows at all.
        """
        extra_columns: set[str] = set()
        empty = True
        for row in map(take_doubt, self._read_rows()):
            if row.extra and not row.extra.keys() <= extra_columns:
                extra_columns.update(row.extra)
                self._check_number(extra_columns)
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

    def _check_number(self, extra_columns: Collection[str]) -> None:
        if len(extra_columns) > MAX_EXTRA_COLUMNS:
            raise self._source.error(f"more than {MAX_EXTRA_COLUMNS} different further columns; drop some")


def open_job(
    path: str, stdin: BinaryIO | None = None, options: ReadOptions = DETECT_ALL, warn: Warn = ignore_warning
) -> Job:
    """Open the job file at `path` and check its first row; `-` is `stdin` (the process's own if None).

    `warn` is called with what a person should know about the file, while its rows are read. Raises JobFileError if the
    file cannot be read, or its start shows that it is not a job file.
    """
    source = open_source(path, stdin, encoding=options.encoding, warn=warn)
    try:
        roles = ColumnRoles(options.room_column, options.user_column)
        job = Job(source, _select_reader(source, roles), options)
        next(job.rows())
    except BaseException:
        source.close()
        raise
    return job


def _select_reader(source: Source, roles: ColumnRoles) -> ReadRows:
    """Return the function that reads the rows, by the content of the file."""
    head = "" if source.is_workbook else source.read_start()
    start = trim(head)
    if not start and len(head) == MAX_ROW_SIZE:
        raise source.error("the first 1 MiB of it is blank; remove the blank lines")
    if start.startswith(("[", "{")):
        from rolecall.files.input.json_rows import select_json_reader  # here: most job files are CSV

        return select_json_reader(source, roles, head)
    head = head[:READ_SIZE]
    del start  # may have a megabyte, as the head had
    return partial(read_csv_rows, source, detect_dialect(source, roles, head))
