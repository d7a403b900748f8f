"""A worker whose file of workspaces changes: SIGHUP lets it read the file again, and no row is lost or done twice."""

import asyncio
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rolecall.cluster.database.operator_database import open_operator_database
from rolecall.cluster.runs.records import read_run
from rolecall.cluster.runs.settings import ENGINE, LIMITS, OPERATION, limits_to_json, settings_to_json
from rolecall.cluster.schedules.rules import Overlap
from rolecall.cluster.schedules.schedules import NewSchedule, add_schedule, tick
from rolecall.cluster.worker.worker_list import list_workers
from rolecall.cluster.workspaces_file import WorkspaceEntry
from rolecall.engine.removal_limits import NO_LIMITS
from rolecall.rocketchat.operations import REMOVE_LEADER
from rolecall.sandbox import ACCOUNT, Fault, FaultMatch, Kind, Sandbox, leader_world
from tests.support.cluster import PLAIN, WORKSPACE, Cluster, WorkerProcess, open_cluster
from tests.support.postgres import shared_server
from tests.support.truth import is_true

PAIRS = [(f"room{number // 25}", f"user{number}") for number in range(100)]
OTHER = "https://other.example.org"

pytestmark = pytest.mark.e2e


@pytest.fixture
async def workspace() -> AsyncIterator[Sandbox]:
    """Return a workspace with a leader in each pair."""
    async with Sandbox(leader_world(PAIRS), latency=0.02) as sandbox:
        yield sandbox


