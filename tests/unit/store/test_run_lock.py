"""One worker for each run: the lock holds off others, and dies with its holder."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rolecall.store.run_lock import RunLock, RunLockedError

HOLDER = """
import sys
from pathlib import Path
from rolecall.store.run_lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Return another process that holds the run in `tmp_path`."""
    words = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_handle_is_held_off(tmp_path: Path) -> None:
    """Within one process too, a run has one holder at a time; afterwards it is free."""
    with RunLock(tmp_path):
        for _ in range(2):
            with pytest.raises(RunLockedError) as held, RunLock(tmp_path):
                pytest.fail("two holders")
            assert str(tmp_path) in str(held.value)
    with RunLock(tmp_path):
        pass


def test_the_lock_is_let_go_of_after_an_error(tmp_path: Path) -> None:
    """An exception in the run frees it."""
    with pytest.raises(ValueError, match="in the run"), RunLock(tmp_path):
        raise ValueError("in the run")
    with RunLock(tmp_path):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_dies_with_its_holder(tmp_path: Path, holder: subprocess.Popen[str], number: signal.Signals) -> None:
    """Another process is held off; when the holder is killed the run is free at once, with nothing to clean up."""
    with pytest.raises(RunLockedError), RunLock(tmp_path):
        pytest.fail("two holders")
    holder.send_signal(number)
    holder.wait()
    with RunLock(tmp_path):
        pass


def test_a_child_process_does_not_inherit_the_lock(tmp_path: Path) -> None:
    """A child that outlives the run does not hold it."""
    words = [sys.executable, "-c", "import sys; print('here', flush=True); sys.stdin.read()"]
    with RunLock(tmp_path):
        child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False)
        assert child.stdout is not None
        assert child.stdout.readline() == b"here\n"  # only then the system has surely closed what it must
    try:
        with RunLock(tmp_path):
            pass
    finally:
        child.communicate()


def test_runs_in_different_folders_do_not_meet(tmp_path: Path) -> None:
    """Each folder has its own lock."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with RunLock(tmp_path / "one"), RunLock(tmp_path / "two"):
        pass


def test_the_lock_file_is_private_and_no_link(tmp_path: Path) -> None:
    """The file has mode 0600, and a symbolic link in its place is not followed."""
    old = os.umask(0)
    try:
        with RunLock(tmp_path):
            assert stat.S_IMODE((tmp_path / "run.lock").stat().st_mode) == 0o600
    finally:
        os.umask(old)
    (tmp_path / "run.lock").unlink()
    (tmp_path / "run.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"run\.lock"), RunLock(tmp_path):
        pytest.fail("followed")
    assert not (tmp_path / "elsewhere").exists()
