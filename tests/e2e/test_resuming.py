"""Without --out: which run a command goes on with, after a crash, a step of the clock and an edit of the job."""

import signal
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from rolecall.sandbox import Fault, FaultMatch, Kind, Sandbox, World, leader_world
from tests.support.command import Ended, environment, outcomes, read_report, rolecall, start, write_job
from tests.support.truth import change_as_other, changing_calls, false_rows, wait_for_changes

FAST = ("--rate", "unlimited", "--retry-backoff", "0.02")
PAIRS = [("room", f"user{number}") for number in range(12)]
Pair = tuple[str, str]


async def run_killed_at(sandbox: Sandbox, user: str, kind: Kind, cwd: Path) -> Path:
    """Start a run of job.csv, kill it while the row of `user` is in flight, and return the run's directory."""
    before = set(runs(cwd))
    sandbox.faults.add(Fault(kind, FaultMatch(user=user, route="groups.removeLeader")))
    worker = await start("run", "job.csv", *FAST, "--concurrency", "1", cwd=cwd, env=environment(sandbox.url))
    changes = [user for _, user in PAIRS].index(user) + 1
    await wait_for_changes(sandbox, len(changing_calls(sandbox.world)) + changes)
    worker.kill()
    await worker.communicate()
    (folder,) = set(runs(cwd)) - before
    return folder


async def run_again(sandbox: Sandbox, cwd: Path, *words: str, **variables: str) -> Ended:
    """Start the same command again, and return how it ended."""
    return await rolecall("run", "job.csv", *FAST, *words, cwd=cwd, env=environment(sandbox.url, **variables))


def runs(cwd: Path) -> list[Path]:
    """Return the directories of the runs of the job."""
    folder = cwd / "runs/job"
    return sorted(folder.iterdir()) if folder.exists() else []


def calls(world: World, pairs: Sequence[Pair]) -> list[int]:
    """Return the number of changing calls of each pair."""
    return [len(world.calls_for(*pair)) for pair in pairs]


def stored_rows(folder: Path) -> list[tuple[object, ...]]:
    """Return what the store of a run knows of its rows."""
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as store:
        return store.execute("SELECT user_id, place, in_doubt, attempts, outcome FROM pair ORDER BY key").fetchall()


async def test_a_run_before_the_clock_went_back_hides_no_unfinished_one(tmp_path: Path) -> None:
    """A killed run goes on, although a finished run of the same job has a later time in its name."""
    world = leader_world(PAIRS)
    write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(world) as sandbox:
        await run_again(sandbox, tmp_path)
        (finished,) = runs(tmp_path)
        finished.rename(finished.with_name("29990101T000000Z"))
        for pair in PAIRS:
            change_as_other(world, "user0", pair, adds=True)
        killed = await run_killed_at(sandbox, "user7", Kind.HANG_AFTER, tmp_path)
        ended = await run_again(sandbox, tmp_path)
    assert ended.code == 0, ended.stderr
    assert len(runs(tmp_path)) == 2
    assert outcomes(killed) == {("removed", ""): 12}


async def test_an_edited_job_needs_a_decision(tmp_path: Path) -> None:
    """An unfinished run of the job's former content is named, with --out and --new; nothing is sent."""
    world = leader_world(PAIRS)
    write_job(tmp_path / "job.csv", PAIRS[:10])
    async with Sandbox(world) as sandbox:
        folder = (await run_killed_at(sandbox, "user4", Kind.HANG_AFTER, tmp_path)).relative_to(tmp_path)
        write_job(tmp_path / "job.csv", PAIRS[2:])
        before = len(world.calls)
        ended = await run_again(sandbox, tmp_path, ROLECALL_YES="0")
        assert len(world.calls) == before
        resumed = await run_again(sandbox, tmp_path, "--out", str(folder))
    assert ended == Ended(
        2,
        "",
        f"rolecall: job was edited, and the run of its former content in {folder} is unfinished: 4 of 10 done, 6 left. "
        "Nothing was sent. --out with its folder goes on with it (rows are known by their pair); --new starts another "
        "run.\n",
    )
    assert resumed.code == 0, resumed.stderr
    assert runs(tmp_path) == [tmp_path / folder]
    assert outcomes(tmp_path / folder) == {("removed", ""): 12}


async def test_an_edited_job_goes_on_where_no_person_can_be_asked(tmp_path: Path) -> None:
    """With --yes finished rows stay, new ones are done; rows that left the file are at most settled."""
    world = leader_world(PAIRS)
    write_job(tmp_path / "job.csv", PAIRS[:10])
    async with Sandbox(world) as sandbox:
        folder = await run_killed_at(sandbox, "user4", Kind.HANG_AFTER, tmp_path)
        write_job(tmp_path / "job.csv", [*PAIRS[:4], *PAIRS[6:]])
        ended = await run_again(sandbox, tmp_path)
    assert ended.code == 0, ended.stderr
    assert "The job was edited: going on with its unfinished run: 4 of 10 done, 6 left, in runs/job/" in ended.stderr
    assert runs(tmp_path) == [folder]
    report = read_report(folder)
    assert [(row["line"], row["userId"], row["outcome"]) for row in report] == [
        *((str(line), user, "removed") for line, (_, user) in enumerate([*PAIRS[:4], *PAIRS[6:]], start=2)),
        ("", "user4", "removed"),
    ]
    assert report[-1]["evidence"] == "message"
    assert calls(world, PAIRS) == [1] * 5 + [0] + [1] * 6
    assert false_rows(world, report) == []


