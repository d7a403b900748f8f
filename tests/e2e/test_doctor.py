"""`rolecall doctor`: a line for each thing that a run depends on, and a rehearsal with real role changes."""

import json
import re
from pathlib import Path

import pytest

from rolecall.sandbox import ACCOUNT, Fault, FaultMatch, Kind, Limiter, Sandbox, World
from tests.support.command import environment, rolecall
from tests.support.organisation import changes


def workspace(*roles: str) -> World:
    """Return a workspace with one group, in which the account and a test user are members."""
    world = World()
    world.add_account(*ACCOUNT, username="bulk.bot", roles=roles or ("user", "admin"))
    world.add_user("test", username="test.user")
    world.add_room("room", name="rehearsals")
    world.join("room", ACCOUNT.user_id, ("owner",))
    world.join("room", "test")
    return world


def checks(stdout: str) -> dict[str, tuple[str, str]]:
    """Return status and text of each finding by its check."""
    found = re.findall(r"^(ok|warning|problem|skipped) +(.+?)  +(.+)$", stdout, re.MULTILINE)
    return {check: (status, text) for status, check, text in found}


async def test_everything_is_examined(tmp_path: Path) -> None:
    """A good workspace: exit 0, a line for each check, nothing but reads."""
    world = workspace()
    async with Sandbox(world) as sandbox:
        ended = await rolecall("doctor", cwd=tmp_path, env=environment(sandbox.url))
        as_json = await rolecall("doctor", "--json", cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 0, ended.stdout + ended.stderr
    found = checks(ended.stdout)
    assert list(found) == [
        "address",
        "proxy",
        "connection",
        "version",
        "clock",
        "account",
        "set-leader",
        "set-moderator",
        "set-owner",
        "view-other-user-channels",
        "view-room-administration",
        "roles",
        "groups",
        "readable roles",
        "readable members",
        "rate limit",
    ]
    assert {status for _, (status, _) in found.items()} == {"ok"}
    assert found["readable members"] == ("ok", "#rehearsals: 2 members")
    assert changes(world) == []
    printed = json.loads(as_json.stdout)
    assert printed["exitCode"] == 0
    assert [each["check"] for each in printed["findings"]] == list(found)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("bypasses", "said"), [(False, "yes: a call beyond"), (True, "no: calls beyond")])
async def test_the_rate_limit_is_tested(tmp_path: Path, bypasses: bool, said: str) -> None:
    """Headers alone prove no limit: the window of one method is used up, and one call more shows whether it counts."""
    world = workspace("user") if not bypasses else workspace("user", "bot")
    world.version = "9.0.0"
    async with Sandbox(world, limiter=Limiter(10, 60.0)) as sandbox:
        ended = await rolecall("doctor", cwd=tmp_path, env=environment(sandbox.url))
    found = checks(ended.stdout)
    assert found["rate limit"][1].startswith("10 calls in a window")
    assert found["rate limit enforced"][1].startswith(said), ended.stdout
    assert ("does not have 'api-bypass-rate-limit'" in found["rate limit"][1]) is not bypasses


async def test_what_is_missing_is_named_with_what_to_do(tmp_path: Path) -> None:
    """An account without permissions and rooms: warnings with the permission that helps, and no problem."""
    world = workspace("user")
    del world.rooms["room"].members[ACCOUNT.user_id]
    world.role_descriptions["leader"] = ""
    async with Sandbox(world) as sandbox:
        ended = await rolecall("doctor", cwd=tmp_path, env=environment(sandbox.url))
    found = checks(ended.stdout)
    assert ended.code == 0
    assert found["set-leader"] == ("warning", "only in rooms in which the account is owner")
    assert found["view-other-user-channels"][0] == "warning"
    assert "-> give its role 'view-other-user-channels'" in ended.stdout
    assert found["roles"][0] == "warning"
    assert found["groups"] == ("warning", "the account has joined no private group")


