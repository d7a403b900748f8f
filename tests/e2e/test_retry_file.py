"""A run of `retry.csv` with the installed command: it settles what its parent run left in doubt."""

import csv
from pathlib import Path

import pytest

from rolecall.models import Outcome
from rolecall.rocketchat.operations import CARRIED_OUT
from rolecall.sandbox import ACCOUNT, Fault, FaultMatch, Kind, Sandbox, leader_world
from tests.support.command import environment, read_report, rolecall, write_job
from tests.support.truth import change_as_other, changing_calls

pytestmark = pytest.mark.e2e
ADMIN = "otherAdmin"
CHANGE = "groups.removeLeader"
FAST = ("--rate", "unlimited", "--retry-backoff", "0.01", "--yes", "--max-attempts", "1")
PAIRS = [("room", "anna"), ("room", "ben")]


def told(folder: Path) -> list[tuple[str, str, str, str]]:
    """Return user, outcome, reason and evidence of each row."""
    return [(row["userId"], row["outcome"], row["reason"], row["evidence"]) for row in read_report(folder)]


async def test_a_retry_of_a_retry_settles_as_the_same_run_would(tmp_path: Path) -> None:
    """Row and doubt go from one retry file to the next; the last run knows which account took the role, and when."""
    world = leader_world(PAIRS)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        sandbox.faults.add(Fault(Kind.STATUS, FaultMatch(route=CHANGE), status=502, html=True, times=None))
        job = write_job(tmp_path / "job.csv", PAIRS)
        await rolecall("run", job, "--out", "first", *FAST, cwd=tmp_path, env=env)
        assert {outcome for _, outcome, _, _ in told(tmp_path / "first")} == {"unknown"}
        await rolecall("run", "first/retry.csv", "--out", "second", *FAST, cwd=tmp_path, env=env)
        assert [row["attempts"] for row in read_report(tmp_path / "second")] == ["1", "1"]
        sandbox.faults.clear()
        sandbox.faults.add(Fault(Kind.DROP_AFTER, FaultMatch(user="anna", route=CHANGE)))
        await rolecall("run", "second/retry.csv", "--out", "third", *FAST, cwd=tmp_path, env=env)
    assert told(tmp_path / "third") == [("anna", "removed", "", "message"), ("ben", "removed", "", "response")]


@pytest.mark.parametrize("edited", [False, True])
async def test_what_the_parent_did_is_known_unless_the_file_was_edited(edited: bool, tmp_path: Path) -> None:
    """A role that the parent took is removed; with an edited value the run claims only what it saw itself."""
    world = leader_world(PAIRS[:1])
    fault = Fault(Kind.STATUS, FaultMatch(route=CHANGE), status=502, html=True)
    async with Sandbox(world, faults=[fault]) as sandbox:
        env = environment(sandbox.url)
        job = write_job(tmp_path / "job.csv", PAIRS[:1])
        await rolecall("run", job, "--out", "first", *FAST, cwd=tmp_path, env=env)
        retry = tmp_path / "first/retry.csv"
        if edited:
            retry.write_text(retry.read_text().replace("bulkBotAccount234", "bulkBotAccount235"))
        world.rooms["room"].members["anna"] = []  # the call that was given up arrives now; no message can be read
        checked = await rolecall("check", retry, *FAST[:2], cwd=tmp_path, env=env)
        ended = await rolecall("run", retry, "--out", "second", *FAST, cwd=tmp_path, env=env)
    assert (checked.code, ended.code) == (0, 0), (checked.stderr, ended.stderr)
    expected = ("not_leader", "not_needed", "") if edited else ("removed", "", "roles")
    assert told(tmp_path / "second") == [("anna", *expected)]
    (folder,) = (tmp_path / "checks/retry").iterdir()
    ((user, outcome, reason, evidence),) = told(folder)
    assert (user, CARRIED_OUT.get(Outcome(outcome), outcome), reason, evidence) == ("anna", *expected[:2], "")


