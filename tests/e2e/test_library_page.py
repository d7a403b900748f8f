"""The page on the library: its programs run as they stand there, and its tables name what there is."""

import ast
import asyncio
import inspect
import json
import re
import sys
import types
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

import rolecall
from rolecall import ConnectionConfig, Settings, change_roles
from rolecall.sandbox import Fault, FaultMatch, Kind, Sandbox, leader_world
from tests.support.command import environment

PAGE = (Path(__file__).parents[2] / "docs/library.md").read_text("utf-8")
BLOCK = re.compile(r"^#+ ([^\n]+)$|^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROOM, LEADER, OTHER = "Zk3PdVx7RmLq2WcTn", "aXb7Qm2KpLd9VtRcS", "pWd4Hs8JnTf5GyMbE"


def programs() -> dict[str, str]:
    """Give the page's programs by the headings that they stand under."""
    found, heading = {}, ""
    for match in BLOCK.finditer(PAGE):
        heading = match[1] or heading
        if match[2]:
            found[heading] = match[2]
    return found


PROGRAMS = programs()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Serve a workspace with the page's ids, of which one leads the room and the other is a mere member."""
    world = leader_world([(ROOM, LEADER)])
    world.add_user(OTHER)
    world.join(ROOM, OTHER)
    async with Sandbox(world) as sandbox:
        yield sandbox


@pytest.fixture
def place(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this process one that a program of the page can run in, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for name, value in environment(sandbox.url).items():
        monkeypatch.setenv(name, value)
    return tmp_path


def cells(heading: str, text: str = PAGE) -> list[str]:
    """Give what stands in backticks in the first cells of the tables under a heading."""
    part = text.partition(f"# {heading}\n")[2].split("\n#")[0]
    return [
        name for line in part.splitlines() if line.startswith("| `") for name in line.split("|")[1].split("`")[1::2]
    ]


def test_every_program_is_known() -> None:
    """Each of the page's programs is run by a test below."""
    expected = ["Rolecall in a program", "Ending early", "Other commands", "In a service", "In a notebook"]
    assert list(PROGRAMS) == expected


@pytest.mark.parametrize("heading", PROGRAMS)
def test_every_name_of_ours_is_there(heading: str) -> None:
    """Each program is Python, imports only what `worker` offers, and gives only arguments that there are."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
    tree = compile(PROGRAMS[heading], heading, "exec", flags)
    nodes = list(ast.walk(tree))
    names = {
        alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "rolecall"
        for alias in node.names
    }
    assert "change_roles" in names
    assert names <= set(rolecall.__all__)
    for node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "change_roles",
            "check",
            "find",
            "undo",
            "verify",
            "write_reports",
            "ConnectionConfig",
            "Credentials",
            "Settings",
        ):
            keywords = {keyword.arg: None for keyword in node.keywords}
            inspect.signature(getattr(rolecall, ast.unparse(node.func))).bind(*node.args, **keywords)  # type: ignore[arg-type]


def test_the_tables_are_complete() -> None:
    """The page names every argument, setting and exception, and no other."""
    assert cells("Rolecall in a program") == list(inspect.signature(change_roles).parameters)
    row = next(line for line in PAGE.splitlines() if line.startswith("| `settings`"))
    assert {each.name for each in fields(Settings)} <= set(row.split("`"))
    row = next(line for line in PAGE.splitlines() if line.startswith("| `connection`"))
    assert {each.name for each in fields(ConnectionConfig)} <= set(re.findall(r"\w+", row))
    raised = {
        name
        for name in rolecall.__all__
        if inspect.isclass(it := getattr(rolecall, name)) and issubclass(it, Exception)
    }
    assert {*cells("What is raised"), "RunStopped", "LockedError", "RolecallError"} == {
        *raised,
        "ValueError",
        "TypeError",
        "OSError",
    }
    results = PAGE.partition("## Results")[2].split("\n#")[0]
    assert set(rolecall.Result._fields) <= set(results.split("`"))


async def run_program(heading: str, place: Path) -> str:
    """Run a program of the page as a process of its own, and give what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAMS[heading],
        cwd=place, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    stdout, stderr = await process.communicate()
    # On a busy machine the development mode reports callbacks that took longer than 0.1 s.
    lines = [line for line in stderr.decode().splitlines() if not line.startswith("Executing <")]
    assert (process.returncode, lines) == (0, [])
    return stdout.decode()


async def test_the_first_program(place: Path) -> None:
    """It prints a line for each row; run again, it sends nothing and tells the same."""
    first = await run_program("Rolecall in a program", place)
    assert sorted(first.splitlines()) == ["1 removed ", "2 not_leader not_needed"]
    assert sorted((await run_program("Rolecall in a program", place)).splitlines()) == [
        "1 removed ",
        "2 not_leader not_needed",
    ]


async def test_the_program_with_the_other_commands(place: Path, sandbox: Sandbox) -> None:
    """It finds, predicts, removes, verifies and restores one role, and leaves the reports."""
    for permission in ("view-full-other-user-info", "view-other-user-channels", "view-room-administration"):
        sandbox.world.grant(permission, "user")
    shown = await run_program("Other commands", place)
    assert shown.splitlines() == ["check: would_remove", "is removed", "is again added"]
    assert (place / "runs/leavers/report.jsonl").is_file()
    assert sandbox.world.is_leader(ROOM, LEADER)


async def test_the_program_that_ends_early(place: Path, sandbox: Sandbox) -> None:
    """It ends without a word, and the first one goes on in its folder."""
    sandbox.world.rooms.pop(ROOM)
    await run_program("Ending early", place)
    assert "1 failed room_not_found" in await run_program("Rolecall in a program", place)


def service(heading: str) -> types.ModuleType:
    """Make a module of a service of the page."""
    module = types.ModuleType("service")
    exec(compile(PROGRAMS[heading], heading, "exec"), module.__dict__)  # the page's own program
    return module


def told(text: str) -> list[dict[str, Any]]:
    """Read lines of JSON."""
    return [json.loads(line) for line in text.splitlines()]


async def test_the_aiohttp_service(place: Path, sandbox: Sandbox) -> None:
    """It streams a line for each row, refuses what are no rows, says why a run stopped, and goes on."""
    app = service("In a service").app
    sandbox.world.join(ROOM, OTHER, ("leader",))
    sandbox.faults.add(Fault(Kind.REVOKE, FaultMatch(user=OTHER)))
    async with TestClient(TestServer(app)) as client:
        rows = [[ROOM, LEADER], {"roomId": ROOM, "userId": OTHER, "name": "user.044"}, [ROOM, 7]]
        async with client.post("/runs/cleanup", json=rows) as answer:
            lines = told(await answer.text())
            assert answer.content_type == "application/x-ndjson"
        assert [line.get("outcome") for line in lines] == ["invalid", "removed", "not_attempted", None]
        assert lines[-1]["stopped"] == "credentials"
        sandbox.world.tokens[environment("")["ROCKETCHAT_AUTH_TOKEN"]] = "bulkBotAccount234"
        async with client.post("/runs/cleanup", json=rows) as answer:
            again = told(await answer.text())
        assert Counter(line["outcome"] for line in again) == {"invalid": 1, "removed": 2}
        assert next(line["extra"] for line in again if line["line"] == 2) == {"name": "user.044"}
        for wrong in ({"rows": rows}, "rows"):
            async with client.post("/runs/cleanup", json=wrong) as answer:
                assert answer.status == 400
        async with client.post("/runs/nothing", json=[]) as answer:
            assert await answer.text() == ""
    assert sandbox.world.removals(ROOM, LEADER) == 1


async def test_the_aiohttp_service_holds_a_run_once(place: Path, sandbox: Sandbox) -> None:
    """While a request works on a run, another for the same one is answered with 409; one who hangs up frees it."""
    sandbox.latency = 0.1
    app = service("In a service").app
    rows = [[ROOM, LEADER], *([ROOM, f"leader{n}"] for n in range(20))]
    for _, user in rows[1:]:
        sandbox.world.add_user(user)
        sandbox.world.join(ROOM, user, ("leader",))
    async with TestClient(TestServer(app)) as client:
        async with client.post("/runs/cleanup", json=rows) as answer:
            assert await answer.content.readline()
            async with client.post("/runs/cleanup", json=rows) as other:
                assert other.status == 409
                assert "Another process works on the run" in await other.text()
            answer.close()
        while True:  # until the first one has noticed that nobody listens
            async with client.post("/runs/cleanup", json=rows) as answer:
                if answer.status == 200:
                    lines = told(await answer.text())
                    break
                assert answer.status == 409
    assert len([line for line in lines if "outcome" in line]) == 21
    assert [call.route for call in sandbox.world.calls].count("me") == 2  # the first one had left rows to do
    assert sandbox.world.removals(ROOM, LEADER) == 1


async def test_the_notebooks_cell(place: Path, sandbox: Sandbox) -> None:
    """The cell runs where a loop goes on already, counts the outcomes, and goes on when it is run again."""
    cell = compile(PROGRAMS["In a notebook"], "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    sandbox.world.rooms[ROOM].members.pop(OTHER)
    for _ in range(2):
        names: dict[str, Any] = {}
        await types.FunctionType(cell, names)()
        assert names["counts"] == {"removed": 1, "failed": 1}
        assert [trouble[:3] for trouble in names["troubles"]] == [("user.044", "failed", "user_not_in_room")]
    assert sandbox.world.removals(ROOM, LEADER) == 1
