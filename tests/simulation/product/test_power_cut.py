"""What a simulated power cut leaves of a real store. It needs no simloom, as nothing that `make test` runs does."""

from pathlib import Path
from random import Random

import pytest

from rolecall.models import Row
from rolecall.store.records import Batch, Identity, Intent
from rolecall.store.sqlite.database import SqliteDatabase
from rolecall.store.sqlite.store import FILE_NAME
from tests.simulation.product.power_cut import Files, read_files, replace_folder, torn_files
from tests.support.store import import_rows

ROWS = 60
FIRST, SECOND = range(1, 31), range(31, ROWS + 1)
"""The rows whose intents are in the first batch, which is on disk, and in the second one, which is cut."""
FORMER, ALL = set(FIRST), {*FIRST, *SECOND}


@pytest.fixture
def cut(tmp_path: Path) -> tuple[Files, Files]:
    """Return the files of a run before and after its second commit."""
    folder = tmp_path / "run"
    folder.mkdir()
    database = SqliteDatabase(folder / FILE_NAME)
    try:
        rows = [Row(line, "room", f"user{line}", {}) for line in range(1, ROWS + 1)]
        import_rows(database, Identity("http://127.0.0.1:3000", "groups.removeLeader", "job"), rows)
        _intend(database, FIRST)
        before = read_files(folder)
        _intend(database, SECOND)
        return before, read_files(folder)
    finally:
        database.close()


def _intend(database: SqliteDatabase, keys: range) -> None:
    database.commit(Batch(intents=[Intent(key, 1, 5) for key in keys]))


def _attempted(folder: Path, files: Files) -> set[int]:
    """Return the rows that a store with these files knows an attempt of."""
    folder.mkdir()
    replace_folder(folder, files, folder.with_name(f"{folder.name} before"))
    database = SqliteDatabase(folder / FILE_NAME)
    try:
        return {row.key for _, row in database.fetch_due(0, ROWS, retry_failed=False) if row.attempts}
    finally:
        database.close()


def test_a_commit_that_is_cut_is_there_or_not(cut: tuple[Files, Files], tmp_path: Path) -> None:
    """Prove that the store opens after any cut, with all of the commit in progress or nothing, and all before it."""
    before, after = cut
    left = [_attempted(tmp_path / f"cut {seed}", torn_files(before, after, Random(seed))) for seed in range(40)]
    assert {frozenset(keys) for keys in left} == {frozenset(FORMER), frozenset(ALL)}


def test_a_cut_tears_the_log(cut: tuple[Files, Files]) -> None:
    """Prove that cuts leave parts of a commit, and not only everything or nothing of it."""
    before, after = cut
    left = [torn_files(before, after, Random(seed)) for seed in range(40)]
    assert sum(files not in (before, after) for files in left) > 20


def test_without_a_commit_in_progress_all_that_was_committed_is_left(cut: tuple[Files, Files], tmp_path: Path) -> None:
    """Prove that the files as they are have every commit that has returned."""
    before, after = cut
    assert _attempted(tmp_path / "before", before) == FORMER
    assert _attempted(tmp_path / "after", after) == ALL


def test_of_any_other_step_everything_or_nothing_is_left(cut: tuple[Files, Files]) -> None:
    """Prove that a step which does more than append to the log is not torn, because it syncs in between."""
    before, after = cut
    moved = {**after, FILE_NAME: after[FILE_NAME] + b"more"}
    assert all(torn_files(before, moved, Random(seed)) in (before, moved) for seed in range(20))
