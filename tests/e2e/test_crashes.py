"""The worker is killed, interrupted, starved of disk, or loses its workspace: nothing is lost, nothing told wrongly."""

import asyncio
import resource
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from tests.support.command import ROLECALL, Ended, environment, read_report, rolecall, start, write_job
from worker.sandbox import Fault, FaultPlan, Kind, Sandbox, When, leader_world

FAST = ("--rate", "unlimited", "--backoff", "0.02")


def many(rows: int, rooms: int = 7) -> list[tuple[str, str]]:
    """Give the pairs of a job."""
    return [(f"room{number % rooms}", f"user{number:04}") for number in range(rows)]


async def finish(process: asyncio.subprocess.Process) -> Ended:
    """Await a started command."""
    stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, stdout.decode(), stderr.decode())


def outcomes(folder: Path) -> Counter[tuple[str, str]]:
    """Count a report's outcomes and reasons."""
    return Counter((row["outcome"], row["reason"]) for row in read_report(folder))


async def test_a_killed_run_repeated_ends_complete(tmp_path: Path) -> None:
    """After SIGKILL at five moments of one job, every row is removed, and few rows were sent a second time."""
    pairs, concurrency = many(400), 8
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    words = ("run", job, "--out", "o", *FAST, "--concurrency", str(concurrency))
    async with Sandbox(world, latency=0.002) as sandbox:
        env = environment(sandbox.url)
        for _ in range(5):
            worker = await start(*words, cwd=tmp_path, env=env)
            await sandbox.reached(len(world.calls) + 60)
            worker.kill()
            await worker.communicate()
        ended = await rolecall(*words, cwd=tmp_path, env=env)
    assert ended.code == 0, ended.stderr
    assert set(outcomes(tmp_path / "o")) <= {("removed", ""), ("removed", "confirmed_on_retry")}
    assert all(world.removals(*pair) == 1 for pair in pairs)
    again = sum(len(world.calls_for(*pair)) - 1 for pair in pairs)
    assert again <= 5 * concurrency
    assert "run resumed" in ended.stderr


async def test_an_intent_is_on_disk_before_its_request_leaves(tmp_path: Path) -> None:
    """Whatever the server has seen, the ledger of a killed worker knows that it may have happened."""
    pairs = many(200)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world) as sandbox:
        worker = await start("run", job, "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url))
        await sandbox.reached(80)
        worker.kill()
        await worker.communicate()
    with sqlite3.connect(tmp_path / "o/ledger.sqlite") as ledger:
        known = set(ledger.execute("SELECT room_id, user_id FROM pair WHERE doubt = 1 OR outcome IS NOT NULL"))
    ledger.close()
    assert {(call.room_id, call.user_id) for call in world.calls if call.route == "groups.removeLeader"} <= known


async def test_a_killed_run_is_reported_as_it_stands(tmp_path: Path) -> None:
    """`rolecall report` after a kill tells rows in doubt as unknown, the others as not attempted."""
    pairs = many(50)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.HANG_AFTER, When(user="user0005"))])
    async with Sandbox(world, faults=plan) as sandbox:
        words = ("run", job, "--out", "o", *FAST, "--concurrency", "1")
        worker = await start(*words, cwd=tmp_path, env=environment(sandbox.url))
        await sandbox.reached(7)  # the preflight, five rows, and the one that hangs
        worker.kill()
        await worker.communicate()
        report = await rolecall("report", "o", cwd=tmp_path, env={})
    assert report.code == 4, report.stderr
    assert outcomes(tmp_path / "o") == {
        ("removed", ""): 5,
        ("unknown", "answer_not_recorded"): 1,
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
        await sandbox.reached(40)
        worker.send_signal(number)
        ended = await finish(worker)
        seen = len(world.calls)
        told = outcomes(tmp_path / "o")
        again = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=env)
    assert ended.code == 130, ended.stderr
    assert "Ctrl-C again ends at once" in ended.stderr
    assert told == {("removed", ""): seen - 1, ("not_attempted", "interrupted"): 300 - (seen - 1)}
    assert again.code == 0
    assert outcomes(tmp_path / "o") == {("removed", ""): 300}
    assert all(len(world.calls_for(*pair)) == 1 for pair in pairs)


