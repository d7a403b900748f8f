"""The directories of runs and checks: private, named by job and start time."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from rolecall.app.errors import InvalidRunDirectoryError
from rolecall.file_access import has_foreign_link, is_foreign, is_writable_by_others
from rolecall.files.input.open_source import safe_name
from rolecall.models import Advice

PRIVATE = 0o700
_RUN = re.compile(r"(\d{8}T\d{6}Z)(?:-(\d+))?").fullmatch


class RunKind(StrEnum):
    """What a run directory belongs to; the value is the name of the directory of all of them."""

    RUN = "runs"
    CHECK = "checks"
    OFFBOARDING = "offboardings"


def job_directory(base: Path, job_name: str, kind: RunKind = RunKind.RUN) -> Path:
    """Return the directory of all runs or checks of a job, `<base>/runs/<job name>`; it need not exist."""
    return base / kind.value / safe_name(job_name)


def new_run_directory(base: Path, job_name: str, start: datetime, kind: RunKind = RunKind.RUN) -> Path:
    """Create `<base>/runs/<job name>/<YYYYMMDDTHHMMSSZ>`, mode 0700, with `-2`, `-3` ... if the name is in use.

    `start` has a time zone. Raises InvalidRunDirectoryError.
    """
    parent = make_job_directory(base, job_name, kind)
    stamp = f"{start.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    with _explained(parent):
        number = 1
        while True:
            folder = parent / (stamp if number == 1 else f"{stamp}-{number}")
            try:
                folder.mkdir(PRIVATE)
            except FileExistsError:
                number += 1
            else:
                return folder


def make_job_directory(base: Path, job_name: str, kind: RunKind = RunKind.RUN) -> Path:
    """Create the directory of all runs or checks of a job, and return it. Raises InvalidRunDirectoryError."""
    path = job_directory(base, job_name, kind)
    make_private_directory(path.parent)
    return make_private_directory(path)


def run_directories_newest_first(base: Path, job_name: str, kind: RunKind = RunKind.RUN) -> list[Path]:
    """Return the directories that `new_run_directory` created for a job, the newest first; empty if there are none."""
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


def parse_run_directory(name: str) -> datetime | None:
    """Return the start in the name of a run's directory; None for another name."""
    found = _RUN(name)
    return None if found is None else datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def make_private_directory(path: Path) -> Path:
    """Create the directory that a user named, mode 0700 (missing ones above it too), and return it.

    An empty one of the user's becomes 0700; one that is not empty keeps its mode. Raises InvalidRunDirectoryError, also
    for a directory of another user, or in which others can write: they could place or replace files in it.
    """
    if has_foreign_link(path):
        raise InvalidRunDirectoryError(path, "a symbolic link of another user leads to it.", Advice.OTHER_DIRECTORY)
    with _explained(path):
        _make_missing(path)
        status = path.stat()
        if status.st_uid == os.geteuid() and not any(path.iterdir()):
            path.chmod(PRIVATE)
            status = path.stat()
    if is_foreign(status):
        raise InvalidRunDirectoryError(path, "the directory belongs to another user.", Advice.OTHER_DIRECTORY)
    if is_writable_by_others(path, status):
        why = "other users can write in it and could replace its files: 'chmod go-w' it first."
        raise InvalidRunDirectoryError(path, why, Advice.OTHER_DIRECTORY)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise InvalidRunDirectoryError(path, "there is no permission to write in it.", Advice.OTHER_DIRECTORY)
    return path


def _make_missing(path: Path) -> None:
    if path.is_dir():
        return
    if path.parent != path:
        _make_missing(path.parent)
    path.mkdir(PRIVATE, exist_ok=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Translate the errors of creating a directory."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidRunDirectoryError(path, f"{error.filename or path} exists but is not a directory") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidRunDirectoryError(path, f"the directory cannot be created: {reason}") from error
