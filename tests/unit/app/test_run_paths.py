"""Where runs keep their files."""

import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from rolecall.app.errors import InvalidRunDirectoryError
from rolecall.app.run_paths import (
    job_directory,
    make_private_directory,
    new_run_directory,
    run_directories_newest_first,
)

START = datetime(2026, 3, 1, 10, 30, tzinfo=timezone(timedelta(hours=1)))


def mode_of(path: Path) -> int:
    """Give a path's permissions."""
    return path.stat().st_mode & 0o777


def test_a_run_has_a_private_folder_named_by_its_start(tmp_path: Path) -> None:
    """The folder is named in UTC, nobody else may look into it or the ones above, and a taken name gets a number."""
    folders = [new_run_directory(tmp_path, "leaders", START) for _ in range(3)]
    assert [str(folder.relative_to(tmp_path)) for folder in folders] == [
        "runs/leaders/20260301T093000Z",
        "runs/leaders/20260301T093000Z-2",
        "runs/leaders/20260301T093000Z-3",
    ]
    assert {mode_of(folder) for folder in (*folders, tmp_path / "runs", tmp_path / "runs/leaders")} == {0o700}


def test_runs_come_newest_first(tmp_path: Path) -> None:
    """Later starts come first, numbers count as numbers, and what is no run's folder does not come at all."""
    assert run_directories_newest_first(tmp_path, "leaders") == []
    made = [new_run_directory(tmp_path, "leaders", START) for _ in range(11)]
    made.append(new_run_directory(tmp_path, "leaders", START.astimezone(UTC) + timedelta(seconds=1)))
    parent = job_directory(tmp_path, "leaders")
    (parent / "notes").mkdir()
    (parent / "20990101T000000Z").write_text("a file")
    (parent / "20990101T000001Z").symlink_to(tmp_path)
    assert run_directories_newest_first(tmp_path, "leaders") == made[::-1]


def test_a_job_name_cannot_lead_elsewhere(tmp_path: Path) -> None:
    """Separators and dots in a job's name stay within `runs`."""
    assert job_directory(tmp_path, "../../etc").parent == tmp_path / "runs"
    assert job_directory(tmp_path, "..").parent == tmp_path / "runs"


def test_a_folder_that_is_made_is_private(tmp_path: Path) -> None:
    """A folder named by the user is made with mode 0700, and so are missing ones above it."""
    assert make_private_directory(tmp_path / "a/b") == tmp_path / "a/b"
    assert (mode_of(tmp_path / "a"), mode_of(tmp_path / "a/b")) == (0o700, 0o700)


@pytest.mark.parametrize("linked", [False, True])
def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path, linked: bool) -> None:
    """A folder that holds something, given as itself or through a link, keeps its mode; an empty one becomes 0700."""
    folder, link = tmp_path / "out", tmp_path / "link"
    folder.mkdir(0o755)
    link.symlink_to(folder)
    (folder / "theirs").write_text("x")
    make_private_directory(link if linked else folder)
    assert mode_of(folder) == 0o755
    (folder / "theirs").unlink()
    make_private_directory(link if linked else folder)
    assert mode_of(folder) == 0o700


@pytest.mark.parametrize("name", ["file", "file/below", "broken", "x\0y"])
def test_what_cannot_be_a_folder_is_told_in_one_line(tmp_path: Path, name: str) -> None:
    """A file in the way, a link to nowhere and a broken name are each told as `InvalidRunDirectoryError`."""
    (tmp_path / "file").write_text("")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InvalidRunDirectoryError) as caught:
        make_private_directory(tmp_path / name)
    assert str(caught.value).isprintable()
    assert str(tmp_path) in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    """A folder that may not be written, or in which none may be made, is told before anything is sent."""
    tmp_path.chmod(0o500)
    for path in (tmp_path, tmp_path / "a"):
        with pytest.raises(InvalidRunDirectoryError):
            make_private_directory(path)
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("name", ["runs", "runs/job"])
def test_a_directory_in_which_others_can_write_is_refused(tmp_path: Path, name: str) -> None:
    """Others could replace the files of a run there; an empty directory becomes private instead."""
    (tmp_path / "runs/job").mkdir(parents=True)
    (tmp_path / "runs/job/note").touch()
    (tmp_path / name).chmod(0o777)
    with pytest.raises(InvalidRunDirectoryError, match="other users can write in it"):
        make_private_directory(tmp_path / name)
    with pytest.raises(InvalidRunDirectoryError, match="other users can write in it"):
        new_run_directory(tmp_path, "job", START)
    assert [each.name for each in (tmp_path / "runs/job").iterdir()] == ["note"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty").chmod(0o777)
    assert make_private_directory(tmp_path / "empty").stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
@pytest.mark.parametrize("name", ["runs", "runs/job"])
def test_a_directory_of_another_user_is_refused(tmp_path: Path, name: str) -> None:
    """No run is created or named in a directory that belongs to another user."""
    (tmp_path / "runs/job").mkdir(parents=True)
    os.chown(tmp_path / name, 54_321, 54_321)
    with pytest.raises(InvalidRunDirectoryError, match="another user"):
        make_private_directory(tmp_path / name)
    with pytest.raises(InvalidRunDirectoryError, match="another user"):
        new_run_directory(tmp_path, "job", START)
    assert list((tmp_path / "runs/job").iterdir()) == []
