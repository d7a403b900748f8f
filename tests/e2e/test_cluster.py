"""Several workers on one database: every row is done once and reported truly, also where one dies or freezes."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from rolecall.cluster.database.lease import STALLED
from rolecall.cluster.database.operator_database import open_operator_database
from rolecall.cluster.runs.control import Resumption, resume_run
from rolecall.cluster.runs.records import read_run
from rolecall.engine.settings import FailureThreshold
from rolecall.models import Result
from rolecall.sandbox import Fault, Kind, Sandbox, World, leader_world
from tests.campaign.harms import faketime_environment, step_clock
from tests.support.cluster import PLAIN, Cluster, WorkerProcess, open_cluster
from tests.support.postgres import PostgresServer, shared_server, wheel_binaries
from tests.support.truth import is_true

TAKEOVER = 12.0
"""Seconds within which another worker goes on with a dead one's rows."""
AHEAD = 1.5
"""Rows in doubt after a crash, as a multiple of the calls in flight."""


IN_DOUBT = (
    "SELECT count(*) FROM pair JOIN shard ON shard.id = shard_id WHERE in_doubt AND outcome IS NULL AND holder = ("
    "SELECT id FROM worker WHERE egress = 'one')"
)
"""The rows in doubt of the first worker's shard."""


END_CONNECTIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def pairs_of(rows: int, in_room: int = 25) -> list[tuple[str, str]]:
    """Return the pairs of a job."""
    return [(f"room{number // in_room}", f"user{number}") for number in range(rows)]


@pytest.fixture
async def workspace() -> AsyncIterator[Sandbox]:
    """Return a workspace with 400 leaders, which answers after 50 ms."""
    async with Sandbox(leader_world(pairs_of(400)), latency=0.05) as sandbox:
        yield sandbox


