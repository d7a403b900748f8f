"""What a campaign does to the disk and the clock of the worker. What the machine does not permit is left out."""

import asyncio
import resource
from functools import cache
from pathlib import Path

from tests.support.command import ROLECALL

CLOCK_FILE = "clock"
READ_ONLY = 'mount --bind o o && mount -o remount,bind,ro o && exec "$0" "$@"'
"""A shell command: the folder is read-only for the worker alone, in a mount namespace that ends with it."""


def fill_disk(process: int, size: int) -> None:
    """Let no file of a process grow beyond a size in bytes, as a full disk does."""
    _, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size, hard))


async def read_only_words(folder: Path) -> tuple[str, ...]:
    """Return the words that start the command with a read-only folder; only the command where that is not permitted."""
    folder.mkdir(mode=0o700, exist_ok=True)
    words = ("unshare", "--mount", "sh", "-c", READ_ONLY)
    try:
        probe = await asyncio.create_subprocess_exec(
            *words, "true", cwd=folder.parent, stderr=asyncio.subprocess.DEVNULL
        )
    except FileNotFoundError:
        return (str(ROLECALL),)
    return (*words, str(ROLECALL)) if await probe.wait() == 0 else (str(ROLECALL),)


@cache
def faketime_library() -> Path | None:
    """Return the library that changes the clock of a process; None where libfaketime is not installed."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def faketime_environment(folder: Path) -> dict[str, str]:
    """Return the variables by which a process has the clock of a folder; none without libfaketime."""
    library = faketime_library()
    if library is None:
        return {}
    if not (folder / CLOCK_FILE).exists():
        step_clock(folder, 0)
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(folder / CLOCK_FILE),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def step_clock(folder: Path, seconds: int) -> None:
    """Set the clock of a folder to so many seconds after the true time."""
    (folder / CLOCK_FILE).write_text(f"{seconds:+d}\n")
