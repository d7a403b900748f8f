"""What the statements of operators find and change in a database with several runs: always their own run alone."""

import time
from typing import Any

import pytest

from rolecall.cluster.database import operator_sql
from rolecall.cluster.database.operator_database import OperatorDatabase, open_operator_database
from rolecall.cluster.database.worker_sql import NOW_MS
from rolecall.cluster.runs.records import RunState, WorkingHost, read_run, read_runs
from rolecall.models import Outcome
from rolecall.store.records import Count
from tests.support.postgres import Database

RUNS = f"""
    INSERT INTO workspace (name, url) VALUES ('main', 'https://chat.example.org'), ('other', 'https://other.example.org');
    INSERT INTO schedule (name, cron, tz, next_at, workspace, source)
        VALUES ('nightly', '0 2 * * *', 'UTC', '2026-05-06 02:00+00', 'main', '{{}}');
    INSERT INTO run (workspace, operation, job_digest, account, settings, reason, created_at, is_released, stop,
        stop_detail, ended_at, refusal)
        VALUES ('main', 'remove', 'one', 'bot', '{{"a": 1}}', 'leavers', 1000, true, '', '', 5000, ''),
            ('other', 'remove', 'one', 'bot', '{{}}', '', 2000, true, 'outage', 'no answer', NULL, 'wrong account');
    INSERT INTO run (workspace, operation, job_digest, parent, schedule, due_at, created_at, is_released)
        VALUES ('main', 'add', 'two', 1, 'nightly', '2026-05-05 02:00+00', 3000, true),
            ('main', 'add', 'two', 1, NULL, NULL, 4000, false);
    INSERT INTO shard (run_id, done, holder) VALUES (1, true, 'live'), (2, false, 'dead'), (3, false, 'live'),
        (3, false, 'live'), (3, true, 'live'), (3, false, 'standby'), (4, false, '');
    INSERT INTO worker (id, host, egress, version, workspaces, started_at, seen_at)
        VALUES ('live', 'host-1', 'office', '1', '{{main,third}}', 0, {NOW_MS} + 600000),
            ('standby', 'host-2', 'nat', '1', '{{main}}', 0, {NOW_MS} + 600000),
            ('beside', 'host-4', 'office', '1', '{{main}}', 0, {NOW_MS} + 600000),
            ('dead', 'host-3', 'office', '1', '{{other}}', 0, {NOW_MS} - 3600000);
    INSERT INTO group_count (run_id, shard_id, part, outcome, reason, in_doubt, evidence, rows)
        VALUES (1, 1, 'job', 'removed', '', false, 'response', 5), (1, 1, 'job', 'removed', '', false, 'roles', 2),
            (1, 1, 'job', 'failed', 'forbidden', false, '', 3), (1, 1, 'job', 'failed', 'gone', false, '', 0),
            (2, 2, 'job', '', '', false, '', 4), (3, 3, 'job', '', '', true, '', 2), (3, 4, 'job', '', '', true, '', 1),
            (3, 3, 'job', '', '', false, '', 6), (3, 3, 'job', 'unknown', 'timeout', true, '', 1),
            (3, 4, 'removed', 'failed', 'x', false, '', 1), (3, 0, 'unsent', 'invalid', 'bad', false, '', 1),
            (4, 7, 'job', '', '', false, '', 9);
    INSERT INTO settled (run_id, finished_at, rows)
        VALUES (1, {NOW_MS}, 5), (3, {NOW_MS} + 600000, 3), (3, {NOW_MS} + 599999, 2), (3, {NOW_MS} - 3600000, 40);
"""
"""Run 1 has ended, 2 is stopped, 3 is being processed, 4 was not released; 3 and 4 undo 1."""


END = "UPDATE run SET ended_at = 1 WHERE id = 3"


@pytest.fixture
def contents() -> str:
    """Return the statements that add four runs."""
    return RUNS


async def test_runs_are_listed_the_newest_first(database: OperatorDatabase) -> None:
    """All of them, those of a workspace, and at most as many as requested."""
    for workspace, limit, expected in (
        (None, 9, [4, 3, 2, 1]),
        ("main", 9, [4, 3, 1]),
        ("main", 2, [4, 3]),
        ("x", 9, []),
    ):
        assert [run.record.run_id for run in await read_runs(database, workspace, limit)] == expected


