"""Which of the known runs of a job is continued, and how they are read."""

import shutil
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from rolecall.app.run_paths import new_run_directory
from rolecall.app.run_selection import KnownRun, StartOptions, choose_run, unfinished_former, unfinished_of
from rolecall.files.input.job import Job
from rolecall.store.records import Identity
from rolecall.store.sqlite.database import SqliteDatabase
from rolecall.store.sqlite.store import FILE_NAME
from tests.support.store import import_rows
from tests.unit.store.values import intents, outcomes, row, settled

JOB = Identity("https://chat.example.org", "groups.removeLeader", "now")
FORMER = JOB._replace(job_digest="before")
DONE = KnownRun(
    Path("done"),
    JOB,
    number=1,
    is_anew=False,
    job_path="",
    has_sessions=True,
    rows=40,
    due=0,
    failed=0,
    removed_in_doubt=0,
)
DUE = DONE._replace(folder=Path("due"), due=25)
FAILED = DONE._replace(folder=Path("failed"), failed=3)
ANEW = DONE._replace(folder=Path("anew"), is_anew=True)


@pytest.mark.parametrize(
    ("runs", "retry_failed", "expected"),
    [
        ([], False, None),
        ([DONE], False, None),
        ([DUE], False, DUE),
        ([DONE, DUE], False, DUE),
        ([DUE._replace(number=2), DUE], False, DUE._replace(number=2)),
        ([ANEW, DUE], False, None),
        ([ANEW._replace(due=1), DUE], False, ANEW._replace(due=1)),
        ([FAILED], False, None),
        ([FAILED], True, FAILED),
        ([DONE, FAILED], True, None),
        ([FAILED, DUE], True, FAILED),
    ],
)
def test_the_newest_unfinished_run_is_continued(
    runs: list[KnownRun], retry_failed: bool, expected: KnownRun | None
) -> None:
    """Of the runs of one content, from the newest on: not one before a run that was started anew."""
    assert unfinished_of(runs, retry_failed=retry_failed) == expected


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([DUE], None),
        ([DONE._replace(identity=FORMER)], None),
        ([DUE._replace(identity=FORMER)], DUE._replace(identity=FORMER)),
        ([DONE, DUE._replace(identity=FORMER)], DUE._replace(identity=FORMER)),
        ([ANEW, DUE._replace(identity=FORMER)], None),
        ([ANEW._replace(identity=FORMER), DUE._replace(identity=FORMER)], None),
        ([DUE._replace(identity=FORMER, has_sessions=False)], None),
        ([DONE._replace(identity=FORMER, removed_in_doubt=1)], DONE._replace(identity=FORMER, removed_in_doubt=1)),
        ([DUE._replace(identity=FORMER._replace(workspace="https://other.example.org"))], None),
        ([DUE._replace(identity=FORMER._replace(operation="groups.addLeader"))], None),
    ],
)
def test_an_unfinished_run_of_a_former_content_is_found(runs: list[KnownRun], expected: KnownRun | None) -> None:
    """Only one that may have changed something, at the same workspace and with the same operation."""
    assert unfinished_former(runs, JOB) == expected


DAY = datetime(2026, 3, 1, tzinfo=UTC)
NAMED = cast(Job, SimpleNamespace(name="job", path="/job.csv"))


def run_of(day: int, *, settled_rows: int) -> Path:
    """Create a run of JOB with two rows, of which so many have an outcome; return its directory."""
    folder = new_run_directory(Path(), "job", DAY + timedelta(days=day))
    with closing(SqliteDatabase(folder / FILE_NAME)) as store:
        write_run(store, settled_rows)
        store.set_meta(run_number=str(day + 1))
    return folder


def write_run(store: SqliteDatabase, settled_rows: int) -> None:
    """Import two rows, and record outcomes."""
    import_rows(store, JOB, [row(2), row(3)])
    store.open_session("bot", 1)
    for key in range(1, settled_rows + 1):
        store.commit(intents(key))
        store.commit(outcomes(settled(key)))


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty directory."""
    monkeypatch.chdir(tmp_path)


def test_runs_that_have_ended_are_only_read() -> None:
    """No helper file is created beside their stores, so that a thousand earlier runs cost little."""
    folders = [run_of(day, settled_rows=2) for day in range(3)]
    before = [folder.stat().st_mtime_ns for folder in folders]
    choice = choose_run(NAMED, JOB, StartOptions())
    assert choice.number == 4
    assert [folder.stat().st_mtime_ns for folder in folders] == before


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_unfinished_run_is_found_at_any_place(place: int) -> None:
    """Its place among the others by their clock does not matter."""
    folders = [run_of(day, settled_rows=1 if day == place else 2) for day in range(3)]
    assert choose_run(NAMED, JOB, StartOptions()).folder == folders[place]


def test_what_only_the_write_ahead_log_has_is_read() -> None:
    """Of a process that was killed the store file itself may be empty: its helper file has the run."""
    run_of(0, settled_rows=2)
    killed, running = (new_run_directory(Path(), "job", DAY - timedelta(days=day)) for day in (1, 2))
    with closing(SqliteDatabase(running / FILE_NAME)) as store:
        write_run(store, 1)
        for file in running.iterdir():
            shutil.copy(file, killed)
        shutil.copy(running / FILE_NAME, "main")
    with closing(SqliteDatabase.open_snapshot(Path("main"))) as alone:
        assert alone.identity() is None
    shutil.rmtree(running)
    assert choose_run(NAMED, JOB, StartOptions()).folder == killed


def test_a_store_that_is_written_meanwhile_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read is believed only where the store file is the same before and after; it is opened then."""
    folder = run_of(0, settled_rows=2)
    opened = SqliteDatabase.open_snapshot

    def reset(path: Path) -> SqliteDatabase:
        """Return a snapshot of a store of which a process then resets the outcomes."""
        snapshot = opened(path)
        with closing(SqliteDatabase(path)) as store:
            store.reset_outcomes()
        return snapshot

    monkeypatch.setattr(SqliteDatabase, "open_snapshot", staticmethod(reset))
    assert choose_run(NAMED, JOB, StartOptions()).folder == folder
