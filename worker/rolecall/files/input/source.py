"""The bytes of a job file: unpacked, decoded and split into lines; and the exception for an unusable file."""

import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple, Self, TextIO

from rolecall.files.input.encoding import (
    WINDOWS_1252,
    decoder_errors,
    detect_encoding,
    find_bad_character,
    is_marked_as,
    is_windows_1252,
)
from rolecall.models import Advice, JobRow, RolecallError
from rolecall.text import sanitise

READ_SIZE = 64 * 1024
MAX_ROW_SIZE = 1024 * 1024
"""Characters of one line, and of one row of several lines: so no file can fill the memory."""
GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK\x03\x04"
MAX_BLANK_LINES = 1_048_576
"""Blank lines beyond those between other lines: as many as a spreadsheet has rows."""
MAX_BLANK_SIZE = 64 * 1024 * 1024
"""Characters of blank lines."""
FOREIGN_FORMATS = {
    ZIP_MAGIC: "a zip file or an Excel workbook, packed; unpack it first",
    b"\xd0\xcf\x11\xe0": "an old or password-protected Excel workbook; save the sheet as 'CSV UTF-8' or as .xlsx",
    b"%PDF": "a PDF file; export the list as CSV",
    b"BZh": "packed with bzip2; unpack it, or pack it with gzip",
    b"\xfd7zXZ": "packed with xz; unpack it, or pack it with gzip",
    b"\x28\xb5\x2f\xfd": "packed with zstd; unpack it, or pack it with gzip",
    b"SQLite format 3": "an SQLite database; export the list as CSV",
}
_LINE_BREAK = re.compile("\r\n?|\n")

Warn = Callable[[str], object]
ReadRows = Callable[[], Iterator[JobRow]]
"""Yields the rows of a job file from the first; may be called again."""


def ignore_warning(_: str) -> None:
    """Do nothing."""


class JobFileError(RolecallError):
    """The whole job file is unusable; str() is one line with the file, the place, the problem and what to do."""

    def __init__(self, sentence: str, advice: Advice | None = None) -> None:
        super().__init__(sanitise(sentence, limit=2_000), advice)


class Origin(NamedTuple):
    """Where the bytes of a source come from, and how they are read."""

    label: str
    """The file's name in messages: the path as given, or `stdin`."""
    name: str
    """A safe path component made from the file's name."""
    digest: str = ""
    """SHA-256 of the bytes as given, in hex."""
    encoding: str = ""
    """The encoding that a person has named; empty to detect it."""
    warn: Warn = ignore_warning
    """Is called with what a person should know about the file, in one sentence."""


