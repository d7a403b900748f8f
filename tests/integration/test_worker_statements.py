"""What the statements of workers find and change in a database with several runs and workers: their own alone."""

import time
from typing import Any

import pytest

from rolecall.cluster.database import worker_sql
from rolecall.cluster.database.operator_database import OperatorDatabase, open_operator_database
from rolecall.cluster.database.worker_sql import NOW_MS
from tests.support.postgres import Database

DAY = 86_400_000
CONTENTS = f"""
    INSERT INTO workspace (name, url, rate) VALUES ('main', 'https://chat.example.org', 2.5),
        ('other', 'https://other.example.org', NULL);
    INSERT INTO run (workspace, operation, account, settings, reason, created_at, is_released, resumption)
        VALUES ('main', 'remove', 'bot', '{{"a": 1}}', 'leavers', 1, true, 2),
            ('other', 'add', '', '{{}}', '', 1, true, 1);
    INSERT INTO run (workspace, created_at, is_released, stop, ended_at)
        VALUES ('main', 1, false, '', NULL), ('main', 1, true, 'outage', NULL), ('main', 1, true, '', 5);
    INSERT INTO shard (run_id, rows, token_job, token_attempt, holder, done) VALUES (1, 7, 10, 2, 'one', false),
        (1, 8, 11, 0, 'two', true), (2, 9, 12, 0, 'one', false), (3, 1, 0, 0, '', false), (4, 1, 0, 0, '', false),
        (5, 1, 0, 0, '', false), (2, 1, 0, 0, '', false), (1, 1, 0, 0, 'one', true), (1, 1, 0, 0, '', false);
    INSERT INTO worker (id, host, egress, version, workspaces, started_at, seen_at)
        VALUES ('one', 'host-1', 'nat', '1.0', '{{main}}', 20, {NOW_MS} - 3600000),
            ('two', 'host-2', 'nat', '1.1', '{{}}', 10, 0),
            ('three', 'host-3', 'office', '1.2', '{{}}', 5, {NOW_MS} - 7 * {DAY} + 60000),
            ('four', 'host-4', 'lan', '1.2', '{{}}', 7, {NOW_MS} - 7 * {DAY} - 60000);
"""
"""Runs 1 and 2 are processed, 3 was not released, 4 is stopped, 5 has ended."""


@pytest.fixture
def contents() -> str:
    """Return the statements that add five runs."""
    return CONTENTS


async def test_workers_are_listed_with_their_shards(database: OperatorDatabase) -> None:
    """By address and start, with the seconds since the last heartbeat and the shards that are not done."""
    four, two, one, three = await database.fetch(worker_sql.WORKERS)
    assert one[:6] == ("one", "host-1", "nat", "1.0", ["main"], 20)
    assert one[6] == pytest.approx(3600, abs=600)
    assert one[7] == ["1/1", "2/3"]
    assert (two[0], two[7], three[0], three[7], four[0]) == ("two", [], "three", [], "four")
    assert three[6] == pytest.approx(7 * 86_400 - 60, abs=60)


async def test_a_heartbeat_is_that_of_one_worker(server: Database, database: OperatorDatabase) -> None:
    """A worker that is there already gets other workspaces; its address and its start stay, and so do other workers."""
    values = {"host": "x", "egress": "y", "version": "z", "workspaces": ["main", "other"]}
    ((now,),) = await database.fetch(worker_sql.ADD_WORKER, id="two", **values)
    assert now == pytest.approx(time.time(), abs=60)
    ((now,),) = await database.fetch(worker_sql.SEE_WORKER, id="four")
    assert now == pytest.approx(time.time(), abs=60)
    assert await database.fetch(worker_sql.SEE_WORKER, id="five") == []
    await database.fetch(worker_sql.ADD_WORKER, id="five", **values)
    found = {worker[0]: worker for worker in await database.fetch(worker_sql.WORKERS)}
    assert {name for name, worker in found.items() if -600 < worker[6] < 600} == {"two", "four", "five"}
    assert found["two"][1:6] == ("host-2", "nat", "1.1", ["main", "other"], 10)
    assert found["five"][1:5] == ("x", "y", "z", ["main", "other"])
    assert found["five"][5] == pytest.approx(time.time() * 1000, abs=60_000)


