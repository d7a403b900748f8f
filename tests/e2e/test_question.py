"""The question before the first row: on the terminal, only without --yes; anything but yes sends nothing."""

import asyncio
import fcntl
import os
import pty
import termios
from pathlib import Path

import pytest

from rolecall.sandbox import Fault, FaultMatch, Kind, Limiter, Sandbox, World, leader_world
from tests.support.command import ROLECALL, environment, start, write_job
from tests.support.truth import wait_for_changes

PAIRS = [("room1", "user1"), ("room1", "user2"), ("room2", "user1")]


async def on_a_terminal(
    tmp_path: Path, world: World, typed: bytes, *words: str, piped: int | None = None
) -> tuple[int, str]:
    """Run a job of PAIRS on a terminal, see `typed_into`."""
    write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(world, limiter=Limiter(10, 60.0)) as sandbox:
        return await typed_into(tmp_path, sandbox.url, typed, *words, piped=piped)


async def typed_into(tmp_path: Path, url: str, typed: bytes, *words: str, piped: int | None = None) -> tuple[int, str]:
    """Run job.csv on a terminal, type once the question stands, and return the exit code and what was shown.

    `piped` is where stdout and stderr go instead of the terminal.
    """
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        ROLECALL,
        *("run", "job.csv", *words),
        cwd=tmp_path,
        env=environment(url, TERM="dumb", ROLECALL_YES="0"),
        stdin=theirs,
        stdout=piped if piped is not None else theirs,
        stderr=piped if piped is not None else theirs,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(theirs)
    shown = b""
    while chunk := await asyncio.to_thread(read, ours):
        shown += chunk
        if b"[y/N]" in shown and typed:
            os.write(ours, typed)
            typed = b""
    code = await process.wait()
    os.close(ours)
    return code, shown.decode()


def take_terminal() -> None:
    """Make the terminal on stdin this session's own, so that Ctrl-C typed into it is a signal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def read(descriptor: int) -> bytes:
    """Read what a terminal shows; nothing once its other side is closed."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


@pytest.mark.parametrize(("typed", "code", "calls"), [(b"y\n", 0, 3), (b"n\n", 2, 0), (b"\n", 2, 0), (b"\x03", 130, 0)])
async def test_a_person_is_asked(tmp_path: Path, typed: bytes, code: int, calls: int) -> None:
    """The question tells rows, groups, workspace, account and time; yes goes on, all else and Ctrl-C send nothing."""
    world = leader_world(PAIRS, roles=("user",))
    ended, shown = await on_a_terminal(tmp_path, world, typed)
    assert ended == code, shown
    assert typed != b"\x03" or shown.endswith("\r\nrolecall: interrupted.\r\n"), shown
    shown = " ".join(shown.split())  # broken between words at the width of the terminal
    assert "As the roles are now, it takes 3 of 3 leaders; 2 groups would have none left." in shown
    assert "Remove 3 leaders in 2 groups at http://127.0.0.1" in shown
    assert "as bulk.bot; about" in shown
    assert "about 1 second at your own 600 a minute?" in shown
    assert sum(call.route == "groups.removeLeader" for call in world.calls) == calls
    assert "Traceback" not in shown
    assert shown.count("rolecall: interrupted.") == (code == 130), shown
    assert (tmp_path / "runs").exists() == bool(calls)


@pytest.mark.parametrize("edited", [False, True])
async def test_the_question_before_a_resumed_run_says_so(tmp_path: Path, edited: bool) -> None:
    """It names how many rows are done and left, and the run's directory, for an edited job as it is now."""
    pairs = [("room", f"user{number}") for number in range(40)]
    world = leader_world(pairs, roles=("user", "bot"))
    job = write_job(tmp_path / "job.csv", pairs)
    fault = Fault(Kind.HANG_AFTER, FaultMatch(user="user15", route="groups.removeLeader"))
    async with Sandbox(world, faults=[fault]) as sandbox:
        words = ("run", job, "--out", "o", "--rate", "unlimited", "--concurrency", "1")
        worker = await start(*words, cwd=tmp_path, env=environment(sandbox.url))
        await wait_for_changes(sandbox, 16)
        worker.kill()
        await worker.communicate()
        write_job(job, pairs[5:] if edited else pairs)
        code, shown = await typed_into(tmp_path, sandbox.url, b"n\n", "--out", "o", "--rate", "unlimited")
    assert code == 2, shown
    assert "15 of 40 done, 25 left, in o. Remove 25 leaders in 1 group at http" in " ".join(shown.split())


async def test_yes_is_not_asked(tmp_path: Path) -> None:
    """With --yes a terminal is not asked."""
    ended, shown = await on_a_terminal(tmp_path, leader_world(PAIRS, roles=("user",)), b"", "--yes")
    assert ended == 0, shown
    assert "[y/N]" not in shown


@pytest.mark.parametrize(("typed", "code", "calls"), [(b"y\n", 0, 3), (b"n\n", 2, 0)])
async def test_a_person_is_asked_although_the_output_is_piped(
    tmp_path: Path, typed: bytes, code: int, calls: int
) -> None:
    """The question appears on the terminal where stdout and stderr go into a file."""
    world = leader_world(PAIRS, roles=("user",))
    with (tmp_path / "output").open("wb") as output:
        ended, shown = await on_a_terminal(tmp_path, world, typed, piped=output.fileno())
    assert ended == code, (tmp_path / "output").read_text()
    assert "Remove 3 leaders in 2 groups" in shown
    assert sum(call.route == "groups.removeLeader" for call in world.calls) == calls


async def test_without_a_terminal_yes_is_needed(tmp_path: Path) -> None:
    """Without a terminal and without --yes nothing is sent: exit code 2, one line, no folder."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    world = leader_world(PAIRS)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url, ROLECALL_YES="0")
        refused = await in_no_session("run", str(job), cwd=tmp_path, env=env)
        assert sum(call.route == "groups.removeLeader" for call in world.calls) == 0
        assert not (tmp_path / "runs").exists()
        done = await in_no_session("run", str(job), "--yes", cwd=tmp_path, env=env)
    assert refused[0] == 2
    assert refused[1] == "rolecall: There is no terminal to confirm on, and nothing was sent; --yes sends without it.\n"
    assert done[0] == 0, done[1]


async def in_no_session(*words: str, cwd: Path, env: dict[str, str]) -> tuple[int, str]:
    """Run the command in a session without a terminal, as a scheduler does; give its end and stderr."""
    process = await asyncio.create_subprocess_exec(
        ROLECALL,
        *words,
        cwd=cwd,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    _, stderr = await process.communicate()
    return process.returncode or 0, stderr.decode()
