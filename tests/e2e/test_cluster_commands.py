"""The commands on runs of a database: submitted, watched, stopped, resumed, reported, verified, undone, brought in."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rolecall.sandbox import ACCOUNT, EVERY_ROUTE, Fault, FaultMatch, Kind, Sandbox, World, leader_world
from tests.campaign.harms import faketime_environment, step_clock
from tests.support.cluster import Cluster, open_cluster
from tests.support.command import Ended, environment, finish, read_report, rolecall, start, write_job
from tests.support.postgres import shared_server

PAIRS = [(f"room{number // 10}", f"user{number}") for number in range(60)]
TIMES = ("startedAt", "finishedAt", "durationMs")
OUTCOMES_ONLY = ("outcomes", "reasons", "rows", "evidence", "operation", "jobDigest", "roomsNotJoined", "stop")

pytestmark = pytest.mark.e2e


class Operator:
    """Runs commands as an operator of a cluster does, in a folder."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.folder = cluster.folder
        self.job = write_job(cluster.folder / "job.csv", [*PAIRS, ("room0", "stranger"), PAIRS[0], ("closed", "user0")])
        self.file = cluster.workspaces_file()

    async def __call__(self, *words: str | Path, **variables: str) -> Ended:
        """Run a command to its end; no question is asked, and removals have no limit."""
        more = {"ROLECALL_WORKSPACES": str(self.file), "ROLECALL_YES": "1", "ROLECALL_MAX_REMOVALS": "100%"}
        return await rolecall(*words, cwd=self.folder, env=self.cluster.environment(**(more | variables)))

    async def json(self, *words: str | Path) -> Any:
        """Return the JSON document of a command."""
        ended = await self(*words, "--json")
        assert ended.stdout, ended.stderr
        return json.loads(ended.stdout)

    async def submit(self, *words: str | Path) -> str:
        """Submit the job and return the last line on stdout, the id of the run."""
        ended = await self("submit", self.job, "--shard-rows", "20", "--rate", "unlimited", *words)
        assert ended.code in (0, 1), ended.stderr
        return ended.stdout.splitlines()[-1]


@pytest.fixture
async def workspace() -> AsyncIterator[Sandbox]:
    """Return a workspace with a leader in each pair of the job."""
    async with Sandbox(new_world(), latency=0.005) as sandbox:
        yield sandbox


@pytest.fixture
async def operator(workspace: Sandbox, tmp_path: Path) -> AsyncIterator[Operator]:
    """Return an operator of a new database, without a worker."""
    async with open_cluster(shared_server().initialised_database(), workspace.url, tmp_path) as cluster:
        yield Operator(cluster)


def new_world() -> World:
    """Return a workspace with a leader in each pair of the job, and one in a group that the account has not joined."""
    world = leader_world(PAIRS)
    world.add_room("closed", name="board")
    world.join("closed", "user0", ("leader",))
    return world


def leaders(workspace: Sandbox) -> set[tuple[str, str]]:
    """Return the rooms and users in which a user is a leader, but for the calling account."""
    return {
        (room_id, user_id)
        for room_id, room in workspace.world.rooms.items()
        for user_id, roles in room.members.items()
        if user_id != ACCOUNT.user_id and "leader" in (roles or ())
    }


