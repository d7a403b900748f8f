"""What a person or a monitor sees of a run: at its terminal, in its lines, and from another terminal."""

import asyncio
import fcntl
import json
import os
import re
import signal
import struct
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rolecall.sandbox import Fault, FaultMatch, FaultPlan, Kind, Limiter, Sandbox, leader_world
from tests.support.command import ROLECALL, environment, finish, many, outcomes, rolecall, start, write_job
from tests.support.terminal import Screen, seen, terminal
from tests.support.truth import wait_for_changes


async def on_a_terminal(
    url: str, tmp_path: Path, *words: str, columns: int = 200, on_text: Callable[[str, int], None] = lambda _, __: None
) -> tuple[int, str]:
    """Run the command with stderr on a terminal; give its end and all that was written there.

    `on_text` is told what was written so far, and the process's id.
    """
    with terminal(columns) as (ours, theirs):
        process = await asyncio.create_subprocess_exec(
            ROLECALL,
            *words,
            cwd=tmp_path,
            env=environment(url, TERM="xterm-256color"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=theirs,
        )
        os.close(theirs)
        written = b""
        while chunk := await asyncio.to_thread(read, ours):
            written += chunk
            on_text(written.decode(errors="replace"), process.pid)
        return await process.wait(), written.decode().replace("\r\n", "\n")


def read(descriptor: int) -> bytes:
    """Read what a terminal shows; nothing once its other side is closed."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


@pytest.mark.parametrize("columns", [40, 200])
async def test_a_hold_is_counted_down(tmp_path: Path, columns: int) -> None:
    """On a terminal the picture says until when the workspace's window holds the run, and goes without a trace."""
    pairs = many(12)
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(leader_world(pairs, roles=("user",)), limiter=Limiter(5, 3.0)) as sandbox:
        words = ("run", str(job), "--out", "o", "--yes")
        code, written = await on_a_terminal(sandbox.url, tmp_path, *words, columns=columns)
    assert code == 0, written
    plain_text = " ".join(re.sub(r"\x1b\[[\d;]*[A-Za-z]", "", written).split())
    countdown = re.findall(r"Paused until \d\d:\d\d:\d\d \((\d+) s\): the workspace allows 5 calls in 3 s", plain_text)
    assert {"1", "2"} <= set(countdown), plain_text
    assert re.search(r"About \d+ s left, until \d\d:\d\d", plain_text)
    assert "5 of 12 rows, 41 %" in plain_text
    if columns == 200:
        (left,) = [line for line in seen(written) if line]
        assert left[9:].startswith("12 rows to send as "), left
    assert "\x1b[?25l" not in written


async def test_a_resize_leaves_no_ghost(tmp_path: Path) -> None:
    """A terminal that is made narrower and wider while a run is paused shows the progress once, and then not at all."""
    pairs, screen, fed = many(12), Screen(120), 0
    job = write_job(tmp_path / "job.csv", pairs)
    widths = iter([70, 130, 50])
    counts: list[int] = []
    with terminal(120) as (ours, theirs):
        async with Sandbox(leader_world(pairs, roles=("user",)), limiter=Limiter(5, 4.0)) as sandbox:
            process = await asyncio.create_subprocess_exec(
                ROLECALL,
                *("run", str(job), "--out", "o", "--yes"),
                cwd=tmp_path,
                env=environment(sandbox.url, TERM="xterm-256color", LANG="C.UTF-8"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=theirs,
            )
            os.close(theirs)
            while chunk := await asyncio.to_thread(read, ours):
                screen.feed(chunk.decode())
                fed += 1
                counts.append(sum("of 12 rows" in line for line in screen.lines))
                if fed % 6 == 5 and (width := next(widths, 0)):
                    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 30, width, 0, 0))
                    screen.resize(width)
            assert await process.wait() == 0
    assert max(counts) == 1
    assert "rows," not in " ".join(screen.lines)


@pytest.mark.parametrize("signals", [1, 2])
async def test_an_interrupt_leaves_a_clean_terminal(tmp_path: Path, signals: int) -> None:
    """After one Ctrl-C the picture says that the run is stopping; after a second nothing of it is left either."""
    pairs = many(30)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.HANG_AFTER, FaultMatch(user="user0003"))])
    sent: list[int] = []

    def interrupt(text: str, process: int) -> None:
        wanted = (
            "3 of 30 rows" in text and not sent,
            "Stopping: 1 call in flight" in text and len(sent) == 1 < signals,
        )
        if any(wanted):
            sent.append(process)
            os.kill(process, signal.SIGINT)

    async with Sandbox(leader_world(pairs), faults=plan) as sandbox:
        words = ("run", str(job), "--out", "o", "--rate", "unlimited", "--concurrency", "1", "--shutdown-timeout", "2")
        code, written = await on_a_terminal(sandbox.url, tmp_path, *words, on_text=interrupt)
    assert code == 130, written
    assert "Stopping: 1 call in flight may take" in written
    left = "\n".join(seen(written))
    assert "rows," not in left
    assert "in flight may take" not in left
    assert "Ctrl-C again ends at once" in left
    assert ("Stopped at once" in left) is (signals == 2)


