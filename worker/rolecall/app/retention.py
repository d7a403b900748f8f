"""Delete the directories of runs that are older than a number of days."""

import shutil
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from rolecall.app.run_paths import parse_run_directory
from rolecall.store.run_lock import LOCK_FILE, is_locked


def prune(parent: Path, keep_days: int, now: datetime) -> int:
    """Delete the directories below `parent` that are named by a start before `keep_days` ago; return their number.

    Others stay, as does one in which a process works, a link, and one that cannot be deleted.
    """
    deleted = 0
    for folder in sorted(parent.iterdir()):
        started = parse_run_directory(folder.name)
        if started is None or started >= now - timedelta(days=keep_days) or folder.is_symlink() or not folder.is_dir():
            continue
        if any(is_locked(each) for each in (folder, *filter(Path.is_dir, folder.iterdir()))):
            continue
        with suppress(OSError):
            shutil.rmtree(folder)
            deleted += 1
    return deleted


def remove_untouched(folder: Path, below: Iterable[str], files: Iterable[str]) -> None:
    """Remove a directory with these directories and files, if it has nothing else but a lock."""
    contents = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
    if contents - set(below) - set(files) - {LOCK_FILE}:
        return
    with suppress(OSError):  # the first one that is not empty stays, and all above it
        for name in below:
            if (folder / name).is_dir():
                (folder / name).rmdir()
        for name in files:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
