"""Check and plan with the installed command: what is predicted, what is planned, and what the run then does."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from rolecall.sandbox import Fault, FaultMatch, Kind, Sandbox
from rolecall.sandbox.org_world import user
from tests.support.command import environment, outcomes, read_report, rolecall, write_job
from tests.support.organisation import FAST, LEADERS, NO_ROLE, RUN, changes, organisation

pytestmark = pytest.mark.e2e


async def test_check_changes_nothing_and_dry_run_is_the_same(tmp_path: Path) -> None:
    """`check` and `run --dry-run` give one prediction, in the form of a report, and send no change."""
    world, job = organisation(), write_job(tmp_path / "job.csv", [*LEADERS, NO_ROLE, LEADERS[0]])
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        checked = await rolecall("check", job, "--out", "a", *FAST, cwd=tmp_path, env=env)
        dry = await rolecall("run", job, "--dry-run", "--out", "b", *FAST, cwd=tmp_path, env=env)
    assert (checked.code, dry.code) == (0, 0)
    assert "Predicted; nothing was changed. 4 rows: 2 would_remove, 1 not_leader, 1 duplicate." in checked.stdout
    assert "Members will see 2 system messages in 2 groups" in checked.stdout
    assert changes(world) == []
    expected = Counter({("would_remove", ""): 2, ("not_leader", "not_needed"): 1, ("duplicate", "duplicate_of"): 1})
    assert outcomes(tmp_path / "a") == outcomes(tmp_path / "b") == expected
    assert not (tmp_path / "a/retry.csv").exists()


async def test_the_run_does_only_what_was_planned(tmp_path: Path) -> None:
    """Rows that the check found to be nothing, or refused, are told so and not sent; the others are sent once."""
    world = organisation()
    job = write_job(tmp_path / "job.csv", [*LEADERS, NO_ROLE, ("noSuchRoom", user("sales.lead"))])
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall("check", job, "--save-plan", "plan.jsonl", *FAST, cwd=tmp_path, env=env)
        done = await rolecall("run", job, "--plan", "plan.jsonl", "--out", "out", *RUN, cwd=tmp_path, env=env)
        again = await rolecall("run", job, "--plan", "plan.jsonl", "--out", "out", *RUN, cwd=tmp_path, env=env)
    assert done.code == again.code == 1
    assert changes(world) == [("groups.removeLeader", *pair) for pair in LEADERS]
    assert [(row["outcome"], row["reason"], row["attempts"]) for row in read_report(tmp_path / "out")] == [
        ("removed", "", "1"),
        ("removed", "", "1"),
        ("not_leader", "not_needed", "0"),
        ("failed", "room_not_found", "0"),
    ]
    assert "Nothing left to do" in again.stdout


@pytest.mark.parametrize("reading", ["--read-roles", "--no-read-roles"])
async def test_a_row_that_no_longer_fits_the_plan_is_not_sent(reading: str, tmp_path: Path) -> None:
    """A role that another took since the check, or a user who left, is reported as different, and nothing is sent."""
    world, job = organisation(), write_job(tmp_path / "job.csv", LEADERS)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall("check", job, "--save-plan", "plan.jsonl", *FAST, cwd=tmp_path, env=env)
        world.join(*LEADERS[0])
        del world.rooms[LEADERS[1][0]].members[LEADERS[1][1]]
        await rolecall("run", job, "--plan", "plan.jsonl", "--out", "out", reading, *RUN, cwd=tmp_path, env=env)
    rows = [(row["outcome"], row["reason"], row["message"]) for row in read_report(tmp_path / "out")]
    if reading == "--no-read-roles":
        assert [(outcome, reason) for outcome, reason, _ in rows] == [("removed", ""), ("failed", "user_not_in_room")]
        return
    assert changes(world) == []
    assert rows == [
        ("not_leader", "differs_from_plan", "planned to be sent, but read now: not_needed"),
        ("failed", "differs_from_plan", "planned to be sent, but read now: user_not_in_room"),
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("job", "made for another job file"),
        ("operation", "made for another operation"),
        ("account", "made as bulk.bot, not second.bot"),
        ("workspace", "made for another workspace"),
        ("begun", "was started without this plan"),
        ("retry", "leave out --dry-run and --retry-failed"),
    ],
)
async def test_a_plan_for_something_else_is_refused(change: str, told: str, tmp_path: Path) -> None:
    """Another job, operation, account or workspace than the plan's ends the run before anything is sent."""
    world, job = organisation(), write_job(tmp_path / "job.csv", LEADERS)
    world.add_account("secondBot", "second-token", username="second.bot", roles=("user", "admin"))
    async with Sandbox(world) as sandbox, Sandbox(organisation()) as other:
        env = environment(sandbox.url)
        await rolecall("check", job, "--save-plan", "plan.jsonl", *FAST, cwd=tmp_path, env=env)
        more: tuple[str, ...] = ()
        match change:
            case "job":
                write_job(job, LEADERS[:1])
            case "operation":
                more = ("--operation", "groups.removeOwner")
            case "account":
                env |= {"ROCKETCHAT_USER_ID": "secondBot", "ROCKETCHAT_AUTH_TOKEN": "second-token"}
            case "workspace":
                env |= {"ROCKETCHAT_URL": other.url}
            case "begun":
                one = Fault(Kind.STATUS, FaultMatch(user=LEADERS[1][1]), times=None, status=500)
                sandbox.faults.add(one)
                await rolecall("run", job, "--out", "out", "--max-attempts", "1", *RUN, cwd=tmp_path, env=env)
                world.record.calls.clear()
            case "retry":
                more = ("--retry-failed",)
        words = ("--plan", "plan.jsonl", "--out", "out", *RUN, *more)
        refused = await rolecall("run", job, *words, cwd=tmp_path, env=env)
    assert refused.code == 2
    assert told in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert changes(world) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (r"^.*userSalesLead.*\n", "", "plan.jsonl: line 3 is not the job's pair"),
        (r"(^.*userSalesLead.*\n)", r"\1\1", "plan.jsonl: line 4 is not the job's pair"),
        ("userSalesLead", "userSalesDeputy", "plan.jsonl: line 3 is not the job's pair"),
        ('"would_remove"', '"added"', "plan.jsonl: line 2: no row of groups.removeLeader is added"),
        ('"would_remove"', '"unknown"', "plan.jsonl: line 2: no row of groups.removeLeader is unknown"),
    ],
    ids=["a pair left out", "a pair twice", "another pair", "another operation's outcome", "no prediction"],
)
async def test_a_plan_that_was_changed_is_refused(old: str, new: str, told: str, tmp_path: Path) -> None:
    """A pair that somebody has struck out of the plan is not sent as if it were planned, and no outcome is made up."""
    world, job, plan = organisation(), write_job(tmp_path / "job.csv", LEADERS), tmp_path / "plan.jsonl"
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall("check", job, "--save-plan", plan, *FAST, cwd=tmp_path, env=env)
        plan.write_text(re.sub(old, new, plan.read_text("utf-8"), count=1, flags=re.MULTILINE), "utf-8")
        refused = await rolecall("run", job, "--plan", plan, "--out", "out", *RUN, cwd=tmp_path, env=env)
    assert refused.code == 2
    assert told in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert changes(world) == []
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("taken", ["job.csv", "no/plan.jsonl"])
async def test_a_plan_overwrites_nothing_but_a_plan(taken: str, tmp_path: Path) -> None:
    """A plan takes the place of an older plan only; that it can be written is looked at before anything is read."""
    world, job = organisation(), write_job(tmp_path / "job.csv", LEADERS)
    before = job.read_bytes()
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        refused = await rolecall("check", job, "--save-plan", taken, *FAST, cwd=tmp_path, env=env)
        assert world.calls == []
        twice = [await rolecall("check", job, "--save-plan", "p", *FAST, cwd=tmp_path, env=env) for _ in range(2)]
    assert (refused.code, len(refused.stderr.splitlines())) == (2, 1)
    assert [end.code for end in twice] == [0, 0]
    assert job.read_bytes() == before