async def test_workers_are_deleted(server: Database, database: OperatorDatabase) -> None:
    """One of them, or those that were last seen more than a week ago."""
    await database.fetch(worker_sql.FORGET_WORKERS)
    assert server.execute("SELECT id FROM worker ORDER BY id") == [("one",), ("three",)]
    await database.fetch(worker_sql.DELETE_WORKER, id="one")
    assert server.execute("SELECT id FROM worker") == [("three",)]


async def test_what_a_worker_must_know_of_a_shard(database: OperatorDatabase) -> None:
    """The shard, its run and its workspace; a stop with its detail."""
    assert await database.fetch(worker_sql.SHARD, shard=2) == [
        (2, 1, "main", "remove", "bot", {"a": 1}, "", "", "leavers", "https://chat.example.org", 2.5, True, 8)
    ]
    assert await database.fetch(worker_sql.SHARD, shard=3) == [
        (3, 2, "other", "add", "", {}, "", "", "", "https://other.example.org", None, False, 9)
    ]
    assert await database.fetch(worker_sql.STOP_RUN, run=2, stop="outage", detail="no answer") == [(2, "")]
    assert (await database.fetch(worker_sql.SHARD, shard=3))[0][6:8] == ("outage", "no answer")
    assert await database.fetch(worker_sql.RUN_STOP, run=2) == [("outage", "no answer")]
    assert await database.fetch(worker_sql.RUN_STOP, run=1) == [("", "")]


async def test_a_run_is_stopped_once(server: Database, database: OperatorDatabase) -> None:
    """The first reason stays; a run that has ended, and any other run, stays as it is."""
    for run, found in ((1, 1), (1, 0), (4, 0), (5, 0)):
        assert len(await database.fetch(worker_sql.STOP_RUN, run=run, stop=f"stop {run}", detail="x")) == found
    stops = server.execute("SELECT stop, stop_detail FROM run ORDER BY id")
    assert stops == [("stop 1", "x"), ("", ""), ("", ""), ("outage", ""), ("", "")]


async def test_all_workers_are_notified_of_a_stop(database: OperatorDatabase) -> None:
    """The notification has the id of the run; where a run was stopped before, there is none."""
    async with open_operator_database(database.config) as worker:
        await worker.fetch(f"LISTEN {worker_sql.RUN_STOPPED}")
        for run in (1, 1, 2):
            await database.fetch(worker_sql.STOP_RUN, run=run, stop="outage", detail="")
        found = [each.payload async for each in worker.connection.notifies(timeout=60, stop_after=2)]
    assert found == ["1", "2"]


async def test_the_latest_refusal_of_a_run_is_recorded(server: Database, database: OperatorDatabase) -> None:
    """That of this run alone."""
    for detail in ("one", "other"):
        await database.fetch(worker_sql.RECORD_REFUSAL, run=2, detail=detail)
        refusals = server.execute("SELECT refusal FROM run ORDER BY id")
        assert refusals == [("",), (detail,), ("",), ("",), ("",)]


async def test_the_first_account_of_a_run_stays(server: Database, database: OperatorDatabase) -> None:
    """Only a run without one gets that of a worker."""
    assert await database.fetch(worker_sql.CLAIM_ACCOUNT, run=1, account="mine") == [("bot",)]
    assert await database.fetch(worker_sql.CLAIM_ACCOUNT, run=2, account="mine") == [("mine",)]
    assert server.execute("SELECT account FROM run ORDER BY id") == [("bot",), ("mine",), ("",), ("",), ("",)]


def shards(server: Database) -> list[Any]:
    """Return the holder of each shard, and whether it is done."""
    return server.execute("SELECT id, holder, done FROM shard ORDER BY id")


