"""The workspace goes away, refuses, or is sick: the run waits, stops or goes on as it should, and tells it truly."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from rolecall.engine.throttle.adaptive_concurrency import max_rows
from rolecall.sandbox import Fault, FaultMatch, FaultPlan, Kind, Sandbox, leader_world
from tests.support.command import environment, finish, many, outcomes, read_report, rolecall, start, write_job

FAST = ("--rate", "unlimited", "--retry-backoff", "0.02")


async def test_an_outage_in_the_middle_costs_no_row(tmp_path: Path) -> None:
    """The server disappears for 6 seconds in the middle of 600 rows: all 600 are removed and none is failed."""
    pairs = many(600)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world, latency=0.005) as sandbox:
        worker = await start(
            "run", job, "--out", "o", "--rate", "unlimited", cwd=tmp_path, env=environment(sandbox.url)
        )
        await sandbox.wait_for_calls(250)
        await sandbox.stop_listening()
        await asyncio.sleep(6)
        await sandbox.resume()
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
        words = ("run", job, "--out", "o", *FAST, "--outage-timeout", "1")
        worker = await start(*words, cwd=tmp_path, env=env)
        await sandbox.wait_for_calls(40)
        await sandbox.stop_listening()
        ended = await finish(worker)
        told = outcomes(tmp_path / "o")
        await sandbox.resume()
        again = await rolecall(*words, cwd=tmp_path, env=env)
    assert ended.code == 4, ended.stderr
    assert told["not_attempted", "outage"] >= 50
    assert not [outcome for outcome, _ in told if outcome == "failed"]
    assert again.code == 0
    assert {outcome for outcome, _ in outcomes(tmp_path / "o")} == {"removed"}


async def test_a_revoked_token_stops_within_the_calls_in_flight(tmp_path: Path) -> None:
    """Exit 3; the rows that got the 401 and all others are not attempted; only calls under way were made."""
    pairs = many(200)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.REVOKE, FaultMatch(nth=50))])
    async with Sandbox(world, faults=plan, latency=0.005) as sandbox:
        words = ("run", job, "--out", "o", *FAST, "--concurrency", "8")
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 3, ended.stderr
    told = outcomes(tmp_path / "o")
    removed = sum(world.removals(*pair) for pair in pairs)
    assert told == {("removed", ""): removed, ("not_attempted", "credentials"): 200 - removed}
    refused = Counter(call.route for call in world.calls if call.status == 401)
    assert refused["groups.removeLeader"] <= max_rows(8)
    assert refused["me"] == 2


async def test_the_failure_threshold_stops_the_run(tmp_path: Path) -> None:
    """More failed rows than allowed end the run with exit 4; the others are told as not attempted."""
    pairs = many(100)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.STATUS, times=None, status=500)])
    async with Sandbox(world, faults=plan) as sandbox:
        words = ("run", job, "--out", "o", *FAST, "--max-attempts", "1", "--max-failures", "5", "--concurrency", "2")
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
    plan = FaultPlan([Fault(Kind.STATUS, times=None, status=404)])
    async with Sandbox(world, faults=plan) as sandbox:
        ended = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 4, ended.stderr
    assert {reason for _, reason in outcomes(tmp_path / "o")} == {"no_such_route"}
    assert not any(outcome == "failed" for outcome, _ in outcomes(tmp_path / "o"))
    assert sum(call.route == "groups.removeLeader" for call in world.calls) <= max_rows(8) + 2


async def test_a_page_instead_of_the_route_is_no_missing_route(tmp_path: Path) -> None:
    """A firewall's 404 leaves the rows in doubt; the roles settle them: failed, as they are still there."""
    pairs = many(3)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.STATUS, times=None, status=404, html=True)])
    async with Sandbox(world, faults=plan) as sandbox:
        words = ("run", job, "--out", "o", *FAST, "--max-attempts", "1")
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 1, ended.stderr
    assert outcomes(tmp_path / "o") == {("failed", "untrusted_answer"): 3}


@pytest.mark.parametrize("status", [401, 404])
async def test_one_bad_instance_stops_nothing(tmp_path: Path, status: int) -> None:
    """An instance behind a load balancer that answers each third call with this status costs calls, but no row."""
    pairs = many(60)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.STATUS, FaultMatch(chance=0.33), times=None, status=status)], seed=4)
    async with Sandbox(world, faults=plan) as sandbox:
        ended = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 0, ended.stderr
    assert outcomes(tmp_path / "o") == {("removed", ""): 60}
    refused = [call for call in world.calls if call.status == status]
    assert len(refused) > 15
    assert all(call.route == "groups.removeLeader" for call in refused)


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
    assert [row["message"] for row in told[1:]] == [
        "not sent: the server's answer to line 3 is true for the whole room"
    ] * 19


async def test_two_sick_rows_at_the_end_are_no_outage(tmp_path: Path) -> None:
    """Where the workspace answers elsewhere, the last rows come to their end; the run does not wait for patience."""
    pairs = many(30)
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    sick = [Fault(Kind.STATUS, FaultMatch(user=user), times=None, status=504, html=True) for _, user in pairs[-2:]]
    async with Sandbox(world, faults=sick) as sandbox:
        words = ("run", job, "--out", "o", *FAST, "--max-attempts", "4")
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
        words = ("run", job, "--out", "o", *FAST, "--outage-timeout", "1", "--max-attempts", "50")
        async with asyncio.timeout(30):
            ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 4, ended.stderr
    assert {outcome for outcome, _ in outcomes(tmp_path / "o")} == {"unknown", "not_attempted"}
