"""A real nginx in front of the workspace: it restarts, reloads, limits, has a clock of its own, and sends calls twice.

The record of the sandbox is the judge: no row is reported as anything that did not happen.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from rolecall.sandbox import Fault, FaultMatch, FaultPlan, Kind, Limiter, Sandbox, World, leader_world
from tests.support.command import Ended, environment, finish, many, outcomes, read_report, rolecall, start, write_job
from tests.support.nginx import LIBFAKETIME, PROGRAM, nginx

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed")
WORDS = ("--out", "o", "--rate", "unlimited", "--retry-backoff", "0.05", "--outage-timeout", "60")
ROWS = 60


def check_report(world: World, folder: Path, rows: int = ROWS) -> None:
    """Compare each row of the report with the record of the sandbox; only `unknown` may be either."""
    report = read_report(folder)
    assert len(report) == rows
    done = {"removed": 1, "not_leader": 0, "failed": 0, "not_attempted": 0}
    wrong = [
        (row["roomId"], row["userId"], row["outcome"], row["reason"])
        for row in report
        if row["outcome"] != "unknown" and world.removals(row["roomId"], row["userId"]) != done[row["outcome"]]
    ]
    assert wrong == []
    refused = Counter(call.route for call in world.calls if call.status == 429)
    assert refused.total() <= 2, refused


async def run(url: str, tmp_path: Path, pairs: Iterable[tuple[str, str]], *words: str) -> Ended:
    """Run a job to its end."""
    job = write_job(tmp_path / "job.csv", pairs)
    async with asyncio.timeout(90):
        return await rolecall("run", job, *WORDS, *words, cwd=tmp_path, env=environment(url))


@pytest.mark.parametrize("event", ["workspace restarts", "nginx restarts", "nginx reloads"])
async def test_restarts_and_reloads_cost_no_row(tmp_path: Path, event: str) -> None:
    """In the middle of a limited run something restarts: every row is removed, and at most two calls are refused."""
    pairs = many(ROWS)
    world = leader_world(pairs, roles=("user",))
    job = write_job(tmp_path / "job.csv", pairs)
    async with (
        Sandbox(world, limiter=Limiter(10, 1.0), latency=0.02) as sandbox,
        nginx(tmp_path / "nginx", [sandbox.port]) as server,
    ):
        worker = await start("run", job, *WORDS, cwd=tmp_path, env=environment(server.url))
        for calls in (15, 35):
            await sandbox.wait_for_calls(calls)
            if event == "workspace restarts":
                await sandbox.stop_listening()
                await asyncio.sleep(0.5)
                await sandbox.resume()
            elif event == "nginx restarts":
                await server.stop()
                await asyncio.sleep(0.5)
                await server.start()
            else:
                server.reload()
        ended = await finish(worker)
    assert ended.code == 0, ended.stderr
    assert sum(rows for (outcome, _), rows in outcomes(tmp_path / "o").items() if outcome == "removed") == ROWS
    check_report(world, tmp_path / "o")


async def test_a_page_over_a_refusal_is_no_proof(tmp_path: Path) -> None:
    """Where nginx replaces each error by its page, refused rows are `unknown`, and good rows are removed."""
    pairs = many(ROWS)
    world = leader_world(pairs)
    for room, user in pairs[::10]:
        world.rooms[room].members[user] = ["moderator"]
    page = "proxy_intercept_errors on; error_page 400 401 403 404 500 502 503 504 /page.html;"
    async with Sandbox(world) as sandbox, nginx(tmp_path / "nginx", [sandbox.port], page) as server:
        ended = await run(server.url, tmp_path, pairs, "--no-read-roles")
    assert ended.code == 1, ended.stderr
    counts = Counter(outcome for outcome, _ in outcomes(tmp_path / "o"))
    assert outcomes(tmp_path / "o")["removed", ""] == ROWS - 6
    assert set(counts) <= {"removed", "unknown", "not_leader"}
    check_report(world, tmp_path / "o")


async def test_a_call_that_nginx_sends_twice_is_not_reported_as_another_ones(tmp_path: Path) -> None:
    """With `non_idempotent` nginx repeats a call whose response was lost: 'not a leader' may then be our own doing."""
    pairs = many(ROWS)
    world = leader_world(pairs)
    plan = FaultPlan([Fault(Kind.DROP_AFTER, FaultMatch(chance=0.3))], seed=1)
    again = "proxy_next_upstream error timeout http_502 non_idempotent;"
    async with (
        Sandbox(world, faults=plan) as first,
        Sandbox(world) as second,
        nginx(tmp_path / "nginx", [first.port, second.port], again) as server,
    ):
        ended = await run(server.url, tmp_path, pairs)
    assert ended.code == 0, ended.stderr
    assert any(call.fault for call in world.calls)
    check_report(world, tmp_path / "o")


@pytest.mark.parametrize("status", [401, 404])
async def test_one_bad_instance_of_two_stops_nothing(tmp_path: Path, status: int) -> None:
    """Every second call, those of `me` too, goes to an instance that answers so: every row is removed all the same."""
    pairs = many(ROWS)
    world = leader_world(pairs)
    bad = FaultPlan()
    async with (
        Sandbox(world, latency=0.02) as first,
        Sandbox(world, faults=bad) as second,
        nginx(tmp_path / "nginx", [first.port, second.port]) as server,
    ):
        job = write_job(tmp_path / "job.csv", pairs)
        worker = await start("run", job, *WORDS, cwd=tmp_path, env=environment(server.url))
        await first.wait_for_calls(10)
        bad.add(Fault(Kind.STATUS, FaultMatch(route="*"), times=None, status=status))
        async with asyncio.timeout(90):
            ended = await finish(worker)
    assert ended.code == 0, ended.stderr
    assert outcomes(tmp_path / "o") == {("removed", ""): ROWS}
    check_report(world, tmp_path / "o")


@pytest.mark.parametrize("burst", [0, 5])
@pytest.mark.parametrize("status", [429, 503])
async def test_a_limit_that_nginx_does_not_announce_is_learnt(tmp_path: Path, status: int, burst: int) -> None:
    """At an own rate of 50 a second, `limit_req` with 10 a second costs few refused calls and no row."""
    pairs = many(100)
    world = leader_world(pairs)
    zone = f"limit_req_zone all zone=all:1m rate=10r/s; limit_req_status {status};"
    limit = f"limit_req zone=all nodelay{f' burst={burst}' if burst else ''};"
    async with Sandbox(world) as sandbox, nginx(tmp_path / "nginx", [sandbox.port], limit, http=zone) as server:
        ended = await run(server.url, tmp_path, pairs, "--no-read-roles", "--rate", "50/s", "--retry-backoff", "0.5")
        refused = server.responses()[status]
    assert ended.code == 0, ended.stderr
    assert outcomes(tmp_path / "o") == {("removed", ""): 100}
    check_report(world, tmp_path / "o", 100)
    calls = [call.time for call in world.calls if call.route == "groups.removeLeader"]
    assert len(calls) == 100
    most = 1.10 if burst else 1.40  # without a burst each call that a loaded machine sends late counts
    assert calls[-1] - calls[0] <= most * (99 - burst) / 10 + 1.0
    assert refused <= 25


@pytest.mark.parametrize("burst", [0, 5])
async def test_reads_and_changes_share_the_limit_of_nginx(tmp_path: Path, burst: int) -> None:
    """Where roles are read before each call as well, no row is lost to `limit_req` either."""
    pairs = many(ROWS)
    world = leader_world(pairs)
    zone = "limit_req_zone all zone=all:1m rate=10r/s;"
    limit = f"limit_req zone=all nodelay{f' burst={burst}' if burst else ''};"
    async with Sandbox(world) as sandbox, nginx(tmp_path / "nginx", [sandbox.port], limit, http=zone) as server:
        ended = await run(server.url, tmp_path, pairs, "--rate", "50/s", "--retry-backoff", "0.5")
    assert ended.code == 0, ended.stderr
    assert outcomes(tmp_path / "o") == {("removed", ""): ROWS}
    check_report(world, tmp_path / "o")


@pytest.mark.skipif(LIBFAKETIME is None, reason="libfaketime is not installed")
@pytest.mark.parametrize("ahead", [5.0, -8.0, 3600.0])
async def test_nginx_with_a_clock_of_its_own(tmp_path: Path, ahead: float) -> None:
    """The `Date` of nginx is seconds or an hour wrong: at most two calls are refused, and no window is lost but one."""
    pairs, length = many(ROWS), 2.0
    world = leader_world(pairs, roles=("user",))
    async with (
        Sandbox(world, limiter=Limiter(10, length)) as sandbox,
        nginx(tmp_path / "nginx", [sandbox.port], ahead=ahead) as server,
    ):
        ended = await run(server.url, tmp_path, pairs, "--no-read-roles")
    assert ended.code == 0, ended.stderr
    assert outcomes(tmp_path / "o") == {("removed", ""): ROWS}
    check_report(world, tmp_path / "o")
    calls = [call.time for call in world.calls if call.route == "groups.removeLeader"]
    assert calls[-1] - calls[0] <= 6 * length * 1.05
