"""What a power cut leaves of the files of a run: what was synced, and any part of the commit in progress."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from random import Random

from rolecall.store.sqlite.store import FILE_NAME

SECTOR = 512
"""Bytes that a disk writes completely or not at all."""
WAL_HEADER_SIZE = 32
_WAL, _SHM = f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"

Files = Mapping[str, bytes]
"""The content of each file of a folder by its name."""


def read_files(folder: Path) -> Files:
    """Return the files of a folder; none where it does not exist. The shared memory of SQLite does not outlive it."""
    paths = sorted(folder.iterdir()) if folder.exists() else []
    return {path.name: path.read_bytes() for path in paths if path.is_file() and path.name != _SHM}


def replace_folder(folder: Path, files: Files, former: Path) -> None:
    """Move a folder to `former`, and create it anew with these files. The dead process has the old ones open."""
    if not folder.exists():
        return
    folder.rename(former)
    folder.mkdir(mode=0o700)
    shutil.copystat(former, folder)
    for name, content in files.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)


def torn_files(before: Files, after: Files, random: Random) -> Files:
    """Return what is left after a power cut during a step that makes `after` of `before`.

    A commit appends to the write-ahead log and syncs it: any of its sectors may be on disk or not. Of any other step
    everything or nothing is left.
    """
    old, new = before.get(_WAL, b""), after.get(_WAL, b"")
    is_append = old[:WAL_HEADER_SIZE] == new[: min(len(old), WAL_HEADER_SIZE)] and len(new) >= len(old)
    others_are_same = {**before, _WAL: b""} == {**after, _WAL: b""}
    if not (is_append and others_are_same and _WAL in before and _WAL in after):
        return random.choice((before, after))
    return {**before, _WAL: _torn(old, new, random)}


def _torn(old: bytes, new: bytes, random: Random) -> bytes:
    """Return `new` with some of its changed sectors as they were in `old`, perhaps cut off."""
    padded, chance = old.ljust(len(new), b"\0"), random.choice((0.0, 0.1, 0.5, 0.9))
    sectors = (slice(start, start + SECTOR) for start in range(0, len(new), SECTOR))
    torn = b"".join(padded[each] if random.random() < chance else new[each] for each in sectors)
    return torn[: random.randint(len(old), len(new))] if random.random() < 0.5 else torn