async def test_the_report_of_a_check_stays_a_prediction(tmp_path: Path) -> None:
    """`report` on a check's folder says that nothing was changed, and makes neither a page nor rows to send again."""
    world, job = organisation(), write_job(tmp_path / "job.csv", [*LEADERS, ("noSuchRoom", "nobody")])
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall("check", job, "--out", "checked", *FAST, cwd=tmp_path, env=env)
        before = {path.name for path in (tmp_path / "checked").iterdir()}
        told = await rolecall("report", "checked", cwd=tmp_path, env=env)
    assert told.code == 1
    assert "Predicted; nothing was changed. 3 rows: 2 would_remove, 1 failed." in told.stdout
    assert {path.name for path in (tmp_path / "checked").iterdir()} == before


async def test_a_check_tells_only_of_the_present_job(tmp_path: Path) -> None:
    """A row that was taken out of the job file is in neither the report nor the plan of a later check."""
    world, job = organisation(), write_job(tmp_path / "job.csv", LEADERS)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall("check", job, "--out", "checked", *FAST, cwd=tmp_path, env=env)
        write_job(job, LEADERS[:1])
        words = ("--out", "checked", "--save-plan", "plan.jsonl", *FAST)
        again = await rolecall("check", job, *words, cwd=tmp_path, env=env)
    assert again.code == 0
    assert outcomes(tmp_path / "checked") == Counter({("would_remove", ""): 1})
    assert len((tmp_path / "plan.jsonl").read_text("utf-8").splitlines()) == 2


async def test_json_log_lines_of_what_reads(tmp_path: Path) -> None:
    """With --log-format json each line that a check says on stderr while it reads is one JSON object."""
    world, job = organisation(), write_job(tmp_path / "job.csv", LEADERS)
    once = Fault(Kind.STATUS, FaultMatch(route="groups.roles", room=LEADERS[0][0]), status=500)
    async with Sandbox(world, faults=[once]) as sandbox:
        words = ("check", job, "--log-format", "json", "--retry-backoff", "0.01", *FAST)
        checked = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert checked.code == 0
    assert [json.loads(line)["event"] for line in checked.stderr.splitlines()] == ["retrying read"]
