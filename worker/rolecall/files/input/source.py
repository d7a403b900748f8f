"""The bytes of a job file: opened or spooled, digested, unpacked and decoded."""

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
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Self, TextIO, cast

from rolecall.files.input.problems import JobFileError

CHUNK = 64 * 1024
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
"""Stands in decoded text where bytes could not be decoded; no text can hold it otherwise."""

codecs.register_error("rolecall.files.undecodable", lambda error: (UNDECODABLE, cast(UnicodeDecodeError, error).end))


class Source:
    """One job file, open until `close`; its bytes can be read any number of times, also at once."""

    def __init__(self, file: BinaryIO, label: str, name: str, digest: str) -> None:
        self._file = file
        self.label = label
        """What messages call the file: the path as given, or `stdin`."""
        self.name = name
        """A safe path component made from the file's name."""
        self.digest = digest
        """SHA-256 of the bytes as given, in hex."""
        try:
            self._gzipped = os.pread(file.fileno(), 2, 0) == GZIP_MAGIC
            with self._unpacked() as stream:
                start = stream.peek(16)[:16]
            self._refuse_foreign(start)
            self._mark, self._encoding = _byte_order_mark(start)
        except BaseException:
            self.close()
            raise

    def unusable(self, what: str) -> JobFileError:
        """Make the error that says `what` about this file."""
        return JobFileError(f"{self.label}: {what}")

    def open_text(self) -> TextIO:
        """Open the unpacked text from its start; line breaks stay as they are, bad bytes become `UNDECODABLE`."""
        return io.TextIOWrapper(self._unmarked(), self._encoding, errors="rolecall.files.undecodable", newline="")

    def open_utf8(self) -> "Utf8Reader":
        """Open the unpacked document from its start, as UTF-8 whatever the file is written in."""
        return Utf8Reader(self._unmarked() if self._encoding == "utf-8" else self.open_text())

    def close(self) -> None:
        """Let go of the file; what was opened from it cannot be read any more."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _unmarked(self) -> io.BufferedReader:
        stream = self._unpacked()
        stream.read(len(self._mark))
        return stream

    def _unpacked(self) -> io.BufferedReader:
        stream: io.BufferedIOBase = io.BufferedReader(_PositionedReader(self._file), CHUNK)
        if self._gzipped:
            stream = gzip.GzipFile(fileobj=stream)
        return io.BufferedReader(_ErrorTranslatingReader(stream, self), CHUNK)

    def _refuse_foreign(self, start: bytes) -> None:
        if not start:
            raise self.unusable("the file is empty; expected a CSV header with roomId and userId, or JSON")
        for magic, what in FOREIGN_FORMATS.items():
            if start.startswith(magic):
                raise self.unusable(f"this is {what}")


class Utf8Reader:
    """A readable that gives UTF-8 bytes, from bytes or from text."""

    def __init__(self, stream: io.BufferedReader | TextIO) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Give at most `size` bytes (or the bytes of `size` characters); empty at the end."""
        data = self._stream.read(size)
        return data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")


def open_source(path: str, stdin: BinaryIO | None = None) -> Source:
    """Open the file at `path`, or spool `stdin` when it is `-`; raise `JobFileError` when there is nothing to read."""
    if path == "-":
        return _spooled(stdin or sys.stdin.buffer, "stdin", "stdin")
    name = safe_name(path)
    try:
        file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - handed on to the Source, which closes it
    except (OSError, ValueError) as error:
        raise JobFileError(f"{path}: {_why_not_opened(error)}{_name_meant(path, error)}") from error
    mode = os.fstat(file.fileno()).st_mode
    if stat.S_ISREG(mode):
        return Source(cast(BinaryIO, file), path, name, _digest(file, path))
    with file:
        if not stat.S_ISFIFO(mode):
            raise JobFileError(f"{path}: this is a device, not a file; give a job file, or - for stdin")
        return _spooled(cast(BinaryIO, file), path, name)


def safe_name(path: str) -> str:
    """Make one harmless path component of a job file's name: no suffixes, no separators, no dot in front."""
    name = re.sub(r"\.gz$", "", Path(path).name, flags=re.IGNORECASE)
    name = re.sub(r"\.(csv|tsv|txt|json|jsonl|ndjson)$", "", name, flags=re.IGNORECASE)
    return re.sub(r"[^\w.-]+", "-", name)[:60].strip(".-") or "job"


class _PositionedReader(io.RawIOBase):
    """A reader with a place of its own in a file that others read too."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._place = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = os.preadv(self._file.fileno(), [buffer], self._place)
        self._place += count
        return count


class _ErrorTranslatingReader(io.RawIOBase):
    """The border for foreign exceptions: whatever goes wrong below becomes `JobFileError`."""

    def __init__(self, stream: io.BufferedIOBase, source: Source) -> None:
        self._stream = stream
        self._source = source
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read1(len(buffer))
        except EOFError as error:
            raise self._broken("the gzip file is cut off") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise self._broken(f"the gzip file is corrupt ({error})") from error
        except OSError as error:
            raise self._broken(f"it cannot be read: {error.strerror}") from error
        buffer[: len(data)] = data
        self._given += len(data)
        return len(data)

    def _broken(self, what: str) -> JobFileError:
        return self._source.unusable(f"after {self._given:,} bytes of text: {what}; make or copy it again")


def _spooled(stream: BinaryIO, label: str, name: str) -> Source:
    # Buffered, because one bare write to a disk that is nearly full takes a part of a chunk and says nothing.
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - handed on to the Source, which closes it
    digest = hashlib.sha256()
    with suppress(OSError, ValueError):
        os.set_blocking(stream.fileno(), True)  # else 'nothing there yet' looks like the end
    try:
        while chunk := stream.read(CHUNK):
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


def _byte_order_mark(start: bytes) -> tuple[bytes, str]:
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if start.startswith(mark):
            return mark, encoding
    return b"", "utf-8"


def _name_meant(path: str, error: OSError | ValueError) -> str:
    """Name the file beside a missing one whose name is nearest, if one is near."""
    if not isinstance(error, FileNotFoundError):
        return ""
    with suppress(OSError), os.scandir(Path(path).parent) as entries:
        names = [entry.name for entry in islice(entries, 1000) if entry.is_file()]
        if near := get_close_matches(Path(path).name, names, n=1):
            return f"; did you mean {Path(path).parent / near[0]}?"
    return ""


def _why_not_opened(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, IsADirectoryError):
        return "this is a folder; give a job file inside it"
    if isinstance(error, PermissionError):
        return "there is no permission to read it"
    return f"it cannot be opened: {error.strerror if isinstance(error, OSError) else error}"
