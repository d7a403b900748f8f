"""`runs`, `status` without a directory, `compare`, and what the page says of the run before."""

import json
from pathlib import Path

from rolecall.sandbox import ACCOUNT, Sandbox, apply_role_change, leader_world
from tests.support.command import environment, rolecall, write_job
from tests.support.organisation import FAST

LEADERS = [(f"room{number % 3}", f"user{number}") for number in range(6)]


async def test_runs_are_listed_and_the_newest_is_shown(tmp_path: Path) -> None:
    """Each run is one line with the directory that other commands take, the newest first; `status` shows that one."""
    world = leader_world(LEADERS)
    first, second = write_job(tmp_path / "a.csv", LEADERS[:2]), write_job(tmp_path / "b.csv", LEADERS[2:])
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        none = await rolecall("runs", cwd=tmp_path, env=env)
        nothing = await rolecall("status", cwd=tmp_path, env=env)
        for words in (("run", first), ("run", second), ("check", first)):
            await rolecall(*words, *FAST, cwd=tmp_path, env=env)
        (tmp_path / "people.txt").write_text("user0\n")
        await rolecall("undo", next((tmp_path / "runs/a").iterdir()), *FAST, cwd=tmp_path, env=env)
        await rolecall("offboard", "--users", "people.txt", *FAST, cwd=tmp_path, env=env)
        listed = await rolecall("runs", "--json", cwd=tmp_path, env=env)
        shown = await rolecall("runs", "--limit", "2", cwd=tmp_path, env=env)
        checks = await rolecall("runs", "--checks", "--json", cwd=tmp_path, env=env)
        newest = await rolecall("status", "--json", cwd=tmp_path, env=env)
    assert (none.code, none.stdout, none.stderr) == (0, "", f"There are no runs below {tmp_path}.\n")
    assert nothing.code == 2
    found = json.loads(listed.stdout)
    assert [Path(run["where"]).parts[0] for run in found] == ["offboardings", "runs", "runs", "runs"]
    assert sorted(Path(run["where"]).name for run in found)[-2:] == ["groups.removeLeader", "undo"]
    assert all((tmp_path / run["where"] / "report.csv").exists() for run in found)
    assert {(run["operation"], run["rows"], run["state"]) for run in found} == {
        ("groups.removeLeader", 1, "finished"),
        ("groups.addLeader", 2, "finished"),
        ("groups.removeLeader", 4, "finished"),
        ("groups.removeLeader", 2, "finished"),
    }
    header, *lines = shown.stdout.splitlines()
    assert header.split() == ["started", "state", "operation", "rows", "outcomes", "where"]
    assert len(lines) == 2
    assert lines[0].rstrip().endswith(found[0]["where"])
    assert [Path(run["where"]).parts[0] for run in json.loads(checks.stdout)] == ["checks"]
    assert json.loads(newest.stdout)["folder"] == found[0]["where"]


async def test_a_run_that_cannot_be_read_is_listed_as_such(tmp_path: Path) -> None:
    """A damaged store hides no other run."""
    folder = tmp_path / "runs/a/20260101T000000Z"
    folder.mkdir(parents=True)
    (folder / "ledger.sqlite").write_bytes(b"no database")
    listed = await rolecall("runs", "--json", cwd=tmp_path, env=environment("http://127.0.0.1:9"))
    [run] = json.loads(listed.stdout)
    assert run["where"] == "runs/a/20260101T000000Z"
    assert run["problem"]


async def test_two_runs_are_compared(tmp_path: Path) -> None:
    """Equal runs: 0. Pairs with another outcome, or in one run only: 6, counted and listed. A check compares too."""
    world = leader_world(LEADERS)
    early, late = write_job(tmp_path / "early.csv", LEADERS[:4]), write_job(tmp_path / "late.csv", LEADERS[2:])
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        for words in (("check", early, "--out", "c"), ("run", early, "--out", "a"), ("run", late, "--out", "b")):
            await rolecall(*words, *FAST, cwd=tmp_path, env=env)
        equal = await rolecall("compare", "c", "a", cwd=tmp_path, env=env)
        other = await rolecall("compare", "a/report.csv", "b", cwd=tmp_path, env=env)
        as_json = await rolecall("compare", "a", "b", "--json", cwd=tmp_path, env=env)
        no_run = await rolecall("compare", "a", ".", cwd=tmp_path, env=env)
        await rolecall("undo", "a", *FAST, cwd=tmp_path, env=env)
        undone = await rolecall("compare", "a", "a/undo", cwd=tmp_path, env=env)
    assert (equal.code, equal.stdout) == (0, "4 pairs: 4 the same, 0 not.\n")
    assert other.code == 6
    assert other.stdout.splitlines()[0] == "6 pairs: 0 the same, 6 not."
    assert "room2 user2: removed -> not_leader (not_needed)" in other.stdout
    assert "room0 user0: removed -> not in it" in other.stdout
    printed = json.loads(as_json.stdout)
    assert (printed["same"], printed["differing"], printed["exitCode"]) == (0, 6, 6)
    assert {(each["before"], each["after"], each["rows"]) for each in printed["changes"]} == {
        ("removed", "not_leader", 2),
        ("removed", None, 2),
        (None, "removed", 2),
    }
    assert (no_run.code, undone.code) == (2, 2)
    assert "different operations" in undone.stderr


async def test_the_page_says_what_has_changed_since_the_last_run(tmp_path: Path) -> None:
    """The second run of a job has the outcomes with their difference from the first; the first has no such line."""
    job, world = write_job(tmp_path / "job.csv", LEADERS), leader_world(LEADERS)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall("run", job, *FAST, cwd=tmp_path, env=env)
        apply_role_change(world, ACCOUNT.user_id, *LEADERS[0], adds=True)
        await rolecall("run", job, *FAST, cwd=tmp_path, env=env)
    first, second = sorted((tmp_path / "runs/job").iterdir())
    assert "Since the last run" not in (first / "report.html").read_text()
    page = (second / "report.html").read_text()
    assert f"1 removed (-5), 5 not_leader (+5); before: {first.name}" in page
