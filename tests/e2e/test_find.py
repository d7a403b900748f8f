"""`rolecall find` from outside: the job file, what is told beside it, and going on after whatever ends it."""

import asyncio
import csv
import io
import re
import signal
from collections import Counter
from pathlib import Path

import pytest

from rolecall.files.input.job import open_job
from rolecall.models import Row
from rolecall.sandbox import ACCOUNT, Fault, FaultMatch, FaultPlan, Kind, Sandbox, World, organisation_world
from rolecall.sandbox.org_world import DEPARTED, group, user
from tests.support.command import ROLECALL, environment, finish, outcomes, rolecall, start

FAST = ("--rate", "unlimited", "--retry-backoff", "0.02")
LEGAL = {
    (group(room), user("legal.lead"))
    for room in ("legal-planning", "legal-budget", "legal-incidents", "logistics-incidents")
}


def pairs(job: Path) -> list[tuple[str, str]]:
    """Read a job file as `run` does."""
    with open_job(str(job)) as opened:
        return [(row.room_id, row.user_id) for row in opened.rows() if isinstance(row, Row)]


def crowd(users: int) -> World:
    """Make a workspace of many leaders, two groups each."""
    world = World()
    world.add_account(*ACCOUNT)
    for number in range(users):
        who = f"user{number:03}"
        world.add_user(who)
        for letter in "ab":
            world.add_room(f"room{number:03}{letter}")
            world.join(f"room{number:03}{letter}", who, ("leader",))
    return world


async def test_the_job_of_a_list_of_people(tmp_path: Path) -> None:
    """Ids, names and addresses of a list become a job file; the summary is on stdout, what was missed on stderr."""
    (tmp_path / "leavers.csv").write_text("email\nlegal.lead@example.org\nnobody@example.org\n")
    async with Sandbox(organisation_world().world) as sandbox:
        env = environment(sandbox.url)
        ended = await rolecall("find", "--users", "leavers.csv", "--out", "job.csv", *FAST, cwd=tmp_path, env=env)
    assert ended.code == 1
    assert set(pairs(tmp_path / "job.csv")) == LEGAL
    assert ended.stdout.splitlines() == [
        "4 rows: 1 user with the role leader in 4 groups. 4 rows of deactivated users.",
        "Noted: legal.lead@example.org is @legal.lead.",
        "Job file: job.csv",
        "Next: rolecall check job.csv",
    ]
    assert "Skipped (address_not_found): nobody@example.org\n" in ended.stderr
    assert "view-full-other-user-info" in ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.csv", "leavers.csv"]
    assert (tmp_path / "job.csv").stat().st_mode & 0o777 == 0o600


async def test_found_rows_go_straight_into_a_run(tmp_path: Path) -> None:
    """Without `--out` the job is on stdout, alone, and `run -` does exactly these rows; the read columns are kept."""
    world = organisation_world().world
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        found = await rolecall("find", "--deactivated", "--exclude", "#support-incidents", *FAST, cwd=tmp_path, env=env)
        before = world.pairs_with_role("leader")
        ran = await rolecall("run", "-", "--out", "r", *FAST, cwd=tmp_path, env=env, stdin=found.stdout.encode())
    assert (found.code, ran.code) == (0, 1), found.stderr + ran.stderr
    rows = list(csv.DictReader(io.StringIO(found.stdout)))
    assert "Left out by --exclude: 1 row." in found.stderr
    assert outcomes(tmp_path / "r") == {("removed", ""): len(rows) - 1, ("failed", "room_not_joined"): 1}
    gone = {user(name) for name in DEPARTED}
    assert before - world.pairs_with_role("leader") == {
        (row["roomId"], row["userId"]) for row in rows if row["roomName"] != "legal-incidents"
    }
    assert {row["userId"] for row in rows} == gone


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_the_same_command_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    """Ended in the middle, three times, the same command asks for the rest only, and the file is whole in the end."""
    users, at_once = 90, 4
    world = crowd(users)
    (tmp_path / "all").write_text("".join(f"user{each:03}\n" for each in range(users)))
    words = ("find", "--users", "all", "--out", "job.csv", *FAST, "--concurrency", str(at_once))
    async with Sandbox(world, latency=0.005) as sandbox:
        env = environment(sandbox.url)
        for _ in range(3):
            finding = await start(*words, cwd=tmp_path, env=env)
            await sandbox.wait_for_calls(len(world.calls) + 20)
            finding.send_signal(number)
            ended = await finish(finding)
            assert ended.code == (-9 if number is signal.SIGKILL else 130)
            assert not (tmp_path / "job.csv").exists()
            if number is not signal.SIGKILL:
                assert "kept in job.csv.part; the same command goes on" in ended.stderr
        ended = await rolecall(*words, cwd=tmp_path, env=env)
    assert ended.code == 0, ended.stderr
    assert re.search(r"Going on with job\.csv\.part: \d+ answers are known, the last of \d{4}-\d\d-\d\dT", ended.stderr)
    assert pairs(tmp_path / "job.csv") == [
        (f"room{each:03}{at}", f"user{each:03}") for each in range(users) for at in "ab"
    ]
    assert not (tmp_path / "job.csv.part").exists()
    asked = Counter(call.route for call in world.calls)["users.info"]
    assert users <= asked <= users + 3 * at_once