async def test_a_listed_run_has_all_that_is_recorded_of_it(database: OperatorDatabase) -> None:
    """Its workspace, job, parent, schedule, stop and times, and the number of its own shards."""
    unreleased, scheduled, stopped, ended = [run.record for run in await read_runs(database, None, 9)]
    assert ended[:-3] == (
        1, "main", "https://chat.example.org", "remove", "one", "bot", "leavers", None, None, None, True, "", "", 1000,
        5000, {"a": 1}, 1, 1,
    )  # fmt: skip
    assert stopped[1:4] == ("other", "https://other.example.org", "remove")
    assert stopped[11:18] == ("outage", "no answer", 2000, None, {}, 1, 0)
    assert scheduled[7:11] == (1, "nightly", scheduled.due_at, True)
    assert scheduled.due_at is not None
    assert scheduled.due_at.isoformat()[:16] == "2026-05-05T02:00"
    assert (scheduled.shards, scheduled.shards_done) == (4, 1)
    assert (unreleased.is_released, unreleased.shards) == (False, 1)
    assert (ended.refusal, stopped.refusal) == ("", "wrong account")
    assert ended.at == pytest.approx(time.time() * 1000, abs=600_000)


async def test_a_listed_run_has_its_own_rows_and_workers(database: OperatorDatabase) -> None:
    """Rows are added up over shards and evidence; a live worker with a shard that is not done counts."""
    _, scheduled, stopped, ended = await read_runs(database, None, 9)
    assert set(ended.counts) == {Count(Outcome.REMOVED, "", 7), Count(Outcome.FAILED, "forbidden", 3)}
    assert set(stopped.counts) == {Count(Outcome.NOT_ATTEMPTED, "outage", 4)}
    assert set(scheduled.counts) == {
        Count(Outcome.UNKNOWN, "killed_in_flight", 3),
        Count(Outcome.NOT_ATTEMPTED, "", 6),
        Count(Outcome.UNKNOWN, "timeout", 1),
        Count(Outcome.FAILED, "x", 1),
        Count(Outcome.INVALID, "bad", 1),
    }
    assert (list(ended.workers), list(stopped.workers)) == ([], [])
    assert list(scheduled.workers) == [
        WorkingHost("standby", "host-2", "nat", 1),
        WorkingHost("live", "host-1", "office", 2),
    ]
    assert (ended.state, stopped.state, scheduled.state) == (RunState.FINISHED, RunState.STOPPED, RunState.RUNNING)
    assert scheduled.progress.per_second == pytest.approx(5 / 60)
    assert scheduled.problem == ""


async def test_a_single_run_is_as_it_is_listed(database: OperatorDatabase) -> None:
    """With its own rows and workers, but for the time of the reading."""
    for listed in await read_runs(database, None, 9):
        found = await read_run(database, listed.record.run_id)
        assert found.record._replace(at=0) == listed.record._replace(at=0)
        assert (sorted(found.counts), list(found.workers)) == (sorted(listed.counts), list(listed.workers))
        assert (found.state, found.problem) == (listed.state, listed.problem)
        assert found.record.at == pytest.approx(listed.record.at, abs=600_000)
        assert found.progress.per_second == pytest.approx(listed.progress.per_second)


async def test_live_workers_are_counted_by_workspace(database: OperatorDatabase) -> None:
    """A worker counts for each workspace that it has credentials for; a dead one for none."""
    ms = 1_200_000
    assert await database.fetch(operator_sql.LIVE_WORKERS, ms=ms) == [("main", 3), ("third", 1)]
    assert sorted(await database.fetch(operator_sql.SERVED, ms=ms)) == [("main",), ("third",)]
    assert await database.fetch(operator_sql.COUNT_SENDERS, workspace="main", ms=ms) == [(2,)]
    assert await database.fetch(operator_sql.COUNT_SENDERS, workspace="other", ms=ms) == [(0,)]
    assert await database.fetch(operator_sql.WORKING, runs=[1, 2, 3], ms=ms) == [
        (3, "standby", "host-2", "nat", 1),
        (3, "live", "host-1", "office", 2),
    ]
    assert sorted(await database.fetch(operator_sql.LATELY, runs=[1, 3], ms=ms)) == [(1, 5), (3, 5)]


