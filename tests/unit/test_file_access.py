"""Tests of the access to files that another user could plant, change or swap."""

import grp
import os
import pwd
from pathlib import Path

import pytest

from rolecall import file_access
from rolecall.file_access import (
    OpenDirectory,
    has_foreign_link,
    in_open_directory,
    is_writable_by_others,
    unfit_file_system,
)

OTHER = 54_321
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


def test_files_stay_in_the_directory_that_was_opened(tmp_path: Path) -> None:
    """After the path is swapped for a link, files are opened, renamed and deleted in the first directory."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "two/file").write_text("keep")
    with OpenDirectory(tmp_path / "one") as directory:
        assert directory.is_at_path()
        (tmp_path / "one").rename(tmp_path / "away")
        (tmp_path / "one").symlink_to(tmp_path / "two")
        assert not directory.is_at_path()
        file = directory / "file"
        assert file.status() is None
        os.close(file.open(os.O_CREAT | os.O_WRONLY))
        file.rename("renamed")
        assert [entry.name for entry in (tmp_path / "away").iterdir()] == ["renamed"]
        (directory / "renamed").unlink()
        (directory / "renamed").unlink(missing_ok=True)
    assert (tmp_path / "two/file").read_text() == "keep"
    assert list((tmp_path / "away").iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "pipe", "device", "directory"])
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY | os.O_APPEND | os.O_CREAT, os.O_RDWR | os.O_CREAT])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str, flags: int) -> None:
    """A link, pipe, device or directory is refused at once, by name."""
    path = tmp_path / "file"
    match kind:
        case "link":
            path.symlink_to(tmp_path / "target")
        case "pipe":
            os.mkfifo(path)
        case "device":
            path = Path("/dev/null")
        case "directory":
            path.mkdir()
    with pytest.raises(OSError, match=path.name), in_open_directory(path) as file:
        file.open(flags)
    assert not (tmp_path / "target").exists()


def test_a_hard_link_is_not_written(tmp_path: Path) -> None:
    """Where the system lets another user make one, it would lead the log of a run into any file of ours."""
    (tmp_path / "elsewhere").write_text("keep")
    (tmp_path / "run.log.jsonl").hardlink_to(tmp_path / "elsewhere")
    with in_open_directory(tmp_path / "run.log.jsonl") as file:
        with pytest.raises(OSError, match="hard link"):
            file.open(os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.close(file.open(os.O_RDONLY, any_owner=True))


@as_root
def test_a_link_of_another_user_in_the_path_is_foreign(tmp_path: Path) -> None:
    """A directory of ours that is reached over the symbolic link of another user counts as foreign."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "ours")
    with OpenDirectory(tmp_path / "link") as directory:
        assert not directory.is_foreign
        os.chown(tmp_path / "link", OTHER, OTHER, follow_symlinks=False)
        assert directory.is_foreign


@as_root
def test_a_link_of_another_user_behind_one_of_ours_is_foreign(tmp_path: Path) -> None:
    """A link of ours may lead over the link of another user; a path that leads in circles ends."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").symlink_to("ours")
    (tmp_path / "link").symlink_to(tmp_path / "theirs/below")
    assert not has_foreign_link(tmp_path / "link")
    os.chown(tmp_path / "theirs", OTHER, OTHER, follow_symlinks=False)
    assert has_foreign_link(tmp_path / "link")
    (tmp_path / "circle").symlink_to("circle")
    assert not has_foreign_link(tmp_path / "circle/below")


@pytest.mark.parametrize(
    ("mode", "group", "expected"),
    [
        (0o700, "shared", False),
        (0o755, "shared", False),
        (0o775, "own", False),
        (0o775, "shared", True),
        (0o775, "unknown", False),
        (0o775, "root", False),
        (0o777, "own", True),
        (0o1777, "shared", False),
        (0o1775, "shared", False),
    ],
)
def test_who_can_replace_the_files_of_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, group: str, *, expected: bool
) -> None:
    """Others can, where they can write and it is not sticky; a group of its own that only this user has is no other."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder").chmod(mode)
    numbers = {"own": 54_321, "shared": 54_322, "unknown": 54_323, "root": 0}
    names = {54_321: grp.struct_group(("me", "x", 54_321, ["me"])), 54_322: grp.struct_group(("team", "x", 54_322, []))}
    monkeypatch.setattr(
        grp, "getgrgid", lambda number: names[number] if number else grp.struct_group(("root", "", 0, []))
    )
    monkeypatch.setattr(pwd, "getpwuid", lambda number: pwd.struct_passwd(("me", "", number, 0, "", "", "")))
    status = list((tmp_path / "folder").stat())
    status[5] = numbers[group]
    assert is_writable_by_others(tmp_path / "folder", os.stat_result(status)) is expected
    monkeypatch.setattr(file_access, "_file_system_type", lambda path: "9p")  # a Windows drive in WSL
    assert not is_writable_by_others(tmp_path / "folder", os.stat_result(status))


def test_an_unfit_file_system_is_named(tmp_path: Path) -> None:
    """The sentence has the type of the file system where it is known, and says what to do."""
    text = unfit_file_system(tmp_path, "file locks")
    assert text.startswith("its file system (")
    assert "does not support file locks" in text
    assert text.endswith("use a local disk")
    assert unfit_file_system(tmp_path / "missing", "file locks").startswith("its file system does")
