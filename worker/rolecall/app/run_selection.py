"""Which run of a job a command continues, and which it starts."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from rolecall.app.errors import OperatorError
from rolecall.app.observer import Observer, Resumed, ResumingEdited, UnreadableRuns
from rolecall.app.run_directory import Run, kind_of, on_thread, open_run
from rolecall.app.run_paths import (
    RunKind,
    make_job_directory,
    make_private_directory,
    new_run_directory,
    run_directories_newest_first,
)
from rolecall.file_access import lock_file
from rolecall.files.input.job import Job
from rolecall.models import Advice
from rolecall.store.base import DEFAULT_LOCK_WAIT, InvalidStoreError, LockWait, StoreError
from rolecall.store.records import Identity
from rolecall.store.run_lock import RunLock, RunLockedError, is_locked
from rolecall.store.sqlite.database import SqliteDatabase
from rolecall.store.sqlite.store import FILE_NAME
from rolecall.store.sqlite.store_file import resting_state

RUN_NUMBER = "run_number"
"""Key of the store's metadata: the place of the run among those of its job, counted from 1. Names follow the clock."""
JOB_PATH = "job_path"
"""Key of the store's metadata: where the job file was. Another file of the same name is another job."""
STARTED_ANEW = "started_anew"
"""Key of the store's metadata: `yes` where unfinished runs before this one are to be left as they are."""


@dataclass(frozen=True, slots=True)
class StartOptions:
    """How the run of a job is chosen."""

    out: Path | None = None
    """The directory of the run, which is continued or created."""
    anew: bool = False
    """Start a new run, also beside an unfinished one."""
    retry_failed: bool = False
    """The newest run of the job is continued if it has failed rows, too."""
    continues_edited: bool = False
    """Continue an unfinished run of the job's former content; otherwise it is an error."""


class KnownRun(NamedTuple):
    """What the store of a run says about it."""

    folder: Path
    identity: Identity
    number: int
    job_path: str
    is_anew: bool
    has_sessions: bool
    rows: int
    due: int
    failed: int
    """Rows that are due with `retry_failed` only."""
    removed_in_doubt: int
    """Rows in doubt that the run's job no longer has."""


class Choice(NamedTuple):
    """The run that a command works on."""

    folder: Path
    number: int | None = None
    """Of a new run that was given a directory of its own; None for one that is continued or was named."""
    former: KnownRun | None = None
    """Set where it is an unfinished run of the job's former content."""
    unreadable: UnreadableRuns | None = None
    """Set where one of the earlier runs, which cannot be read, may be unfinished."""


@asynccontextmanager
async def open_or_resume_run(
    job: Job, identity: Identity, start: StartOptions, observer: Observer, lock_wait: LockWait = DEFAULT_LOCK_WAIT
) -> AsyncIterator[Run]:
    """Lock the run that `choose_run` returns. Raises RunLockedError too."""
    async with AsyncExitStack() as stack:
        async with on_thread(serialise_start(job, start, kind=kind_of(identity))):
            choice = await asyncio.to_thread(choose_run, job, identity, start)
            run = await stack.enter_async_context(open_run(choice.folder, identity, lock_wait))
            if choice.number is not None:
                anew = {STARTED_ANEW: "yes"} if start.anew else {}
                await run.store.set_meta(**{RUN_NUMBER: str(choice.number), JOB_PATH: job.path}, **anew)
        if choice.unreadable is not None:
            observer.notice(choice.unreadable)
        if choice.former is not None:
            known = choice.former
            observer.notice(ResumingEdited(Resumed(known.folder, known.rows - known.due, known.rows)))
        yield run


def choose_run(job: Job, identity: Identity, start: StartOptions) -> Choice:
    """Choose the run: `out`, else the newest unfinished run of this very job, else a new one.

    Raises OperatorError for an unfinished run of the job's former content, unless it is to be continued: a new run
    would report rows that the other has changed as if this had happened before. Raises InvalidRunDirectoryError, and
    RunLockedError while another process starts a run of this job.
    """
    if start.out is not None:
        return Choice(make_private_directory(start.out))
    kind = kind_of(identity)
    folders = run_directories_newest_first(Path(), job.name, kind)
    read = [(folder, _read_run(folder)) for folder in folders]
    runs = sorted((run for _, run in read if isinstance(run, KnownRun)), key=lambda run: run.number, reverse=True)
    if not start.anew:
        same = [run for run in runs if run.identity == identity]
        if (unfinished := unfinished_of(same, retry_failed=start.retry_failed)) is not None:
            return Choice(unfinished.folder)
        if kind is RunKind.RUN and (former := unfinished_former(runs, identity)) is not None:
            _require_continuable(former, job, start)
            return Choice(former.folder, former=former)
    if any(run is None and _is_locked_by_other(folder) for folder, run in read):
        raise RunLockedError(f"Another run of {job.name} is just being started; wait for it.")
    number = max((run.number for run in runs), default=0) + 1
    problems = [(folder, run) for folder, run in read if isinstance(run, str)]
    unreadable = UnreadableRuns(len(problems), *problems[0]) if problems and not start.anew else None
    return Choice(new_run_directory(Path(), job.name, datetime.now(UTC), kind), number, unreadable=unreadable)


