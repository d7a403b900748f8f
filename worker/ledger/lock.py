"""One worker for each run: a lock on a file beside the ledger, let go by the system even after SIGKILL."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self


class RunHeld(Exception):
    """Another process works on this run; the text is one line for a person."""


class RunLock:
    """Hold the run in a folder for as long as the context lasts. Raises RunHeld."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "run.lock"

    def __enter__(self) -> Self:
        self._descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise RunHeld(f"Another run holds {self._path.parent}; wait for it to end.") from None
        if not self._is_at_its_place():  # its holder has just taken the whole run away
            os.close(self._descriptor)
            raise RunHeld(f"Another run in {self._path.parent} is just ending; start again.")
        return self

    def _is_at_its_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.lstat())
        except FileNotFoundError:
            return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
