"""What the report says is true, by the sandbox's own record: the promise of docs/reliability.md with the command."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from rolecall.sandbox import ACCOUNT, Fault, FaultMatch, Kind, Sandbox, leader_world
from tests.support.command import environment, outcomes, read_report, rolecall, start, write_job
from tests.support.truth import false_rows, removed_by_us

FAST = ("--rate", "unlimited", "--retry-backoff", "0.02", "--yes")
CHANGE = "groups.removeLeader"


def groups(count: int, size: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the leaders, one in each group, and the other members."""
    leaders = [(f"room{group:02}", f"leader{group:02}") for group in range(count)]
    members = [(f"room{group:02}", f"user{group:02}-{number}") for group in range(count) for number in range(1, size)]
    return leaders, members


async def test_only_leaders_are_removed_and_undo_restores_exactly_them(tmp_path: Path) -> None:
    """20 groups of 8 with one leader each, all 160 in the job: 20 removed, 20 messages, and undo gives back the 20."""
    leaders, members = groups(20, 8)
    world = leader_world(leaders, members=members)
    job = write_job(tmp_path / "job.csv", sorted([*members, *leaders]))
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        ended = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=env)
        assert ended.code == 0, ended.stderr
        assert outcomes(tmp_path / "o") == {("removed", ""): 20, ("not_leader", "not_needed"): 140}
        assert {row["evidence"] for row in read_report(tmp_path / "o") if row["outcome"] == "removed"} == {"response"}
        assert sum(world.removals(*pair) for pair in [*leaders, *members]) == 20
        assert removed_by_us(world) == set(leaders)
        undone = await rolecall("undo", "o", *FAST, cwd=tmp_path, env=env)
    assert undone.code == 0, undone.stderr
    assert world.pairs_with_role("leader") == set(leaders)


async def test_strangers_and_unknown_users_are_failed(tmp_path: Path) -> None:
    """Who is not a member, or does not exist, is failed with that reason, and no call is made for them."""
    leaders, members = groups(3, 4)
    world = leader_world(leaders, members=members)
    world.add_user("outsider")
    strangers = [(room, user) for room, _ in leaders for user in ("outsider", "nonesuch")]
    job = write_job(tmp_path / "job.csv", [*strangers, *leaders, *members])
    async with Sandbox(world) as sandbox:
        ended = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 1, ended.stderr
    assert outcomes(tmp_path / "o") == {
        ("failed", "user_not_in_room"): 3,
        ("failed", "user_not_found"): 3,
        ("removed", ""): 3,
        ("not_leader", "not_needed"): 9,
    }
    assert {call.route for pair in strangers for call in world.calls_for(*pair)} <= {"users.info"}


SPOILED = [
    Fault(Kind.RESET_BEFORE),
    Fault(Kind.DROP_AFTER),
    Fault(Kind.STATUS, status=502, act=True),
    Fault(Kind.STATUS, status=503, html=True),
    Fault(Kind.STATUS, status=500, act=True, text="[error-user-not-leader]"),
    Fault(Kind.EXCEPTION, writes=0),
    Fault(Kind.EXCEPTION, writes=1),
    Fault(Kind.EXCEPTION, writes=4),
    Fault(Kind.STATUS, status=403, html=True, act=True),
    Fault(Kind.STATUS, status=404, html=True),
    Fault(Kind.REDIRECT, act=True),
    Fault(Kind.TRUNCATED),
    Fault(Kind.EMPTY_200, act=True),
    Fault(Kind.REPEATED),
]


@pytest.mark.parametrize("seed", [1])
async def test_a_third_of_the_rows_spoiled(tmp_path: Path, seed: int) -> None:
    """600 rows, a third lost before or after acting, failed or replaced by gateways: none is reported wrongly."""
    chance = random.Random(seed)
    pairs = [(f"room{number % 60:02}", f"user{number:03}") for number in range(600)]
    leaders = {pair for pair in pairs if chance.random() < 0.6}
    world = leader_world(sorted(leaders), members=[pair for pair in pairs if pair not in leaders])
    spoiled = chance.sample(sorted(leaders), 200)
    faults = [
        replace(chance.choice(SPOILED), when=FaultMatch(room=room, user=user, route=CHANGE)) for room, user in spoiled
    ]
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world, faults=faults) as sandbox:
        ended = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url))
    report = read_report(tmp_path / "o")
    assert false_rows(world, report) == []
    assert Counter(row["outcome"] for row in report) == {"removed": len(leaders), "not_leader": 600 - len(leaders)}
    assert ended.code == 0, ended.stderr


