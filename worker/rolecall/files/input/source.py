"""The bytes of a job file: opened or spooled, digested, unpacked, decoded and split into lines."""

import codecs
import gzip
import hashlib
import io
import os
import re
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Self, TextIO, cast

from rolecall.files.input.problems import JobFileError

READ_SIZE = 64 * 1024
MAX_ROW_SIZE = 1024 * 1024
"""Characters of one line, and of one row of several lines: so no file can fill the memory."""
GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
FOREIGN_FORMATS = {
    b"PK\x03\x04": "a zip file or an Excel workbook; save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save the sheet as CSV",
    b"%PDF": "a PDF file; export the list as CSV",
    b"BZh": "packed with bzip2; unpack it, or pack it with gzip",
    b"\xfd7zXZ": "packed with xz; unpack it, or pack it with gzip",
    b"\x28\xb5\x2f\xfd": "packed with zstd; unpack it, or pack it with gzip",
    b"SQLite format 3": "an SQLite database; export the list as CSV",
}
UNDECODABLE = "\udfff"
"""Replaces bytes that could not be decoded. A lone surrogate: decoded text cannot contain it otherwise."""
_LINE_BREAK = re.compile("\r\n?|\n")

codecs.register_error("rolecall.files.undecodable", lambda error: (UNDECODABLE, cast(UnicodeDecodeError, error).end))


class Source:
    """One job file, open until `close`. Its bytes can be read any number of times, also by several readers at once."""

    def __init__(self, file: BinaryIO, label: str, name: str, digest: str) -> None:
        self._file = file
        self.label = label
        """The file's name in messages: the path as given, or `stdin`."""
        self.name = name
        """A safe path component made from the file's name."""
        self.digest = digest
        """SHA-256 of the bytes as given, in hex."""
        try:
            self._gzipped = os.pread(file.fileno(), 2, 0) == GZIP_MAGIC
            with self._unpacked() as stream:
                start = stream.peek(16)[:16]
            self._check_format(start)
            self._mark, self._encoding = detect_encoding(start)
        except BaseException:
            self.close()
            raise

    def error(self, problem: str) -> JobFileError:
        """Return the exception that reports a problem of this file."""
        return JobFileError(f"{self.label}: {problem}")

    def open_text(self) -> TextIO:
        """Open the unpacked text at its start; line breaks are kept, undecodable bytes become `UNDECODABLE`."""
        return io.TextIOWrapper(self._without_mark(), self._encoding, errors="rolecall.files.undecodable", newline="")

    def open_utf8(self) -> "Utf8Reader":
        """Open the unpacked text at its start, converted to UTF-8."""
        return Utf8Reader(self._without_mark() if self._encoding == "utf-8" else self.open_text())

    def read_start(self) -> str:
        """Return the first MAX_ROW_SIZE characters. Raises JobFileError if they are not text."""
        with self.open_text() as text:
            start = text.read(MAX_ROW_SIZE)
        self.check_text(start)
        return start

    def check_text(self, text: str, first_line: int = 1) -> None:
        """Raise JobFileError if `text`, which begins in line `first_line`, contains a NUL or undecodable bytes."""
        if "\0" not in text and (text.isascii() or UNDECODABLE not in text):
            return
        index = next(index for index, character in enumerate(text) if character in ("\0", UNDECODABLE))
        lines = _LINE_BREAK.split(text[:index])
        what = "a NUL byte" if text[index] == "\0" else "bytes that are not text"
        raise self.error(
            f"line {first_line + len(lines) - 1}, column {len(lines[-1]) + 1}: {what}; "
            "expected UTF-8, or UTF-16 with a byte order mark: save it again as 'CSV UTF-8'"
        )

    def close(self) -> None:
        """Close the file; what was opened from it cannot be read any more."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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

    def start_row(self) -> None:
        """Start the next row: MAX_ROW_SIZE limits the characters since this call, which may be several lines."""
        self._row_size = 0

    def __iter__(self) -> Iterator[str]:
        """Yield each line. Raises JobFileError for a line that is not text, and for a row that is too long."""
        number = row_start = 0
        readline = self._text.readline
        while line := readline(MAX_ROW_SIZE + 1):
            number += 1
            if not self._row_size:
                row_start = number
            self._row_size += len(line)
            if self._row_size > MAX_ROW_SIZE:
                raise self._source.error(
                    f"line {row_start}: the row is longer than 1 MiB; is this a job file, and is a quote unclosed?"
                )
            if "\0" in line or not line.isascii():  # saves the call for most lines
                self._source.check_text(line, number)
            yield line


class Utf8Reader:
    """Reads UTF-8 bytes from a stream of bytes or of text."""

    def __init__(self, stream: io.BufferedReader | TextIO) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes (or the bytes of `size` characters); empty at the end."""
        data = self._stream.read(size)
        return data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")


