"""The question before the first row: only on a terminal, only without --yes; anything but yes sends nothing."""

import asyncio
import fcntl
import os
import pty
import termios
from pathlib import Path

import pytest

from rolecall.sandbox import Limiter, Sandbox, World, leader_world
from tests.support.command import ROLECALL, environment, rolecall, write_job

PAIRS = [("room1", "user1"), ("room1", "user2"), ("room2", "user1")]


async def on_a_terminal(tmp_path: Path, world: World, typed: bytes, *words: str) -> tuple[int, str]:
    """Run the command on a terminal, type once the question stands, and give its end and what it showed."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    ours, theirs = pty.openpty()
    async with Sandbox(world, limiter=Limiter(10, 60.0)) as sandbox:
        process = await asyncio.create_subprocess_exec(
            ROLECALL,
            *("run", str(job), *words),
            cwd=tmp_path,
            env=environment(sandbox.url, TERM="dumb"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
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
    assert "Remove 3 leaders in 2 groups at http://127.0.0.1" in shown
    assert "as bulk.bot; about" in shown
    assert "about 1 second at your own 600 a minute?" in shown
    assert sum(call.route == "groups.removeLeader" for call in world.calls) == calls
    assert "Traceback" not in shown
    assert (tmp_path / "runs").exists() == bool(calls)


async def test_yes_is_not_asked(tmp_path: Path) -> None:
    """With --yes a terminal is not asked."""
    ended, shown = await on_a_terminal(tmp_path, leader_world(PAIRS, roles=("user",)), b"", "--yes")
    assert ended == 0, shown
    assert "[y/N]" not in shown


async def test_no_terminal_is_not_asked(tmp_path: Path) -> None:
    """A scheduled run has nobody to ask."""
    job = write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(leader_world(PAIRS)) as sandbox:
        ended = await rolecall("run", job, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 0
    assert "[y/N]" not in ended.stderr