async def test_a_hung_call_is_unknown_once_the_grace_is_over(tmp_path: Path) -> None:
    """A call that is not answered within the grace time is told as unknown; the next session settles it."""
    pairs = many(30)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.HANG_AFTER, When(user="user0003"))])
    async with Sandbox(world, faults=plan, latency=0.01) as sandbox:
        env = environment(sandbox.url)
        worker = await start("run", job, "--out", "o", *FAST, "--grace", "0.2", cwd=tmp_path, env=env)
        await sandbox.reached(12)
        worker.send_signal(signal.SIGINT)
        ended = await finish(worker)
        told = outcomes(tmp_path / "o")
        await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=env)
    assert ended.code == 130
    assert told["unknown", "answer_not_awaited"] == 1
    assert outcomes(tmp_path / "o") == {("removed", ""): 29, ("removed", "confirmed_on_retry"): 1}


async def test_a_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    """The second signal does not wait for hung calls, and loses nothing that was recorded."""
    pairs = many(60)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.HANG_BEFORE, When(user="user0020"))])
    async with Sandbox(world, faults=plan) as sandbox:
        env = environment(sandbox.url)
        words = ("run", job, "--out", "o", *FAST, "--concurrency", "1", "--grace", "600", "--timeout", "600")
        worker = await start(*words, cwd=tmp_path, env=env)
        await sandbox.reached(22)
        worker.send_signal(signal.SIGINT)
        assert worker.stderr is not None
        while b"Stopping" not in await worker.stderr.readline():
            pass
        worker.send_signal(signal.SIGINT)
        ended = await finish(worker)
        again = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=env)
    assert ended.code == 130
    assert again.code == 0
    assert [len(world.calls_for(*pair)) for pair in pairs] == [1] * 20 + [2] + [1] * 39


async def test_an_outage_in_the_middle_costs_no_row(tmp_path: Path) -> None:
    """The server disappears for 6 seconds in the middle of 600 rows: all 600 are removed and none is failed."""
    pairs = many(600)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world, latency=0.005) as sandbox:
        worker = await start(
            "run", job, "--out", "o", "--rate", "unlimited", cwd=tmp_path, env=environment(sandbox.url)
        )
        await sandbox.reached(250)
        await sandbox.vanish()
        await asyncio.sleep(6)
        await sandbox.reappear()
        ended = await finish(worker)
    assert ended.code == 0, ended.stderr
    assert sum(outcomes(tmp_path / "o").values()) == 600
    assert set(outcomes(tmp_path / "o")) <= {("removed", ""), ("removed", "confirmed_on_retry")}
    assert all(world.removals(*pair) == 1 for pair in pairs)
    assert "outage began" in ended.stderr
    assert "outage ended" in ended.stderr


async def test_a_workspace_that_stays_away_ends_the_run(tmp_path: Path) -> None:
    """When the patience is over the run ends with exit 4, and the rows are told as not attempted for the outage."""
    pairs = many(100)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world, latency=0.005) as sandbox:
        env = environment(sandbox.url)
        words = ("run", job, "--out", "o", *FAST, "--outage-patience", "1")
        worker = await start(*words, cwd=tmp_path, env=env)
        await sandbox.reached(40)
        await sandbox.vanish()
        ended = await finish(worker)
        told = outcomes(tmp_path / "o")
        await sandbox.reappear()
        again = await rolecall(*words, cwd=tmp_path, env=env)
    assert ended.code == 4, ended.stderr
    assert told["not_attempted", "outage"] >= 50
    assert not [outcome for outcome, _ in told if outcome == "failed"]
    assert again.code == 0
    assert {outcome for outcome, _ in outcomes(tmp_path / "o")} == {"removed"}


async def test_a_revoked_token_stops_within_the_calls_in_flight(tmp_path: Path) -> None:
    """Exit 3; the rows that got the 401 and all others are not attempted, and few more calls were made."""
    pairs = many(200)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.REVOKE, When(nth=50))])
    async with Sandbox(world, faults=plan, latency=0.005) as sandbox:
        words = ("run", job, "--out", "o", *FAST, "--concurrency", "8")
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 3, ended.stderr
    told = outcomes(tmp_path / "o")
    removed = sum(world.removals(*pair) for pair in pairs)
    assert told == {("removed", ""): removed, ("not_attempted", "credentials"): 200 - removed}
    assert Counter(call.status for call in world.calls)[401] <= 8