@pytest.mark.parametrize(
    ("token", "pairs", "found"),
    [
        ((10, 2), "", True),
        ((10, 1), "", False),
        ((9, 2), "", False),
        ((11, 2), "", False),
        ((10, 2), "(1, 1, 'a', 'b', 1, NULL)", False),
        ((10, 2), "(1, 1, 'a', 'b', NULL, NULL), (1, 1, 'a', 'c', 1, 'failed')", True),
        ((10, 2), "(1, 2, 'a', 'b', 1, NULL)", True),
    ],
)
async def test_a_shard_is_done_without_a_row_that_is_left(
    server: Database, database: OperatorDatabase, token: tuple[int, int], pairs: str, found: bool
) -> None:
    """For the worker that has it; rows that left the job, and those of other shards, do not matter."""
    if pairs:
        server.execute(f"INSERT INTO pair (run_id, shard_id, room_id, user_id, place, outcome) VALUES {pairs}")
    before = shards(server)
    done = await database.fetch(worker_sql.FINISH_SHARD, shard=1, job=token[0], attempt=token[1])
    assert done == ([(1,)] if found else [])
    assert shards(server) == [(1, "", True) if found else before[0], *before[1:]]


@pytest.mark.parametrize(("job", "attempt", "released"), [(10, 2, True), (10, 1, False), (9, 2, False)])
async def test_a_worker_releases_its_own_shard(
    server: Database, database: OperatorDatabase, job: int, attempt: int, released: bool
) -> None:
    """Not one that another worker has taken."""
    before = shards(server)
    await database.fetch(worker_sql.RELEASE_SHARD, shard=1, job=job, attempt=attempt)
    assert shards(server) == [(1, "" if released else "one", False), *before[1:]]


async def test_a_worker_that_starts_works_on_no_shard(server: Database, database: OperatorDatabase) -> None:
    """Those of other workers stay theirs."""
    await database.fetch(worker_sql.RELEASE_SHARDS, worker="one")
    assert [holder for _, holder, _ in shards(server)] == ["", "two", *[""] * 7]


@pytest.mark.parametrize(
    ("change", "ended"),
    [
        ("UPDATE shard SET done = true", [1, 2]),
        ("UPDATE shard SET done = true WHERE run_id <> 1", [2]),
        ("UPDATE shard SET done = true WHERE id <> 7", [1]),
        ("SELECT 1", []),
    ],
)
async def test_runs_end_with_their_shards(
    server: Database, database: OperatorDatabase, change: str, ended: list[int]
) -> None:
    """Those that were released and have not ended; a run that is stopped may end, too."""
    server.execute(change)
    stopped = [4] if "true" in change else []
    assert sorted(await database.fetch(worker_sql.DONE_RUNS)) == [(run,) for run in [*ended, *stopped]]
    for run in (1, 2, 3, 5):
        assert await database.fetch(worker_sql.END_RUN, run=run) == ([(run,)] if run in ended else [])
    found = server.execute(f"SELECT id FROM run WHERE abs({NOW_MS} - ended_at) < 600000 ORDER BY id")
    assert found == [(run,) for run in ended]
    for run in (1, 2, 5):
        assert await database.fetch(worker_sql.HAS_ENDED, run=run) == [(run in (*ended, 5),)]


def add_jobs(server: Database, *jobs: tuple[str, str, str, str]) -> None:
    """Add jobs to the queue: workspace, lock, state and the time from which they may begin."""
    for workspace, lock, status, at in jobs:
        server.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, status, scheduled_at)"
            f" VALUES ('{workspace}', 'task', '{lock}', '{lock}', '{status}', {at})"
        )


async def test_lost_shards_have_no_job(server: Database, database: OperatorDatabase) -> None:
    """Shards that are not done, of released runs that go on; a job that has ended is none."""
    assert await database.fetch(worker_sql.LOST_SHARDS) == [("main", 1), ("other", 3), ("other", 7), ("main", 9)]
    add_jobs(
        server,
        ("ws:main", "shard:1", "doing", "NULL"),
        ("ws:other", "shard:3", "todo", "NULL"),
        ("ws:other", "shard:7", "failed", "NULL"),
        ("ws:main", "shard:90", "doing", "NULL"),
        ("ws:main", "run:9", "todo", "NULL"),
    )
    assert await database.fetch(worker_sql.LOST_SHARDS) == [("other", 7), ("main", 9)]


