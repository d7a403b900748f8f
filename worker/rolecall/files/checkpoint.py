"""Checkpoint of an unfinished `find`: its results so far, in a file beside the job file that it will become.

The first line is a header, every other line one result, as JSON. A line is appended when it is complete; a line torn by
a crash is cut off when the checkpoint is opened again.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import orjson

from rolecall.file_access import DirectoryFile, OpenDirectory, lock_file
from rolecall.models import Advice, LockedError, LookupGap, LookupResult, RoleAssignment, RolecallError

FORMAT = 1
LINES_PER_SYNC = 100
"""Results between two fsyncs: after a power cut at most so many lookups are repeated."""


class CheckpointError(RolecallError):
    """The checkpoint belongs to another command; str() is one line for the operator."""


class CheckpointLockedError(LockedError):
    """Another process has the checkpoint open; str() is one line for the operator."""


class FindCheckpoint:
    """The results so far. As a context manager it closes its file and leaves it in place."""

    def __init__(self, path: Path | None, workspace: str, query_digest: str) -> None:
        """Open and lock the checkpoint at `path`; with None, a temporary file that ends with the process.

        Raises CheckpointError, CheckpointLockedError and OSError.
        """
        self._path = path
        self._directory = None if path is None else OpenDirectory(path.parent)
        try:
            self._file = _open_temporary() if self._place is None else _open_locked(self._place)
        except BaseException:
            self._close_directory()
            raise
        try:
            self.changed_at = os.fstat(self._file.fileno()).st_mtime
            """When an earlier session wrote its last result: epoch seconds."""
            self._header = {"rolecall find": FORMAT, "workspace": workspace, "question": query_digest}
            self._session_start = self._recover()
        except BaseException:
            self.close()
            raise
        self._unsynced = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and leave it in place."""
        self._file.close()
        self._close_directory()

    @property
    def _place(self) -> DirectoryFile | None:
        """The file in the directory that it was opened in; None for a temporary file."""
        return None if self._path is None or self._directory is None else self._directory / self._path.name

    def _close_directory(self) -> None:
        if self._directory is not None:
            self._directory.close()

    def add(self, result: LookupResult) -> None:
        """Append one result."""
        self._append(result)
        self._unsynced += 1
        if self._unsynced >= LINES_PER_SYNC:
            self.sync()

    def sync(self) -> None:
        """Return when everything is on the disk."""
        os.fsync(self._file.fileno())
        self._unsynced = 0

    def results(self) -> Iterator[LookupResult]:
        """Yield the results from the first; read them to the end before the next `add`.

        Gaps from earlier sessions are left out: those lookups were repeated in this session, or will be.
        """
        lines = self._lines()
        next(lines)
        for offset, line in lines:
            result = _parse_result(orjson.loads(line))
            if offset >= self._session_start or result.gap is None:
                yield result

    def remove(self) -> None:
        """Delete the checkpoint: the job file is complete."""
        if self._place is not None:
            self._place.unlink(missing_ok=True)

    def _recover(self) -> int:
        """Check the header, or write it into a new file; cut off what is torn. Return the remaining length."""
        end = 0
        for offset, line in self._lines():
            value = _parse_line(line)
            if value is None:
                break
            if offset == 0 and value != self._header:
                raise CheckpointError(
                    f"{self._path} is the unfinished work of another 'rolecall find': "
                    "repeat that command, or remove the file.",
                    Advice.OTHER_FILE,
                )
            end = offset + len(line)
        self._file.truncate(end)
        return end or self._append(self._header)

    def _append(self, value: LookupResult | dict[str, Any]) -> int:
        self._file.seek(0, os.SEEK_END)
        self._file.write(orjson.dumps(value, default=list, option=orjson.OPT_APPEND_NEWLINE))
        self._file.flush()
        return self._file.tell()

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield each line with its offset."""
        offset = 0
        self._file.seek(0)
        while line := self._file.readline():
            yield offset, line
            offset += len(line)


def _open_temporary() -> BinaryIO:
    return cast(BinaryIO, tempfile.TemporaryFile())


def _open_locked(file: DirectoryFile) -> BinaryIO:
    try:
        descriptor = file.open(os.O_CREAT | os.O_RDWR)
    except PermissionError as error:
        text = f"{file} cannot be used: {error.strerror}; it is left as it is."
        raise CheckpointError(text, Advice.OTHER_FILE) from None
    try:
        lock_file(descriptor, file.path)
    except BlockingIOError:
        os.close(descriptor)
        raise CheckpointLockedError(f"Another 'rolecall find' works on {file}; wait for it to end.") from None
    except OSError:
        os.close(descriptor)
        raise
    return open(descriptor, "r+b")  # noqa: PTH123 - a descriptor


def _parse_line(line: bytes) -> Any:
    """Return the value of a complete line; None if it is torn."""
    if not line.endswith(b"\n"):
        return None
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _parse_result(value: list[Any]) -> LookupResult:
    target_key, subject_id, rows, gap, note = value
    return LookupResult(
        target_key,
        subject_id,
        tuple(RoleAssignment._make((*row[:5], tuple(row[5]), row[6])) for row in rows),
        LookupGap(*gap) if gap is not None else None,
        note,
    )
