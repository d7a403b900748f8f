"""Pruning: runs that began and ended before an age are deleted with their rows, and nothing else is."""

from datetime import UTC, datetime, timedelta

import pytest

from rolecall.cluster.database.operator_database import open_operator_database
from rolecall.cluster.database.pruning import find_prunable, parse_age, prune_database
from rolecall.cluster.runs.control import resume_run
from rolecall.models import RolecallError
from rolecall.store.postgres.connection import DatabaseConfig, connect
from rolecall.store.postgres.runs import NewRun, add_workspace, create_run
from rolecall.store.postgres.store import open_store
from tests.support.postgres import Database, shared_server
from tests.unit.store.contract.jobs import import_lines
from tests.unit.store.values import intents

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def days_ago(days: int) -> int:
    """Return a moment in milliseconds since the epoch."""
    return int((NOW - timedelta(days=days)).timestamp() * 1000)


async def add_run(config: DatabaseConfig, created: int) -> int:
    """Create a run with two rows and a session, so many days ago."""
    async with await connect(config) as connection:
        await add_workspace(connection, config, "main", "https://chat.example.org")
        run = await create_run(connection, config, NewRun("main", days_ago(created)))
    async with open_store(config, run) as store:
        keys = await import_lines(store, 2, 3)
        await store.open_session("bot", days_ago(created))
        await store.commit(intents(*keys))
    return run


async def test_only_old_runs_that_ended_are_deleted() -> None:
    """A recent run, one that ended recently and one whose rows are still to be sent stay with all that is theirs."""
    database = shared_server().initialised_database()
    config = DatabaseConfig.parse(database.url)
    old, stopped, recent, ended_late, active = [await add_run(config, days) for days in (500, 500, 10, 500, 500)]
    database.execute(
        f"UPDATE run SET is_released = true; UPDATE run SET stop = 'outage' WHERE id = {stopped};"
        f"UPDATE run SET ended_at = {days_ago(490)} WHERE id = {old};"
        f"UPDATE run SET ended_at = {days_ago(1)} WHERE id = {ended_late};"
        f"UPDATE shard SET done = true WHERE run_id IN ({old}, {ended_late})"
    )
    prunable = await find_prunable(config, timedelta(days=400), NOW)
    assert (prunable.runs, prunable.rows) == ((old, stopped), 4)
    await prune_database(config, prunable)
    kept = [(recent,), (ended_late,), (active,)]
    for table in ("pair", "session", "shard", "meta", "group_count"):
        assert database.execute(f"SELECT DISTINCT run_id FROM {table} ORDER BY 1") == kept
    assert database.execute("SELECT id FROM run ORDER BY id") == kept
    assert (await find_prunable(config, timedelta(days=400), NOW)).runs == ()


async def test_a_run_that_is_resumed_before_it_is_deleted_stays() -> None:
    """Between the question and the answer workers may have begun with it: it is neither deleted nor counted."""
    database = shared_server().initialised_database()
    config = DatabaseConfig.parse(database.url)
    stopped, resumed = await add_run(config, 500), await add_run(config, 500)
    database.execute("UPDATE run SET is_released = true, stop = 'outage'")
    prunable = await find_prunable(config, timedelta(days=400), NOW)
    assert prunable.runs == (stopped, resumed)
    async with open_operator_database(config) as opened:
        await resume_run(opened, resumed, retry_failed=False)
    deleted = await prune_database(config, prunable)
    assert (deleted.runs, deleted.rows) == ((stopped,), 2)
    assert database.execute("SELECT run_id, count(*) FROM pair GROUP BY 1") == [(resumed, 2)]


async def test_the_age_of_a_run_is_by_the_clock_of_the_database() -> None:
    """Without a moment of the caller, runs count as old by the clock that their times are from."""
    database = shared_server().initialised_database()
    config = DatabaseConfig.parse(database.url)
    runs = [await add_run(config, 1), await add_run(config, 1)]
    database.execute(
        "UPDATE run SET stop = 'outage', created_at = extract(epoch FROM now()) * 1000 - 86400000 * 10.001"
    )
    database.execute(f"UPDATE run SET created_at = created_at + 86400000 WHERE id = {runs[1]}")
    assert (await find_prunable(config, timedelta(days=10))).runs == (runs[0],)


def add_jobs(database: Database) -> None:
    """Add jobs of the queue that ended long ago, that ended now, and that wait."""
    database.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('q', 'old'), ('q', 'new'), ('q', 'waits');"
        "UPDATE procrastinate_jobs SET status = 'doing' WHERE task_name <> 'waits';"
        "UPDATE procrastinate_jobs SET status = 'succeeded' WHERE task_name <> 'waits';"
        "UPDATE procrastinate_events SET at = '2020-01-01' "
        "WHERE job_id IN (SELECT id FROM procrastinate_jobs WHERE task_name <> 'new')"
    )


async def test_old_jobs_workers_and_ticks_are_deleted() -> None:
    """Jobs that ended long ago, workers not seen since and old missed ticks go; a job that waits stays."""
    database = shared_server().initialised_database()
    config = DatabaseConfig.parse(database.url)
    add_jobs(database)
    database.execute(
        "INSERT INTO worker (id, host, egress, version, started_at, seen_at) VALUES "
        f"('gone', 'h', 'e', '1', 1, {days_ago(500)}), ('here', 'h', 'e', '1', 1, {days_ago(1)})"
    )
    await prune_database(config, await find_prunable(config, timedelta(days=400), NOW))
    assert database.execute("SELECT task_name FROM procrastinate_jobs ORDER BY id") == [("new",), ("waits",)]
    assert database.execute("SELECT id FROM worker") == [("here",)]


@pytest.mark.parametrize("text", ["", "400", "0d", "-1d", "4h", "d", "1.5d", "999999d"])
def test_ages_that_are_refused(text: str) -> None:
    """An age is a number of days."""
    with pytest.raises(RolecallError, match="is not an age in days"):
        parse_age(text)
    assert parse_age("400d") == timedelta(days=400)