@pytest.fixture
async def cluster(workspace: Sandbox, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Return a new database for the workspace."""
    async with open_cluster(shared_server().initialised_database(), workspace.url, tmp_path) as cluster:
        yield cluster


def write_file(cluster: Cluster, name: str = "own.toml", **urls: str) -> Path:
    """Write a file of workspaces, in one step."""
    path = cluster.folder / name
    tables = [
        f'[workspaces.{key}]\nurl = "{url}"\nuser_id = "{ACCOUNT.user_id}"\ntoken_env = "TEST_TOKEN"\n'
        for key, url in urls.items()
    ]
    new = path.with_suffix(".new")
    new.write_text("".join(tables) or "this is no TOML")
    new.chmod(0o600)
    new.replace(path)
    return path


async def start(cluster: Cluster, file: Path, *options: str, egress: str = "one", first: str = "") -> WorkerProcess:
    """Start a worker with a file of workspaces of its own."""
    worker = await cluster.start_worker(egress, "--workspaces", str(file), *options, first=first)
    await worker.wait_for_line("worker started")
    return worker


async def add_scheduled_run(cluster: Cluster) -> None:
    """Add a schedule whose first run is due, with the job that makes the run; the stored job has no row."""
    entry = WorkspaceEntry(WORKSPACE, cluster.url, ACCOUNT.user_id, "workspaces.toml", Path("token"))
    source = {"source": "job", "name": "job.csv", "options": ["", "", ""], "content": ""}
    settings = {ENGINE: settings_to_json(PLAIN), LIMITS: limits_to_json(NO_LIMITS), OPERATION: REMOVE_LEADER.name}
    schedule = NewSchedule("daily", "@daily", "UTC", Overlap.SKIP, timedelta(days=2), source, settings)
    async with open_operator_database(cluster.config) as database:
        await add_schedule(database, entry, schedule)
        await database.fetch("UPDATE schedule SET next_at = now()")
    assert await tick(cluster.config) == 1


async def require_truth(cluster: Cluster, run: int, workspace: Sandbox) -> None:
    """Check that each row of a run is there once, and that what it says is so."""
    results = await cluster.results(run)
    assert len({(result.room_id, result.user_id) for result in results}) == len(results) == len(PAIRS)
    assert [result for result in results if not is_true(workspace.world, result)] == []
    assert {result.outcome.value for result in results} == {"removed"}


async def test_a_workspace_that_is_added_is_served_without_a_restart(cluster: Cluster, workspace: Sandbox) -> None:
    """A broken file changes nothing and is one line; with the workspace in it, its run is processed."""
    run = await cluster.create_run(PAIRS)
    worker = await start(cluster, write_file(cluster, other=OTHER))
    write_file(cluster)
    worker.signal(signal.SIGHUP)
    await worker.wait_for_line("workspaces not read")
    assert await cluster.settled(run) == 0
    write_file(cluster, other=OTHER, main=workspace.url)
    worker.signal(signal.SIGHUP)
    await cluster.wait_until_ended(run)
    await require_truth(cluster, run, workspace)
    await worker.wait_for_line('"workspaces read"')
    assert worker.log.count("workspaces not read") == 1
    assert '"begun":"main","ended":""' in worker.log
    await cluster.wait_until("SELECT workspaces = '{other,main}' FROM worker")
    worker.signal(signal.SIGTERM)
    assert await worker.wait() == 0


async def test_a_workspace_that_is_removed_goes_to_another_worker(cluster: Cluster, workspace: Sandbox) -> None:
    """Its calls in flight are awaited, and the worker behind the same address that stood by goes on at once."""
    run = await cluster.create_run(PAIRS, replace(PLAIN, rate=40.0), shard_rows=50)
    one = await start(cluster, write_file(cluster, main=workspace.url, other=OTHER))
    await one.wait_for_line("shard started")
    two = await start(cluster, write_file(cluster, "two.toml", main=workspace.url))
    await two.wait_for_line("standing by")
    await cluster.wait_for_rows(run, 10)
    write_file(cluster, other=OTHER)
    one.signal(signal.SIGHUP)
    await one.wait_for_line('"end":"put_back"')
    await two.wait_for_line("shard started")
    settled_by_one = await cluster.query("SELECT count(*) > 0 FROM pair WHERE outcome IS NOT NULL")
    assert settled_by_one == [(True,)]
    await cluster.wait_until_ended(run)
    await require_truth(cluster, run, workspace)
    assert {result.attempts for result in await cluster.results(run)} == {1}
    for worker in (one, two):
        worker.signal(signal.SIGTERM)
        assert await worker.wait() == 0
        assert "worker stalled" not in worker.log


async def test_a_call_that_hangs_does_not_keep_a_removed_workspace(cluster: Cluster, workspace: Sandbox) -> None:
    """After --shutdown-timeout its shard goes to another worker, although this one lives; no row is lost."""
    run = await cluster.create_run(PAIRS, shard_rows=100)
    workspace.faults.add(Fault(Kind.HANG_AFTER, FaultMatch(user="user7")))
    one = await start(cluster, write_file(cluster, main=workspace.url, other=OTHER), "--shutdown-timeout", "0")
    await one.wait_for_line("shard started")
    await cluster.wait_for_rows(run, len(PAIRS) - 1)
    write_file(cluster, other=OTHER)
    one.signal(signal.SIGHUP)
    await start(cluster, write_file(cluster, "two.toml", main=workspace.url), egress="two")
    await cluster.wait_until_ended(run)
    await require_truth(cluster, run, workspace)
    assert one.process.returncode is None
    assert "worker stalled" not in "".join(worker.log for worker in cluster.workers)


async def test_a_workspace_whose_entry_changes_is_served_with_the_new_one(cluster: Cluster, workspace: Sandbox) -> None:
    """Runs for another URL than that of the file are refused with one line for each run, and `runs` says why."""
    run = await cluster.create_run(PAIRS)
    await add_scheduled_run(cluster)
    soon = "import rolecall.cluster.worker.lane as lane\nlane.REFUSED_PAUSE = 0.05\n"
    worker = await start(cluster, write_file(cluster, main=OTHER), first=soon)
    await cluster.wait_until("SELECT count(*) > 20 FROM procrastinate_jobs")
    await cluster.wait_until("SELECT count(*) > 2 FROM procrastinate_jobs WHERE task_name = 'make_run'")
    await cluster.wait_until("SELECT workspaces = '{}' FROM worker")
    assert (worker.log.count("shard refused"), worker.log.count("run not made")) == (1, 1)
    assert f"the run is for {workspace.url}, and " in worker.log
    async with open_operator_database(cluster.config) as database:
        problem = (await read_run(database, run)).problem
    assert problem == f"no worker has credentials for {WORKSPACE} at {workspace.url}"
    write_file(cluster, main=workspace.url)
    worker.signal(signal.SIGHUP)
    await cluster.wait_until_ended(run)
    await require_truth(cluster, run, workspace)
    await cluster.wait_until("SELECT workspaces = '{main}' FROM worker")
    assert [each.workspaces for each in await list_workers(cluster.config)] == [[WORKSPACE]]


@pytest.mark.parametrize(("first", "code"), [("", 0), ("import signal; signal.signal(1, signal.SIG_IGN)\n", None)])
async def test_a_worker_ends_with_its_terminal(cluster: Cluster, first: str, code: int | None) -> None:
    """SIGHUP because the terminal was closed stops a worker in order, unless it was started with nohup."""
    file = write_file(cluster, other=OTHER)
    master, slave = pty.openpty()
    in_session = f"import fcntl, termios; fcntl.ioctl({slave}, termios.TIOCSCTTY, 0)\n{first}"
    log_file = cluster.folder / "worker.log"
    words = ["worker", "--workspaces", str(file), "--egress", "one", "--log-format", "json"]
    program = f"{in_session}from rolecall.cli.entry import main\nimport sys; sys.exit(main())"
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, *words), cwd=cluster.folder, env=cluster.environment(),
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, pass_fds=[slave],
        )  # fmt: skip
    worker = WorkerProcess(process, "one", log_file)
    cluster.workers.append(worker)
    os.close(slave)
    await worker.wait_for_line("worker started")
    process.send_signal(signal.SIGHUP)
    await worker.wait_for_line('"workspaces read"')
    write_file(cluster, other="https://another.example.org")
    os.close(master)
    if code is None:
        await worker.wait_for_line('"begun":"other"')
    else:
        assert await worker.wait() == code