async def test_a_row_that_left_the_file_while_its_call_may_arrive_stays_unknown(tmp_path: Path) -> None:
    """Its role is as before: it is neither sent again nor claimed to be failed, and no retry file has it."""
    world = leader_world(PAIRS)
    write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(world) as sandbox:
        folder = await run_killed_at(sandbox, "user4", Kind.HANG_BEFORE, tmp_path)
        write_job(tmp_path / "job.csv", [*PAIRS[:4], *PAIRS[5:]])
        ended = await run_again(sandbox, tmp_path)
    assert ended.code == 1, ended.stderr
    assert read_report(folder)[-1]["userId"] == "user4"
    assert outcomes(folder) == {("removed", ""): 11, ("unknown", "killed_in_flight"): 1}
    assert calls(world, PAIRS) == [1] * 12
    assert not (folder / "retry.csv").exists()


async def test_another_file_of_the_same_name_is_another_job(tmp_path: Path) -> None:
    """Unattended too, the unfinished run of a file elsewhere is not continued with this one's rows: --new decides."""
    world = leader_world(PAIRS)
    write_job(tmp_path / "job.csv", PAIRS[:6])
    (tmp_path / "other").mkdir()
    write_job(tmp_path / "other/job.csv", PAIRS[6:])
    async with Sandbox(world) as sandbox:
        old = await run_killed_at(sandbox, "user4", Kind.HANG_AFTER, tmp_path)
        rows, env = stored_rows(old), environment(sandbox.url)
        refused = await rolecall("run", "other/job.csv", *FAST, cwd=tmp_path, env=env)
        ended = await rolecall("run", "other/job.csv", "--new", *FAST, cwd=tmp_path, env=env)
    assert (refused.code, ended.code) == (2, 0), ended.stderr
    assert "is also the name of another file" in refused.stderr
    assert stored_rows(old) == rows


async def test_only_rows_that_left_the_file_are_left(tmp_path: Path) -> None:
    """A row in doubt is settled also where the edited file has no row that is due."""
    world = leader_world(PAIRS)
    write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(world) as sandbox:
        folder = await run_killed_at(sandbox, "user4", Kind.HANG_AFTER, tmp_path)
        write_job(tmp_path / "job.csv", PAIRS[:4])
        ended = await run_again(sandbox, tmp_path)
    assert ended.code == 0, ended.stderr
    assert outcomes(folder) == {("removed", ""): 5}
    assert calls(world, PAIRS) == [1] * 5 + [0] * 7


async def test_new_leaves_the_unfinished_run_alone_for_good(tmp_path: Path) -> None:
    """--new starts a run of its own; once that is finished, the same command does not go back to the older one."""
    world = leader_world(PAIRS)
    write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(world) as sandbox:
        old = await run_killed_at(sandbox, "user4", Kind.HANG_AFTER, tmp_path)
        rows = stored_rows(old)
        first = await run_again(sandbox, tmp_path, "--new")
        second = await run_again(sandbox, tmp_path)
        write_job(tmp_path / "job.csv", PAIRS[1:])
        third = await run_again(sandbox, tmp_path, ROLECALL_YES="0")
    assert (first.code, second.code) == (0, 0), first.stderr
    assert len(runs(tmp_path)) == 3
    assert stored_rows(old) == rows
    assert "edited" not in third.stderr


async def test_new_and_out_exclude_each_other(tmp_path: Path) -> None:
    """--out names the run, so --new beside it is refused."""
    write_job(tmp_path / "job.csv", PAIRS)
    ended = await rolecall("run", "job.csv", "--out", "o", "--new", cwd=tmp_path, env=environment("http://127.0.0.1:9"))
    assert ended.code == 2
    assert "--new starts a run in a directory of its own" in ended.stderr


async def test_another_content_of_a_job_waits_for_the_run_that_is_active(tmp_path: Path) -> None:
    """While a run of the former content is active, the edited job ends with exit code 5; --new would start."""
    world = leader_world(PAIRS)
    write_job(tmp_path / "job.csv", PAIRS)
    fault = Fault(Kind.HANG_BEFORE, FaultMatch(user="user4", route="groups.removeLeader"))
    async with Sandbox(world, faults=[fault]) as sandbox:
        words = ("run", "job.csv", *FAST, "--shutdown-timeout", "0")
        worker = await start(*words, cwd=tmp_path, env=environment(sandbox.url))
        await wait_for_changes(sandbox, 5)
        write_job(tmp_path / "job.csv", PAIRS[1:])
        ended = await run_again(sandbox, tmp_path)
        worker.send_signal(signal.SIGINT)
        await worker.communicate()
    assert ended.code == 5, ended.stderr
    assert "of another content of job; wait for it to end. --new starts another run" in ended.stderr


async def test_a_run_that_cannot_be_read_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    """A store of another version may be unfinished: a new run starts, and says so, but not with --new."""
    write_job(tmp_path / "job.csv", PAIRS)
    async with Sandbox(leader_world(PAIRS)) as sandbox:
        old = await run_killed_at(sandbox, "user4", Kind.HANG_AFTER, tmp_path)
        with closing(sqlite3.connect(old / "ledger.sqlite")) as store:
            store.execute("PRAGMA user_version = 999")
        first = await run_again(sandbox, tmp_path, "--new")
        second = await run_again(sandbox, tmp_path)
    assert "cannot be read" not in first.stderr
    assert f"1 earlier run of this job cannot be read ({old.relative_to(tmp_path)}: " in second.stderr
    assert second.code == 0