async def test_json_lines_with_progress(tmp_path: Path) -> None:
    """With --log-format json each line of stderr is an event, and every ten seconds one tells how far the run is."""
    pairs = many(15)
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(leader_world(pairs, roles=("user",)), limiter=Limiter(10, 12.0)) as sandbox:
        words = ("run", job, "--out", "o", "--log-format", "json")
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 0, ended.stderr
    events: list[dict[str, Any]] = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [event["event"] for event in events] == ["run started", "rate limit pause", "progress", "run ended"]
    held, progress = events[1], events[2]
    assert (held["limit"], held["window"]) == (10, 12)
    assert (progress["done"], progress["total"], progress["removed"]) == (10, 15, 10)
    assert progress["paused_until"][:18] == held["until"][:18]
    assert 0 <= progress["remaining"] <= 4
    assert ended.stderr == (tmp_path / "o/run.log.jsonl").read_text()


@pytest.mark.parametrize("word", ["--quiet", "-q"])
async def test_quiet_says_nothing_while_all_is_well(tmp_path: Path, word: str) -> None:
    """A run that ends with 0 says nothing at all, the first time and when there is nothing left to do."""
    pairs = many(12)
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(leader_world(pairs)) as sandbox:
        for _ in range(2):
            ended = await rolecall("run", job, "--out", "o", word, cwd=tmp_path, env=environment(sandbox.url))
            assert ended == (0, "", "")
    assert outcomes(tmp_path / "o") == {("removed", ""): 12}
    assert "run ended" in (tmp_path / "o/run.log.jsonl").read_text()


async def test_quiet_speaks_where_somebody_is_needed(tmp_path: Path) -> None:
    """A run with a failed row shows its summary, and no line of the log."""
    job = write_job(tmp_path / "job.csv", [("room1", "user1"), ("nowhere", "user1")])
    async with Sandbox(leader_world([("room1", "user1")])) as sandbox:
        ended = await rolecall("run", job, "--out", "o", "--quiet", cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 1
    assert "user_not_in_room" in ended.stdout
    assert "2 rows: 1 removed, 1 failed." in ended.stdout
    assert ended.stderr == ""


async def status(tmp_path: Path, folder: str = "o") -> dict[str, Any]:
    """Ask for a run's status as a program does."""
    ended = await rolecall("status", folder, "--json", cwd=tmp_path, env={})
    assert ended.code == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert isinstance(told, dict)
    return told


async def test_a_run_that_goes_on_is_looked_at(tmp_path: Path) -> None:
    """From outside a run is seen running, held and stopped; it goes on as if nobody had looked."""
    pairs = many(15)
    world = leader_world(pairs, roles=("user",))
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world, limiter=Limiter(10, 8.0)) as sandbox:
        worker = await start("run", job, "--out", "o", cwd=tmp_path, env=environment(sandbox.url))
        await sandbox.wait_for_calls(11)
        while (told := await status(tmp_path))["pausedUntil"] is None:
            assert told["state"] in ("running", "not_begun"), told
        people = await rolecall("status", "o", cwd=tmp_path, env={})
        ended = await finish(worker)
    assert ended.code == 0, ended.stderr
    assert outcomes(tmp_path / "o") == {("removed", ""): 15}
    assert all(len(world.calls_for(*pair)) == 1 for pair in pairs)
    assert (told["state"], told["rows"], told["stop"]) == ("running", 15, "")
    assert 8 <= told["done"] <= 10
    assert told["outcomes"]["removed"] == told["done"]
    assert 0 < told["remainingSeconds"] <= 9
    assert told["sessions"][0]["endedAt"] is None
    assert told["sessions"][0]["stop"] == ""
    assert "Running for" in people.stdout
    assert "the workspace allows 10 calls in 8 s" in people.stdout
    assert "running" in people.stdout


