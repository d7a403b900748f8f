"""The worker is killed, interrupted or starved of disk: nothing is lost, nothing told wrongly."""

import asyncio
import resource
import secrets
import signal
import sqlite3
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from rolecall.engine.throttle.adaptive_concurrency import max_rows
from rolecall.sandbox import EVERY_ROUTE, Fault, FaultMatch, FaultPlan, Kind, Sandbox, leader_world
from tests.support.command import ROLECALL, environment, finish, many, outcomes, read_report, rolecall, start, write_job
from tests.support.truth import changing_calls, wait_for_changes

FAST = ("--rate", "unlimited", "--retry-backoff", "0.02")


async def test_a_killed_run_repeated_ends_complete(tmp_path: Path) -> None:
    """After SIGKILL at five random moments of one job, every row is removed, and few rows were sent a second time."""
    pairs, concurrency = many(400), 8
    seed = secrets.randbelow(10**9)
    random = Random(seed)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    words = ("run", job, "--out", "o", *FAST, "--concurrency", str(concurrency))
    async with Sandbox(world, latency=0.002) as sandbox:
        env = environment(sandbox.url)
        for _ in range(5):
            worker = await start(*words, cwd=tmp_path, env=env)
            await sandbox.wait_for_calls(len(world.calls) + random.randint(1, 75))
            worker.kill()
            await worker.communicate()
        ended = await rolecall(*words, cwd=tmp_path, env=env)
    assert ended.code == 0, (seed, ended.stderr)
    assert set(outcomes(tmp_path / "o")) <= {("removed", ""), ("removed", "confirmed_on_retry")}
    assert all(world.removals(*pair) == 1 for pair in pairs)
    again = sum(len(world.calls_for(*pair)) - 1 for pair in pairs)
    assert again <= 5 * max_rows(concurrency), seed
    assert "run resumed" in ended.stderr


async def test_an_intent_is_on_disk_before_its_request_leaves(tmp_path: Path) -> None:
    """Whatever the server has seen, the ledger of a killed worker knows that it may have happened."""
    pairs = many(200)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world) as sandbox:
        worker = await start("run", job, "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url))
        await sandbox.wait_for_calls(80)
        worker.kill()
        await worker.communicate()
    with sqlite3.connect(tmp_path / "o/ledger.sqlite") as ledger:
        known = set(ledger.execute("SELECT room_id, user_id FROM pair WHERE in_doubt = 1 OR outcome IS NOT NULL"))
    ledger.close()
    assert {(call.room_id, call.user_id) for call in world.calls if call.route == "groups.removeLeader"} <= known


async def test_a_killed_run_is_reported_as_it_stands(tmp_path: Path) -> None:
    """`rolecall report` after a kill tells rows in doubt as unknown, the others as not attempted."""
    pairs = many(50)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.HANG_AFTER, FaultMatch(user="user0005"))])
    async with Sandbox(world, faults=plan) as sandbox:
        words = ("run", job, "--out", "o", *FAST, "--concurrency", "1")
        worker = await start(*words, cwd=tmp_path, env=environment(sandbox.url))
        await wait_for_changes(sandbox, 6)  # five rows, and the one that hangs
        worker.kill()
        await worker.communicate()
        report = await rolecall("report", "o", cwd=tmp_path, env={})
    assert report.code == 4, report.stderr
    assert outcomes(tmp_path / "o") == {
        ("removed", ""): 5,
        ("unknown", "killed_in_flight"): 1,
        ("not_attempted", "killed"): 44,
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_an_interrupt_awaits_the_calls_under_way(tmp_path: Path, number: signal.Signals) -> None:
    """The first signal lets calls under way be answered and recorded, sends nothing new, and ends with 130."""
    pairs = many(300)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world, latency=0.05) as sandbox:
        env = environment(sandbox.url)
        worker = await start("run", job, "--out", "o", *FAST, cwd=tmp_path, env=env)
        await wait_for_changes(sandbox, 40)
        worker.send_signal(number)
        ended = await finish(worker)
        seen = len(changing_calls(world))
        told = outcomes(tmp_path / "o")
        again = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=env)
    assert ended.code == 130, ended.stderr
    assert "Ctrl-C again ends at once" in ended.stderr
    assert told == {("removed", ""): seen, ("not_attempted", "interrupted"): 300 - seen}
    assert again.code == 0
    assert outcomes(tmp_path / "o") == {("removed", ""): 300}
    assert all(len(world.calls_for(*pair)) == 1 for pair in pairs)


async def test_a_hung_call_is_unknown_once_the_grace_is_over(tmp_path: Path) -> None:
    """A call that is not answered within the grace time is told as unknown; the next session settles it."""
    pairs = many(30)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.HANG_AFTER, FaultMatch(user="user0003"))])
    async with Sandbox(world, faults=plan, latency=0.01) as sandbox:
        env = environment(sandbox.url)
        worker = await start("run", job, "--out", "o", *FAST, "--shutdown-timeout", "0.2", cwd=tmp_path, env=env)
        await wait_for_changes(sandbox, 12)
        worker.send_signal(signal.SIGINT)
        ended = await finish(worker)
        told = outcomes(tmp_path / "o")
        await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=env)
    assert ended.code == 130
    assert told["unknown", "cancelled_in_flight"] == 1
    assert outcomes(tmp_path / "o") == {("removed", ""): 30}
    assert Counter(row["evidence"] for row in read_report(tmp_path / "o")) == {"response": 29, "message": 1}


