"""Unfinished reading: a journal beside the file that it is going to be, so that the same command can go on.

One JSON line for each finding, appended when it is whole. A line that was torn by a crash is cut off again.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import orjson

from rolecall.files.output.find_csv import LookupGap, LookupResult, RoleAssignment
from rolecall.models import LockedError, RolecallError

FORMAT = 1
LINES_PER_SYNC = 100
"""Findings after which the disk is awaited: a power cut costs reading at most so many again."""


class CheckpointError(RolecallError):
    """The unfinished file cannot be gone on with; the text is one line for a person."""


class CheckpointLockedError(LockedError):
    """Another process works on the same file; the text is one line for a person."""


class FindCheckpoint:
    """The findings so far; a context manager that closes its file and leaves it where it is."""

    def __init__(self, path: Path | None, workspace: str, question: str) -> None:
        """Open the journal at `path`, or one that ends with the process (None).

        `question` is a digest of what is asked. Raises CheckpointError, CheckpointLockedError and OSError.
        """
        self._path = path
        self._file = _open_nameless() if path is None else _open_held(path)
        try:
            self._header = {"rolecall find": FORMAT, "workspace": workspace, "question": question}
            self._began = self._take_up()
        except BaseException:
            self._file.close()
            raise
        self._unsynced = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, finding: LookupResult) -> None:
        """Keep one finding."""
        self._append(finding)
        self._unsynced += 1
        if self._unsynced >= LINES_PER_SYNC:
            self.sync()

    def sync(self) -> None:
        """Return once everything is on the disk."""
        os.fsync(self._file.fileno())
        self._unsynced = 0

    def findings(self) -> Iterator[LookupResult]:
        """Give the findings from the first, to be read to the end before the next `add`.

        What an earlier session could not see is left out: it has been asked again since, or will be.
        """
        lines = self._lines()
        next(lines)
        for offset, line in lines:
            finding = _finding(orjson.loads(line))
            if offset >= self._began or finding.unseen is None:
                yield finding

    def remove(self) -> None:
        """Take the journal away: its work is done."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _take_up(self) -> int:
        """Check the header, or write it into a new file, and cut off what is torn; give the length of what is whole."""
        end = 0
        for offset, line in self._lines():
            whole = _parsed(line)
            if whole is None:
                break
            if offset == 0 and whole != self._header:
                raise CheckpointError(
                    f"{self._path} is the unfinished work of another 'rolecall find': "
                    "give that command again, remove the file, or name another one with --out."
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
        """Give each line with the place where it begins."""
        place = 0
        self._file.seek(0)
        while line := self._file.readline():
            yield place, line
            place += len(line)


def _open_nameless() -> BinaryIO:
    return cast(BinaryIO, tempfile.TemporaryFile())


def _open_held(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise CheckpointLockedError(f"Another 'rolecall find' works on {path}; wait for it to end.") from None
    return open(descriptor, "r+b")  # noqa: PTH123 - a descriptor


def _parsed(line: bytes) -> Any:
    """Give a whole line's value; None for one that is torn."""
    if not line.endswith(b"\n"):
        return None
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(line)
    return None


def _finding(value: list[Any]) -> LookupResult:
    unit, about, rows, unseen, note = value
    return LookupResult(
        unit,
        about,
        tuple(RoleAssignment._make((*row[:5], tuple(row[5]), row[6])) for row in rows),
        LookupGap(*unseen) if unseen is not None else None,
        note,
    )
