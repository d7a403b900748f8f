"""One run on disk: its directory, its lock and its store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from rolecall.app.errors import OperatorError
from rolecall.app.run_paths import RunKind
from rolecall.file_access import DirectoryFile, OpenDirectory
from rolecall.models import Advice
from rolecall.rocketchat.operations import OPERATIONS, Operation
from rolecall.store.base import DEFAULT_LOCK_WAIT, InvalidStoreError, LockWait, RunStore, StoreError
from rolecall.store.completion import complete
from rolecall.store.records import Identity
from rolecall.store.run_lock import LOCK_FILE
from rolecall.store.sqlite.store import FILE_NAME, open_store

T = TypeVar("T")

LOG_FILE = "run.log.jsonl"
REPORT_FILES = ("report.csv", "report.html")
REPORTS_STATE = "reported"
"""Key of the store's metadata: whether the reports have everything that the store knows, `yes` or `no`."""
STALE_REPORTS = MappingProxyType({REPORTS_STATE: "no"})
"""The metadata of a store that knows more than the reports, or is about to."""
RUN_REASON = "reason"
"""Key of the store's metadata: why the run is made, in the words of the operator."""
_CHECK_PREFIX = "check of "
"""Precedes the operation in the identity of a check, so that a check and a run of one job are never the same run."""


def identity_of(kind: RunKind, workspace: str, operation: Operation, job_digest: str) -> Identity:
    """Return the identity of a run or a check of a job."""
    prefix = _CHECK_PREFIX if kind is RunKind.CHECK else ""
    return Identity(workspace, prefix + operation.name, job_digest)


class Run(NamedTuple):
    """One run that this process has locked."""

    directory: OpenDirectory
    """Its directory, in which every file is opened: the path may be swapped meanwhile."""
    identity: Identity
    store: RunStore

    @property
    def folder(self) -> Path:
        """The path of its directory."""
        return self.directory.path

    @property
    def kind(self) -> RunKind:
        """Whether this is a run or a check."""
        return kind_of(self.identity)

    @property
    def operation(self) -> Operation:
        """The operation that is run or checked."""
        return operation_of(self.identity)

    @property
    def log_file(self) -> DirectoryFile:
        """The file of its log events."""
        return self.directory / LOG_FILE


def kind_of(identity: Identity) -> RunKind:
    """Return whether an identity is that of a run or of a check."""
    return RunKind.CHECK if identity.operation.startswith(_CHECK_PREFIX) else RunKind.RUN


def operation_of(identity: Identity) -> Operation:
    """Return the operation of a run or a check. Raises InvalidStoreError for one that this version does not have."""
    name = identity.operation.removeprefix(_CHECK_PREFIX)
    if name not in OPERATIONS:
        raise InvalidStoreError(f"The run has the operation {name}, which this version does not have.")
    return OPERATIONS[name]


@asynccontextmanager
async def open_run(folder: Path, identity: Identity, lock_wait: LockWait = DEFAULT_LOCK_WAIT) -> AsyncIterator[Run]:
    """Lock a run and open its store. Raises RunLockedError and InvalidStoreError.

    If the block raises before the first session was opened, the files of the run are removed again.
    """
    async with open_store(folder, lock_wait) as (directory, store):
        await _require_same_run(store, identity, folder)
        try:
            yield Run(directory, identity, store)
        except BaseException:
            if await _is_untouched(store):  # it is removed while it is locked: no other process can start with it
                await store.close()
                await asyncio.to_thread(_remove_untouched, directory)
            raise


@asynccontextmanager
async def open_existing_run(folder: Path, lock_wait: LockWait = DEFAULT_LOCK_WAIT) -> AsyncIterator[Run]:
    """Lock a run that exists and open its store. Raises RunLockedError and InvalidStoreError."""
    await asyncio.to_thread(require_run, folder)
    async with open_store(folder, lock_wait) as (directory, store):
        identity = await store.identity()
        if identity is None:
            raise InvalidStoreError(f"{folder} contains a run that has not begun.")
        yield Run(directory, identity, store)


async def reports_up_to_date(run: Run) -> bool:
    """Return whether the reports exist and have everything that the store knows."""
    exist = await asyncio.to_thread(lambda: all((run.directory / name).is_file() for name in REPORT_FILES))
    return exist and (await run.store.get_meta()).get(REPORTS_STATE) == "yes"


async def mark_reports_stale(run: Run) -> None:
    """Record that the store is about to know more than the reports."""
    await run.store.set_meta(**STALE_REPORTS)


def require_run(folder: Path) -> None:
    """Raise InvalidStoreError for a directory without a run; it names the newest run below, which may be meant."""
    if (folder / FILE_NAME).is_file():
        return
    below = [*folder.glob(f"*/{FILE_NAME}"), *folder.glob(f"*/*/{FILE_NAME}")]
    newest = max(below, key=lambda store: store.stat().st_mtime, default=None)
    meant = f"; did you mean {newest.parent}?" if newest else "."
    raise InvalidStoreError(f"{folder} contains no run: there is no {FILE_NAME} in it{meant}")


def require_change(run: Run) -> Operation:
    """Return the operation of a run. Raises OperatorError for a check, which changed nothing."""
    if run.kind is RunKind.CHECK:
        raise OperatorError(f"{run.folder} contains a {run.identity.operation}, which changed nothing; name a run.")
    return run.operation


def require_workspace(run: Run, url: str) -> None:
    """Raise OperatorError if the credentials are for another workspace than the run's."""
    if run.identity.workspace != url:
        raise OperatorError(f"{run.folder} contains a run at {run.identity.workspace}, not {url}.", Advice.CHECK_URL)


@asynccontextmanager
async def on_thread(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter and exit a context manager that blocks (files, locks) on a thread.

    What has begun on the thread ends before a cancellation is raised, and what was entered is exited.
    """
    entering = asyncio.ensure_future(asyncio.to_thread(manager.__enter__))
    try:
        value = await complete(entering)
        yield value
    except BaseException as error:
        if entering.cancelled() or entering.exception() is not None:
            raise
        exiting = asyncio.to_thread(manager.__exit__, type(error), error, error.__traceback__)
        if not await complete(asyncio.ensure_future(exiting)):
            raise
    else:
        await complete(asyncio.ensure_future(asyncio.to_thread(manager.__exit__, None, None, None)))


async def _require_same_run(store: RunStore, identity: Identity, folder: Path) -> None:
    known = await store.identity()
    if known is None:
        return
    for what, theirs, ours in (
        ("workspace", known.workspace, identity.workspace),
        ("operation", known.operation, identity.operation),
    ):
        if theirs != ours:
            text = f"{folder} contains a run of another {what} ({theirs}, not {ours})."
            raise InvalidStoreError(text, Advice.OTHER_DIRECTORY)


async def _is_untouched(store: RunStore) -> bool:
    with suppress(StoreError):
        return not await store.sessions()
    return False


def _remove_untouched(directory: OpenDirectory) -> None:
    """Remove the files of a run that never sent anything, and its directory if it was created for it."""
    for name in (f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", FILE_NAME, LOG_FILE, LOCK_FILE):
        (directory / name).unlink(missing_ok=True)
    folder = directory.path
    if folder.parent.parent.name not in list(RunKind):
        return  # a directory that a person has named stays
    with suppress(OSError):  # the first one that is not empty stays, and all above it
        for created in (folder, folder.parent, folder.parent.parent):
            created.rmdir()