@pytest.mark.parametrize("again", [False, True])
async def test_a_check_knows_what_is_in_doubt(again: bool, tmp_path: Path) -> None:
    """For each state of a row in doubt the check predicts what the run then reports, also when it is done again.

    A plan of that check can be followed.
    """
    users = ["gone", "goneUnseen", "others", "present", "left", "sure"]
    world = leader_world([("room", user) for user in users])
    world.add_user(ADMIN)
    fault = Fault(Kind.STATUS, FaultMatch(route=CHANGE), status=502, html=True, times=None)
    async with Sandbox(world, faults=[fault]) as sandbox:
        env = environment(sandbox.url)
        job = write_job(tmp_path / "job.csv", [("room", user) for user in users])
        await rolecall("run", job, "--out", "first", *FAST, cwd=tmp_path, env=env)
        sandbox.faults.clear()
        change_as_other(world, ACCOUNT.user_id, ("room", "gone"))
        change_as_other(world, ADMIN, ("room", "others"))
        world.rooms["room"].members["goneUnseen"] = []
        del world.rooms["room"].members["left"]
        retry = tmp_path / "first/retry.csv"
        before = len(changing_calls(world))
        words = ("check", retry, "--out", "check", *FAST[:2], "--save-plan", "plan.jsonl")
        for _ in range(2 if again else 1):
            checked = await rolecall(*words, cwd=tmp_path, env=env)
        assert len(changing_calls(world)) == before
        ended = await rolecall("run", retry, "--plan", "plan.jsonl", "--out", "second", *FAST, cwd=tmp_path, env=env)
    assert (checked.code, ended.code) == (1, 1), (checked.stderr, ended.stderr)
    predicted = [
        (user, CARRIED_OUT.get(Outcome(outcome), outcome), why) for user, outcome, why, _ in told(tmp_path / "check")
    ]
    assert predicted == [row[:3] for row in told(tmp_path / "second")]
    assert predicted == [
        ("gone", "removed", ""),
        ("goneUnseen", "removed", ""),
        ("others", "not_leader", "removed_by_other"),
        ("present", "removed", ""),
        ("left", "unknown", "user_not_in_room"),
        ("sure", "removed", ""),
    ]


async def test_a_plan_of_a_retry_sends_no_row_that_another_account_has_settled(tmp_path: Path) -> None:
    """Another account took the role, by the plan; who gets it again later keeps it, because nobody approved a call."""
    world = leader_world(PAIRS[:1])
    world.add_user(ADMIN)
    fault = Fault(Kind.STATUS, FaultMatch(route=CHANGE), status=502, html=True)
    async with Sandbox(world, faults=[fault]) as sandbox:
        env = environment(sandbox.url)
        job = write_job(tmp_path / "job.csv", PAIRS[:1])
        await rolecall("run", job, "--out", "first", *FAST, cwd=tmp_path, env=env)
        change_as_other(world, ADMIN, PAIRS[0])
        words = ("first/retry.csv", "--plan", "plan.jsonl", "--out", "second", *FAST)
        await rolecall("check", "first/retry.csv", *FAST[:2], "--save-plan", "plan.jsonl", cwd=tmp_path, env=env)
        change_as_other(world, ADMIN, PAIRS[0], adds=True)
        calls = len(changing_calls(world))
        ended = await rolecall("run", *words, cwd=tmp_path, env=env)
    assert told(tmp_path / "second") == [("anna", "not_leader", "removed_by_other", "message")], ended.stderr
    assert len(changing_calls(world)) == calls
    assert world.is_leader(*PAIRS[0])


async def test_the_report_of_a_retry_has_only_the_jobs_columns(tmp_path: Path) -> None:
    """The columns of the doubt are in the retry file alone, once, and only while a row is in doubt."""
    world = leader_world(PAIRS)
    fault = Fault(Kind.STATUS, FaultMatch(route=CHANGE, user="anna"), status=502, html=True, times=2)
    async with Sandbox(world, faults=[fault]) as sandbox:
        env = environment(sandbox.url)
        job = write_job(tmp_path / "job.csv", PAIRS)
        await rolecall("run", job, "--out", "first", *FAST, cwd=tmp_path, env=env)
        await rolecall("run", "first/retry.csv", "--out", "second", *FAST, cwd=tmp_path, env=env)
    headers = []
    for path in ("first/retry.csv", "second/retry.csv", "second/report.csv"):
        with (tmp_path / path).open(newline="", encoding="utf-8") as file:
            headers.append(next(csv.reader(file)))
    assert headers[0] == headers[1]
    assert next(name for name in headers[0] if name.startswith("rolecall")) == "rolecallDoubt"
    assert not any(name.startswith("rolecall") for name in headers[2])
