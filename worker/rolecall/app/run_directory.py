"""Which folder a run lives in, and whether it is a new one."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from rolecall.app.open_run import Run, open_run
from rolecall.app.out_folder import (
    RUNS,
    job_directory,
    make_private_directory,
    new_run_directory,
    run_directories_newest_first,
)
from rolecall.files.input.job import Job
from rolecall.store.base import Identity, InvalidStoreError, StoreError
from rolecall.store.run_lock import RunLock, RunLockedError
from rolecall.store.sqlite.database import SqliteDatabase
from rolecall.store.sqlite.store import FILE_NAME

T = TypeVar("T")


@asynccontextmanager
async def open_or_resume_run(
    job: Job, identity: Identity, out: Path | None, *, base: Path, retry_failed: bool = False, kind: str = RUNS
) -> AsyncIterator[Run]:
    """Open the run that is meant, see `select_run_directory`. Raises RunLockedError too."""
    async with AsyncExitStack() as stack:
        with serialise_start(job, out, base=base, kind=kind):
            folder = await asyncio.to_thread(
                select_run_directory, job, identity, out, base=base, retry_failed=retry_failed, kind=kind
            )
            run = await stack.enter_async_context(open_run(folder, identity))
        yield run


def select_run_directory(
    job: Job, identity: Identity, out: Path | None, *, base: Path, retry_failed: bool = False, kind: str = RUNS
) -> Path:
    """Name the run's folder: the one asked for, the newest run of this very job if it is unfinished, or a new one.

    A run with refused rows is unfinished too where those shall be sent again. `kind`: RUNS or CHECKS.

    Raises UnusableFolder, and InvalidStoreError when `out` holds a run of another workspace or operation.
    """
    if out is not None:
        return make_private_directory(out)
    newest = next(
        (folder for folder in run_directories_newest_first(base, job.name, kind) if _identity(folder) == identity), None
    )
    if newest is None and any(_is_starting(folder) for folder in run_directories_newest_first(base, job.name, kind)):
        raise RunLockedError(f"Another run of {job.name} is just being started; wait for it.")
    if newest is not None and _has_due(newest, retry_failed=retry_failed):
        return newest
    return new_run_directory(base, job.name, datetime.now(UTC), kind)


@contextmanager
def serialise_start(job: Job, out: Path | None, *, base: Path, kind: str = RUNS) -> Iterator[None]:
    """Let one start at a time choose among a job's runs, until it holds its own; a named folder needs no choice."""
    if out is not None:
        yield
        return
    descriptor = os.open(
        make_private_directory(job_directory(base, job.name, kind)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_starting(folder: Path) -> bool:
    """Tell whether another process holds a run whose job it has not taken in yet."""
    if _identity(folder) is not None:
        return False
    try:
        with RunLock(folder):
            return False
    except RunLockedError:
        return True
    except OSError:
        return False


def _identity(folder: Path) -> Identity | None:
    return _ask(folder, SqliteDatabase.identity)


def _has_due(folder: Path, *, retry_failed: bool) -> bool:
    due = _ask(folder, lambda ledger: ledger.count_due(retry_failed=retry_failed))
    return due is not None and due[0] > 0


def _ask(folder: Path, question: Callable[[SqliteDatabase], T]) -> T | None:
    """Put a question to the ledger of a run; None where there is none that can answer."""
    path = folder / FILE_NAME
    try:
        if not path.is_file():
            return None
        with closing(SqliteDatabase(path)) as ledger:
            return question(ledger)
    except (OSError, InvalidStoreError, StoreError):
        return None
