"""Where a run keeps its files: a folder of its own that only its user can read."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rolecall.files.input.open_source import safe_name
from rolecall.text import sanitise

PRIVATE = 0o700
RUNS = "runs"
"""The folder of all runs, in the working directory."""
CHECKS = "checks"
"""The folder of all checks, beside it."""
_RUN = re.compile(r"(\d{8}T\d{6}Z)(?:-(\d+))?").fullmatch


class InvalidRunDirectoryError(Exception):
    """The folder cannot hold a run: str() is one line that says which and why."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(sanitise(f"{path}: {why}", limit=2_000))


def job_directory(base: Path, job_name: str, kind: str = RUNS) -> Path:
    """Give the folder of all runs (or checks) of a job, `<base>/runs/<job name>`; it need not be there."""
    return base / kind / safe_name(job_name)


def new_run_directory(base: Path, job_name: str, start: datetime, kind: str = RUNS) -> Path:
    """Make and give `<base>/runs/<job name>/<YYYYMMDDTHHMMSSZ>`, mode 0700, with `-2`, `-3` ... when it is taken.

    `start` has a time zone. Raises `InvalidRunDirectoryError`.
    """
    parent = job_directory(base, job_name, kind)
    stamp = f"{start.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    with _explained(parent):
        _make_missing(parent)
        number = 1
        while True:
            folder = parent / (stamp if number == 1 else f"{stamp}-{number}")
            try:
                folder.mkdir(PRIVATE)
            except FileExistsError:
                number += 1
            else:
                return folder


def run_directories_newest_first(base: Path, job_name: str, kind: str = RUNS) -> list[Path]:
    """Give the folders that `new_run_directory` made for a job, the newest first; none is no error."""
    parent = job_directory(base, job_name, kind)
    try:
        with os.scandir(parent) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InvalidRunDirectoryError(parent, f"it cannot be read: {error.strerror}") from error
    found = [(run[1], int(run[2] or 1), run[0]) for run in map(_RUN, names) if run]
    return [parent / name for *_, name in sorted(found, reverse=True)]


def make_private_directory(path: Path) -> Path:
    """Make the folder that a user named, mode 0700 (missing ones above it too), and give it.

    An empty one of the user's becomes 0700; one that holds something already keeps its mode. Raises `InvalidRunDirectoryError`.
    """
    with _explained(path):
        _make_missing(path)
        if path.stat().st_uid == os.geteuid() and not any(path.iterdir()):
            path.chmod(PRIVATE)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise InvalidRunDirectoryError(path, "there is no permission to write in it; choose another with --out")
    return path


def _make_missing(path: Path) -> None:
    if path.is_dir():
        return
    if path.parent != path:
        _make_missing(path.parent)
    path.mkdir(PRIVATE, exist_ok=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidRunDirectoryError(path, f"{error.filename or path} is there but is no folder") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidRunDirectoryError(path, f"the folder cannot be made: {why}") from error
