"""Run folders in unfriendly places: swapped, deleted, moved or locked while a run works in them."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from rolecall.sandbox import EVERY_ROUTE, Fault, FaultMatch, Kind, Sandbox, leader_world
from tests.support.command import environment, finish, many, outcomes, read_report, rolecall, start, write_job
from tests.support.truth import wait_for_changes

FAST = ("--rate", "unlimited", "--retry-backoff", "0.02", "--no-read-roles", "--concurrency", "4")


def content(folder: Path) -> dict[str, bytes]:
    """Return all files of a directory."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def swap_for_link(folder: Path, target: Path) -> None:
    """Put a symbolic link in the place of a directory."""
    folder.rename(folder.with_name("away"))
    folder.symlink_to(target)


async def test_a_link_in_the_place_of_the_folder_leads_to_no_other_run(tmp_path: Path) -> None:
    """A run that ends before its first row removes its own files, not those that its path leads to meanwhile."""
    job = write_job(tmp_path / "job.csv", many(5))
    async with Sandbox(leader_world(many(5))) as sandbox:
        await rolecall("run", job, "--out", "other", *FAST, cwd=tmp_path, env=environment(sandbox.url))
    before = content(tmp_path / "other")
    hang = Fault(Kind.HANG_BEFORE, FaultMatch(route=EVERY_ROUTE), times=None)
    async with Sandbox(leader_world(many(5)), faults=[hang]) as sandbox:
        worker = await start("run", job, "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url))
        await sandbox.wait_for_calls(1)
        swap_for_link(tmp_path / "o", tmp_path / "other")
        worker.send_signal(signal.SIGINT)
        ended = await finish(worker)
    assert ended.code == 130, ended.stderr
    assert content(tmp_path / "other") == before
    assert list((tmp_path / "away").iterdir()) == []


async def test_a_link_during_a_run_writes_into_no_other_run(tmp_path: Path) -> None:
    """A run whose folder is swapped for a link to another run stops; it writes no store, log or report there."""
    pairs = many(300)
    job = write_job(tmp_path / "job.csv", pairs)
    world = leader_world(pairs)
    async with Sandbox(leader_world(many(5))) as sandbox:
        small = write_job(tmp_path / "small.csv", many(5))
        await rolecall("run", small, "--out", "other", *FAST, cwd=tmp_path, env=environment(sandbox.url))
    before = content(tmp_path / "other")
    async with Sandbox(world, latency=0.01) as sandbox:
        worker = await start("run", job, "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url))
        await wait_for_changes(sandbox, 20)
        swap_for_link(tmp_path / "o", tmp_path / "other")
        ended = await finish(worker)
    assert ended.code == 4, ended.stderr
    assert "o was moved or replaced during the run" in ended.stderr
    assert content(tmp_path / "other") == before


LOSSES: dict[str, tuple[Callable[[Path], object], str]] = {
    "store": (
        lambda folder: (folder / "ledger.sqlite").unlink(),
        "keep it. A new run needs another --out",
    ),
    "wal": (lambda folder: (folder / "ledger.sqlite-wal").unlink(), "What was recorded is safe"),
    "lock": (lambda folder: (folder / "run.lock").unlink(), "What was recorded is safe"),
    "moved": (lambda folder: folder.rename(folder.with_name("away")), "move it back"),
    "all": (shutil.rmtree, "A new run does not know of this one"),
}


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_lost_store_stops_the_run_with_true_words(tmp_path: Path, loss: str) -> None:
    """A store that is deleted or moved is noticed at the next commit; the line says what is left of it."""
    change, words = LOSSES[loss]
    pairs = many(300)
    job = write_job(tmp_path / "job.csv", pairs)
    world = leader_world(pairs)
    command = ("run", job, "--out", "o", *FAST)
    async with Sandbox(world, latency=0.01) as sandbox:
        env = environment(sandbox.url)
        worker = await start(*command, cwd=tmp_path, env=env)
        await wait_for_changes(sandbox, 20)
        change(tmp_path / "o")
        ended = await finish(worker)
        taken = {pair for pair in pairs if world.removals(*pair)}
        if loss == "store":
            reported = {(row["roomId"], row["userId"]): row["outcome"] for row in read_report(tmp_path / "o")}
            assert {pair for pair, outcome in reported.items() if outcome == "removed"} <= taken
            assert taken <= {pair for pair, outcome in reported.items() if outcome in ("removed", "unknown")}
        if loss == "moved":
            (tmp_path / "away").rename(tmp_path / "o")
        again = await rolecall(*command, cwd=tmp_path, env=env)
        if loss == "store":
            assert again.code == 2, again.stderr
            assert "ledger.sqlite was deleted, but ledger.sqlite-wal is left" in again.stderr
            again = await rolecall(*command, "--out", "new", cwd=tmp_path, env=env)
    assert ended.code == 4, ended.stderr
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(taken) < 300
    assert again.code == 0, again.stderr
    if loss in ("wal", "lock", "moved"):
        assert {outcome for outcome, _ in outcomes(tmp_path / "o")} == {"removed"}
        assert "run resumed" in again.stderr
    assert all(world.removals(*pair) == 1 for pair in pairs)


async def test_a_locked_store_is_waited_for(tmp_path: Path) -> None:
    """While another program has locked the store nothing is sent, which is reported; then the run goes on."""
    pairs = many(300)
    job = write_job(tmp_path / "job.csv", pairs)
    world = leader_world(pairs)
    async with Sandbox(world, latency=0.01) as sandbox:
        worker = await start("run", job, "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url))
        await wait_for_changes(sandbox, 20)
        with closing(sqlite3.connect(tmp_path / "o/ledger.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert worker.stderr is not None
            while b"store locked" not in (line := await worker.stderr.readline()):
                assert line, "ended"
            other.execute("ROLLBACK")
        ended = await finish(worker)
    assert ended.code == 0, ended.stderr
    assert outcomes(tmp_path / "o") == {("removed", ""): 300}
    assert all(len(world.calls_for(*pair)) == 1 for pair in pairs)


async def test_a_store_that_stays_locked_ends_the_run(tmp_path: Path) -> None:
    """After the outage timeout the run ends with exit 4 and says that the store was locked."""
    pairs = many(300)
    job = write_job(tmp_path / "job.csv", pairs)
    world = leader_world(pairs)
    words = ("run", job, "--out", "o", *FAST, "--outage-timeout", "1")
    async with Sandbox(world, latency=0.01) as sandbox:
        worker = await start(*words, cwd=tmp_path, env=environment(sandbox.url))
        await wait_for_changes(sandbox, 20)
        with closing(sqlite3.connect(tmp_path / "o/ledger.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            ended = await finish(worker)
        again = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 4, ended.stderr
    assert "was locked by another program for" in ended.stderr
    assert again.code == 0, again.stderr
    assert {outcome for outcome, _ in outcomes(tmp_path / "o")} == {"removed"}
    assert all(world.removals(*pair) == 1 for pair in pairs)


PLACES = (
    *("ledger.sqlite", ".ledger.sqlite.new", ".ledger.sqlite.new-journal"),
    *("ledger.sqlite-wal", "ledger.sqlite-shm", "ledger.sqlite-journal"),
    *("run.lock", "run.log.jsonl", "report.csv", "report.html", "retry.csv", "summary.json"),
)


@pytest.mark.parametrize("kind", ["link", "pipe"])
@pytest.mark.parametrize("name", PLACES)
async def test_no_path_of_a_run_follows_a_link_or_waits_for_a_pipe(tmp_path: Path, name: str, kind: str) -> None:
    """A link or a pipe at the path of any file of a run leads to no other file, and makes the run wait for nothing."""
    pairs = [*many(5), ("room0", "stranger")]
    job = write_job(tmp_path / "job.csv", pairs)
    (tmp_path / "o").mkdir()
    (tmp_path / "victim").write_text("keep")
    if kind == "link":
        (tmp_path / "o" / name).symlink_to(tmp_path / "victim")
    else:
        os.mkfifo(tmp_path / "o" / name)
    async with Sandbox(leader_world(many(5))) as sandbox:
        ended = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url))
    assert (tmp_path / "victim").read_text() == "keep"
    assert "Traceback" not in ended.stderr
    assert ended.code in (1, 2, 4), ended.stderr


@pytest.mark.parametrize("flag", ["--metrics-file", "--save-plan"])
async def test_a_pipe_at_a_path_that_is_written_makes_nothing_wait(tmp_path: Path, flag: str) -> None:
    """A pipe where another file of a command would be is refused before anything is sent."""
    job = write_job(tmp_path / "job.csv", many(5))
    os.mkfifo(tmp_path / "pipe")
    world = leader_world(many(5))
    verb = "check" if flag == "--save-plan" else "run"
    async with Sandbox(world) as sandbox:
        ended = await rolecall(verb, job, flag, "pipe", cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 2, ended.stderr
    assert "pipe exists" in ended.stderr
    assert world.calls == []


async def test_a_notification_of_a_lost_run_writes_into_no_other_run(tmp_path: Path) -> None:
    """The event of the notification goes into the log that is open, wherever the path of the folder leads then."""
    pairs = many(300)
    job = write_job(tmp_path / "job.csv", pairs)
    (tmp_path / "other").mkdir(0o700)
    words = ("run", job, "--out", "o", *FAST, "--notify", "#nowhere")
    async with Sandbox(leader_world(pairs), latency=0.01) as sandbox:
        worker = await start(*words, cwd=tmp_path, env=environment(sandbox.url))
        await wait_for_changes(sandbox, 20)
        swap_for_link(tmp_path / "o", tmp_path / "other")
        ended = await finish(worker)
    assert ended.code == 4, ended.stderr
    assert list((tmp_path / "other").iterdir()) == []
    assert "notification failed" in (tmp_path / "away/run.log.jsonl").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link to another user")
@pytest.mark.parametrize("link", ["o", "runs"])
async def test_a_folder_behind_the_link_of_another_user_is_refused(tmp_path: Path, link: str) -> None:
    """A link that another user made to a folder of ours leads a run nowhere: nothing is created or changed there."""
    job = write_job(tmp_path / "job.csv", many(5))
    (tmp_path / "ours").mkdir(0o755)
    (tmp_path / link).symlink_to(tmp_path / "ours")
    os.chown(tmp_path / link, 54_321, 54_321, follow_symlinks=False)
    world = leader_world(many(5))
    out = ("--out", "o") if link == "o" else ()
    async with Sandbox(world) as sandbox:
        ended = await rolecall("run", job, *out, *FAST, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 2, ended.stderr
    assert "another user" in ended.stderr
    assert list((tmp_path / "ours").iterdir()) == []
    assert (tmp_path / "ours").stat().st_mode & 0o777 == 0o755
    assert world.calls == []


@pytest.mark.parametrize("name", ["run.lock", "ledger.sqlite"])
async def test_a_reader_waits_for_no_pipe(tmp_path: Path, name: str) -> None:
    """`status` and `report` of a run with a pipe in the place of a file name it in one line, at once."""
    job = write_job(tmp_path / "job.csv", many(5))
    async with Sandbox(leader_world(many(5))) as sandbox:
        await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url))
    (tmp_path / "o" / name).unlink()
    os.mkfifo(tmp_path / "o" / name)
    for verb in ("status", "report"):
        ended = await rolecall(verb, "o", cwd=tmp_path, env={})
        assert (ended.code, ended.stderr.count("\n")) == (2, 1), ended.stderr
        assert "[Errno" not in ended.stderr
        assert name in ended.stderr