async def test_which_workspaces_have_jobs_that_wait(server: Database, database: OperatorDatabase) -> None:
    """Of the named ones, that are not paused, with a job that may begin now."""
    add_jobs(
        server,
        ("ws:main", "1", "todo", "NULL"),
        ("ws:main", "2", "todo", "now() - interval '1 hour'"),
        ("ws:late", "3", "todo", "now() + interval '1 hour'"),
        ("ws:due", "4", "todo", "now() - interval '1 hour'"),
        ("ws:busy", "5", "doing", "NULL"),
        ("ws:other", "6", "todo", "NULL"),
        ("ws:unknown", "7", "todo", "NULL"),
        ("xx:main2", "8", "todo", "NULL"),
    )
    names = {"names": ["main", "late", "due", "busy", "other", "main2"]}
    assert sorted(await database.fetch(worker_sql.WAITING_QUEUES, **names)) == [("due",), ("main",), ("other",)]
    server.execute("UPDATE workspace SET paused = true WHERE name = 'other'")
    assert sorted(await database.fetch(worker_sql.WAITING_QUEUES, **names)) == [("due",), ("main",)]


async def test_rows_that_failed_are_counted_with_the_unknown_ones_of_shards_that_are_done(
    server: Database, database: OperatorDatabase
) -> None:
    """Rows of the job with an outcome of the present resumption, of this run alone."""
    assert await database.fetch(worker_sql.FAILURES, run=1) == [(0, 0)]
    server.execute(
        "INSERT INTO group_count (run_id, shard_id, part, outcome, reason, in_doubt, evidence, rows, resumption) VALUES"
        " (1, 1, 'job', 'removed', '', false, '', 1, 2), (1, 1, 'job', 'failed', '', false, '', 10, 2),"
        " (1, 1, 'job', 'unknown', '', false, '', 100, 2), (1, 2, 'job', 'unknown', '', false, '', 1000, 2),"
        " (1, 1, 'job', '', '', false, '', 10000, 2), (1, 2, 'removed', 'failed', '', false, '', 100000, 2),"
        " (2, 3, 'job', 'failed', '', false, '', 1000000, 2), (1, 2, 'job', 'failed', '', false, '', 2, 2),"
        " (1, 1, 'job', 'failed', '', false, '', 10000000, 1), (1, 99, 'job', 'failed', '', false, '', 4, 2)"
    )
    assert await database.fetch(worker_sql.FAILURES, run=1) == [(1117, 1016)]


async def test_answers_are_those_of_one_workspace(server: Database, database: OperatorDatabase) -> None:
    """The time of the last one, by the clock of the database."""
    await database.fetch(worker_sql.RECORD_ANSWER, workspace="main")
    found = [await database.fetch(worker_sql.ANSWERED_WITHIN, workspace=name, ms=60_000) for name in ("main", "other")]
    assert found == [[(True,)], [(False,)]]
    server.execute("UPDATE workspace SET answered_at = answered_at - 30000")
    found = [await database.fetch(worker_sql.ANSWERED_WITHIN, workspace="main", ms=ms) for ms in (29_000, 90_000)]
    assert found == [[(False,)], [(True,)]]


async def lease(database: OperatorDatabase, count: int, interval: float) -> tuple[float, float]:
    """Lease slots of changes; return how far the first one is away, in seconds, and the clock."""
    values = {"workspace": "main", "kind": "change", "count": count, "interval": interval}
    ((first, now),) = await database.fetch(worker_sql.LEASE_SLOTS, **values)
    return first - now, now


async def test_the_next_slots_begin_where_the_last_ones_end(server: Database, database: OperatorDatabase) -> None:
    """The first one is now; slots that passed are lost; after a step of the clock back none is far away."""
    first, now = await lease(database, 3, 20.0)
    assert -10 < first <= 0
    assert now == pytest.approx(time.time(), abs=60)
    assert server.execute("SELECT workspace, kind FROM pace") == [("main", "change")]
    second, later = await lease(database, 2, 20.0)
    assert second + later == pytest.approx(first + now + 60, abs=0.001)
    server.execute("UPDATE pace SET next_slot = next_slot - 3600")
    assert -10 < (await lease(database, 1, 20.0))[0] < -0.002
    for interval, limit in ((20.0, 64 * 20), (0.001, 64 * 0.25)):
        server.execute("UPDATE pace SET next_slot = next_slot + 36000")
        assert limit - 10 < (await lease(database, 1, interval))[0] < limit + 0.001
