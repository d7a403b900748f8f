"""What the statements of schedules find and change in a database with several schedules: their own alone."""

import time
from datetime import UTC, datetime

import pytest

from rolecall.cluster.database import operator_sql
from rolecall.cluster.database.operator_database import OperatorDatabase, open_operator_database
from tests.support.postgres import Database

CONTENTS = """
    INSERT INTO workspace (name, url) VALUES ('main', 'https://chat.example.org'), ('other', 'https://other.example.org');
    INSERT INTO schedule (name, cron, tz, next_at, overlap, late, workspace, source, settings, paused, last_run,
            last_error)
        VALUES ('nightly', '0 2 * * *', 'UTC', '2026-05-06 02:00+00', 'skip', '6 hours', 'main',
                '{"name": "job.csv", "content": "x", "users": [1], "rooms": [2]}', '{"a": 1}', false, 3, 'wrong'),
            ('daily', '0 5 * * *', 'Asia/Tokyo', now() + interval '1 day', 'queue', '1 hour', 'other', '{}', '{}', true,
                NULL, '');
    INSERT INTO missed (schedule, due_at, why) SELECT 'nightly', '2026-05-01 02:00+00'::timestamptz
        + each * interval '1 day', 'why ' || each FROM generate_series(1, 6) AS each;
    INSERT INTO missed (schedule, due_at, why) VALUES ('daily', '2026-05-09 02:00+00', 'other');
"""
NIGHTLY = datetime(2026, 5, 6, 2, tzinfo=UTC)


@pytest.fixture
def contents() -> str:
    """Return the statements that add a schedule that is due and one that is paused."""
    return CONTENTS


async def test_schedules_are_listed_with_their_last_missed_ticks(database: OperatorDatabase) -> None:
    """By name, with all that is recorded but the rows of their jobs, and at most five ticks, the latest first."""
    assert await database.fetch(operator_sql.SCHEDULE_NAMES) == [("daily",), ("nightly",)]
    daily, nightly = await database.fetch(operator_sql.SCHEDULES)
    assert nightly[:5] == ("nightly", "0 2 * * *", "UTC", NIGHTLY, "skip")
    assert nightly[5].total_seconds() == 6 * 3600
    assert nightly[6:12] == ("main", {"name": "job.csv"}, False, 3, "wrong", 6)
    assert nightly[12] == [f"2026-05-0{day + 1}T02:00:00Z why {day}" for day in (6, 5, 4, 3, 2)]
    assert daily[:3] == ("daily", "0 5 * * *", "Asia/Tokyo")
    assert daily[6:] == ("other", {}, True, None, "", 1, ["2026-05-09T02:00:00Z other"])


async def test_a_schedule_is_changed_alone(server: Database, database: OperatorDatabase) -> None:
    """A pause, the next time, a tick and an error are those of one schedule; without a run the last one stays."""
    later = datetime(2026, 6, 1, tzinfo=UTC)
    ((cron, zone, next_at, now),) = await database.fetch(operator_sql.PAUSE_SCHEDULE, name="nightly", paused=True)
    assert (cron, zone, next_at) == ("0 2 * * *", "UTC", NIGHTLY)
    assert now.timestamp() == pytest.approx(time.time(), abs=600)
    await database.fetch(operator_sql.PAUSE_SCHEDULE, name="daily", paused=False)
    assert server.execute("SELECT name, paused FROM schedule ORDER BY name") == [("daily", False), ("nightly", True)]
    await database.fetch(operator_sql.SET_NEXT, name="nightly", next_at=later)
    changed = "SELECT next_at = '2026-06-01 00:00+00', last_run, last_error FROM schedule ORDER BY name"
    assert server.execute(changed) == [(False, None, ""), (True, 3, "wrong")]
    await database.fetch(operator_sql.RECORD_TICK, name="nightly", next_at=NIGHTLY, run=None, error="x")
    assert server.execute(changed) == [(False, None, ""), (False, 3, "x")]
    await database.fetch(operator_sql.RECORD_TICK, name="nightly", next_at=later, run=5, error="")
    assert server.execute(changed) == [(False, None, ""), (True, 5, "")]
    await database.fetch(operator_sql.RECORD_ERROR, name="daily", error="y")
    assert server.execute(changed) == [(False, None, "y"), (True, 5, "")]
    assert await database.fetch(operator_sql.REMOVE_SCHEDULE, name="daily") == [("daily",)]
    assert await database.fetch(operator_sql.SCHEDULE_NAMES) == [("nightly",)]


async def test_a_schedule_is_added_once(server: Database, database: OperatorDatabase) -> None:
    """With all its values; one of the same name stays as it is."""
    values = {"cron": "@daily", "tz": "UTC", "next_at": NIGHTLY, "overlap": "queue", "late": "2 hours"}
    further = {"workspace": "other", "source": '{"name": "a"}', "settings": '{"b": 2}'}
    assert await database.fetch(operator_sql.ADD_SCHEDULE, name="new", **values, **further) == [("new",)]
    assert await database.fetch(operator_sql.ADD_SCHEDULE, name="daily", **values, **further) == []
    stored = "SELECT cron, tz, overlap, extract(hour FROM late)::int, workspace, source, settings, paused FROM schedule"
    assert server.execute(f"{stored} WHERE name = 'new'") == [
        ("@daily", "UTC", "queue", 2, "other", {"name": "a"}, {"b": 2}, False)
    ]
    assert server.execute(f"{stored} WHERE name = 'daily'")[0][:2] == ("0 5 * * *", "Asia/Tokyo")


