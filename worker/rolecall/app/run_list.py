"""The runs below a directory, the newest first; and the run before another one."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rolecall.app.run_paths import RunKind, parse_run_directory
from rolecall.app.run_status import RunStatus, read_status
from rolecall.models import RolecallError
from rolecall.store.records import Count, Identity
from rolecall.store.sqlite.store import FILE_NAME, open_snapshot

_PATTERNS = {
    RunKind.RUN: ("*/*", "*/*/undo"),
    RunKind.CHECK: ("*/*",),
    RunKind.OFFBOARDING: ("*/*/*", "*/*/*/undo"),
}
"""Where runs are, below the directory of their kind."""


class ListedRun(NamedTuple):
    """One run of a list."""

    where: str
    """Its directory, as `status` and `report` take it."""
    status: RunStatus | None
    """None where it cannot be read."""
    problem: str = ""
    """Why not."""


async def list_runs(
    base: Path, at: float, *, limit: int | None = None, kinds: Sequence[RunKind] = (RunKind.RUN, RunKind.OFFBOARDING)
) -> list[ListedRun]:
    """Return the runs in the directories that commands create below `base`, the newest first, at most `limit`.

    `at` is the moment, in epoch seconds. Runs in directories that a person has named are not found.
    """
    folders = await asyncio.to_thread(run_folders, base, kinds)
    return [await _read(folder, at) for folder in folders[:limit]]


def run_folders(base: Path, kinds: Iterable[RunKind] = (RunKind.RUN, RunKind.OFFBOARDING)) -> list[Path]:
    """Return the directories of all runs of these kinds below `base`, the newest first."""
    found = [
        store.parent
        for kind in kinds
        for pattern in _PATTERNS[kind]
        for store in (base / kind.value).glob(f"{pattern}/{FILE_NAME}")
    ]
    return sorted(found, key=_order, reverse=True)


async def counts_of_last_run(folder: Path, identity: Identity) -> tuple[str, Sequence[Count]] | None:
    """Return the name and the counts of the run before the one in `folder`, of the same job, workspace and operation.

    None for a directory that a person has named, and where there is no such run that can be read.
    """
    for earlier in await asyncio.to_thread(_earlier_folders, folder):
        with suppress(RolecallError, OSError):
            async with open_snapshot(earlier) as store:
                known = await store.identity()
                if known is not None and known[:2] == identity[:2]:
                    own = parse_run_directory(earlier.name) is not None
                    return (earlier if own else earlier.parent).name, await store.counts()
    return None


def _earlier_folders(folder: Path) -> list[Path]:
    """Return the directories of earlier starts beside a run, the newest first; of an offboarding, of its operation."""
    folder = folder.resolve()
    is_below = parse_run_directory(folder.name) is None
    start = folder.parent if is_below else folder
    if parse_run_directory(start.name) is None:
        return []
    beside = [each for each in start.parent.iterdir() if parse_run_directory(each.name) and each.name < start.name]
    folders = [each / folder.name if is_below else each for each in beside]
    return sorted((each for each in folders if (each / FILE_NAME).is_file()), key=_order, reverse=True)


async def _read(folder: Path, at: float) -> ListedRun:
    try:
        status = await read_status(folder, at)
    except (RolecallError, OSError) as error:
        return ListedRun(str(folder), None, str(error))
    return ListedRun(str(folder), status, "" if status else "it has not begun")


def _order(folder: Path) -> tuple[float, float]:
    """Return what directories are ordered by: the start in the path, then the time of the last change."""
    starts = [started.timestamp() for part in folder.parts if (started := parse_run_directory(part)) is not None]
    return (starts or [0.0])[0], (folder / FILE_NAME).stat().st_mtime