@pytest.fixture
async def cluster(workspace: Sandbox, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Return a new database for the workspace."""
    async with open_cluster(shared_server().initialised_database(), workspace.url, tmp_path) as cluster:
        yield cluster


async def require_truth(cluster: Cluster, run: int, world: World, rows: int) -> list[Result]:
    """Return the results of a run; each row must be there once, and what it says must be so."""
    results = await cluster.results(run)
    assert len({(result.room_id, result.user_id) for result in results}) == len(results) == rows
    assert [result for result in results if not is_true(world, result)] == []
    return results


def changes(world: World) -> int:
    """Return the calls that changed a role."""
    return sum(call.route == "groups.removeLeader" for call in world.calls)


async def two_workers(cluster: Cluster) -> tuple[WorkerProcess, WorkerProcess]:
    """Start two workers behind two addresses; return them once both work."""
    one, two = await asyncio.gather(
        cluster.start_worker("one", address="127.0.0.2"), cluster.start_worker("two", address="127.0.0.3")
    )
    await asyncio.gather(one.wait_for_line("shard started"), two.wait_for_line("shard started"))
    return one, two


async def test_notifications_of_others_change_nothing(cluster: Cluster) -> None:
    """Any user of the database may send any text on any channel: the worker goes on."""
    run = await cluster.create_run(pairs_of(50))
    worker = await cluster.start_worker("one")
    await worker.wait_for_line("shard started")
    for text in ("x", "", "-1", "1e9", "9" * 5000, "0"):
        for channel in ("rolecall_stop", "rolecall_jobs"):
            await cluster.query("SELECT pg_notify(%s, %s)", channel, text)
    await cluster.wait_until_ended(run)
    await cluster.create_run([("room2", "user60")])
    await cluster.wait_until("SELECT count(*) = 2 FROM run WHERE ended_at IS NOT NULL")
    assert worker.process.returncode is None
    assert worker.log.count("worker started") == 1


async def test_a_worker_that_is_killed_is_replaced_by_the_other_one(cluster: Cluster, workspace: Sandbox) -> None:
    """Its rows in doubt are settled by evidence, every row is reported once and truly, within twelve seconds."""
    run = await cluster.create_run(pairs_of(400))
    one, two = await two_workers(cluster)
    await cluster.wait_for_rows(run, 60)
    await cluster.wait_until(f"SELECT ({IN_DOUBT}) > 3")
    one.signal(signal.SIGKILL)
    killed_at = time.monotonic()
    await one.wait()
    ((doubts,),) = await cluster.query(IN_DOUBT)
    await cluster.wait_until(
        "SELECT NOT EXISTS (SELECT FROM shard WHERE holder = (SELECT id FROM worker WHERE egress = 'one') AND NOT done)"
    )
    took = time.monotonic() - killed_at
    await cluster.wait_until_ended(run)
    results = await require_truth(cluster, run, workspace.world, 400)
    assert int(str(doubts)) <= AHEAD * PLAIN.concurrency
    assert took <= TAKEOVER
    assert {result.outcome.value for result in results} == {"removed"}
    assert all(result.evidence for result in results)
    two.signal(signal.SIGTERM)
    assert await two.wait() == 0


async def test_a_worker_that_was_frozen_settles_nothing_of_what_another_one_has(
    cluster: Cluster, workspace: Sandbox
) -> None:
    """It wakes up after the other one has taken over: it is fenced, and no row is settled twice."""
    run = await cluster.create_run(pairs_of(400), shard_rows=100)
    one, two = await two_workers(cluster)
    await cluster.wait_for_rows(run, 60)
    await cluster.wait_until(f"SELECT ({IN_DOUBT}) > 3")
    one.signal(signal.SIGSTOP)
    await cluster.wait_until_ended(run)
    before = await cluster.results(run)
    calls = changes(workspace.world)
    one.signal(signal.SIGCONT)
    await one.wait_for_line('"end":"lost"')
    await one.wait_for_line("database back")
    assert await cluster.results(run) == before
    assert changes(workspace.world) == calls
    await require_truth(cluster, run, workspace.world, 400)
    for worker in (one, two):
        worker.signal(signal.SIGTERM)
        assert await worker.wait() == 0


async def test_a_worker_that_is_stopped_leaves_its_rows_to_the_other_one_at_once(
    cluster: Cluster, workspace: Sandbox
) -> None:
    """After SIGTERM the calls in flight are awaited, the worker exits with 0, and no heartbeat is waited for."""
    run = await cluster.create_run(pairs_of(400), shard_rows=100)
    one, two = await two_workers(cluster)
    await cluster.wait_for_rows(run, 60)
    one.signal(signal.SIGTERM)
    assert await one.wait(STALLED) == 0
    stopped_at = time.monotonic()
    assert '"end":"put_back"' in one.log
    await cluster.wait_until_ended(run)
    assert time.monotonic() - stopped_at < STALLED
    results = await require_truth(cluster, run, workspace.world, 400)
    assert {(result.outcome.value, result.attempts) for result in results} == {("removed", 1)}
    assert "worker stalled" not in two.log


async def test_a_revoked_token_stops_all_workers(cluster: Cluster, workspace: Sandbox) -> None:
    """The first 401 stops the run in the database: the others send nothing beyond their calls in flight."""
    run = await cluster.create_run(pairs_of(400))
    await two_workers(cluster)
    await cluster.wait_for_rows(run, 60)
    workspace.faults.add(Fault(Kind.REVOKE))
    await cluster.wait_until("SELECT stop <> '' FROM run WHERE id = %s", run)
    sent = len(workspace.world.calls)
    assert await cluster.query("SELECT stop FROM run WHERE id = %s", run) == [("credentials",)]
    await cluster.wait_until("SELECT NOT EXISTS (SELECT FROM procrastinate_jobs WHERE status = 'doing')")
    assert len(workspace.world.calls) - sent <= 2 * 2 * PLAIN.concurrency
    await asyncio.sleep(1.5)
    results = await require_truth(cluster, run, workspace.world, 400)
    assert {result.outcome.value for result in results} == {"removed", "not_attempted"}


async def test_a_stop_of_the_run_reaches_all_workers(cluster: Cluster, workspace: Sandbox) -> None:
    """Once it is in the database, no call leaves but those in flight, and all shards end."""
    run = await cluster.create_run(pairs_of(400))
    await two_workers(cluster)
    await cluster.wait_for_rows(run, 60)
    sent = changes(workspace.world)
    await cluster.stop_run(run)
    in_flight = changes(workspace.world) - sent
    await cluster.wait_until("SELECT NOT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('doing', 'todo'))")
    assert changes(workspace.world) - sent - in_flight <= 2 * PLAIN.concurrency
    results = await require_truth(cluster, run, workspace.world, 400)
    assert {result.outcome.value for result in results} == {"removed", "not_attempted"}


async def test_of_two_workers_behind_one_address_one_stands_by(cluster: Cluster, workspace: Sandbox) -> None:
    """The second one logs it in one line and sends nothing; it goes on as soon as the first one has ended."""
    run = await cluster.create_run(pairs_of(400), replace(PLAIN, rate=60.0))
    one = await cluster.start_worker("same")
    await one.wait_for_line("shard started")
    two = await cluster.start_worker("same")
    await two.wait_for_line("standing by")
    await asyncio.sleep(2.5)
    assert "shard started" not in two.log
    assert two.log.count("standing by") == 1
    one.signal(signal.SIGTERM)
    assert await one.wait() == 0
    await cluster.wait_until_ended(run)
    await require_truth(cluster, run, workspace.world, 400)
    assert "shard started" in two.log


async def test_too_many_failures_over_all_workers_stop_the_run(cluster: Cluster, workspace: Sandbox) -> None:
    """Failures are counted over all shards, and the first worker that sees too many stops the run."""
    settings = replace(PLAIN, max_failures=FailureThreshold.parse("30"))
    pairs = [(room, user if number % 2 else f"ghost{number}") for number, (room, user) in enumerate(pairs_of(400))]
    run = await cluster.create_run(pairs, settings, shard_rows=25)
    await two_workers(cluster)
    await cluster.wait_until("SELECT stop = 'max_failures' FROM run WHERE id = %s", run)
    await cluster.wait_until("SELECT NOT EXISTS (SELECT FROM procrastinate_jobs WHERE status = 'doing')")
    results = await require_truth(cluster, run, workspace.world, 400)
    assert {result.outcome.value for result in results} == {"removed", "failed", "not_attempted"}


async def test_after_a_takeover_no_failed_row_is_sent_again(cluster: Cluster, workspace: Sandbox) -> None:
    """With --retry-failed each row is sent once more in all; what was in flight when its worker died is in doubt."""
    pairs = [(f"room{number}", f"user{number * 25}") for number in range(16)]
    for room, _ in pairs:
        workspace.world.rooms[room].archived = True
    run = await cluster.create_run(pairs, replace(PLAIN, concurrency=1))
    one = await cluster.start_worker("one", address="127.0.0.2")
    await cluster.wait_until_ended(run)
    assert changes(workspace.world) == 16
    async with open_operator_database(cluster.config) as database:
        assert await resume_run(database, run, retry_failed=True) == Resumption(run, 16, 1)
    await cluster.wait_until("SELECT sum(attempts) >= 16 + 5 FROM pair WHERE run_id = %s", run)
    one.signal(signal.SIGKILL)
    await one.wait()
    await cluster.start_worker("two", address="127.0.0.3")
    await cluster.wait_until_ended(run)
    calls = [len(workspace.world.calls_for(*pair)) for pair in pairs]
    assert min(calls) == 2
    assert sum(calls) <= 2 * 16 + 1
    results = await require_truth(cluster, run, workspace.world, 16)
    outcomes = Counter(result.outcome.value for result in results)
    assert outcomes["failed"] >= 15
    assert outcomes.keys() <= {"failed", "unknown"}


async def test_a_worker_of_another_account_refuses_the_shards(cluster: Cluster) -> None:
    """It logs which account the run is of, and sends no change; the run shows why. Resumed it is of that account."""
    run = await cluster.create_run(pairs_of(50))
    await cluster.query("UPDATE run SET account = 'someone.else' WHERE id = %s RETURNING id", run)
    worker = await cluster.start_worker("one")
    await worker.wait_for_line("the run is of the account someone.else")
    assert await cluster.settled(run) == 0
    async with open_operator_database(cluster.config) as database:
        problem = "a worker leaves it to others: the run is of the account someone.else, not of "
        assert (await read_run(database, run)).problem.startswith(problem)
        await cluster.stop_run(run)
        await resume_run(database, run, retry_failed=False)
        await cluster.wait_until_ended(run)
        assert (await read_run(database, run)).problem == ""


async def test_a_database_that_crashes_is_waited_for(workspace: Sandbox, tmp_path: Path) -> None:
    """No call leaves while it is away; both workers go on by themselves, and every row is reported once and truly."""
    server = PostgresServer(wheel_binaries(), {})
    try:
        async with open_cluster(server.initialised_database(), workspace.url, tmp_path) as cluster:
            run = await cluster.create_run(pairs_of(400))
            workers = await two_workers(cluster)
            await cluster.wait_for_rows(run, 60)
            await asyncio.to_thread(server.crash)
            await asyncio.gather(*(worker.wait_for_line("database away") for worker in workers))
            sent = changes(workspace.world)
            await asyncio.sleep(1.0)
            assert changes(workspace.world) == sent
            await asyncio.to_thread(server.start)
            await cluster.wait_until_ended(run)
            await require_truth(cluster, run, workspace.world, 400)
            for worker in workers:
                worker.signal(signal.SIGTERM)
                assert await worker.wait() == 0
                assert "Traceback" not in worker.log
    finally:
        await asyncio.to_thread(server.stop)


async def test_a_database_that_is_read_only_is_waited_for(cluster: Cluster, workspace: Sandbox) -> None:
    """A worker logs once what to do, tries again by itself, and goes on once the database can be written to."""
    worker = await cluster.start_worker("one")
    await worker.wait_for_line("worker started")
    ((name,),) = await cluster.query("SELECT quote_ident(current_database())")
    cluster.database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await cluster.query(END_CONNECTIONS)
    await worker.wait_for_line("target_session_attrs=read-write")
    cluster.database.execute(f"BEGIN READ WRITE; ALTER DATABASE {name} RESET default_transaction_read_only; COMMIT")
    run = await cluster.create_run(pairs_of(5))
    await worker.wait_for_line("database back")
    await cluster.wait_until_ended(run)
    assert worker.log.count("is read-only") == 1
    await require_truth(cluster, run, workspace.world, 5)


async def test_a_clock_that_is_an_hour_off_changes_nothing(
    cluster: Cluster, workspace: Sandbox, tmp_path: Path
) -> None:
    """Times in the reports, leases and evidence are by the database's clock."""
    an_hour_ahead = faketime_environment(tmp_path)
    step_clock(tmp_path, 3600)
    started_at = round(time.time() * 1000)
    run = await cluster.create_run(pairs_of(400))
    one, two = await asyncio.gather(cluster.start_worker("one", environ=an_hour_ahead), cluster.start_worker("two"))
    await asyncio.gather(one.wait_for_line("shard started"), two.wait_for_line("shard started"))
    await cluster.wait_until_ended(run)
    results = await require_truth(cluster, run, workspace.world, 400)
    finished = [result.finished_at or 0 for result in results]
    assert started_at <= min(finished) <= max(finished) <= time.time() * 1000 + 1000
    assert "worker stalled" not in one.log + two.log


async def test_the_role_of_workers_is_all_that_a_worker_needs(cluster: Cluster, workspace: Sandbox) -> None:
    """With the rights of `rolecall_worker` alone it processes a run, also at an own rate, and ends in good order."""
    run = await cluster.create_run(pairs_of(100), replace(PLAIN, rate=200.0))
    server, name = cluster.database.server, f"worker_of_{cluster.database.name}"
    for statement in (f"CREATE ROLE {name} LOGIN PASSWORD 'x'", f"GRANT rolecall_worker TO {name}"):
        cluster.database.execute(statement)
    url = server.tcp_url(cluster.database.name, name, "x")
    worker = await cluster.start_worker("one", environ={"ROLECALL_DATABASE_URL": url})
    await cluster.wait_until_ended(run)
    await require_truth(cluster, run, workspace.world, 100)
    worker.signal(signal.SIGTERM)
    assert await worker.wait() == 0
    assert "away" not in worker.log


CUT_OFF = """
import pathlib, aiohttp
class Connector(aiohttp.TCPConnector):
    async def connect(self, *words, **options):
        if pathlib.Path("cut-off").exists():
            raise aiohttp.ClientConnectionError("the network of this host is cut off")
        return await super().connect(*words, **options)
aiohttp.TCPConnector = Connector
import rolecall.cluster.worker.lane as lane
lane.ELSEWHERE, lane.RECORD_ANSWERS = 1.0, 0.2
"""
"""A worker that does not get through to the workspace while there is a file."""


async def test_a_worker_that_is_cut_off_from_the_workspace_leaves_its_rows_to_the_other_one(
    cluster: Cluster, workspace: Sandbox
) -> None:
    """An outage of one host ends its shard and not the run: no row is lost, and none fails for it."""
    run = await cluster.create_run(pairs_of(400), replace(PLAIN, rate=60.0), shard_rows=100)
    one, two = await asyncio.gather(
        cluster.start_worker("one", first=CUT_OFF), cluster.start_worker("two", "--shutdown-timeout", "5")
    )
    await asyncio.gather(one.wait_for_line("shard started"), two.wait_for_line("shard started"))
    await cluster.wait_for_rows(run, 20)
    (cluster.folder / "cut-off").touch()
    await one.wait_for_line('"end":"away"')
    await cluster.wait_until_ended(run)
    results = await require_truth(cluster, run, workspace.world, 400)
    assert {result.outcome.value for result in results} == {"removed"}
    assert await cluster.query("SELECT stop FROM run WHERE id = %s", run) == [("",)]
    assert "outage began" in one.log
    assert "outage began" not in two.log