@pytest.mark.parametrize(
    ("change", "values", "found"),
    [
        ("", {}, [(3,)]),
        ("", {"workspace": "other"}, []),
        ("", {"operation": "remove"}, []),
        ("", {"digest": "one"}, []),
        ("", {"workspace": "other", "operation": "remove", "digest": "one"}, [(2,)]),
        ("", {"operation": "remove", "digest": "one"}, []),
        ("UPDATE run SET is_released = true WHERE id = 4", {}, [(4,)]),
        (END, {}, [(3,)]),
        (f"{END}; UPDATE group_count SET rows = 0 WHERE outcome = ''", {}, [(3,)]),
        (f"{END}; UPDATE group_count SET outcome = 'removed' WHERE run_id = 3", {}, []),
        (f"{END}; UPDATE group_count SET part = 'removed' WHERE run_id = 3", {}, []),
        (f"{END}; UPDATE group_count SET rows = 0 WHERE run_id = 3", {}, []),
        (f"{END}; DELETE FROM group_count WHERE outcome = 'unknown'", {}, [(3,)]),
    ],
)  # fmt: skip
async def test_an_unfinished_run_of_the_same_job(
    server: Database, database: OperatorDatabase, change: str, values: dict[str, str], found: list[tuple[int]]
) -> None:
    """The newest one that was released, and has not ended or has rows of the job without an outcome or in doubt."""
    server.execute(change or "SELECT 1")
    job = {"workspace": "main", "operation": "add", "digest": "two", **values}
    assert await database.fetch(operator_sql.SAME_JOB, **job) == found


async def test_the_undo_of_a_run(server: Database, database: OperatorDatabase) -> None:
    """The newest one that was released counts; another one of the same rows is not the run itself."""
    assert await database.fetch(operator_sql.UNDO_OF, run=1) == [(3, "two")]
    assert await database.fetch(operator_sql.UNDO_OF, run=3) == []
    assert await database.fetch(operator_sql.UNDONE_BY, parent=1, digest="two", run=4) == [(3,)]
    assert await database.fetch(operator_sql.UNDONE_BY, parent=1, digest="two", run=3) == []
    assert await database.fetch(operator_sql.UNDONE_BY, parent=1, digest="one", run=4) == []
    assert await database.fetch(operator_sql.UNDONE_BY, parent=2, digest="two", run=4) == []
    server.execute("UPDATE run SET is_released = true")
    assert await database.fetch(operator_sql.UNDO_OF, run=1) == [(4, "two")]
    server.execute(
        "INSERT INTO run (workspace, job_digest, parent, created_at, is_released) VALUES ('main', 'two', 1, 1, true)"
    )
    assert await database.fetch(operator_sql.UNDONE_BY, parent=1, digest="two", run=9) == [(5,)]


async def states(server: Database) -> list[Any]:
    """Return what changes of each run: released, stop, detail, whether it has ended, account."""
    return server.execute("SELECT is_released, stop, stop_detail, ended_at IS NOT NULL, account FROM run ORDER BY id")


@pytest.mark.parametrize(
    ("change", "digest", "released"),
    [
        ("", "two", True),
        ("", "one", False),
        ("UPDATE run SET stop = 'refused' WHERE id = 4", "two", False),
        ("UPDATE run SET is_released = true WHERE id = 4", "two", False),
    ],
)
async def test_a_run_is_released_once(
    server: Database, database: OperatorDatabase, change: str, digest: str, released: bool
) -> None:
    """Not where it was stopped, or where another worker has imported another job into it meanwhile."""
    server.execute('UPDATE run SET settings = \'{"a": 1, "b": 1}\' WHERE id = 4; ' + change)
    before = await states(server)
    found = await database.fetch(operator_sql.RELEASE, run=4, digest=digest, settings='{"b": 2}')
    assert found == ([(4,)] if released else [])
    expected = {"a": 1, "b": 2} if released else {"a": 1, "b": 1}
    assert server.execute("SELECT settings, resumption FROM run WHERE id = 4") == [(expected, int(released))]
    assert (await states(server))[:3] == before[:3]
    assert (await states(server))[3][0] is (released or "is_released" in change)


async def test_only_a_run_that_was_not_released_is_discarded_or_refused(
    server: Database, database: OperatorDatabase
) -> None:
    """A run with rows to send stays; the first reason of a stop stays too."""
    before = await states(server)
    assert await database.fetch(operator_sql.REFUSE, run=3, stop="refused", detail="why") == []
    await database.fetch(operator_sql.DISCARD, run=3)
    assert await states(server) == before
    assert await database.fetch(operator_sql.REFUSE, run=4, stop="refused", detail="why") == [(4,)]
    assert await database.fetch(operator_sql.REFUSE, run=4, stop="refused", detail="again") == []
    assert await states(server) == [*before[:3], (False, "refused", "why", True, "")]
    assert server.execute(f"SELECT abs({NOW_MS} - ended_at) < 600000 FROM run WHERE id = 4") == [(True,)]
    await database.fetch(operator_sql.DISCARD, run=4)
    assert await states(server) == before[:3]