def without_times(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a report without what differs from one execution to the next."""
    return [{name: value for name, value in row.items() if name not in TIMES} for row in read_report(folder)]


async def test_a_run_of_workers_is_reported_as_one_of_this_machine(operator: Operator, tmp_path: Path) -> None:
    """The same job on two equal workspaces: both reports have the same rows, and both summaries the same counts."""
    await operator.cluster.start_worker("one")
    run = await operator.submit("--wait")
    report = await operator("runs", "report", run, "--out", "stored", "--report-format", "json")
    assert report.code == 1, "a row failed"
    assert "#board" in (tmp_path / "stored/not-joined.txt").read_text()
    async with Sandbox(new_world()) as equal:
        alone = await rolecall(
            "run", operator.job, "--out", "alone", "--rate", "unlimited", "--report-format", "json",
            cwd=tmp_path, env=environment(equal.url),
        )  # fmt: skip
    assert alone.code == 1
    assert without_times(tmp_path / "stored") == without_times(tmp_path / "alone")
    one, other = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("stored", "alone"))
    assert {name: one[name] for name in OUTCOMES_ONLY} == {name: other[name] for name in OUTCOMES_ONLY}
    assert one.keys() == other.keys()
    assert sorted(path.name for path in (tmp_path / "stored").iterdir()) == sorted(
        path.name for path in (tmp_path / "alone").iterdir() if path.name not in ("run.lock", "run.log.jsonl")
        and not path.name.startswith("ledger")
    )  # fmt: skip


async def test_an_imported_run_is_reported_byte_for_byte(
    operator: Operator, workspace: Sandbox, tmp_path: Path
) -> None:
    """A run of this machine that is brought in has the same files, but for the name of the run on its page."""
    alone = await rolecall("run", operator.job, "--out", "alone", cwd=tmp_path, env=environment(workspace.url))
    assert alone.code == 1
    refused = await operator("import", "alone", ROLECALL_WORKSPACES="")
    assert (refused.code, "does not know the workspace" in refused.stderr) == (2, True)
    brought = await operator("import", "alone")
    run = brought.stdout.strip()
    assert (brought.code, run.isdecimal()) == (0, True), brought.stderr
    assert (await operator("runs", "report", run, "--out", "stored")).code == 1
    for name in ("report.csv", "retry.csv", "summary.json"):
        assert (tmp_path / "stored" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes(), name
    again = await operator("import", "alone")
    assert (again.code, f"it is run {run}" in again.stderr) == (2, True)
    shown = await operator.json("runs", "show", run)
    assert (shown["state"], shown["rows"], shown["outcomes"]["removed"]) == ("finished", 63, 60)


async def test_names_of_files_that_are_no_text(operator: Operator, workspace: Sandbox, tmp_path: Path) -> None:
    """A job and a directory with bytes in their names that are no UTF-8 are scheduled and brought in all the same."""
    job, folder = os.fsdecode(b"job\xff.csv"), os.fsdecode(b"run\xff")
    write_job(tmp_path / job, PAIRS[:2])
    alone = await rolecall("run", job, "--out", folder, cwd=tmp_path, env=environment(workspace.url))
    assert alone.code == 0, alone.stderr
    added = await operator("schedule", "add", "odd", "--cron", "@yearly", "--job", job)
    assert (added.code, added.stderr) == (0, "")
    brought = await operator("import", folder)
    assert (brought.code, brought.stdout) == (0, "1\n"), brought.stderr
    await operator.cluster.start_worker("one")
    await operator.cluster.query("UPDATE schedule SET next_at = now() RETURNING name")
    await operator.cluster.wait_until("SELECT count(*) = 2 FROM run WHERE ended_at IS NOT NULL")


async def test_an_unfinished_run_is_brought_in_and_resumed(
    operator: Operator, workspace: Sandbox, tmp_path: Path
) -> None:
    """A run that stopped on one machine is stopped in the database, too; resumed, workers send what is left."""
    (tmp_path / "half").mkdir()
    half = write_job(tmp_path / "half/job.csv", PAIRS)
    env = environment(workspace.url, ROLECALL_MAX_FAILURES="1")
    write_job(half, [*(("nowhere", f"user{number}") for number in range(3)), *PAIRS])
    stopped = await rolecall("run", half, "--out", "alone", "--concurrency", "1", cwd=tmp_path, env=env)
    assert stopped.code == 4
    run = (await operator("import", "alone")).stdout.strip()
    shown = await operator.json("runs", "show", run)
    assert (shown["state"], shown["stop"]) == ("stopped", "interrupted")
    await operator.cluster.start_worker("one")
    resumed = await operator.json("runs", "resume", run)
    assert resumed["rows"] == shown["outcomes"]["not_attempted"]
    await operator.cluster.wait_until_ended(int(run))
    assert (await operator.json("runs", "show", run))["outcomes"]["removed"] == 60


async def test_an_imported_run_follows_its_plan(operator: Operator, workspace: Sandbox, tmp_path: Path) -> None:
    """A row whose state no longer fits the plan is reported so; and only the account of the plan sends its rows."""
    env = environment(workspace.url, ROLECALL_MAX_FAILURES="1")
    planned = write_job(tmp_path / "planned.csv", PAIRS)
    checked = await rolecall("check", planned, "--save-plan", "plan", "--out", "c", cwd=tmp_path, env=env)
    assert checked.code == 0, checked.stderr
    words = ("run", planned, "--plan", "plan", "--out", "alone", "--rate", "20/s", "--concurrency", "1")
    process = await start(*words, cwd=tmp_path, env=env)
    async with asyncio.timeout(20):
        while not workspace.world.calls or workspace.world.calls[-1].route != "groups.removeLeader":  # noqa: ASYNC110 - another process calls
            await asyncio.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert (await finish(process)).code == 130
    workspace.world.rooms["room5"].members["user59"] = []
    run = (await operator("import", "alone")).stdout.strip()
    assert await operator.cluster.query("SELECT account FROM run") == [("bulk.bot",)]
    await operator.cluster.start_worker("one")
    await operator("runs", "resume", run)
    await operator.cluster.wait_until_ended(int(run))
    ended = await operator.cluster.results(int(run))
    assert [(each.room_id, each.user_id) for each in ended if each.reason == "differs_from_plan"] == [PAIRS[59]]


async def test_a_run_is_stopped_and_resumed_by_its_id(operator: Operator) -> None:
    """Before a worker is up a run is queued and says so; stopped, nothing is sent; resumed, all of it."""
    run = await operator.submit()
    shown = await operator.json("runs", "show", run)
    assert (shown["state"], shown["problem"]) == (
        "queued",
        f"no worker has credentials for main at {operator.cluster.url}",
    )
    assert (shown["rows"], shown["outcomes"]["not_attempted"], shown["shards"]) == (63, 62, 4)
    listed = await operator("runs")
    assert f"run {run}" in listed.stdout
    assert "no worker has credentials for main" in listed.stdout
    refused = await operator("submit", operator.job)
    assert (refused.code, f"run {run}" in refused.stderr, refused.stdout) == (2, True, "")
    assert (await operator.json("runs", "stop", run))["stopped"]
    assert not (await operator.json("runs", "stop", run))["stopped"]
    worker = await operator.cluster.start_worker("one")
    await worker.wait_for_line("worker started")
    assert (await operator.json("runs", "show", run))["outcomes"]["not_attempted"] == 62
    assert (await operator.json("runs", "resume", run))["rows"] == 62
    await operator.cluster.wait_until_ended(int(run))
    assert (await operator.json("runs", "show", run))["state"] == "finished"
    nothing = await operator("runs", "resume", run)
    assert (nothing.code, "no row that is due" in nothing.stderr) == (2, True)


async def test_a_small_run_is_divided_among_the_live_workers(operator: Operator) -> None:
    """Without --shard-rows it is one shard while no worker is up, and several once there is one."""
    submit = ("submit", operator.job, "--rate", "10/m", "--new")
    assert (await operator.json(*submit))["shards"] == 1
    worker = await operator.cluster.start_worker("one")
    await worker.wait_for_line("worker started")
    assert (await operator.json(*submit))["shards"] == 4
    assert (await operator.json(*submit, "--shard-rows", "200"))["shards"] == 1


async def test_a_run_that_is_processed_is_not_reported(operator: Operator) -> None:
    """While a worker has a shard, rows in flight have no outcome yet: the report waits for the end or a stop."""
    run = await operator.submit()
    query = operator.cluster.query
    await query(
        "INSERT INTO rolecall.worker (id, host, egress, version, started_at, seen_at) "
        "VALUES ('w', 'h', 'e', '1', 0, (extract(epoch FROM now()) * 1000)::bigint) RETURNING id"
    )
    await query("UPDATE rolecall.shard SET holder = 'w' RETURNING id")
    refused = await operator("runs", "report", run)
    assert (refused.code, "is being processed by 1 worker" in refused.stderr) == (5, True)
    assert not (operator.folder / f"run-{run}").exists()
    await query("UPDATE rolecall.worker SET seen_at = 0 RETURNING id")
    assert (await operator("runs", "report", run)).code == 4, "it is unfinished, and the worker is dead"


async def test_a_resumed_run_goes_on_with_the_token_of_another_account(
    operator: Operator, workspace: Sandbox, tmp_path: Path
) -> None:
    """Once the account of a stopped run has lost its token, another one sends the rows that are left."""
    worker = await operator.cluster.start_worker("one")
    run = await operator.submit("--rate", "10/s")
    await operator.cluster.wait_for_rows(int(run), 5)
    await operator("runs", "stop", run)
    worker.signal(signal.SIGTERM)
    await worker.wait()
    workspace.world.add_account("otherBot", "other-token", username="other.bot", roles=("user", "admin", "bot"))
    for room in workspace.world.rooms.values():
        if ACCOUNT.user_id in room.members:
            room.members["otherBot"] = list(room.members[ACCOUNT.user_id] or ())
    operator.file.write_text(operator.file.read_text().replace(ACCOUNT.user_id, "otherBot"))
    await operator.cluster.start_worker("one", environ={"TEST_TOKEN": "other-token"})
    assert (await operator("runs", "resume", run)).code == 0
    await operator.cluster.wait_until_ended(int(run))
    assert await operator.cluster.query("SELECT account FROM run") == [("otherBot",)]
    results = await operator.cluster.results(int(run))
    assert sum(result.outcome == "removed" for result in results) == 60
    assert leaders(workspace) - {(room, "otherBot") for room in workspace.world.rooms} == {("closed", "user0")}


async def test_a_stopped_run_is_at_rest_while_its_worker_lives(operator: Operator, workspace: Sandbox) -> None:
    """A worker whose shard was stopped has it no longer: the wait ends, and the run is reported, verified, undone."""
    worker = await operator.cluster.start_worker("one")
    waiting = asyncio.create_task(operator("submit", operator.job, "--shard-rows", "20", "--rate", "10/s", "--wait"))
    await operator.cluster.wait_until("SELECT count(*) > 5 FROM rolecall.pair WHERE outcome IS NOT NULL")
    assert (await operator.json("runs", "stop", "1"))["stopped"]
    ended = await asyncio.wait_for(waiting, 30)
    assert (ended.code, worker.process.returncode) == (130, None), ended.stderr
    shown = await operator.json("runs", "show", "1")
    assert (shown["state"], shown["workers"]) == ("stopped", [])
    assert (await operator("runs", "report", "1", "--out", "stored")).code == 4
    assert (await operator.json("runs", "verify", "1"))["rows"]["differs"] == 0
    assert (await operator("runs", "undo", "1", "--wait", "--rate", "unlimited")).code == 0
    assert leaders(workspace) == {*PAIRS, ("closed", "user0")}


async def test_a_run_is_verified_and_undone(operator: Operator, workspace: Sandbox) -> None:
    """The roles are read back from this machine; the undo is a run of the workers, and is made once."""
    await operator.cluster.start_worker("one")
    run = await operator.submit("--wait")
    verified = await operator.json("runs", "verify", run)
    assert (verified["exitCode"], verified["rows"]["agrees"]) == (0, 60)
    undone = await operator("runs", "undo", run, "--wait", "--rate", "unlimited")
    undo = undone.stdout.splitlines()[-1]
    assert (undone.code, undo != run) == (0, True), undone.stderr
    assert leaders(workspace) == {*PAIRS, ("closed", "user0")}
    shown = await operator.json("runs", "show", undo)
    assert (shown["parent"], shown["outcomes"]["added"]) == (int(run), 60)
    again = await operator("runs", "undo", run)
    assert (again.code, f"run {undo} contains the report" in again.stderr) == (2, True)
    assert (await operator("runs", "verify", run)).code == 6


async def test_a_call_may_arrive_late_by_the_clock_of_the_database(operator: Operator, tmp_path: Path) -> None:
    """On a host whose clock is an hour ahead a row in doubt stays open for as long as its call may arrive."""
    run = await operator.submit()
    await operator("runs", "stop", run)
    await operator.cluster.query(
        "UPDATE pair SET in_doubt = true, attempts = 1, prior = 'has_role', accounts = %s, started_at = now.ms, "
        "attempted_at = now.ms, prior_read_at = now.ms "
        "FROM (SELECT (extract(epoch FROM now()) * 1000)::bigint AS ms) AS now WHERE user_id = 'user1' RETURNING key",
        ACCOUNT.user_id,
    )
    an_hour_ahead = faketime_environment(tmp_path)
    step_clock(tmp_path, 3600)
    verified = await operator("runs", "verify", run, "--no-wait", "--json", **an_hour_ahead)
    assert (verified.code, json.loads(verified.stdout)["rows"]["open"]) == (6, 1), verified.stderr
    assert await operator.cluster.query("SELECT count(*) FROM pair WHERE outcome = 'failed'") == [(0,)]


async def test_a_submission_that_is_refused_leaves_nothing(operator: Operator) -> None:
    """A run that takes too much, or that no person confirms, is not in the database."""
    too_many = await operator("submit", operator.job, ROLECALL_MAX_REMOVALS="10")
    assert (too_many.code, "Refused before the first change" in too_many.stderr) == (2, True)
    unasked = await operator("submit", operator.job, ROLECALL_YES="0")
    assert (unasked.code, "no terminal to confirm on" in unasked.stderr) == (2, True)
    assert await operator.json("runs") == []


@pytest.mark.parametrize("is_stopped_before", [False, True])
async def test_a_submission_that_is_killed_is_shown_and_deleted(
    operator: Operator, workspace: Sandbox, is_stopped_before: bool
) -> None:
    """While it goes on its run is only being prepared; after that it says what to do, and a stop leaves nothing.

    So it is too where the run was stopped while its submission was open.
    """
    workspace.faults.add(Fault(Kind.HANG_BEFORE, FaultMatch(route=EVERY_ROUTE)))
    env = operator.cluster.environment(ROLECALL_WORKSPACES=str(operator.file), ROLECALL_YES="1")
    submission = await start("submit", operator.job, cwd=operator.folder, env=env)
    await operator.cluster.wait_until("SELECT EXISTS (SELECT FROM run)")
    (before,) = await operator.json("runs")
    assert (before["state"], before["problem"]) == ("preparing", "")
    run = str(before["run"])
    if is_stopped_before:
        early = await operator("runs", "stop", run)
        assert early.stdout == f"Stopped run {run} before it was released: nothing was sent.\n"
    submission.kill()
    await submission.communicate()
    await operator.cluster.wait_until(
        "SELECT NOT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database"
        " WHERE locktype = 'advisory' AND datname = current_database())"
    )
    (after,) = await operator.json("runs")
    assert after["problem"] == f"its submission was ended, nothing was sent: 'rolecall runs stop {run}' deletes it"
    stopped = await operator("runs", "stop", run)
    assert stopped.stdout == f"Deleted run {run}: its submission was ended, and nothing was sent.\n"
    assert await operator.json("runs") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs", "show", "99"], "There is no run 99 in the database"),
        (["runs", "show", "job"], "'job' is no id of a run"),
        (["runs", "stop", "99"], "There is no run 99"),
        (["runs", "resume", "99"], "There is no run 99"),
        (["runs", "report", "99"], "There is no run 99"),
        (["runs", "verify", "99"], "There is no run 99"),
        (["runs", "undo", "99"], "There is no run 99"),
        (["runs", "sohw", "1"], "did you mean 'runs show'?"),
        (["submit", "job.csv", "--workspace", "mian"], "has no workspace 'mian'; did you mean 'main'?"),
        (["submit", "job.csv", "--workspaces", "none.toml"], "there is no such file of workspaces."),
        (["submit", "none.csv"], "none.csv"),
        (["schedule", "pause", "nightly"], "There is no schedule 'nightly'"),
        (["schedule", "remove", "nightly"], "There is no schedule 'nightly'"),
        (["schedule", "add", "a", "--cron", "61 * * * *", "--job", "job.csv"], "is not a cron expression"),
        (["schedule", "add", "a", "--cron", "@daily", "--tz", "Europe/Berln", "--job", "job.csv"], "Europe/Berlin"),
        (["schedule", "add", "a", "--cron", "@daily", "--late", "6", "--job", "job.csv"], "is not a duration"),
        (["schedule", "add", "a", "--cron", "@daily"], "name one source"),
        (["schedule", "add", "a b", "--cron", "@daily", "--job", "job.csv"], "no name of a schedule"),
        (["schedule"], "needs a second word: schedule add"),
        (["import", "."], "contains no run"),
    ],
)
async def test_bad_input_is_refused_in_one_line(operator: Operator, words: list[str], said: str) -> None:
    """Each mistake leads to exit code 2 and one line that names it."""
    ended = await operator(*words)
    assert (ended.code, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ROLECALL_DATABASE_URL": ""}, "needs a database: set ROLECALL_DATABASE_URL"),
        ({"ROLECALL_DATABASE_URL": "mysql://x"}, "must be an address such as postgresql://"),
        ({"ROLECALL_DATABASE_URL": "postgresql://a:secret@db.example.org/x"}, "add sslmode=verify-full"),
        ({"ROLECALL_WORKSPACES": ""}, "No file of workspaces is named. --workspaces"),
        ({"TEST_TOKEN": ""}, "token_env: the variable TEST_TOKEN is not set"),
    ],
)
async def test_a_setting_that_is_missing_or_wrong_is_named(
    operator: Operator, variables: dict[str, str], said: str
) -> None:
    """A submission without a database, a file of workspaces or a token says which, and never shows a password."""
    more = {"ROLECALL_WORKSPACES": str(operator.file), "ROLECALL_YES": "1"}
    env = {**operator.cluster.environment(**more), **variables}
    ended = await rolecall("submit", operator.job, cwd=operator.folder, env=env)
    assert (ended.code, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert "secret" not in ended.stderr
    assert ACCOUNT.token not in ended.stderr


async def test_each_user_has_the_rights_of_a_group(operator: Operator) -> None:
    """Who may only look sees runs and writes reports; a submission is refused with what an administrator can do."""
    run = await operator.submit()
    database = operator.cluster.database
    for user, group in (("looker", "rolecall_report"), ("anna", "rolecall_submit")):
        database.execute(f"DROP ROLE IF EXISTS {user}")
        database.execute(f"CREATE ROLE {user} LOGIN")
        database.execute(f"GRANT {group} TO {user}")
    looker, anna = (database.url.replace("rolecall_owner", user) for user in ("looker", "anna"))
    for reading in (("runs", "show", run), ("runs", "--prometheus"), ("schedule", "list"), ("workers",)):
        assert (await operator(*reading, ROLECALL_DATABASE_URL=looker)).code == 0
    assert (await operator("runs", "report", run, ROLECALL_DATABASE_URL=looker)).code == 4, "it is unfinished"
    for changing in (("submit", "job.csv", "--new"), ("runs", "stop", run), ("schedule", "pause", "x")):
        refused = await operator(*changing, ROLECALL_DATABASE_URL=looker)
        assert (refused.code, "GRANT rolecall_submit TO looker" in refused.stderr) == (2, True), refused.stderr
    for allowed in (("submit", "job.csv", "--new"), ("runs", "stop", run), ("database", "prune", "--older-than", "1d")):
        assert (await operator(*allowed, ROLECALL_DATABASE_URL=anna)).code == 0
    for user in ("looker", "anna"):
        database.execute(f"DROP OWNED BY {user}; DROP ROLE {user}")


async def test_the_workspace_of_a_run_must_be_that_of_the_file(operator: Operator, tmp_path: Path) -> None:
    """A name that the database knows with another URL is refused, and so is a URL with another name."""
    await operator.submit()
    text = operator.file.read_text()
    operator.file.write_text(text.replace(operator.cluster.url, "https://other.example.org"))
    other = await operator("submit", operator.job)
    assert (other.code, "the workspace 'main' of the database is" in other.stderr) == (2, True), other.stderr
    operator.file.write_text(text.replace("[workspaces.main]", "[workspaces.second]"))
    second = await operator("submit", operator.job)
    assert (second.code, "as the workspace 'main'" in second.stderr) == (2, True)


async def test_the_metrics_of_unfinished_runs_can_be_scraped(operator: Operator) -> None:
    """Prometheus' parser reads them; a run without a worker is marked."""
    from prometheus_client.parser import text_string_to_metric_families

    run = await operator.submit()
    text = (await operator("runs", "--prometheus")).stdout
    samples = {(sample.name, sample.labels.get("run")): sample.value
               for family in text_string_to_metric_families(text) for sample in family.samples}  # fmt: skip
    assert samples["rolecall_run_unserved", run] == 1
    assert samples["rolecall_run_workers", run] == 0


async def test_a_schedule_makes_its_run(operator: Operator, tmp_path: Path) -> None:
    """At its tick one run is made of the stored job and sent; it names its schedule, and the next tick is later."""
    added = await operator.json("schedule", "add", "often", "--cron", "* * * * *", "--job", operator.job)
    operator.job.unlink()
    await operator.cluster.query("UPDATE rolecall.schedule SET next_at = now() RETURNING name")
    await operator.cluster.start_worker("one")
    await operator.cluster.wait_until("SELECT count(*) > 0 FROM rolecall.run WHERE ended_at IS NOT NULL")
    (schedule,) = await operator.json("schedule", "list")
    shown = await operator.json("runs", "show", str(schedule["lastRun"]))
    assert (shown["schedule"], shown["outcomes"]["removed"]) == ("often", 60)
    assert shown["shards"] == 4, "20 rows each, because a worker is up"
    assert schedule["nextAt"] >= added["nextAt"]
    assert schedule["lastError"] == ""


async def test_a_scheduled_run_that_takes_too_much_is_refused(operator: Operator) -> None:
    """No person confirms it: the limit applies, the run ends with the reason, and the schedule shows it."""
    added = await operator(
        "schedule", "add", "nightly", "--cron", "@daily", "--job", operator.job, ROLECALL_MAX_REMOVALS="10"
    )
    assert added.code == 0
    await operator.cluster.query("UPDATE rolecall.schedule SET next_at = now() RETURNING name")
    await operator.cluster.start_worker("one")
    await operator.cluster.wait_until("SELECT count(*) > 0 FROM rolecall.run WHERE stop = 'refused'")
    await operator.cluster.wait_until("SELECT last_error <> '' FROM rolecall.schedule")
    (schedule,) = await operator.json("schedule", "list")
    assert "Refused before the first change" in schedule["lastError"]
    shown = await operator.json("runs", "show", str(schedule["lastRun"]))
    assert (shown["state"], shown["stop"]) == ("stopped", "refused")
