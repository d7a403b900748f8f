"""What operators see of the workers in a real database: who is alive, and for how many of them a run is divided."""

import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest

from rolecall.cluster.database import worker_sql
from rolecall.cluster.database.lease import DatabaseClock
from rolecall.cluster.database.operator_database import open_operator_database
from rolecall.cluster.database.worker_database import open_database
from rolecall.cluster.runs.shard_size import choose_shard_size
from rolecall.cluster.worker.worker_list import has_live_worker, list_workers
from rolecall.models import Row
from tests.support.cluster import WORKSPACE
from tests.support.postgres import shared_server
from tests.support.shared_database import RealDatabase

WORKER = {"host": "host", "egress": "nat", "version": "1", "workspaces": [WORKSPACE]}


@pytest.fixture
def real(tmp_path: Path) -> RealDatabase:
    """Return a new database; no workspace answers."""
    return RealDatabase(shared_server().initialised_database(), "http://127.0.0.1:9", tmp_path)


async def job_pages(pages: int, read: list[int]) -> AsyncGenerator[Sequence[Row], None]:
    """Yield pages of 100 rows; `read` receives the number of each page."""
    for number in range(pages):
        read.append(number)
        yield [Row(number, "room", "user", {})] * 100


async def test_the_rows_are_counted_for_live_workers_with_an_address_of_their_own(real: RealDatabase) -> None:
    """Dead workers, those of other workspaces and those that stand by have no shards; a large job is not read twice."""
    now = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    read: list[int] = []

    async def choose(pages: int) -> int:
        read.clear()
        async with open_operator_database(real.config) as database:
            return await choose_shard_size(database, WORKSPACE, lambda: job_pages(pages, read))

    assert (await choose(8), read) == (200, [])
    for number, (egress, workspaces, seen) in enumerate(
        [
            ("one", "{main}", now),
            ("two", "{other,main}", now),
            ("two", "{main}", now),
            ("three", "{other}", now),
            ("four", "{main}", f"{now} - 60000"),
        ]
    ):
        await real.query(
            "INSERT INTO worker (id, host, egress, version, workspaces, started_at, seen_at) "
            f"VALUES ('{number}', 'h', '{egress}', '1', '{workspaces}', 0, {seen}) RETURNING id"
        )
    assert await choose(8) == 50
    assert await choose(1000) == 200
    assert len(read) == 32


async def test_a_worker_is_dead_without_heartbeats(real: RealDatabase) -> None:
    """The list of workers shows the seconds since the last one, by the clock of the real database."""
    async with open_database(real.config, DatabaseClock()) as database:
        assert await database.record_time(worker_sql.ADD_WORKER, id="one", **WORKER)
        assert database.clock.wall(time.monotonic()) == pytest.approx(time.time(), abs=5)
        assert has_live_worker(await list_workers(real.config), "nat")
        assert not has_live_worker(await list_workers(real.config), "other")
        await real.age_heartbeats(10.5)
        (worker,) = await list_workers(real.config)
        assert (worker.is_alive, worker.egress, worker.workspaces) == (False, "nat", [WORKSPACE])
        assert 10 < worker.seen_ago < 20
        assert await database.record_time(worker_sql.SEE_WORKER, id="one")
        assert has_live_worker(await list_workers(real.config), "nat")
