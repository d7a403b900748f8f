"""Groups that the account has not joined: run and check name them, with a list ready to send to their owners."""

import json
from pathlib import Path

from rolecall.sandbox import ACCOUNT, Sandbox, World
from tests.support.command import environment, rolecall, write_job
from tests.support.organisation import FAST

PAIRS = [("g1", "ann"), ("g1", "bob"), ("g2", "bob"), ("g3", "bob"), ("open", "ann")]


def workspace() -> World:
    """Return three groups that the account has not joined: two with owners, and one that it has."""
    world = World()
    world.add_account(*ACCOUNT, username="bulk.bot")
    for user in ("ann", "bob", "olga"):
        world.add_user(user)
    for room, name in (("g1", "legal"), ("g2", "sales"), ("g3", "board"), ("open", "open")):
        world.add_room(room, name=name)
    world.join("g1", "ann", ("leader", "owner"))
    world.join("g1", "bob", ("leader",))
    world.join("g2", "olga", ("owner",))
    world.join("g2", "bob", ("leader",))
    world.join("g3", "bob", ("leader",))
    world.join("open", ACCOUNT.user_id, ("owner",))
    world.join("open", "ann", ("leader",))
    return world


async def test_they_are_named_with_their_owners(tmp_path: Path) -> None:
    """Check and run list the groups by name, with an owner where one can be read, and write a text for each owner."""
    job, world = write_job(tmp_path / "job.csv", PAIRS), workspace()
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        check = await rolecall("check", job, "--out", "c", *FAST, cwd=tmp_path, env=env)
        run = await rolecall("run", job, "--out", "r", *FAST, cwd=tmp_path, env=env)
        for room in ("g1", "g2", "g3"):
            world.join(room, ACCOUNT.user_id, ("owner",))
        again = await rolecall("run", job, "--out", "r", "--retry-failed", *FAST, cwd=tmp_path, env=env)
        assert not (tmp_path / "r/not-joined.txt").exists(), again.stdout
    for ended, folder in ((check, "c"), (run, "r")):
        assert "bulk.bot is not a member of #legal (2 rows, owner @ann), " in ended.stdout
        assert "#sales (1 row, owner @olga)" in ended.stdout
        assert "#board (1 row)" in ended.stdout
        assert f"A text for their owners: {folder}/not-joined.txt" in ended.stdout
    assert (tmp_path / "c/not-joined.txt").read_text().splitlines() == [
        "@ann",
        "Please invite @bulk.bot into these private groups, and make it an owner there:",
        "- #legal (2 rows)",
        "",
        "@olga",
        "Please invite @bulk.bot into these private groups, and make it an owner there:",
        "- #sales (1 row)",
        "",
        "No owner could be read:",
        "Please invite @bulk.bot into these private groups, and make it an owner there:",
        "- #board (1 row)",
        "",
    ]
    assert json.loads((tmp_path / "c/summary.json").read_text())["groupsToJoin"] == [
        {"roomId": "g1", "roomName": "legal", "owners": ["ann"], "rows": 2},
        {"roomId": "g2", "roomName": "sales", "owners": ["olga"], "rows": 1},
        {"roomId": "g3", "roomName": "board", "owners": [], "rows": 1},
    ]
    assert again.code == 0, again.stdout + again.stderr


async def test_without_permission_the_ids_are_listed(tmp_path: Path) -> None:
    """Where neither users' rooms nor the list of groups can be read, the names of the job are used, else the ids."""
    job, world = tmp_path / "job.csv", workspace()
    job.write_text("roomId,userId,roomName\ng1,bob,legal\ng2,bob,\n")
    for permission in ("view-other-user-channels", "view-room-administration"):
        world.remove_permission(permission)
    async with Sandbox(world) as sandbox:
        ended = await rolecall("run", job, "--out", "r", *FAST, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 1
    assert "bulk.bot is not a member of #legal (1 row), g2 (1 row): invite it first." in ended.stdout
    assert (tmp_path / "r/not-joined.txt").read_text().splitlines()[-3:] == ["- #legal (1 row)", "- g2 (1 row)", ""]
