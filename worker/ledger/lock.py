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
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
