"""Schedules in a real database: a tick makes one run for any number of workers, and none is lost unseen."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rolecall.app.connection import AppContext
from rolecall.app.errors import OperatorError
from rolecall.cluster.database.operator_database import open_operator_database
from rolecall.cluster.runs.control import resume_run
from rolecall.cluster.runs.settings import ENGINE, LIMITS, OPERATION, limits_to_json, settings_to_json
from rolecall.cluster.schedules.make_run import make_run
from rolecall.cluster.schedules.rules import Overlap
from rolecall.cluster.schedules.schedules import (
    NewSchedule,
    add_schedule,
    list_schedules,
    pause_schedule,
    remove_schedule,
    resume_schedule,
    tick,
)
from rolecall.cluster.workspaces_file import OtherWorkspaceError, WorkspaceEntry
from rolecall.engine.removal_limits import NO_LIMITS
from rolecall.engine.settings import Settings
from rolecall.models import Row
from rolecall.rocketchat.connection_config import ConnectionConfig, Credentials
from rolecall.store.base import StoreError, read_pages
from rolecall.store.postgres.connection import DatabaseConfig
from rolecall.store.postgres.store import open_store
from rolecall.store.records import Identity
from tests.support.postgres import Database, shared_server

ENTRY = WorkspaceEntry("main", "https://chat.example.org", "account", "workspaces.toml", Path("token"))
SETTINGS = {ENGINE: settings_to_json(Settings()), LIMITS: limits_to_json(NO_LIMITS), OPERATION: "groups.removeLeader"}
SOURCE = {"source": "job", "name": "job.csv", "options": ["", "", ""], "content": ""}


@pytest.fixture
def database() -> Database:
    """Return a new database with the tables."""
    return shared_server().initialised_database()


@pytest.fixture
def config(database: Database) -> DatabaseConfig:
    """Return how to connect to it."""
    return DatabaseConfig.parse(database.url)


async def add(config: DatabaseConfig, name: str = "hourly", overlap: Overlap = Overlap.SKIP) -> None:
    """Add a schedule of each full hour."""
    schedule = NewSchedule(name, "0 * * * *", "Europe/Berlin", overlap, timedelta(hours=6), SOURCE, SETTINGS)
    async with open_operator_database(config) as opened:
        await add_schedule(opened, ENTRY, schedule)


def full_hour(database: Database, ago: int) -> datetime:
    """Move the next tick of all schedules to a full hour so many hours ago, by the database's clock; return it."""
    (at, *_), *_ = database.execute(
        f"UPDATE schedule SET next_at = date_trunc('hour', now()) - interval '{ago} hours' RETURNING next_at"
    )
    assert isinstance(at, datetime)
    return at.astimezone(UTC)


async def test_many_workers_make_one_run_of_a_tick(database: Database, config: DatabaseConfig) -> None:
    """Eight looks at once, and one more: one run and one job, for the tick; the next time is later."""
    await add(config)
    at = full_hour(database, 0)
    made = await asyncio.gather(*(tick(config) for _ in range(8)))
    assert sum(made) == 1
    assert await tick(config) == 0
    assert database.execute("SELECT schedule, due_at, is_released FROM run") == [("hourly", at, False)]
    assert database.execute("SELECT task_name, queue_name, status::text FROM procrastinate_jobs") == [
        ("make_run", "ws:main", "todo")
    ]
    ((next_at, last_run),) = database.execute("SELECT next_at, last_run FROM schedule")
    assert next_at == at + timedelta(hours=1)
    assert [(last_run,)] == database.execute("SELECT id FROM run")


async def test_missed_ticks_are_reported(database: Database, config: DatabaseConfig) -> None:
    """After nine hours without a worker one run is made; the late ticks and the replaced ones are listed."""
    await add(config)
    at = full_hour(database, 9)
    assert await tick(config) == 1
    async with open_operator_database(config) as opened:
        (schedule,) = await list_schedules(opened)
    assert schedule.missed_reports == 2
    newest, late = schedule.missed
    assert "replaced" in newest
    assert f"since {at:%Y-%m-%dT%H:%M:%SZ}" in late
    assert "late (" in late


@pytest.mark.parametrize(("overlap", "reports"), [(Overlap.SKIP, 1), (Overlap.QUEUE, 0)])
async def test_a_tick_during_a_run(database: Database, config: DatabaseConfig, overlap: Overlap, reports: int) -> None:
    """While the run before goes on, a tick is left out and reported, or waits for its end."""
    await add(config, overlap=overlap)
    full_hour(database, 1)
    database.execute("UPDATE schedule SET next_at = next_at RETURNING name")
    assert await tick(config) == 1
    full_hour(database, 0)
    database.execute("UPDATE run SET due_at = due_at - interval '1 day'")
    assert await tick(config) == 0
    assert database.execute("SELECT count(*) FROM missed WHERE why = 'overlap'") == [(reports,)]
    database.execute("UPDATE run SET ended_at = 1")
    assert await tick(config) == (0 if overlap is Overlap.SKIP else 1)


async def test_a_paused_schedule_makes_nothing(database: Database, config: DatabaseConfig) -> None:
    """Paused, its ticks pass without a report; resumed, the next one is in the future."""
    await add(config)
    async with open_operator_database(config) as opened:
        await pause_schedule(opened, "hourly")
        full_hour(database, 3)
        assert await tick(config) == 0
        next_at = await resume_schedule(opened, "hourly")
    assert next_at > full_hour(database, 0)
    assert database.execute("SELECT count(*) FROM missed") == [(0,)]


