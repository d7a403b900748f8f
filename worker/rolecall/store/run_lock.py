"""One process for each run: a lock on a file beside the store, released by the system even after SIGKILL."""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rolecall.models import Advice, LockedError, is_foreign
from rolecall.store.base import InvalidStoreError

LOCK_FILE = "run.lock"
PAUSES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08)
"""Seconds between attempts to lock: `is_locked` may have the lock for some microseconds, which must refuse no run."""


class RunLockedError(LockedError):
    """Another process works on this run; the text is one line for a person."""


class RunLock:
    """The lock of the run in a directory, also as a context manager. Blocks for 0.2 s where the run is locked."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK_FILE
        self._descriptor = -1

    def acquire(self) -> None:
        """Lock the run. Raises RunLockedError where another process has locked it.

        Raises InvalidStoreError where the directory or the lock file belongs to another user.
        """
        self._require_own(self._path.parent, self._path.parent.stat())
        self._descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            self._require_own(self._path, os.fstat(self._descriptor))
        except InvalidStoreError:
            self.release()
            raise
        if not any(map(self._try_to_lock, PAUSES)):
            self.release()
            raise RunLockedError(f"Another process works on the run in {self._path.parent}; wait for it to end.")
        if not self._is_current_file():  # the process that had the lock has just removed the whole run
            self.release()
            raise RunLockedError(f"Another run in {self._path.parent} is just ending; start again.")

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _try_to_lock(self, pause: float) -> bool:
        """Return True once the file is locked; else wait for so many seconds."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(pause)
            return False
        return True

    @staticmethod
    def _require_own(path: Path, status: os.stat_result) -> None:
        if is_foreign(status):
            raise InvalidStoreError(f"{path} belongs to another user; it is left as it is.", Advice.OTHER_DIRECTORY)

    def _is_current_file(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.lstat())
        except FileNotFoundError:
            return False


def is_locked(directory: Path) -> bool:
    """Return whether a process works on the run in a directory. Raises OSError where that cannot be determined.

    flock(2) cannot query a lock, so a shared lock is tried and released at once; a run that starts in that very
    instant tries again and is not refused. The lock of an active run is never affected.
    """
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