async def test_a_run_is_abandoned_unless_it_is_being_prepared(server: Database, database: OperatorDatabase) -> None:
    """Stopped or not; one that was released, that a schedule makes, or that is locked, is not abandoned."""
    server.execute(
        "INSERT INTO run (workspace, schedule, created_at, stop)"
        " VALUES ('main', 'nightly', 1, ''), ('main', NULL, 1, 'x'), ('main', NULL, 1, '')"
    )
    async with open_operator_database(database.config) as submission:
        await submission.fetch(operator_sql.LOCK_SUBMISSION, run=4)
        abandoned = {run.record.run_id: run.record.is_abandoned for run in await read_runs(database, None, 9)}
        assert abandoned == {1: False, 2: False, 3: False, 4: False, 5: False, 6: True, 7: True}
        assert {run: (await read_run(database, run)).record.is_abandoned for run in abandoned} == abandoned
        found = [await database.fetch(operator_sql.DISCARD_ABANDONED, run=run) for run in range(1, 8)]
        assert found == [[], [], [], [], [], [(6,)], [(7,)]]
        await submission.fetch("SELECT pg_advisory_unlock_all()")
    (unreleased,) = [run.record for run in await read_runs(database, None, 9) if run.record.run_id == 4]
    assert unreleased.is_abandoned
    assert await database.fetch(operator_sql.DISCARD_ABANDONED, run=4) == [(4,)]


async def test_the_runs_of_a_removed_schedule_that_were_not_made_are_refused(
    server: Database, database: OperatorDatabase
) -> None:
    """Runs that were made, that have ended, that were stopped or that belong to another schedule stay as they are."""
    server.execute(
        "INSERT INTO run (workspace, schedule, due_at, created_at, is_released, stop, ended_at)"
        " SELECT 'main', schedule, now() + each * interval '1 hour', 1, released, stop, ended FROM (VALUES"
        " (1, 'nightly', false, '', NULL::bigint), (2, 'nightly', true, '', NULL),"
        " (3, 'nightly', false, 'outage', NULL),"
        " (4, 'nightly', false, '', 7), (5, 'weekly', false, '', NULL)) AS row (each, schedule, released, stop, ended)"
    )
    before = await states(server)
    assert await database.fetch(operator_sql.REFUSE_UNMADE, name="nightly", stop="refused", detail="removed") == [(5,)]
    after = await states(server)
    assert after[4] == (False, "refused", "removed", True, "")
    assert server.execute(f"SELECT id FROM run WHERE abs({NOW_MS} - ended_at) < 600000") == [(5,)]
    assert after[:4] + after[5:] == before[:4] + before[5:]


async def test_what_decides_about_a_change_of_a_run(database: OperatorDatabase) -> None:
    """Whether it was released, why and when it ended, and its settings."""
    assert await database.fetch(operator_sql.LOCK_RUN, run=1) == [(True, "", 5000, {"a": 1})]
    assert await database.fetch(operator_sql.LOCK_RUN, run=2) == [(True, "outage", None, {})]
    assert await database.fetch(operator_sql.LOCK_RUN, run=9) == []


async def test_what_is_left_of_a_run(server: Database, database: OperatorDatabase) -> None:
    """The shards that are not done."""
    assert await database.fetch(operator_sql.SHARDS_TO_DO, run=3) == [(3,), (4,), (6,)]
    assert await database.fetch(operator_sql.SHARDS_TO_DO, run=1) == []


@pytest.mark.parametrize(
    ("outcomes", "reopened"),
    [(["unknown"], [8]), (["unknown", "failed"], [1, 8]), (["removed"], [1]), ([], [])],
)
async def test_shards_with_rows_to_send_are_opened_again(
    server: Database, database: OperatorDatabase, outcomes: list[str], reopened: list[int]
) -> None:
    """A shard that is done, of this run, with a row of the job that has one of the outcomes."""
    server.execute(
        "INSERT INTO shard (run_id, done) VALUES (1, true), (1, true), (1, true), (2, true);"
        " INSERT INTO group_count (run_id, shard_id, part, outcome, reason, in_doubt, evidence, rows) VALUES"
        " (1, 8, 'job', 'unknown', '', false, '', 1), (1, 9, 'removed', 'unknown', '', false, '', 1),"
        " (1, 10, 'job', 'unknown', '', false, '', 0), (2, 11, 'job', 'unknown', '', false, '', 1)"
    )
    found = await database.fetch(operator_sql.REOPEN_SHARDS, run=1, outcomes=outcomes)
    assert sorted(found) == [(shard,) for shard in reopened]
    done = server.execute("SELECT id FROM shard WHERE NOT done ORDER BY id")
    assert done == [(shard,) for shard in sorted([2, 3, 4, 6, 7, *reopened])]