async def test_the_failure_threshold_stops_the_run(tmp_path: Path) -> None:
    """More failed rows than allowed end the run with exit 4; the others are told as not attempted."""
    pairs = many(100)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.STATUS, times=None, status=500)])
    async with Sandbox(world, faults=plan) as sandbox:
        words = ("run", job, "--out", "o", *FAST, "--attempts", "1", "--max-failures", "5", "--concurrency", "2")
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 4, ended.stderr
    told = outcomes(tmp_path / "o")
    assert 6 <= told["unknown", "server_error"] <= 8
    assert told["not_attempted", "max_failures"] == 100 - told["unknown", "server_error"]


async def test_a_route_that_is_gone_stops_the_run(tmp_path: Path) -> None:
    """A 404 on the route itself ends the run with exit 4, and no row is told as failed."""
    pairs = many(50)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.STATUS, times=None, status=404, html=True)])
    async with Sandbox(world, faults=plan) as sandbox:
        ended = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 4, ended.stderr
    assert outcomes(tmp_path / "o") == {("not_attempted", "no_such_route"): 50}


async def test_a_bad_room_is_asked_once(tmp_path: Path) -> None:
    """Of a room that cannot be worked in one row is sent; the others are told the same and name that row."""
    pairs = many(60, rooms=3)
    world = leader_world(pairs)
    world.rooms["room1"].archived = True
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world, latency=0.002) as sandbox:
        ended = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 1, ended.stderr
    told = [row for row in read_report(tmp_path / "o") if row["roomId"] == "room1"]
    assert {(row["outcome"], row["reason"]) for row in told} == {("failed", "room_archived")}
    assert sum(len(world.calls_for("room1", user)) for room, user in pairs if room == "room1") == 1
    assert [row["message"] for row in told[1:]] == ["not asked: line 3 was told so for the whole room"] * 19


async def test_a_full_disk_stops_the_run_cleanly(tmp_path: Path) -> None:
    """When the ledger cannot grow the run ends with exit 4 and one line; nothing unrecorded is claimed afterwards."""
    pairs = many(3000)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)

    def small_files() -> None:
        """Let no file grow beyond 600 kB, as a full disk does; the signal that comes with it is ignored."""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))

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


async def test_two_sick_rows_at_the_end_are_no_outage(tmp_path: Path) -> None:
    """Where the workspace answers elsewhere, the last rows come to their end; the run does not wait for patience."""
    pairs = many(30)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    sick = [Fault(Kind.STATUS, When(user=user), times=None, status=504, html=True) for _, user in pairs[-2:]]
    async with Sandbox(world, faults=sick) as sandbox:
        words = ("run", job, "--out", "o", *FAST, "--attempts", "4")
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 1, ended.stderr
    assert outcomes(tmp_path / "o") == {("removed", ""): 28, ("unknown", "proxy_error"): 2}


@pytest.mark.parametrize("status", [500, 503])
async def test_a_server_that_asks_to_come_back_for_ever_is_left(tmp_path: Path, status: int) -> None:
    """`Retry-After` on every answer stalls the run for the patience and one hold, not for one hold a row."""
    pairs = many(20)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.STATUS, times=None, status=status, retry_after="60")])
    async with Sandbox(world, faults=plan) as sandbox:
        words = ("run", job, "--out", "o", *FAST, "--outage-patience", "1", "--attempts", "50")
        async with asyncio.timeout(30):
            ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 4, ended.stderr
    assert {outcome for outcome, _ in outcomes(tmp_path / "o")} == {"unknown", "not_attempted"}


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
    async with Sandbox(world, latency=0.02) as sandbox:
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
        await sandbox.reached(30)
        worker.send_signal(signal.SIGHUP)
        assert await worker.wait() == 0
    assert outcomes(tmp_path / "o") == {("removed", ""): 200}