async def test_a_job_that_was_lost_is_added_again(database: Database, config: DatabaseConfig) -> None:
    """A run whose job is gone gets another one; while there is one, none is added."""
    await add(config)
    full_hour(database, 0)
    assert await tick(config) == 1
    await tick(config)
    assert database.execute("SELECT count(*) FROM procrastinate_jobs") == [(1,)]
    database.execute("DELETE FROM procrastinate_jobs")
    await tick(config)
    assert database.execute("SELECT count(*) FROM procrastinate_jobs") == [(1,)]


async def test_a_run_that_another_worker_has_made_stays_as_it_is(database: Database, config: DatabaseConfig) -> None:
    """A worker that comes late, because it was frozen, changes neither the rows of the run nor what is said of it."""
    await add(config)
    full_hour(database, 0)
    await tick(config)
    ((run_id,),) = database.execute("UPDATE run SET is_released = true RETURNING id")
    context = AppContext(ConnectionConfig(ENTRY.url), Credentials("account", "token"))
    assert await make_run(config, int(str(run_id)), ENTRY, context)
    assert database.execute("SELECT stop, is_released FROM run") == [("", True)]
    assert database.execute("SELECT last_error FROM schedule") == [("",)]
    async with open_store(config, int(str(run_id))) as store:
        with pytest.raises(StoreError, match="was released to workers"):
            await store.import_rows(
                Identity(ENTRY.url, "groups.removeLeader", "other"), read_pages([Row(2, "r", "u", {})])
            )


async def test_a_schedule_of_the_same_name_makes_no_run_of_a_removed_one(
    database: Database, config: DatabaseConfig
) -> None:
    """A run that waits to be made ends with its schedule: the source of another one is not taken for it."""
    await add(config)
    full_hour(database, 0)
    assert await tick(config) == 1
    async with open_operator_database(config) as opened:
        await remove_schedule(opened, "hourly")
    assert database.execute("SELECT stop, stop_detail, ended_at IS NULL FROM run") == [
        ("refused", "The schedule was removed before its run was made.", False)
    ]
    await add(config)
    ((run_id,),) = database.execute("SELECT id FROM run")
    context = AppContext(ConnectionConfig(ENTRY.url), Credentials("account", "token"))
    assert await make_run(config, int(str(run_id)), ENTRY, context)
    assert database.execute("SELECT stop, is_released FROM run") == [("refused", False)]
    assert database.execute("SELECT last_error FROM schedule") == [("",)]


async def test_a_run_of_another_url_is_left_to_other_workers(database: Database, config: DatabaseConfig) -> None:
    """A worker whose file has another URL for the workspace does not make the run, and says which URL it is for."""
    await add(config)
    full_hour(database, 0)
    await tick(config)
    ((run_id,),) = database.execute("SELECT id FROM run")
    other = ENTRY._replace(url="https://other.example.org")
    context = AppContext(ConnectionConfig(other.url), Credentials("account", "token"))
    with pytest.raises(OtherWorkspaceError, match=f"the run is for {ENTRY.url}, and workspaces.toml is {other.url}"):
        await make_run(config, int(str(run_id)), other, context)
    assert database.execute("SELECT stop, is_released FROM run") == [("", False)]


async def test_a_run_whose_source_cannot_be_read_is_refused(database: Database, config: DatabaseConfig) -> None:
    """The stored job has no row: the run ends with the reason, which the schedule shows; its job is done."""
    await add(config)
    full_hour(database, 0)
    await tick(config)
    ((run_id,),) = database.execute("SELECT id FROM run")
    context = AppContext(ConnectionConfig(ENTRY.url), Credentials("account", "token"))
    assert await make_run(config, int(str(run_id)), ENTRY, context)
    ((stop, detail, ended_at),) = database.execute("SELECT stop, stop_detail, ended_at FROM run")
    assert (stop, ended_at is None) == ("refused", False)
    assert database.execute("SELECT last_error FROM schedule") == [(detail,)]
    async with open_operator_database(config) as opened:
        with pytest.raises(OperatorError, match="was never released"):
            await resume_run(opened, int(str(run_id)), retry_failed=False)


async def test_a_run_that_was_stopped_at_its_end_is_finished(database: Database, config: DatabaseConfig) -> None:
    """Where a stop came after the last row, resuming ends the run; a second time it is refused."""
    await add(config)
    full_hour(database, 0)
    await tick(config)
    ((run_id,),) = database.execute("UPDATE run SET is_released = true, stop = 'interrupted' RETURNING id")
    async with open_operator_database(config) as opened:
        assert (await resume_run(opened, int(str(run_id)), retry_failed=False))[1:] == (0, 0)
        assert database.execute("SELECT stop, ended_at IS NULL FROM run") == [("", False)]
        with pytest.raises(OperatorError, match="no row that is due"):
            await resume_run(opened, int(str(run_id)), retry_failed=False)


async def test_a_zone_that_vanished_is_an_error_of_its_schedule_alone(
    database: Database, config: DatabaseConfig
) -> None:
    """A schedule that cannot be read is shown with the reason, and keeps no other from its run."""
    await add(config, "broken")
    await add(config, "whole")
    full_hour(database, 0)
    database.execute("UPDATE schedule SET tz = 'Mars/Olympus' WHERE name = 'broken'")
    assert await tick(config) == 1
    assert database.execute("SELECT schedule FROM run") == [("whole",)]
    ((error,),) = database.execute("SELECT last_error FROM schedule WHERE name = 'broken'")
    assert "There is no time zone 'Mars/Olympus'" in str(error)