@pytest.mark.parametrize(
    ("planned", "account"), [("", ""), (', "follows_plan": false', ""), (', "follows_plan": true', "bot")]
)
async def test_a_resumed_run_has_no_stop_and_no_account(
    server: Database, database: OperatorDatabase, planned: str, account: str
) -> None:
    """It keeps the account of its plan; other runs stay as they are, and so do the settings that are not named."""
    server.execute(
        f"UPDATE run SET stop = 'outage', stop_detail = 'x', account = 'bot', ended_at = 7, resumption = 3,"
        f' settings = \'{{"a": 1, "b": 1{planned}}}\''
    )
    before = await states(server)
    await database.fetch(operator_sql.RESUME, run=2, settings='{"b": 2}')
    assert await states(server) == [before[0], (True, "", "", False, account), *before[2:]]
    rows = server.execute(
        "SELECT settings ->> 'a', settings ->> 'b', resumption, refusal FROM run WHERE id IN (1, 2) ORDER BY id"
    )
    assert rows == [("1", "1", 3, ""), ("1", "2", 4, "")]


async def test_a_run_that_was_stopped_at_its_end_has_finished(server: Database, database: OperatorDatabase) -> None:
    """The time of its end stays where there is one."""
    server.execute("UPDATE run SET stop = 'outage', stop_detail = 'x'")
    for run in (1, 2):
        await database.fetch(operator_sql.FINISH, run=run)
    found = server.execute(
        f"SELECT stop, stop_detail, ended_at = 5000, abs({NOW_MS} - ended_at) < 600000 FROM run ORDER BY id"
    )
    assert found == [
        ("", "", True, False),
        ("", "", False, True),
        ("outage", "x", None, None),
        ("outage", "x", None, None),
    ]


async def test_a_run_that_was_brought_in_before_is_known(server: Database, database: OperatorDatabase) -> None:
    """By its workspace, operation, job and beginning; a run of workers is none."""
    values: dict[str, object] = {"workspace": "main", "operation": "remove", "digest": "one", "created_at": 1000}
    assert await database.fetch(operator_sql.IMPORTED_BEFORE, **values) == []
    server.execute('UPDATE run SET settings = \'{"imported_from": "folder"}\'')
    assert await database.fetch(operator_sql.IMPORTED_BEFORE, **values) == [(1,)]
    for name, other in (("workspace", "other"), ("operation", "add"), ("digest", "two"), ("created_at", 2000)):
        assert await database.fetch(operator_sql.IMPORTED_BEFORE, **{**values, name: other}) == []


async def test_workspaces_are_known_by_name_and_by_url(database: OperatorDatabase) -> None:
    """Each name has one URL, and each URL one name."""
    assert await database.fetch(operator_sql.WORKSPACE_URL, name="other") == [("https://other.example.org",)]
    assert await database.fetch(operator_sql.WORKSPACE_OF_URL, url="https://chat.example.org") == [("main",)]
    assert await database.fetch(operator_sql.WORKSPACE_OF_URL, url="https://example.org") == []


async def test_the_sessions_of_a_run_come_in_the_order_of_their_starts(
    server: Database, database: OperatorDatabase
) -> None:
    """Those of other runs do not come; a session of the whole run has the shard 0."""
    server.execute(
        "INSERT INTO session (run_id, shard_id, worker, account, started_at, ended_at, stop) VALUES"
        " (3, 3, 'live', 'bot', 30, 40, 'outage'), (3, NULL, '', 'bot', 10, NULL, ''), (3, 4, 'x', 'b', 10, 11, ''),"
        " (1, 1, 'live', 'bot', 5, 6, '')"
    )
    assert await database.fetch(operator_sql.SESSIONS, run=3) == [
        (10, None, "", "bot", "", 0),
        (10, 11, "", "b", "x", 4),
        (30, 40, "outage", "bot", "live", 3),
    ]
