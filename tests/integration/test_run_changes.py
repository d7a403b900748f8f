"""Runs that several hosts change at once: an undo is released once, and a run that is resumed is not ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rolecall.app.errors import OperatorError
from rolecall.app.run_job import RunRequest
from rolecall.cluster.database import operator_sql, worker_sql
from rolecall.cluster.database.lease import DatabaseClock
from rolecall.cluster.database.operator_database import open_operator_database
from rolecall.cluster.database.worker_database import WorkerDatabase, open_database
from rolecall.cluster.runs.submit import SubmitRequest, release_run
from rolecall.cluster.workspaces_file import read_workspaces
from rolecall.models import Row
from rolecall.rocketchat.operations import REMOVE_LEADER
from rolecall.store.base import read_pages
from rolecall.store.postgres.runs import NewRun, create_run
from rolecall.store.postgres.store import open_store
from rolecall.store.records import Identity
from tests.support.cluster import WORKSPACE, Cluster
from tests.support.postgres import shared_server

PAIRS = [(f"room{number // 5}", f"user{number}") for number in range(20)]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """Return a new database; no workspace answers."""
    return Cluster(shared_server().initialised_database(), "http://127.0.0.1:9", tmp_path)


@pytest.fixture
async def two(cluster: Cluster) -> AsyncIterator[tuple[WorkerDatabase, WorkerDatabase]]:
    """Return the connections of two workers."""
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(open_database(cluster.config, DatabaseClock())) for _ in range(2)]
        yield one, other


Two = tuple[WorkerDatabase, WorkerDatabase]


async def test_a_run_is_undone_once(cluster: Cluster) -> None:
    """Of two undos that were prepared at once the second is refused, also where the first has ended before."""
    done = await cluster.create_run(PAIRS)
    await cluster.query("UPDATE run SET ended_at = 1 RETURNING id")
    identity = Identity(cluster.url, REMOVE_LEADER.inverse.name, "undone")
    request = SubmitRequest(
        read_workspaces(cluster.workspaces_file(), pytest.fail)[WORKSPACE], RunRequest(), parent=done
    )
    async with open_operator_database(cluster.config) as database:
        runs = []
        for _ in range(2):
            new = NewRun(WORKSPACE, 1, parent=done)
            runs.append(await create_run(database.connection, database.config, new))
            async with open_store(cluster.config, runs[-1]) as store:
                await store.import_rows(identity, read_pages([Row(2, "room0", "user0", {})]))
        assert await release_run(database, runs[0], identity, request, "") == 1
        await cluster.query("UPDATE run SET ended_at = 1 RETURNING id")
        await cluster.query("UPDATE group_count SET outcome = 'added' RETURNING run_id")
        with pytest.raises(OperatorError, match=f"Run {done} was undone meanwhile, by run {runs[0]}"):
            await release_run(database, runs[1], identity, request, "")
    assert await cluster.query("SELECT is_released FROM run WHERE id = %s", runs[1]) == [(False,)]


async def test_a_run_that_is_resumed_meanwhile_is_not_ended(cluster: Cluster, two: Two) -> None:
    """A worker that waits to end a stopped run sees shards as they were: it must not end one with rows to send."""
    run = await cluster.create_run(PAIRS)
    await cluster.query("UPDATE shard SET done = true RETURNING id")
    one, other = two
    assert await one.stop_run(run, "outage", "")
    async with other.connection.transaction():
        await other.fetch(operator_sql.LOCK_RUN, run=run)
        ending = asyncio.create_task(one.fetch(worker_sql.END_RUN, run=run))
        await cluster.wait_until("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        await other.connection.execute("UPDATE shard SET done = false")
        await other.fetch(operator_sql.RESUME, run=run, settings="{}")
    await ending
    assert await cluster.query("SELECT stop, ended_at FROM run") == [("", None)]
    await cluster.query("UPDATE shard SET done = true RETURNING id")
    assert await one.fetch(worker_sql.END_RUN, run=run)