async def test_untyped_400s_before_and_after_acting(tmp_path: Path) -> None:
    """200 leaders, 40 % of the answers are exceptions inside the server, before and after the write: 200 removed."""
    pairs = [(f"room{number % 20:02}", f"user{number:03}") for number in range(200)]
    world = leader_world(pairs)
    chance = random.Random(7)
    faults = [
        Fault(Kind.EXCEPTION, FaultMatch(room=room, user=user, route=CHANGE), writes=chance.choice((0, 1, 2, 3, 4)))
        for room, user in pairs
        if chance.random() < 0.4
    ]
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world, faults=faults) as sandbox:
        ended = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 0, ended.stderr
    assert Counter(row["outcome"] for row in read_report(tmp_path / "o")) == {"removed": 200}
    assert false_rows(world, read_report(tmp_path / "o")) == []


@pytest.mark.parametrize("reading", ["--read-roles", "--no-read-roles"])
@pytest.mark.parametrize("operation", ["groups.removeLeader", "groups.removeModerator"])
async def test_a_stranger_first_in_each_group_does_not_condemn_it(tmp_path: Path, reading: str, operation: str) -> None:
    """A user who is not a member comes first in each group: the others are removed, with and without reading."""
    role = operation.removeprefix("groups.remove").lower()
    rooms = [f"room{number}" for number in range(5)]
    world = leader_world([])
    for room in rooms:
        world.add_room(room)
        world.join(room, ACCOUNT.user_id, ("owner",))
        world.add_user(f"{room}-user")
        world.join(room, f"{room}-user", (role,))
    world.add_user("outsider")
    pairs = [pair for room in rooms for pair in ((room, "outsider"), (room, f"{room}-user"))]
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world) as sandbox:
        words = ("run", job, "--out", "o", "--operation", operation, reading, *FAST)
        await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    told = Counter((row["userId"] == "outsider", row["outcome"]) for row in read_report(tmp_path / "o"))
    assert told == {(True, "failed"): 5, (False, "removed"): 5}


async def test_three_kills_in_three_thousand_rows(tmp_path: Path) -> None:
    """Three SIGKILLs in the middle of 3,000 rows of leaders and members: none is reported wrongly."""
    pairs = [(f"room{number % 100:02}", f"user{number:04}") for number in range(3000)]
    leaders = [pair for number, pair in enumerate(pairs) if number % 3]
    world = leader_world(leaders, members=[pair for number, pair in enumerate(pairs) if not number % 3])
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world, latency=0.004) as sandbox:
        env = environment(sandbox.url)
        words = ("run", job, "--out", "o", *FAST, "--concurrency", "16")
        for calls in (300, 500, 700):
            worker = await start(*words, cwd=tmp_path, env=env)
            await sandbox.wait_for_calls(len(world.calls) + calls)
            worker.kill()
            await worker.communicate()
        ended = await rolecall(*words, cwd=tmp_path, env=env)
    report = read_report(tmp_path / "o")
    assert ended.code == 0, ended.stderr
    assert false_rows(world, report) == []
    assert Counter(row["outcome"] for row in report) == {"removed": 2000, "not_leader": 1000}
    assert sum(row["evidence"] == "inferred" for row in report) == 0
    assert removed_by_us(world) == set(leaders)


@asynccontextmanager
async def caching_proxy(url: str) -> AsyncIterator[str]:
    """Serve a proxy that answers each reading request from its cache once it knows the answer, with its age."""
    cache: dict[str, tuple[int, bytes]] = {}

    async def forward(request: web.BaseRequest) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.startswith("X-")}
        key = request.path_qs
        if request.method == "GET" and key in cache and "/me" not in key:
            status, content = cache[key]
            return web.Response(status=status, body=content, content_type="application/json", headers={"Age": "20"})
        sending = session.request(
            request.method, URL(url + key, encoded=True), data=await request.read(), headers=headers
        )
        async with sending as response:
            cache[key] = response.status, await response.read()
            return web.Response(status=response.status, body=cache[key][1], content_type="application/json")

    async with aiohttp.ClientSession() as session:
        server = web.Server(forward)
        listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        finally:
            listener.close()
            await server.shutdown(0.1)


async def test_an_old_response_of_a_cache_is_no_reading(tmp_path: Path) -> None:
    """A cache that answers with the roles of an hour ago makes no row 'not_leader': the row is sent, and inferred."""
    world = leader_world([("R", "V")], members=[("R", "U")])
    write_job(tmp_path / "job.csv", [("R", "U")])
    async with Sandbox(world) as sandbox, caching_proxy(sandbox.url) as url:
        env = environment(url)
        checked = await rolecall("check", "job.csv", "--out", "c", cwd=tmp_path, env=env)
        world.join("R", "U", ("leader",))
        ran = await rolecall("run", "job.csv", "--out", "r", "--retry-backoff", "0.02", cwd=tmp_path, env=env)
    assert (checked.code, ran.code) == (0, 0), checked.stderr + ran.stderr
    (row,) = read_report(tmp_path / "r")
    assert (row["outcome"], row["evidence"]) == ("removed", "inferred")
    assert not world.is_leader("R", "U")