def open_source(path: str, stdin: BinaryIO | None = None) -> Source:
    """Open the file at `path`; `-` spools `stdin` (the process's own if None). Raises JobFileError."""
    if path == "-":
        return _spool(stdin or sys.stdin.buffer, "stdin", "stdin")
    name = safe_name(path)
    try:
        file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - the Source closes it
    except (OSError, ValueError) as error:
        raise JobFileError(f"{path}: {_describe_open_error(error)}{_suggest_name(path, error)}") from error
    mode = os.fstat(file.fileno()).st_mode
    if stat.S_ISREG(mode):
        return Source(cast(BinaryIO, file), path, name, _digest(file, path))
    with file:
        if not stat.S_ISFIFO(mode):
            raise JobFileError(f"{path}: this is a device, not a file; give a job file, or - for stdin")
        return _spool(cast(BinaryIO, file), path, name)


def safe_name(path: str) -> str:
    """Return a safe path component made from a job file's name: no suffixes, no separators, no leading dot."""
    name = re.sub(r"\.gz$", "", Path(path).name, flags=re.IGNORECASE)
    name = re.sub(r"\.(csv|tsv|txt|json|jsonl|ndjson)$", "", name, flags=re.IGNORECASE)
    return re.sub(r"[^\w.-]+", "-", name)[:60].strip(".-") or "job"


def detect_encoding(start: bytes) -> tuple[bytes, str]:
    """Return the byte order mark at the start (may be empty) and the encoding; UTF-8 if there is no mark."""
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return mark, encoding
    return b"", "utf-8"


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


def _spool(stream: BinaryIO, label: str, name: str) -> Source:
    # Buffered: a single unbuffered write to a nearly full disk may write less than it was given, without an error.
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - the Source closes it
    digest = hashlib.sha256()
    with suppress(OSError, ValueError):
        os.set_blocking(stream.fileno(), True)  # else a pipe without data looks like the end of the file
    try:
        while chunk := stream.read(READ_SIZE):
            digest.update(chunk)
            spool.write(chunk)
        spool.flush()
    except OSError as error:
        with suppress(OSError):
            spool.close()
        raise JobFileError(f"{label}: it cannot be read: {error.strerror}") from error
    except BaseException:
        spool.close()
        raise
    return Source(cast(BinaryIO, spool), label, name, digest.hexdigest())


def _digest(file: io.FileIO, path: str) -> str:
    try:
        return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        file.close()
        raise JobFileError(f"{path}: it cannot be read: {error.strerror}") from error


def _suggest_name(path: str, error: OSError | ValueError) -> str:
    """Return a question with the most similar file name in the folder of a missing file; empty if there is none."""
    if not isinstance(error, FileNotFoundError):
        return ""
    with suppress(OSError), os.scandir(Path(path).parent) as entries:
        names = [entry.name for entry in islice(entries, 1000) if entry.is_file()]
        if similar := get_close_matches(Path(path).name, names, n=1):
            return f"; did you mean {Path(path).parent / similar[0]}?"
    return ""


def _describe_open_error(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, IsADirectoryError):
        return "this is a folder; give a job file inside it"
    if isinstance(error, PermissionError):
        return "there is no permission to read it"
    return f"it cannot be opened: {error.strerror if isinstance(error, OSError) else error}"