@contextmanager
def serialise_start(job: Job, start: StartOptions, *, kind: RunKind) -> Iterator[None]:
    """Let one process at a time choose among the runs of a job, until it has locked its own; `out` needs no choice."""
    if start.out is not None:
        yield
        return
    descriptor = os.open(make_job_directory(Path(), job.name, kind), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        lock_file(descriptor, Path(), wait=True)
        yield
    finally:
        os.close(descriptor)


def unfinished_of(same: Sequence[KnownRun], *, retry_failed: bool) -> KnownRun | None:
    """Return the newest unfinished run of one job and content, given its runs from the newest on."""
    for place, run in enumerate(same):
        if run.due or (retry_failed and place == 0 and run.failed):
            return run
        if run.is_anew:
            break
    return None


def unfinished_former(runs: Sequence[KnownRun], identity: Identity) -> KnownRun | None:
    """Return the newest unfinished run of other contents of a job that may have changed something."""
    for run in runs:
        if (run.identity.workspace, run.identity.operation) != (identity.workspace, identity.operation):
            continue
        if run.identity != identity and run.has_sessions and (run.due or run.removed_in_doubt):
            return run
        if run.is_anew:
            break
    return None


def _require_continuable(former: KnownRun, job: Job, start: StartOptions) -> None:
    """Raise an error that names the unfinished run, unless it is to be continued and is not locked."""
    folder = former.folder
    if is_locked(folder):
        text = f"Another process works on the run in {folder}, of another content of {job.name}; wait for it to end."
        raise RunLockedError(text, Advice.START_ANEW)
    is_same_file = former.job_path == job.path
    if not (start.continues_edited and is_same_file):
        done = f"{former.rows - former.due:,} of {former.rows:,} done, {former.due:,} left"
        what = (
            "was edited, and the run of its former content"
            if is_same_file
            else "is also the name of another file, whose run"
        )
        raise OperatorError(f"{job.name} {what} in {folder} is unfinished: {done}. Nothing was sent.", Advice.NAME_RUN)


def _read_run(folder: Path) -> KnownRun | str | None:
    """Read the store of a run; None if it has none, or its job is not imported yet; why it cannot be read."""
    path = folder / FILE_NAME
    try:
        if not path.is_file():
            return None
        if (state := resting_state(path)) is not None:
            # Most runs ended long ago. Reading such a store without opening it to write takes a fifth of the time.
            with suppress(InvalidStoreError, StoreError), closing(SqliteDatabase.open_snapshot(path)) as store:
                known = _known_run(folder, store)
                if resting_state(path) == state:
                    return known
        with closing(SqliteDatabase(path)) as store:
            return _known_run(folder, store)
    except (OSError, InvalidStoreError, StoreError) as error:
        return str(error)


def _known_run(folder: Path, store: SqliteDatabase) -> KnownRun | None:
    """Read what the store says about its run; None before its job is imported."""
    if (identity := store.identity()) is None:
        return None
    meta, groups = store.get_meta(), store.groups()
    number = meta.get(RUN_NUMBER, "")
    due = sum(group.rows for group in groups if group.is_due(retry_failed=False))
    return KnownRun(
        folder,
        identity,
        number=int(number) if number.isdecimal() else 0,
        job_path=meta.get(JOB_PATH, ""),
        is_anew=meta.get(STARTED_ANEW) == "yes",
        has_sessions=bool(store.sessions()),
        rows=sum(group.rows for group in groups),
        due=due,
        failed=sum(group.rows for group in groups if group.is_due(retry_failed=True)) - due,
        removed_in_doubt=sum(group.rows for group in groups if group.is_removed_in_doubt),
    )


def _is_locked_by_other(folder: Path) -> bool:
    """Return whether another process has locked a run whose job is not imported yet."""
    try:
        with RunLock(folder):
            return False
    except RunLockedError:
        return True
    except (OSError, InvalidStoreError):
        return False
