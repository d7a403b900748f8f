"""A run that this process has opened: its directory, its identity, its locked store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from rolecall.app.out_folder import CHECKS, RUNS
from rolecall.store.base import Identity, InvalidStoreError, RunStore, StoreError
from rolecall.store.run_lock import LOCK_FILE
from rolecall.store.sqlite.store import FILE_NAME, open_store

REPORTED = "reported"
"""Name of the fact in the store whether the reports are up to date: `yes` or `no`."""


class Run(NamedTuple):
    """One run that this process has opened."""

    folder: Path
    identity: Identity
    store: RunStore


@asynccontextmanager
async def open_run(folder: Path, identity: Identity) -> AsyncIterator[Run]:
    """Lock a run and open its store. Raises RunLockedError and InvalidStoreError.

    A run that is left by an exception before anything was sent leaves nothing behind.
    """
    async with open_store(folder) as store:
        await _require_same_run(store, identity, folder)
        try:
            yield Run(folder, identity, store)
        except BaseException:
            if await _is_untouched(store):  # it is removed while it is locked: no other process can start with it
                await store.close()
                await asyncio.to_thread(_remove, folder)
            raise


@asynccontextmanager
async def open_existing_run(folder: Path) -> AsyncIterator[Run]:
    """Lock a run that exists and open its store. Raises RunLockedError and InvalidStoreError."""
    if not await asyncio.to_thread((folder / FILE_NAME).is_file):
        raise InvalidStoreError(await asyncio.to_thread(no_run, folder))
    async with open_store(folder) as store:
        identity = await store.identity()
        if identity is None:
            raise InvalidStoreError(f"{folder} holds a run that has not begun.")
        yield Run(folder, identity, store)


def no_run(folder: Path) -> str:
    """Return the message that a directory contains no run; it names the newest run below, where there is one."""
    below = [*folder.glob(f"*/{FILE_NAME}"), *folder.glob(f"*/*/{FILE_NAME}")]
    newest = max(below, key=lambda store: store.stat().st_mtime, default=None)
    meant = f"; did you mean {newest.parent}?" if newest else "."
    return f"{folder} holds no run: there is no {FILE_NAME} in it{meant}"


async def _is_untouched(store: RunStore) -> bool:
    with suppress(StoreError):
        return not await store.sessions()
    return False


def _remove(folder: Path) -> None:
    """Remove the files of a run that never sent anything, and its directory if that was all."""
    for name in (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", LOCK_FILE, "run.log.jsonl"):
        (folder / name).unlink(missing_ok=True)
    if folder.parent.parent.name not in (RUNS, CHECKS):
        return  # a directory that a person has named stays
    with suppress(OSError):  # the first one that contains something else stays, and all above it
        for made in (folder, folder.parent, folder.parent.parent):
            made.rmdir()


async def _require_same_run(store: RunStore, identity: Identity, folder: Path) -> None:
    known = await store.identity()
    if known is None:
        return
    for what, theirs, ours in (
        ("workspace", known.workspace, identity.workspace),
        ("operation", known.operation, identity.operation),
    ):
        if theirs != ours:
            raise InvalidStoreError(
                f"{folder} holds a run of another {what} ({theirs}, not {ours}); choose another directory."
            )
