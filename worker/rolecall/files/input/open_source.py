"""Open a job file: from a path or stdin, spooled where needed, digested; the sheet of a workbook is taken out."""

import hashlib
import io
import os
import re
import stat
import sys
import tempfile
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from rolecall.files.input.encoding import find_encoding_problem
from rolecall.files.input.source import READ_SIZE, ZIP_MAGIC, JobFileError, Origin, Source, Warn, ignore_warning


def open_source(path: str, stdin: BinaryIO | None = None, *, encoding: str = "", warn: Warn = ignore_warning) -> Source:
    """Open the file at `path`; `-` spools `stdin` (the process's own if None). Raises JobFileError.

    `encoding` is its encoding, empty to detect it. `warn` is called with what a person should know about the file.
    """
    if encoding and (problem := find_encoding_problem(encoding)):
        raise JobFileError(problem)
    if path == "-":
        return _spool(stdin or sys.stdin.buffer, Origin("stdin", "stdin", encoding=encoding, warn=warn))
    origin = Origin(path, safe_name(path), encoding=encoding, warn=warn)
    try:
        file = Path(path).open("rb", buffering=0)  # noqa: SIM115 - the Source closes it
    except (OSError, ValueError) as error:
        raise JobFileError(f"{path}: {_describe_open_error(error)}{_suggest_name(path, error)}") from error
    mode = os.fstat(file.fileno()).st_mode
    if stat.S_ISREG(mode):
        return _open_detected(cast(BinaryIO, file), origin._replace(digest=_digest(file, path)))
    with file:
        if not stat.S_ISFIFO(mode):
            raise JobFileError(f"{path}: this is a device, not a file; give a job file, or - for stdin")
        return _spool(cast(BinaryIO, file), origin)


def safe_name(path: str) -> str:
    """Return a safe path component made from a job file's name: no suffixes, no separators, no leading dot."""
    name = re.sub(r"\.gz$", "", Path(path).name, flags=re.IGNORECASE)
    name = re.sub(r"\.(csv|tsv|txt|xlsx|json|jsonl|ndjson)$", "", name, flags=re.IGNORECASE)
    return re.sub(r"[^\w.-]+", "-", name)[:60].strip(".-") or "job"


def _open_detected(file: BinaryIO, origin: Origin) -> Source:
    """Return the source of a file; of a workbook, that of the records of its sheet."""
    if os.pread(file.fileno(), len(ZIP_MAGIC), 0) != ZIP_MAGIC:
        return Source(file, origin)
    from rolecall.files.input.workbook import WorkbookError, write_sheet  # here: few job files are workbooks

    records = tempfile.TemporaryFile()  # noqa: SIM115 - the Source closes it
    try:
        with file:
            write_sheet(file, cast(BinaryIO, records))
    except WorkbookError as error:
        records.close()
        raise JobFileError(f"{origin.label}: {error}") from error
    except BaseException:
        records.close()
        raise
    return Source(cast(BinaryIO, records), origin, is_workbook=True)


def _spool(stream: BinaryIO, origin: Origin) -> Source:
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
        raise JobFileError(f"{origin.label}: it cannot be read: {error.strerror}") from error
    except BaseException:
        spool.close()
        raise
    return _open_detected(cast(BinaryIO, spool), origin._replace(digest=digest.hexdigest()))


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
    from difflib import get_close_matches  # here: most names are right

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
