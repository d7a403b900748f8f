"""Which folder a run lives in, and whether it is a new one."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from worker.engine.holding import LEDGER, Run, open_run
from worker.files import Job, job_folder, make_private, new_run_folder, runs_newest_first
from worker.files.outfolder import RUNS
from worker.ledger.interface import Identity, LedgerFailed, UnusableLedger
from worker.ledger.lock import RunHeld, RunLock
from worker.ledger.sqlite import SqliteLedger

T = TypeVar("T")


@contextmanager
def chosen_run(
    job: Job, identity: Identity, out: Path | None, *, base: Path, retry_failed: bool = False, kind: str = RUNS
) -> Iterator[Run]:
    """Hold the run that is meant, see `choose_folder`. Raises RunHeld too."""
    with ExitStack() as stack:
        with starting(job, out, base=base, kind=kind):
            folder = choose_folder(job, identity, out, base=base, retry_failed=retry_failed, kind=kind)
            run = stack.enter_context(open_run(folder, identity))
        yield run


def choose_folder(
    job: Job, identity: Identity, out: Path | None, *, base: Path, retry_failed: bool = False, kind: str = RUNS
) -> Path:
    """Name the run's folder: the one asked for, the newest run of this very job if it is unfinished, or a new one.

    A run with refused rows is unfinished too where those shall be sent again. `kind`: RUNS or CHECKS.

    Raises UnusableFolder, and UnusableLedger when `out` holds a run of another workspace or operation.
    """
    if out is not None:
        return make_private(out)
    newest = next((folder for folder in runs_newest_first(base, job.name, kind) if _identity(folder) == identity), None)
    if newest is None and any(_is_starting(folder) for folder in runs_newest_first(base, job.name, kind)):
        raise RunHeld(f"Another run of {job.name} is just being started; wait for it.")
    if newest is not None and _has_due(newest, retry_failed=retry_failed):
        return newest
    return new_run_folder(base, job.name, datetime.now(UTC), kind)


@contextmanager
def starting(job: Job, out: Path | None, *, base: Path, kind: str = RUNS) -> Iterator[None]:
    """Let one start at a time choose among a job's runs, until it holds its own; a named folder needs no choice."""
    if out is not None:
        yield
        return
    descriptor = os.open(make_private(job_folder(base, job.name, kind)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
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
    except RunHeld:
        return True
    except OSError:
        return False


def _identity(folder: Path) -> Identity | None:
    return _ask(folder, SqliteLedger.identity)


def _has_due(folder: Path, *, retry_failed: bool) -> bool:
    due = _ask(folder, lambda ledger: ledger.count_due(retry_failed=retry_failed))
    return due is not None and due[0] > 0


def _ask(folder: Path, question: Callable[[SqliteLedger], T]) -> T | None:
    """Put a question to the ledger of a run; None where there is none that can answer."""
    path = folder / LEDGER
    try:
        if not path.is_file():
            return None
        with closing(SqliteLedger(path)) as ledger:
            return question(ledger)
    except (OSError, UnusableLedger, LedgerFailed):
        return None