async def test_a_run_under_many_eyes_is_not_disturbed(tmp_path: Path) -> None:
    """Looked at again and again from its start to its end, a run does its work, and its folder is as it always is."""
    pairs = many(300)
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(leader_world(pairs), latency=0.05) as sandbox:
        words = ("run", job, "--out", "o", "--rate", "unlimited")
        worker = asyncio.create_task(rolecall(*words, cwd=tmp_path, env=environment(sandbox.url)))
        states: set[str] = set()
        await sandbox.wait_for_calls(2)
        while not worker.done():
            states.add((await status(tmp_path))["state"])
        ended = await worker
    assert ended.code == 0, ended.stderr
    assert "running" in states
    assert states <= {"running", "finished"}
    expected = {"ledger.sqlite", "report.csv", "run.lock", "run.log.jsonl", "summary.json"}
    assert expected <= {path.name for path in (tmp_path / "o").iterdir()}
    assert not list((tmp_path / "o").glob("ledger.sqlite-*"))


async def test_a_finished_and_a_killed_run_are_told_apart(tmp_path: Path) -> None:
    """After SIGKILL a run is `killed`, and goes on as before; at its end it is `finished`, and its files stay."""
    pairs = many(50)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.HANG_AFTER, FaultMatch(user="user0005", nth=1))])
    words = ("run", job, "--out", "o", "--rate", "unlimited", "--concurrency", "1")
    async with Sandbox(leader_world(pairs), faults=plan) as sandbox:
        worker = await start(*words, cwd=tmp_path, env=environment(sandbox.url))
        await wait_for_changes(sandbox, 6)
        worker.kill()
        await worker.communicate()
        killed = await status(tmp_path)
        people = await rolecall("status", "o", cwd=tmp_path, env={})
        again = await rolecall(*words, "--timeout", "1", cwd=tmp_path, env=environment(sandbox.url))
    assert (killed["state"], killed["stop"], killed["done"], killed["inFlight"]) == ("killed", "killed", 5, 0)
    assert killed["outcomes"]["unknown"] == 1
    assert "Killed: the worker was killed; the same command goes on" in people.stdout
    assert again.code == 0, again.stderr
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "o").iterdir()}
    finished = await status(tmp_path)
    assert (finished["state"], finished["done"], len(finished["sessions"])) == ("finished", 50, 2)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "o").iterdir()} == before


async def test_a_folder_of_runs_names_the_newest(tmp_path: Path) -> None:
    """Who names the folder above the runs is told the newest of them, by whatever reads a run."""
    job = write_job(tmp_path / "job.csv", many(1))
    async with Sandbox(leader_world(many(1))) as sandbox:
        await rolecall("run", job, cwd=tmp_path, env=environment(sandbox.url))
        (run,) = (tmp_path / "runs/job").iterdir()
        for verb in ("status", "report", "verify"):
            for folder in ("runs", "runs/job"):
                ended = await rolecall(verb, folder, cwd=tmp_path, env=environment(sandbox.url))
                assert ended.code == 2
                told = f"{folder} contains no run: there is no ledger.sqlite in it; did you mean runs/job/{run.name}?"
                assert ended.stderr == f"rolecall: {told}\n"


@pytest.mark.parametrize("content", [None, b"", b"SQLite format 3\x00 of somebody else"])
async def test_a_folder_without_a_run(tmp_path: Path, content: bytes | None) -> None:
    """Exit 2 and one line; nothing is made, and nothing of others is touched."""
    folder = tmp_path / "o"
    folder.mkdir()
    if content is not None:
        (folder / "ledger.sqlite").write_bytes(content)
    ended = await rolecall("status", "o", cwd=tmp_path, env={})
    assert ended.code == 2
    assert ended.stderr.count("\n") == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == (
        {} if content is None else {"ledger.sqlite": content}
    )


@pytest.mark.parametrize("reader", ["head -c1", "true"])
@pytest.mark.parametrize("verb", ["status o", "report o", "run job.csv --out o"])
async def test_a_reader_that_closes_the_pipe_is_no_error(tmp_path: Path, verb: str, reader: str) -> None:
    """`status`, `report` and the summary of `run` exit with 0 when the reader of stdout exits first."""
    pairs = many(3)
    write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(leader_world(pairs)) as sandbox:
        env = environment(sandbox.url)
        first = await rolecall("run", "job.csv", "--out", "o", "--quiet", cwd=tmp_path, env=env)
        assert first.code == 0, first.stderr
        line = f"{{ {ROLECALL} {verb} 2>errors; echo $? >code; }} | {reader}"
        process = await asyncio.create_subprocess_shell(line, cwd=tmp_path, env=env, stdout=asyncio.subprocess.DEVNULL)
        await process.wait()
    assert (tmp_path / "code").read_text() == "0\n"
    assert "rolecall:" not in (tmp_path / "errors").read_text()
