"""A run that this process holds: its folder, the lock on it, its ledger."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from rolecall.app.out_folder import CHECKS, RUNS
from rolecall.store.base import Identity, InvalidStoreError, RunStore, StoreError
from rolecall.store.run_lock import RunLock
from rolecall.store.sqlite.store import SqliteStore

LEDGER = "ledger.sqlite"
REPORTED = "reported"
"""The ledger's note on whether the reports say all that it knows: `yes` or `no`."""


class Run(NamedTuple):
    """One run that this process holds."""

    folder: Path
    identity: Identity
    ledger: RunStore


@contextmanager
def open_run(folder: Path, identity: Identity) -> Iterator[Run]:
    """Hold a run's lock and its ledger. Raises RunLockedError and InvalidStoreError.

    A run that the block leaves by an exception before anything was put into it leaves nothing behind.
    """
    with RunLock(folder), closing(SqliteStore(folder / LEDGER)) as ledger:
        _refuse_other_run(ledger, identity, folder)
        try:
            yield Run(folder, identity, ledger)
        except BaseException:
            if _is_untouched(ledger):
                ledger.close()
                _remove_untouched(folder)
            raise


@contextmanager
def open_existing_run(folder: Path) -> Iterator[Run]:
    """Hold the lock and the ledger of a run that is there. Raises RunLockedError and InvalidStoreError."""
    if not (folder / LEDGER).is_file():
        raise InvalidStoreError(no_run(folder))
    with RunLock(folder), closing(SqliteStore(folder / LEDGER)) as ledger:
        identity = ledger.identity()
        if identity is None:
            raise InvalidStoreError(f"{folder} holds a run that has not begun.")
        yield Run(folder, identity, ledger)


def no_run(folder: Path) -> str:
    """Say that a folder holds no run; the newest run below it, where there is one, is what was meant."""
    below = [*folder.glob(f"*/{LEDGER}"), *folder.glob(f"*/*/{LEDGER}")]
    newest = max(below, key=lambda ledger: ledger.stat().st_mtime, default=None)
    meant = f"; did you mean {newest.parent}?" if newest else "."
    return f"{folder} holds no run: there is no {LEDGER} in it{meant}"


def _is_untouched(ledger: RunStore) -> bool:
    with suppress(StoreError):
        return not ledger.sessions()
    return False


def _remove_untouched(folder: Path) -> None:
    """Take away what a run made that never sent anything: its ledger and lock, and the folder if that was all."""
    for name in (LEDGER, f"{LEDGER}-wal", f"{LEDGER}-shm", "run.lock", "run.log.jsonl"):
        (folder / name).unlink(missing_ok=True)
    if folder.parent.parent.name not in (RUNS, CHECKS):
        return  # a folder that a person has named stays
    with suppress(OSError):  # the first one that holds something else stays, and all above it
        for made in (folder, folder.parent, folder.parent.parent):
            made.rmdir()


def _refuse_other_run(ledger: SqliteStore, identity: Identity, folder: Path) -> None:
    known = ledger.identity()
    if known is None:
        return
    for what, theirs, ours in (
        ("workspace", known.workspace, identity.workspace),
        ("operation", known.operation, identity.operation),
    ):
        if theirs != ours:
            raise InvalidStoreError(
                f"{folder} holds a run of another {what} ({theirs}, not {ours}); name another --out."
            )