class Source:
    """One job file, open until `close`. Its bytes can be read any number of times, also by several readers at once."""

    def __init__(self, file: BinaryIO, origin: Origin, *, is_workbook: bool = False) -> None:
        """Detect the format and the encoding. `is_workbook`: the file has the records of a sheet, a list a line."""
        self._file = file
        self.label = origin.label
        self.name = origin.name
        self.digest = origin.digest
        """SHA-256 of the bytes as given, in hex."""
        self.is_workbook = is_workbook
        self._warn = origin.warn
        self._is_windows_1252: bool | None = None if not origin.encoding else False
        """None until the first byte that is no UTF-8 is read."""
        try:
            self._gzipped = os.pread(file.fileno(), 2, 0) == GZIP_MAGIC
            with self._unpacked() as stream:
                start = stream.peek(16)[:16]
            self._check_format(start)
            self._mark, self._encoding = detect_encoding(start)
            if origin.encoding and not is_workbook and not is_marked_as(origin.encoding, self._mark, self._encoding):
                self._mark, self._encoding = b"", origin.encoding
        except BaseException:
            self.close()
            raise

    def error(self, problem: str, advice: Advice | None = None) -> JobFileError:
        """Return the exception that reports a problem of this file."""
        return JobFileError(f"{self.label}: {problem}", advice)

    def open_text(self) -> TextIO:
        """Open the unpacked text at its start; line breaks are kept. `clean_text` checks what is read from it."""
        errors = decoder_errors(self._encoding)
        return io.TextIOWrapper(self._without_mark(), self._encoding, errors=errors, newline="")

    def read_start(self) -> str:
        """Return the first MAX_ROW_SIZE characters. Raises JobFileError if they are not text."""
        with self.open_text() as text:
            return self.clean_text(text.read(MAX_ROW_SIZE))

    def clean_text(self, text: str, first_line: int = 1) -> str:
        """Return `text`, which begins in line `first_line`, with bytes that are not UTF-8 read as Windows-1252.

        Raises JobFileError if that is implausible, or if there is a NUL byte.
        """
        if (text.isascii() and "\0" not in text) or not (bad := find_bad_character(text)):
            return text
        lines = _LINE_BREAK.split(text[: bad.start()])
        place = f"line {first_line + len(lines) - 1}, column {len(lines[-1]) + 1}"
        if "\0" not in text and self._read_as_windows_1252(place):
            return text.translate(WINDOWS_1252)
        what = "a NUL byte" if bad[0] == "\0" else "bytes that are not text"
        problem = f"{place}: {what}; expected UTF-8, or UTF-16 with a byte order mark: save it again as 'CSV UTF-8'."
        raise self.error(problem, Advice.NAME_ENCODING)

    def close(self) -> None:
        """Close the file; what was opened from it cannot be read any more."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_as_windows_1252(self, place: str) -> bool:
        """Return whether the file is plausible as Windows-1252; warn once if it is."""
        if self._is_windows_1252 is None:
            self._is_windows_1252 = False
            if self._encoding == "utf-8" and not self._mark:
                with self._unpacked() as stream:
                    self._is_windows_1252 = is_windows_1252(iter(lambda: stream.read(READ_SIZE), b""))
            if self._is_windows_1252:
                self._warn(
                    f"{self.label}: {place}: this is not UTF-8; the file is read as Windows-1252. If names look wrong, "
                    "save it again as 'CSV UTF-8', or name its encoding with --encoding."
                )
        return self._is_windows_1252

    def _without_mark(self) -> io.BufferedReader:
        stream = self._unpacked()
        stream.read(len(self._mark))
        return stream

    def _unpacked(self) -> io.BufferedReader:
        stream: io.BufferedIOBase = io.BufferedReader(_PositionedReader(self._file), READ_SIZE)
        if self._gzipped:
            stream = gzip.GzipFile(fileobj=stream)
        return io.BufferedReader(_ErrorTranslatingReader(stream, self), READ_SIZE)

    def _check_format(self, start: bytes) -> None:
        if not start:
            raise self.error("the file is empty; expected a CSV header with roomId and userId, or JSON")
        for magic, what in FOREIGN_FORMATS.items():
            if start.startswith(magic):
                raise self.error(f"this is {what}")


class LineReader:
    """The lines of a source with their line breaks; iterate once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._text = source.open_text()
        self._row_size = 0
        self._blank_lines = 0
        self._blank_size = 0
        self._lines = 0

    def start_row(self) -> None:
        """Start the next row: MAX_ROW_SIZE limits the characters since this call, which may be several lines."""
        self._row_size = 0

    def skip_blank(self) -> None:
        """Count the lines since `start_row` as blank. Raises JobFileError if the file has hardly anything else."""
        self._blank_lines += 1
        self._blank_size += self._row_size
        if self._blank_lines > MAX_BLANK_LINES + 2 * (self._lines - self._blank_lines):
            raise self._source.error(f"line {self._lines}: more than {MAX_BLANK_LINES:,} blank lines; remove them")
        if self._blank_size > MAX_BLANK_SIZE:
            raise self._source.error(f"line {self._lines}: more than 64 MiB of blank lines; remove them")

    def __iter__(self) -> Iterator[str]:
        """Yield each line. Raises JobFileError for a line that is not text, and for a row that is too long."""
        number = row_start = 0
        readline = self._text.readline
        while line := readline(MAX_ROW_SIZE + 1):
            self._lines = number = number + 1
            if not self._row_size:
                row_start = number
            self._row_size += len(line)
            if self._row_size > MAX_ROW_SIZE:
                raise self._source.error(
                    f"line {row_start}: the row is longer than 1 MiB; is this a job file, and is a quote unclosed?"
                )
            if "\0" in line or not line.isascii():  # saves the call for most lines
                line = self._source.clean_text(line, number)
            yield line


class Utf8Reader:
    """Reads the text of a source as UTF-8 bytes."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._text = source.open_text()
        self._line = 1

    def read(self, size: int) -> bytes:
        """Return the bytes of at most `size` characters; empty at the end. Raises JobFileError."""
        text = self._text.read(size)
        if not text.isascii():
            text = self._source.clean_text(text, self._line)
        self._line += text.count("\n")
        return text.encode("utf-8", "surrogatepass")


def count_lines(text: str) -> int:
    """Return how many lines `text` takes; after a line break begins another one."""
    return len(_LINE_BREAK.split(text))


class _PositionedReader(io.RawIOBase):
    """A reader with its own position in a file that others read too."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = os.preadv(self._file.fileno(), [buffer], self._position)
        self._position += count
        return count


class _ErrorTranslatingReader(io.RawIOBase):
    """Turns the exceptions of gzip and of the operating system into JobFileError."""

    def __init__(self, stream: io.BufferedIOBase, source: Source) -> None:
        self._stream = stream
        self._source = source
        self._bytes_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read1(len(buffer))
        except EOFError as error:
            raise self._error("the gzip file is cut off") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise self._error(f"the gzip file is corrupt ({error})") from error
        except OSError as error:
            raise self._error(f"it cannot be read: {error.strerror}") from error
        buffer[: len(data)] = data
        self._bytes_read += len(data)
        return len(data)

    def _error(self, problem: str) -> JobFileError:
        return self._source.error(f"after {self._bytes_read:,} bytes of text: {problem}; make or copy it again")
