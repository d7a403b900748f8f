"""One process for each run: the lock refuses others, and ends with its process."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rolecall.store.base import InvalidStoreError
from rolecall.store.run_lock import RunLock, RunLockedError

LOCKING = """
import sys
from pathlib import Path
from rolecall.store.run_lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Return another process that has locked the run in `tmp_path`."""
    words = [sys.executable, "-c", LOCKING, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_a_second_lock_is_refused(tmp_path: Path) -> None:
    """A run can be locked once at a time, also within one process; afterwards it is free."""
    with RunLock(tmp_path):
        for _ in range(2):
            with pytest.raises(RunLockedError) as refused, RunLock(tmp_path):
                pytest.fail("locked twice")
            assert str(tmp_path) in str(refused.value)
    with RunLock(tmp_path):
        pass


def test_the_lock_is_released_after_an_error(tmp_path: Path) -> None:
    """An exception in the run releases the lock."""
    with pytest.raises(ValueError, match="in the run"), RunLock(tmp_path):
        raise ValueError("in the run")
    with RunLock(tmp_path):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_ends_with_its_process(tmp_path: Path, other: subprocess.Popen[str], number: signal.Signals) -> None:
    """While another process has the lock this one is refused; when it is killed, the run is free at once."""
    with pytest.raises(RunLockedError), RunLock(tmp_path):
        pytest.fail("locked twice")
    other.send_signal(number)
    other.wait()
    with RunLock(tmp_path):
        pass


def test_a_child_process_does_not_inherit_the_lock(tmp_path: Path) -> None:
    """A child process that outlives the run does not keep it locked."""
    words = [sys.executable, "-c", "import sys; print('here', flush=True); sys.stdin.read()"]
    with RunLock(tmp_path):
        child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False)
        assert child.stdout is not None
        assert child.stdout.readline() == b"here\n"  # only then the system has closed inherited descriptors
    try:
        with RunLock(tmp_path):
            pass
    finally:
        child.communicate()


def test_runs_in_different_directories_are_independent(tmp_path: Path) -> None:
    """Each directory has its own lock."""
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
    with pytest.raises(InvalidStoreError, match=r"run\.lock cannot be used"), RunLock(tmp_path):
        pytest.fail("followed")
    assert not (tmp_path / "elsewhere").exists()
