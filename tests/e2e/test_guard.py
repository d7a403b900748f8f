"""The limits on what a run may take: a wrong list that would succeed is refused before the first change."""

import json
from pathlib import Path

import pytest

from rolecall.sandbox import ACCOUNT, Sandbox, leader_world
from tests.support.command import environment, outcomes, rolecall, write_job
from tests.support.organisation import FAST, changes

LEADERS = [(f"room{room}", f"user{room}{number}") for room in range(4) for number in range(3)]


def ask_for(count: int) -> list[tuple[str, str]]:
    """Return the first leaders, the last rooms partly."""
    return LEADERS[:count]


@pytest.mark.parametrize(
    ("words", "rows", "said"),
    [
        (
            ("--max-removals", "5"),
            7,
            "it takes 7 of 9 leaders; 2 groups would have none left. Not allowed: more than 5",
        ),
        (("--max-removals", "50%"), 7, "Not allowed: more than 50% of them"),
        (("--max-removals-per-room", "60%"), 5, "Not allowed: more than 60% in 2 groups (room0, room1)"),
        (("--max-removals-per-room", "2"), 5, "Not allowed: more than 2 in 1 group (room0)"),
        (("--keep-leaders", "1"), 7, "Not allowed: 2 groups with fewer than 1 leader left (room0, room1)"),
    ],
)
async def test_too_much_is_refused_with_the_figures(
    tmp_path: Path, words: tuple[str, str], rows: int, said: str
) -> None:
    """Exit 2, the figures, nothing sent and no folder; with a limit that allows it the same job runs."""
    job, world = write_job(tmp_path / "job.csv", ask_for(rows)), leader_world(LEADERS)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url, ROLECALL_MAX_REMOVALS="")
        refused = await rolecall("run", job, *words, *FAST, cwd=tmp_path, env=env)
        assert changes(world) == []
        assert not (tmp_path / "runs").exists()
        ran = await rolecall("run", job, "--max-removals", "100%", *FAST, cwd=tmp_path, env=env)
    assert refused.code == 2
    assert "Refused before the first change" in refused.stderr
    assert said in refused.stderr
    assert "Nothing was sent." in refused.stderr
    assert ran.code == 0, ran.stderr
    assert len(changes(world)) == rows


@pytest.mark.parametrize(
    "words",
    [("--max-removals", "7"), ("--max-removals", "78%"), ("--max-removals-per-room", "3"), ("--keep-leaders", "0")],
)
async def test_what_is_allowed_runs(tmp_path: Path, words: tuple[str, str]) -> None:
    """A limit that is met exactly refuses nothing."""
    job, world = write_job(tmp_path / "job.csv", ask_for(7)), leader_world(LEADERS)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url, ROLECALL_MAX_REMOVALS="")
        ran = await rolecall("run", job, "--out", "r", *words, *FAST, cwd=tmp_path, env=env)
    assert ran.code == 0, ran.stderr
    assert outcomes(tmp_path / "r") == {("removed", ""): 7}


@pytest.mark.parametrize(("count", "code"), [(100, 2), (99, 0)])
async def test_unattended_runs_have_a_limit(tmp_path: Path, count: int, code: int) -> None:
    """With --yes a list of nearly all leaders is refused from 100 removals on; --max-removals 100% allows it."""
    pairs = [(f"room{number % 9}", f"user{number}") for number in range(100)]
    job, world = write_job(tmp_path / "job.csv", pairs[:count]), leader_world(pairs)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url, ROLECALL_MAX_REMOVALS="")
        ended = await rolecall("run", job, "--yes", *FAST, cwd=tmp_path, env=env)
        sent = len(changes(world))
        allowed = await rolecall("run", job, "--yes", "--max-removals", "100%", *FAST, cwd=tmp_path, env=env)
    assert (ended.code, sent) == (code, 0 if code else count), ended.stderr
    assert allowed.code == 0, allowed.stderr


async def test_rows_whose_rooms_cannot_be_read_count_as_removals(tmp_path: Path) -> None:
    """Where nothing shows what a run would take, a limit refuses it."""
    world = leader_world(LEADERS)
    world.forbid("groups.roles")
    job = write_job(tmp_path / "job.csv", LEADERS)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url, ROLECALL_MAX_REMOVALS="")
        refused = await rolecall("run", job, "--max-removals", "99%", *FAST, cwd=tmp_path, env=env)
    assert refused.code == 2, refused.stderr
    assert "it takes 12 of 12 leaders; the roles of 12 rows could not be read" in refused.stderr
    assert changes(world) == []


async def test_rooms_that_refuse_every_change_lose_nothing(tmp_path: Path) -> None:
    """The rows of a group that the account has not joined are not counted: the server would refuse them."""
    world = leader_world(LEADERS)
    for room in ("room0", "room1", "room2"):
        del world.rooms[room].members[ACCOUNT.user_id]
    job = write_job(tmp_path / "job.csv", ask_for(10))
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url, ROLECALL_MAX_REMOVALS="")
        ran = await rolecall("run", job, "--out", "r", "--keep-leaders", "2", *FAST, cwd=tmp_path, env=env)
    assert ran.code == 1, ran.stderr
    assert outcomes(tmp_path / "r") == {("removed", ""): 1, ("failed", "room_not_joined"): 9}


async def test_the_reason_is_stored_and_reported(tmp_path: Path) -> None:
    """--reason stands in the summary, on the page and in the notification; a resumed run keeps it."""
    job, world = write_job(tmp_path / "job.csv", ask_for(2)), leader_world(LEADERS)
    world.add_room("OPS", name="ops", type="c")
    words = ("run", job, "--out", "r", *FAST)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        ran = await rolecall(*words, "--reason", "HR-4711:  <b>leavers</b>", "--notify", "#ops", cwd=tmp_path, env=env)
        again = await rolecall(*words, "--json", cwd=tmp_path, env=env)
    assert (ran.code, again.code) == (0, 0), ran.stderr
    assert json.loads((tmp_path / "r/summary.json").read_text())["reason"] == "HR-4711: <b>leavers</b>"
    assert json.loads(again.stdout)["reason"] == "HR-4711: <b>leavers</b>"
    page = (tmp_path / "r/report.html").read_text()
    assert "HR-4711: &lt;b&gt;leavers&lt;/b&gt;" in page
    assert "Reason given: `HR-4711: <b>leavers</b>`." in world.record.posts[0].text


async def test_check_answers_whether_there_is_anything_to_do(tmp_path: Path) -> None:
    """With --exit-code a check answers: 6 while a run would change something, 0 after it, 1 with failures only."""
    job, world = write_job(tmp_path / "job.csv", ask_for(2)), leader_world(LEADERS)
    stranger = write_job(tmp_path / "stranger.csv", [("room0", "stranger")])
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        before = await rolecall("check", job, "--exit-code", *FAST, cwd=tmp_path, env=env)
        without = await rolecall("check", job, *FAST, cwd=tmp_path, env=env)
        await rolecall("run", job, *FAST, cwd=tmp_path, env=env)
        after = await rolecall("check", job, "--exit-code", *FAST, cwd=tmp_path, env=env)
        failing = await rolecall("check", stranger, "--exit-code", *FAST, cwd=tmp_path, env=env)
    assert (before.code, without.code, after.code, failing.code) == (6, 0, 0, 1)