async def test_a_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    """The second signal does not wait for hung calls, and loses nothing that was recorded."""
    pairs = many(60)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.HANG_BEFORE, FaultMatch(user="user0020"))])
    async with Sandbox(world, faults=plan) as sandbox:
        env = environment(sandbox.url)
        words = ("run", job, "--out", "o", *FAST, "--concurrency", "1", "--shutdown-timeout", "600", "--timeout", "600")
        worker = await start(*words, cwd=tmp_path, env=env)
        while not world.calls_for(*pairs[20]):  # the reading of the roles has made an unknown number of calls
            await sandbox.wait_for_calls(len(world.calls) + 1)
        worker.send_signal(signal.SIGINT)
        assert worker.stderr is not None
        while b"Stopping" not in await worker.stderr.readline():
            pass
        worker.send_signal(signal.SIGINT)
        ended = await finish(worker)
        again = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=env)
    assert ended.code == 130
    assert ended.stderr.count("Stopped at once.") == 1
    assert "rolecall: interrupted." not in ended.stderr
    assert again.code == 0
    assert [len(world.calls_for(*pair)) for pair in pairs] == [1] * 20 + [2] + [1] * 39


async def test_a_full_disk_stops_the_run_cleanly(tmp_path: Path) -> None:
    """When the ledger cannot grow the run ends with exit 4 and one line; nothing unrecorded is claimed afterwards."""
    pairs = many(3000)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)

    def small_files() -> None:
        """Let no file grow beyond 1 MB, as a full disk does; the signal that comes with it is ignored."""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        words = ("run", str(job), "--out", "o", *FAST, "--concurrency", "32")
        starved = await asyncio.create_subprocess_exec(
            *(ROLECALL, *words),
            cwd=tmp_path,
            env=env,
            preexec_fn=small_files,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        ended = await finish(starved)
        sent = {(call.room_id, call.user_id) for call in world.calls if call.route == "groups.removeLeader"}
        again = await rolecall(*words, cwd=tmp_path, env=env)
    assert ended.code == 4, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "ledger" in ended.stderr
    assert 0 < len(sent) < 3000
    assert again.code == 0, again.stderr
    assert {outcome for outcome, _ in outcomes(tmp_path / "o")} == {"removed"}
    assert all(world.removals(*pair) == 1 for pair in pairs)


async def test_a_corrupt_old_run_blocks_no_new_one(tmp_path: Path) -> None:
    """A ledger of an earlier night that cannot be read is left alone, and the job runs."""
    pairs = many(5)
    job = write_job(tmp_path / "nightly.csv", pairs)
    async with Sandbox(leader_world(pairs)) as sandbox:
        env = environment(sandbox.url)
        await rolecall("run", job, *FAST, cwd=tmp_path, env=env)
        (old,) = (tmp_path / "runs/nightly").iterdir()
        content = bytearray((old / "ledger.sqlite").read_bytes())
        content[200:8000] = b"x" * 7800
        (old / "ledger.sqlite").write_bytes(content)
        ended = await rolecall("run", job, *FAST, cwd=tmp_path, env=env)
    assert ended.code == 0, ended.stderr
    assert (old / "ledger.sqlite").read_bytes() == content


async def test_two_starts_in_one_instant_send_nothing_twice(tmp_path: Path) -> None:
    """Of two starts of the same job without --out one works, and the other one is told so."""
    pairs = many(60)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world, latency=0.5) as sandbox:  # the first goes on for seconds after the second has begun
        env = environment(sandbox.url)
        first = await start("run", job, *FAST, cwd=tmp_path, env=env)
        second = await start("run", job, *FAST, cwd=tmp_path, env=env)
        ends = sorted([(await finish(first)).code, (await finish(second)).code])
    assert ends == [0, 5]
    assert all(len(world.calls_for(*pair)) == 1 for pair in pairs)


async def test_nohup_stays_nohup(tmp_path: Path) -> None:
    """A run that was started to survive its terminal is not ended by the terminal's going."""
    pairs = many(200)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world, latency=0.01) as sandbox:
        line = f"trap '' HUP; exec {ROLECALL} run {job} --out o --rate unlimited"
        worker = await asyncio.create_subprocess_shell(
            line, cwd=tmp_path, env=environment(sandbox.url), stdout=asyncio.subprocess.DEVNULL
        )
        await sandbox.wait_for_calls(30)
        worker.send_signal(signal.SIGHUP)
        assert await worker.wait() == 0
    assert outcomes(tmp_path / "o") == {("removed", ""): 200}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_before_the_first_row_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """While the workspace has not said who we are, a signal ends with 130; nothing was sent, and no folder is left."""
    pairs = many(5)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world, faults=[Fault(Kind.HANG_BEFORE, FaultMatch(route=EVERY_ROUTE), times=None)]) as sandbox:
        worker = await start("run", job, *FAST, cwd=tmp_path, env=environment(sandbox.url))
        await sandbox.wait_for_calls(1)
        worker.send_signal(number)
        ended = await finish(worker)
    assert (ended.code, ended.stderr) == (130, "rolecall: interrupted.\n")
    assert not (tmp_path / "runs").exists()
