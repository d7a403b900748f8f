"""Whole stories with the installed command over sockets, as an administrator lives them."""

import asyncio
import shutil
from collections import Counter
from pathlib import Path

import pytest

from rolecall.sandbox import Limiter, Sandbox, World
from rolecall.sandbox.org_world import group, organisation_world, user
from tests.support.command import ROLECALL, environment, outcomes, read_rows, rolecall, write_job
from tests.support.organisation import FAST, RUN
from tests.support.shell import scripts_in_markdown

pytestmark = pytest.mark.e2e

JOBS = Path(__file__).parents[2] / "jobs"


def leaders(world: World, *rooms: str) -> set[tuple[str, str]]:
    """Give who leads these rooms."""
    return {pair for pair in world.pairs_with_role("leader") if pair[0] in rooms}


async def test_a_reorganisation(tmp_path: Path) -> None:
    """Found by rooms, checked, run by the plan, verified: these groups lose their leaders, but for one by name."""
    world = organisation_world().world
    rooms = [group(f"finance-{topic}") for topic in ("planning", "budget", "incidents")]
    (tmp_path / "rooms.txt").write_text("\n".join(rooms), "utf-8")
    before, ours = world.pairs_with_role("leader"), leaders(world, *rooms)
    stays = {pair for pair in ours if pair[1] == user("facilities.lead")}
    assert stays
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        found = await rolecall(
            *("find", "--rooms", "rooms.txt", "--exclude", "@facilities.lead", "--out", "job.csv", *FAST),
            cwd=tmp_path,
            env=env,
        )
        assert found.code == 0, found.stderr
        rows = read_rows(tmp_path / "job.csv")
        assert {(row["roomId"], row["userId"]) for row in rows} == ours - stays
        assert {row["userName"] for row in rows} == {"finance.lead"}
        checked = await rolecall("check", "job.csv", "--save-plan", "plan.jsonl", *FAST, cwd=tmp_path, env=env)
        assert checked.code == 0, checked.stdout
        assert world.pairs_with_role("leader") == before
        done = await rolecall("run", "job.csv", "--plan", "plan.jsonl", "--out", "out", *RUN, cwd=tmp_path, env=env)
        assert done.code == 0, done.stderr
        verified = await rolecall("verify", "out", *FAST, cwd=tmp_path, env=env)
    assert verified.code == 0, verified.stdout
    assert world.pairs_with_role("leader") == before - (ours - stays)
    assert outcomes(tmp_path / "out") == Counter({("removed", ""): len(ours - stays)})


async def test_an_offboarding(tmp_path: Path) -> None:
    """By a list of people, two of them deactivated, without a terminal, night after night, at a limit of the workspace.

    The first night takes every role that can be taken; the second has only what could not be, and says so.
    """
    world = organisation_world(roles=("user", "admin")).world
    world.remove_permission("api-bypass-rate-limit")
    people = ["legal.lead@example.org", "@sales.lead", user("finance.lead"), "unknown@example.org"]
    (tmp_path / "people.txt").write_text("\n".join(people), "utf-8")
    gone = {user("legal.lead"), user("sales.lead"), user("finance.lead")}
    out_of_reach = {group("legal-incidents"), group("support-incidents")}
    led = world.pairs_with_role("leader")
    async with Sandbox(world, limiter=Limiter(10, 1.0)) as sandbox:
        env = environment(sandbox.url, ROLECALL_RATE="unlimited", ROLECALL_RETRY_BACKOFF="0.01")
        [night] = [
            script
            for script in scripts_in_markdown((JOBS / "offboarding/README.md").read_text("utf-8"), inline=False)
            if "rolecall offboard" in script
        ]
        codes = [await as_cron_does(night, tmp_path, env) for _ in range(2)]
    assert world.pairs_with_role("leader") == {
        (room, person) for room, person in led if person not in gone or room in out_of_reach
    }
    assert 429 not in {call.status for call in world.calls}
    first, second = sorted((tmp_path / "offboardings/people").glob("2*"))
    cannot = {("failed", "room_not_joined"), ("failed", "room_archived"), ("invalid", "address_not_found")}
    assert set(outcomes(first)) == {("removed", ""), *cannot}
    assert set(outcomes(second)) == cannot
    assert codes == [1, 1]


async def as_cron_does(script: str, folder: Path, env: dict[str, str]) -> int:
    """Run a script with no terminal anywhere, as a scheduler does; give its exit code."""
    path = f"{ROLECALL.parent}:{env['PATH']}"
    process = await asyncio.create_subprocess_exec(
        shutil.which("sh") or "/bin/sh", "-c", script, cwd=folder, env={**env, "PATH": path},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    return await process.wait()


async def test_a_mistake_undone(tmp_path: Path) -> None:
    """The wrong list was run: the undo gives every role back, to nobody else, and verify shows each of them."""
    world = organisation_world().world
    before = world.pairs_with_role("leader")
    wrong = [(group(f"{name}-planning"), user(f"{name}.lead")) for name in ("finance", "legal", "sales")]
    nothing = (group("finance-planning"), user("finance.deputy"))
    job = write_job(tmp_path / "wrong.csv", [*wrong, nothing])
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall("run", job, "--out", "out", *RUN, cwd=tmp_path, env=env)
        assert world.pairs_with_role("leader") == before - set(wrong)
        undone = await rolecall("undo", "out", *RUN, cwd=tmp_path, env=env)
        shown = await rolecall("verify", "out/undo", *FAST, cwd=tmp_path, env=env)
        compared = await rolecall("verify", "out", *FAST, cwd=tmp_path, env=env)
    assert (undone.code, shown.code, compared.code) == (0, 0, 6)
    assert "3 rows read back: 3 as the report says." in shown.stdout
    assert "4 rows read back: 1 as the report says, 3 otherwise." in compared.stdout
    assert "There is an undo of this run" in compared.stdout
    assert world.pairs_with_role("leader") == before
    assert Counter(call.route for call in world.calls if call.carried_out) == Counter(
        {"groups.removeLeader": 3, "groups.addLeader": 3}
    )
