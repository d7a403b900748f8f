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


BY_USER = [(f"room{room}", "user00") for room in range(4)]


@pytest.mark.parametrize(
    ("pairs", "words", "figures", "refusal"),
    [
        (ask_for(7), (), (7, 9, 2), ""),
        (ask_for(7), ("--max-removals", "5"), (7, 9, 2), "more than 5 of them"),
        (ask_for(7), ("--keep-leaders", "1"), (7, 9, 2), "2 groups with fewer than 1 leader left (room0, room1)"),
        (BY_USER, (), (1, 12, 0), ""),
        (BY_USER, ("--max-removals-per-room", "0"), (1, 12, 0), "more than 0 in 1 group (room0)"),
    ],
)
async def test_a_check_shows_what_the_question_of_a_run_shows(
    tmp_path: Path, pairs: list[tuple[str, str]], words: tuple[str, ...], figures: tuple[int, int, int], refusal: str
) -> None:
    """The figures and a refusal stand in the summary and in the JSON, read by room or by user; the exit code stays."""
    job, world = write_job(tmp_path / "job.csv", pairs), leader_world(LEADERS)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url, ROLECALL_MAX_REMOVALS="")
        shown = await rolecall("check", job, *words, *FAST, cwd=tmp_path, env=env)
        as_json = await rolecall("check", job, *words, "--json", *FAST, cwd=tmp_path, env=env)
        ran = await rolecall("run", job, *words, *FAST, cwd=tmp_path, env=env)
    removals, holders, emptied = figures
    text = " ".join(shown.stdout.split())
    assert (shown.code, as_json.code) == (ran.code if not refusal else shown.code,) * 2
    assert f"As the roles are now, a run takes {removals} of {holders} leaders" in text
    found = json.loads(as_json.stdout)["removals"]
    assert (found["removals"], found["holders"], found["roomsEmptied"], found["refused"]) == (*figures, refusal)
    assert (f"A run would be refused before its first change: {refusal}." in text) is bool(refusal)
    assert (ran.code == 2 and refusal in ran.stderr) is bool(refusal)
    assert emptied == 0 or f"{emptied} groups would have none left" in text


async def test_a_check_says_that_an_unattended_run_would_be_refused(tmp_path: Path) -> None:
    """The limit that only applies with --yes is named as such."""
    pairs = [(f"room{number % 9}", f"user{number}") for number in range(100)]
    job, world = write_job(tmp_path / "job.csv", pairs), leader_world(pairs)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url, ROLECALL_MAX_REMOVALS="")
        shown = await rolecall("check", job, *FAST, cwd=tmp_path, env=env)
    refused = "A run with --yes and without a plan would be refused before its first change: more than 80% of them."
    assert shown.code == 0
    assert refused in " ".join(shown.stdout.split())


async def test_a_check_of_an_addition_shows_no_removals(tmp_path: Path) -> None:
    """Nothing is taken, so there are no figures."""
    job, world = write_job(tmp_path / "job.csv", ask_for(2)), leader_world(LEADERS)
    async with Sandbox(world) as sandbox:
        words = ("check", job, "--operation", "groups.addOwner", "--json", *FAST)
        shown = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert json.loads(shown.stdout)["removals"] is None


async def test_the_reason_of_an_undo_is_its_own(tmp_path: Path) -> None:
    """--reason of an undo stands in its reports; that of the run stays."""
    job, world = write_job(tmp_path / "job.csv", ask_for(2)), leader_world(LEADERS)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall("run", job, "--out", "r", "--reason", "HR-1", *FAST, cwd=tmp_path, env=env)
        undone = await rolecall("undo", "r", "--reason", "wrong list", *FAST, cwd=tmp_path, env=env)
    assert undone.code == 0, undone.stderr
    reasons = [
        json.loads((tmp_path / name).read_text())["reason"] for name in ("r/summary.json", "r/undo/summary.json")
    ]
    assert reasons == ["HR-1", "wrong list"]
