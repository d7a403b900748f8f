"""One process for each run: a lock on a file beside the store, released by the system even after SIGKILL."""

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rolecall.file_access import DirectoryFile, OpenDirectory, lock_file
from rolecall.models import Advice, LockedError
from rolecall.store.base import InvalidStoreError

LOCK_FILE = "run.lock"
PAUSES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.08)
"""Seconds between attempts to lock: `is_locked` may have the lock for some microseconds, which must refuse no run."""


class RunLockedError(LockedError):
    """Another process works on this run; the text is one line for a person."""


class RunLock:
    """The lock of the run in a directory, also as a context manager. Blocks for 0.2 s where the run is locked."""

    def __init__(self, directory: Path) -> None:
        self._path = directory
        self._directory: OpenDirectory | None = None
        self._descriptor = -1

    @property
    def directory(self) -> OpenDirectory:
        """The open directory, while the run is locked: the one that the lock is in, even if its path is swapped."""
        if self._directory is None:
            raise ValueError("the run is not locked")
        return self._directory

    def acquire(self) -> None:
        """Open the directory and lock the run. Raises RunLockedError where another process has locked it.

        Raises InvalidStoreError for a directory or a lock file that another user could have placed, and OSError.
        """
        try:
            self._directory = OpenDirectory(self._path)
            self._acquire(self._directory / LOCK_FILE)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Release the lock and close the directory."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._directory is not None:
            self._directory.close()
            self._directory = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _acquire(self, file: DirectoryFile) -> None:
        if file.directory.is_foreign:
            text = f"{self._path} belongs to another user; it is left as it is."
            raise InvalidStoreError(text, Advice.OTHER_DIRECTORY)
        if file.directory.is_writable_by_others:
            text = f"{self._path}: other users can write in it and could replace its files: 'chmod go-w' it first."
            raise InvalidStoreError(text, Advice.OTHER_DIRECTORY)
        try:
            self._descriptor = file.open(os.O_CREAT | os.O_RDWR)
        except PermissionError as error:
            text = f"{file} cannot be used: {error.strerror}; it is left as it is."
            raise InvalidStoreError(text, Advice.OTHER_DIRECTORY) from None
        if not any(self._try_to_lock(file, pause) for pause in PAUSES):
            raise RunLockedError(f"Another process works on the run in {self._path}; wait for it to end.")
        if not self._is_current_file(file):  # the process that had the lock has just removed the whole run
            raise RunLockedError(f"Another run in {self._path} is just ending; start again.")

    def _try_to_lock(self, file: DirectoryFile, pause: float) -> bool:
        """Return True once the file is locked; else wait for so many seconds."""
        try:
            lock_file(self._descriptor, file.path)
        except BlockingIOError:
            time.sleep(pause)
            return False
        return True

    def _is_current_file(self, file: DirectoryFile) -> bool:
        locked = os.fstat(self._descriptor)
        return file.file_id() == (locked.st_dev, locked.st_ino)


def is_locked(directory: Path) -> bool:
    """Return whether a process works on the run in a directory. Raises OSError where that cannot be determined.

    flock(2) cannot query a lock, so a shared lock is tried and released at once; a run that starts in that very
    instant tries again and is not refused. The lock of an active run is never affected.
    """
    with OpenDirectory(directory) as opened:
        try:
            descriptor = (opened / LOCK_FILE).open(os.O_RDONLY, any_owner=True)
        except FileNotFoundError:
            return False
    try:
        lock_file(descriptor, directory / LOCK_FILE, shared=True)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