async def test_an_outage_costs_nothing_that_was_read(tmp_path: Path) -> None:
    """When the workspace stays away, the command ends with 4, and later goes on where it was."""
    world = crowd(30)
    words = ("find", "--users", "-", "--out", "job.csv", *FAST, "--concurrency", "2", "--outage-timeout", "1")
    people = "".join(f"user{each:03}\n" for each in range(30)).encode()
    async with Sandbox(world, latency=0.005) as sandbox:
        env = environment(sandbox.url)
        finding = await start(*words, cwd=tmp_path, env=env)
        assert finding.stdin is not None
        finding.stdin.write(people)
        finding.stdin.close()
        await sandbox.wait_for_calls(15)
        await sandbox.stop_listening()
        ended = await finish(finding)
        assert ended.code == 4
        assert "The workspace stayed away." in ended.stderr
        await sandbox.resume()
        ended = await rolecall(*words, cwd=tmp_path, env=env, stdin=people)
    assert ended.code == 0, ended.stderr
    assert len(pairs(tmp_path / "job.csv")) == 60


async def test_what_was_missed_is_asked_for_again(tmp_path: Path) -> None:
    """A user who could not be read before the interruption is asked for again by the command that goes on."""
    world = crowd(20)
    faults = FaultPlan([Fault(Kind.STATUS, FaultMatch(route="users.info", user="user001"), times=None, status=500)])
    people = [word for each in range(20) for word in ("--user", f"user{each:03}")]
    words = ("find", *people, "--out", "job.csv", *FAST, "--concurrency", "1", "--max-attempts", "1")
    async with Sandbox(world, faults=faults) as sandbox:
        env = environment(sandbox.url)
        finding = await start(*words, cwd=tmp_path, env=env)
        await sandbox.wait_for_calls(10)
        finding.kill()
        await finish(finding)
        faults.clear()
        ended = await rolecall(*words, cwd=tmp_path, env=env)
    assert ended.code == 0, ended.stderr
    assert "Skipped (" not in ended.stderr
    assert len(pairs(tmp_path / "job.csv")) == 40


async def test_an_end_before_the_end_writes_nothing_on_stdout(tmp_path: Path) -> None:
    """Half a job must not go down a pipe: interrupted, find leaves stdout empty and says so."""
    world = crowd(60)
    people = [word for each in range(60) for word in ("--user", f"user{each:03}")]
    async with Sandbox(world, latency=0.01) as sandbox:
        finding = await start("find", *people, *FAST, "--concurrency", "2", cwd=tmp_path, env=environment(sandbox.url))
        await sandbox.wait_for_calls(20)
        finding.send_signal(signal.SIGINT)
        ended = await finish(finding)
    assert (ended.code, ended.stdout) == (130, "")
    assert "Nothing was written; with --out FILE the same command could go on." in ended.stderr