async def test_a_tick_makes_one_run(server: Database, database: OperatorDatabase) -> None:
    """With the values of its schedule and the time at which it was made; a missed tick is recorded once."""
    values = {"workspace": "main", "settings": '{"a": 1}', "reason": "leavers", "name": "nightly", "due_at": NIGHTLY}
    assert await database.fetch(operator_sql.ADD_SCHEDULED_RUN, **values) == [(1,)]
    assert await database.fetch(operator_sql.ADD_SCHEDULED_RUN, **values) == []
    ((created, *run),) = server.execute(
        "SELECT created_at, workspace, settings, reason, schedule, is_released FROM run"
    )
    assert run == ["main", {"a": 1}, "leavers", "nightly", False]
    assert created == pytest.approx(time.time() * 1000, abs=600_000)
    for _ in range(2):
        await database.fetch(operator_sql.ADD_MISSED, name="daily", due_at=NIGHTLY, why="late")
    assert server.execute("SELECT why FROM missed WHERE schedule = 'daily' ORDER BY due_at") == [("late",), ("other",)]


RUN = "INSERT INTO run (workspace, schedule, due_at, created_at, is_released, stop, ended_at) VALUES "
NOT_DUE = "UPDATE schedule SET next_at = now() + interval '1 day' WHERE name = 'nightly'"


@pytest.mark.parametrize(
    ("change", "has_work"),
    [
        ("SELECT 1", True),
        ("UPDATE schedule SET paused = true", False),
        (NOT_DUE, False),
        (f"{NOT_DUE}; UPDATE schedule SET paused = false", False),
        (f"{NOT_DUE}; {RUN} ('main', 'nightly', now(), 1, false, '', NULL)", True),
        (f"{NOT_DUE}; {RUN} ('main', NULL, NULL, 1, false, '', NULL)", False),
        (f"{NOT_DUE}; {RUN} ('main', 'nightly', now(), 1, true, '', NULL)", False),
        (f"{NOT_DUE}; {RUN} ('main', 'nightly', now(), 1, false, 'refused', NULL)", False),
        (f"{NOT_DUE}; {RUN} ('main', 'nightly', now(), 1, false, '', 5)", False),
    ],
)
async def test_whether_there_is_work_for_schedules(
    server: Database, database: OperatorDatabase, change: str, has_work: bool
) -> None:
    """A schedule that is due and not paused, or a run of one that was not made yet."""
    server.execute(change)
    assert await database.fetch(operator_sql.HAS_SCHEDULE_WORK) == [(has_work,)]


async def test_runs_that_no_worker_makes_are_found(server: Database, database: OperatorDatabase) -> None:
    """Runs of schedules, not made, without a job that waits or is processed; the oldest first."""
    server.execute(
        RUN
        + "('main', 'nightly', '2026-01-01', 1, false, '', NULL), ('other', 'daily', '2026-01-02', 1, false, '', NULL),"
        " ('main', 'nightly', '2026-01-03', 1, false, '', NULL), ('main', NULL, NULL, 1, false, '', NULL),"
        " ('main', 'nightly', '2026-01-04', 1, true, '', NULL), ('main', 'nightly', '2026-01-05', 1, false, 'x', NULL),"
        " ('main', 'nightly', '2026-01-06', 1, false, '', 5), ('main', 'nightly', '2026-01-07', 1, false, '', NULL)"
    )
    assert await database.fetch(operator_sql.UNMADE_RUNS) == [("main", 1), ("other", 2), ("main", 3), ("main", 8)]
    for run, status in ((1, "doing"), (2, "todo"), (3, "failed"), (9, "todo")):
        server.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, status)"
            f" VALUES ('ws:main', 'task', 'run:{run}', 'run:{run}', '{status}')"
        )
    assert await database.fetch(operator_sql.UNMADE_RUNS) == [("main", 3), ("main", 8)]


async def test_what_a_run_of_a_schedule_is_made_of(server: Database, database: OperatorDatabase) -> None:
    """Its own settings and the source of its schedule; None where that was removed."""
    server.execute(
        "INSERT INTO run (workspace, schedule, due_at, created_at, settings, reason) VALUES"
        " ('other', 'nightly', now(), 1, '{\"b\": 2}', 'leavers'), ('main', 'gone', now(), 1, '{}', '')"
    )
    ((*state, settings, source, workspace, url, schedule, reason),) = await database.fetch(
        operator_sql.SCHEDULED_SOURCE, run=1
    )
    assert (state, settings, source["name"]) == ([False, "", None], {"b": 2}, "job.csv")
    assert (workspace, url, schedule, reason) == ("other", "https://other.example.org", "nightly", "leavers")
    assert (await database.fetch(operator_sql.SCHEDULED_SOURCE, run=2))[0][3:5] == ({}, None)


async def test_a_run_is_verified_by_one_command(database: OperatorDatabase) -> None:
    """Another run can be verified meanwhile; only the run that is being verified cannot be resumed."""
    async with open_operator_database(database.config) as other:
        assert await database.fetch(operator_sql.LOCK_VERIFICATION, run=1) == [(True,)]
        assert await other.fetch(operator_sql.LOCK_VERIFICATION, run=1) == [(False,)]
        assert await other.fetch(operator_sql.LOCK_VERIFICATION, run=2) == [(True,)]
        assert await other.fetch(operator_sql.IS_NOT_VERIFIED, run=1) == [(False,)]
        assert await other.fetch(operator_sql.IS_NOT_VERIFIED, run=3) == [(True,)]