async def test_trouble_ends_as_a_run_would(tmp_path: Path) -> None:
    """A dead token ends with 3, nothing at the address with 2; what depends on it is not examined."""
    world = workspace()
    world.revoke(ACCOUNT.token)
    async with Sandbox(world) as sandbox:
        url = sandbox.url
        dead = await rolecall("doctor", cwd=tmp_path, env=environment(url))
    gone = await rolecall("doctor", "--json", cwd=tmp_path, env=environment(url))
    assert dead.code == 3
    assert checks(dead.stdout)["account"][0] == "problem"
    assert gone.code == 2
    assert [(each["check"], each["status"]) for each in json.loads(gone.stdout)["findings"]] == [
        ("address", "ok"),
        ("proxy", "ok"),
        ("connection", "problem"),
    ]


async def test_a_rehearsal_compares_every_answer(tmp_path: Path) -> None:
    """Every step is as expected: exit 0, and the test user has no role in the end."""
    world = workspace()
    async with Sandbox(world) as sandbox:
        words = ("doctor", "--rehearse", "#rehearsals", "@test.user")
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 0, ended.stdout + ended.stderr
    assert [line.split()[0] for line in ended.stdout.splitlines()] == ["ok"] * 9
    assert [route for route, _, _ in changes(world)] == [
        "groups.addLeader",
        "groups.addLeader",
        *["groups.removeLeader"] * 4,
    ]
    assert not world.is_leader("room", "test")


async def test_a_rehearsal_takes_the_role_again_after_a_fault(tmp_path: Path) -> None:
    """Where the server answers otherwise the step is a problem: exit 1, and the role is taken again."""
    world = workspace()
    fault = Fault(Kind.STATUS, FaultMatch(route="groups.removeLeader"), status=502)
    async with Sandbox(world, faults=[fault]) as sandbox:
        words = ("doctor", "--rehearse", "room", "test", "--json")
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    steps = {each["check"]: each for each in json.loads(ended.stdout)["findings"]}
    assert ended.code == 1
    assert steps["take the role"]["status"] == "problem"
    assert "got 502 proxy_error" in steps["take the role"]["text"]
    assert not world.is_leader("room", "test")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rehearse", "#rehearsals"), "a rehearsal takes a test room and a test user"),
        (("#rehearsals", "@test.user"), "a rehearsal takes a test room and a test user"),
        (("--rehearse", "#elsewhere", "@test.user"), "There is no room #elsewhere"),
        (("--rehearse", "#rehearsals", "@stranger"), "There is no user @stranger"),
        (("--rehearse", "#rehearsals", "@test"), "There is no user @test."),
        (("--rehearse", "#rehearsals", "test.user"), "There is no user test.user."),
        (("--rehearse", "#rehearsals", "@bulk.leader"), "is leader of #rehearsals"),
    ],
)
async def test_a_rehearsal_that_cannot_be_made_changes_nothing(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """A room or user that cannot be used, and a user who has the role, end with 2 before any change."""
    world = workspace()
    world.add_user("leader", username="bulk.leader")
    world.join("room", "leader", ("leader",))
    async with Sandbox(world) as sandbox:
        ended = await rolecall("doctor", *words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 2
    assert said in ended.stderr
    assert changes(world) == []


@pytest.mark.parametrize("is_listed", [True, False])
async def test_a_rehearsal_takes_no_role_that_the_user_had(tmp_path: Path, *, is_listed: bool) -> None:
    """A role that lists leave out, or that was given since the reading, is not taken from the user."""
    world = workspace()
    world.join("room", "test", ("leader",))
    world.role_descriptions["leader"] = ""
    if not is_listed:
        world.forbid("roles.list")
    async with Sandbox(world) as sandbox:
        words = ("doctor", "--rehearse", "#rehearsals", "@test.user")
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert world.is_leader("room", "test")
    if is_listed:
        assert (ended.code, changes(world)) == (2, [])
        assert "leave out the role leader, which has no description" in ended.stderr
    else:
        assert ended.code == 1
        assert [route for route, _, _ in changes(world)] == ["groups.addLeader"]
        assert "the role is left as it is" in ended.stdout