async def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    """A second command on the same file is refused with 5 while the first reads."""
    world = crowd(5)
    words = ("find", "--user", "user001", "--out", "job.csv", *FAST)
    hang = Fault(Kind.HANG_BEFORE, FaultMatch(route="users.info", nth=1))
    async with Sandbox(world, faults=[hang]) as sandbox:
        env = environment(sandbox.url)
        first = await start(*words, cwd=tmp_path, env=env)
        await sandbox.wait_for_calls(2)
        second = await rolecall(*words, cwd=tmp_path, env=env)
        first.send_signal(signal.SIGINT)
        assert (await finish(first)).code == 130
    assert second.code == 5
    assert "Another 'rolecall find' works on job.csv.part" in second.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name users or rooms"),
        (("--role", "owner"), "name users or rooms"),
        (("--all-rooms", "--room", "r"), "--all-rooms and single rooms exclude each other"),
        (("--users", "-", "--rooms", "-"), "only one list can come from stdin"),
        (("--users", "nowhere.csv"), "nowhere.csv: there is no such file"),
        (("--user", "an\x1bna"), "contains a line break, a control or a lost character"),
        (("--user", " "), "is empty"),
        (("--exclude", "", "--all-rooms"), "is empty"),
        (("--all-rooms", "--out", "there.csv"), "there.csv exists and is left as it is"),
        (("--all-rooms", "--out", "no/job.csv"), "there is no folder no"),
        (("--all-rooms", "--kind", "teams"), "'teams' is not one of"),
    ],
)
async def test_what_cannot_be_asked_is_refused_in_one_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    """Wrong usage ends with 2 before the workspace is called, and leaves every file as it was."""
    (tmp_path / "there.csv").write_text("mine")
    ended = await rolecall("find", *words, cwd=tmp_path, env=environment("http://127.0.0.1:9"))
    assert ended.code == 2
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there.csv"]
    assert (tmp_path / "there.csv").read_text() == "mine"


async def test_another_question_leaves_unfinished_work_alone(tmp_path: Path) -> None:
    """The unfinished work of another command is neither used nor overwritten."""
    (tmp_path / "job.csv.part").write_text('{"rolecall find":1,"workspace":"x","question":"y"}\n')
    async with Sandbox(crowd(2)) as sandbox:
        words = ("find", "--user", "user001", "--out", "job.csv", *FAST)
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 2
    assert "job.csv.part is the unfinished work of another 'rolecall find'" in ended.stderr
    assert (tmp_path / "job.csv.part").read_text().endswith('"y"}\n')


async def test_refused_credentials_leave_nothing(tmp_path: Path) -> None:
    """A wrong token ends with 3, shows the token nowhere and makes no file; revoked in the middle, work is kept."""
    world = crowd(30)
    words = ("find", "--users", "-", "--out", "job.csv", *FAST, "--concurrency", "1")
    people = "".join(f"user{each:03}\n" for each in range(30)).encode()
    async with Sandbox(world) as sandbox:
        wrong = environment(sandbox.url, ROCKETCHAT_AUTH_TOKEN="wrong-token-here")
        ended = await rolecall(*words, cwd=tmp_path, env=wrong, stdin=people)
        assert ended.code == 3
        assert "wrong-token-here" not in ended.stderr
        assert list(tmp_path.iterdir()) == []
        sandbox.faults.add(Fault(Kind.REVOKE, FaultMatch(route="users.info", user="user012")))
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url), stdin=people)
    assert ended.code == 3
    assert "The workspace refused the credentials; make a new token. What was read is kept in" in ended.stderr
    assert ACCOUNT.token not in ended.stderr + (tmp_path / "job.csv.part").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["job.csv.part"]


async def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    """Where the job cannot be written out, the command says so and ends with 4."""
    async with Sandbox(crowd(2)) as sandbox:
        with Path("/dev/full").open("wb") as full:  # noqa: ASYNC230 - a test has its loop for itself
            finding = await asyncio.create_subprocess_exec(
                ROLECALL,
                *("find", "--user", "user001", *FAST),
                cwd=tmp_path,
                env=environment(sandbox.url),
                stdout=full,
                stderr=asyncio.subprocess.PIPE,
            )
            _, stderr = await finding.communicate()
    assert finding.returncode == 4
    assert b"No space left on device" in stderr
    assert b"Traceback" not in stderr


async def test_rooms_do_not_list_a_role_without_a_description(tmp_path: Path) -> None:
    """A search by room says that rows are missing; by user it finds them."""
    world = crowd(2)
    world.role_descriptions["leader"] = ""
    (tmp_path / "rooms").write_text("room000a\nroom001b\n")
    (tmp_path / "users").write_text("user000\nuser001\n")
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        by_room = await rolecall("find", "--rooms", "rooms", "--out", "r.csv", *FAST, cwd=tmp_path, env=env)
        by_user = await rolecall("find", "--users", "users", "--out", "u.csv", *FAST, cwd=tmp_path, env=env)
    assert by_room.code == 1
    assert "Skipped (role_not_listed): leader\n" in by_room.stderr
    assert by_user.code == 0, by_user.stderr
    assert len(pairs(tmp_path / "u.csv")) == 4
