"""One worker for each run: a lock on a file beside the ledger, let go by the system even after SIGKILL."""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rolecall.models import LockedError

PAUSES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08)
"""Seconds between tries to take the lock: `is_locked` may have it for some microseconds, and must refuse nobody."""


class RunLockedError(LockedError):
    """Another process works on this run; the text is one line for a person."""


class RunLock:
    """Hold the run in a folder for as long as the context lasts. Raises RunLockedError."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "run.lock"

    def __enter__(self) -> Self:
        self._descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if not any(map(self._take, PAUSES)):
            os.close(self._descriptor)
            raise RunLockedError(f"Another run holds {self._path.parent}; wait for it to end.")
        if not self._is_at_its_place():  # its holder has just taken the whole run away
            os.close(self._descriptor)
            raise RunLockedError(f"Another run in {self._path.parent} is just ending; start again.")
        return self

    def _take(self, pause: float) -> bool:
        """Take the lock, or wait for so many seconds."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(pause)
            return False
        return True

    def _is_at_its_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.lstat())
        except FileNotFoundError:
            return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def is_locked(folder: Path) -> bool:
    """Tell whether somebody works on the run in a folder. Raises OSError where that cannot be told.

    flock(2) has no question without an attempt, so a shared lock is tried and let go at once; a start in that very
    instant tries again and is not refused. A lock that is held is never touched.
    """
    try:
        descriptor = os.open(folder / "run.lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
