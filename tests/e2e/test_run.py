"""`rolecall run`: a job file in, a truthful report out, and the exit codes of the contract."""

import asyncio
import codecs
import csv
import gzip
import io
import json
import os
import signal
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rolecall.sandbox import (
    ACCOUNT,
    Demo,
    Fault,
    FaultMatch,
    FaultPlan,
    Kind,
    Limiter,
    RowKind,
    Sandbox,
    demo_world,
    leader_world,
)
from tests.support.command import (
    ROLECALL,
    environment,
    finish,
    read_report,
    rolecall,
    start,
    wait_until_read,
    write_job,
)
from tests.support.truth import changing_calls, wait_for_changes

Pairs = Sequence[tuple[str, str]]
FAST = ("--rate", "unlimited", "--retry-backoff", "0.01")

TOLD = {
    RowKind.LEADER: ("removed", ""),
    RowKind.NOT_LEADER: ("not_leader", "not_needed"),
    RowKind.MEMBER: ("not_leader", "not_needed"),
    RowKind.ROOM_NOT_FOUND: ("failed", "room_not_found"),
    RowKind.ROOM_NOT_JOINED: ("failed", "room_not_joined"),
    RowKind.ROOM_ARCHIVED: ("failed", "room_archived"),
    RowKind.USER_NOT_FOUND: ("failed", "user_not_found"),
    RowKind.USER_NOT_IN_ROOM: ("failed", "user_not_in_room"),
    RowKind.NOT_ALLOWED: ("failed", "not_allowed"),
}


def mixed(rows: int, seed: int = 1) -> Demo:
    """Return a demo whose account sees who is a member of which room."""
    demo = demo_world(rows, seed)
    demo.world.grant("view-other-user-channels", "bot")
    return demo


@pytest.mark.parametrize("cache", ["--room-cache", "--no-room-cache"])
async def test_a_mixed_job_is_told_truly_and_in_order(tmp_path: Path, cache: str) -> None:
    """Each of 300 rows of every kind gets exactly its true outcome and reason, in the order of the job."""
    demo = mixed(300)
    job = write_job(tmp_path / "job.csv", [(pair.room_id, pair.user_id) for pair in demo.rows])
    async with Sandbox(demo.world) as sandbox:
        ended = await rolecall("run", job, "--out", "o", cache, *FAST, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 1, ended.stderr
    rows = read_report(tmp_path / "o")
    assert [(row["roomId"], row["userId"]) for row in rows] == [(pair.room_id, pair.user_id) for pair in demo.rows]
    assert [(row["outcome"], row["reason"]) for row in rows] == [TOLD[pair.kind] for pair in demo.rows]
    assert [row["line"] for row in rows] == [str(line) for line in range(2, 302)]


def as_csv(pairs: Pairs, delimiter: str = ",", line_end: str = "\n") -> bytes:
    """Give a CSV job file."""
    text = io.StringIO()
    table = csv.writer(text, delimiter=delimiter, lineterminator=line_end)
    table.writerows([("Room ID", "user_id"), *pairs])
    return text.getvalue().encode()


def as_objects(pairs: Pairs) -> list[dict[str, str]]:
    """Give JSON objects."""
    return [{"rid": room, "userId": user} for room, user in pairs]


FORMATS: dict[str, Callable[[Pairs], bytes]] = {
    "job.csv": as_csv,
    "semicolon.csv": lambda pairs: codecs.BOM_UTF8 + as_csv(pairs, ";", "\r\n"),
    "tab.tsv": lambda pairs: codecs.BOM_UTF16_LE + as_csv(pairs, "\t").decode().encode("utf-16-le"),
    "objects.json": lambda pairs: json.dumps(as_objects(pairs), indent=1).encode(),
    "pairs.json": lambda pairs: json.dumps([list(pair) for pair in pairs]).encode(),
    "objects.jsonl": lambda pairs: "\n".join(map(json.dumps, as_objects(pairs))).encode(),
    "pairs.jsonl": lambda pairs: "\n\n".join(json.dumps(list(pair)) for pair in pairs).encode(),
    "job.csv.gz": lambda pairs: gzip.compress(as_csv(pairs)),
    "objects.jsonl.gz": lambda pairs: gzip.compress("\n".join(map(json.dumps, as_objects(pairs))).encode()),
    "-": as_csv,
}


@pytest.mark.parametrize("name", FORMATS)
async def test_every_form_of_the_same_rows_gives_the_same_report(tmp_path: Path, name: str) -> None:
    """CSV in its variants, JSON, JSONL, gzip and stdin are told alike."""
    demo = mixed(60, seed=3)
    pairs = [(pair.room_id, pair.user_id) for pair in demo.rows]
    content = FORMATS[name](pairs)
    if name != "-":
        (tmp_path / name).write_bytes(content)
    async with Sandbox(demo.world) as sandbox:
        env = environment(sandbox.url)
        stdin = content if name == "-" else b""
        ended = await rolecall("run", name, "--out", "o", *FAST, cwd=tmp_path, env=env, stdin=stdin)
    assert ended.code in (0, 1), ended.stderr
    told = [(row["roomId"], row["userId"], row["outcome"], row["reason"]) for row in read_report(tmp_path / "o")]
    assert told == [(pair.room_id, pair.user_id, *TOLD[pair.kind]) for pair in demo.rows]


async def test_a_window_is_filled_and_never_overrun(tmp_path: Path) -> None:
    """A limit of 10 with 64 workers, and a server clock 90 s off, brings not a single 'too many requests'."""
    pairs = [(f"room{number % 5}", f"user{number}") for number in range(35)]
    world = leader_world(pairs, roles=("user",))
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world, limiter=Limiter(10, 2.0), skew=-90) as sandbox:
        words = ("run", job, "--out", "o", "--rate", "unlimited", "--concurrency", "64")
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 0, ended.stderr
    assert [call.status for call in world.calls if call.route == "groups.removeLeader"] == [200] * 35
    assert "rate limit pause" in ended.stderr


async def test_the_own_rate_is_never_exceeded(tmp_path: Path) -> None:
    """At 50/s no second sees more than 50 calls and one for the edges."""
    pairs = [(f"room{number % 5}", f"user{number}") for number in range(100)]
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world) as sandbox:
        ended = await rolecall("run", job, "--rate", "50/s", cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 0, ended.stderr
    times = [call.time for call in world.calls if call.route == "groups.removeLeader"]
    assert max(sum(start <= time < start + 1 for time in times) for start in times) <= 52


async def test_lost_answers_are_settled_by_the_retry(tmp_path: Path) -> None:
    """A removal whose response was lost is removed by the evidence of its message, and only once carried out."""
    pairs = [("room", f"user{number}") for number in range(20)]
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    faults = [
        Fault(Kind.DROP_AFTER, FaultMatch(user="user3")),
        Fault(Kind.STATUS, FaultMatch(user="user7"), status=502, html=True),
    ]
    async with Sandbox(world, faults=faults) as sandbox:
        ended = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 0, ended.stderr
    rows = read_report(tmp_path / "o")
    assert {(row["outcome"], row["reason"]) for row in rows} == {("removed", "")}
    assert [row["userId"] for row in rows if row["evidence"] == "message"] == ["user3"]
    assert rows[3]["attempts"] == rows[7]["attempts"] == "2"
    assert all(world.removals(*pair) == 1 for pair in pairs)


async def test_a_finished_folder_sends_nothing_again(tmp_path: Path) -> None:
    """The same command on a finished folder says so, sends nothing and ends with the same code."""
    demo = demo_world(60, seed=5)
    job = write_job(tmp_path / "job.csv", [(pair.room_id, pair.user_id) for pair in demo.rows])
    async with Sandbox(demo.world) as sandbox:
        env = environment(sandbox.url)
        first = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=env)
        calls, report = len(demo.world.calls), (tmp_path / "o/report.csv").read_bytes()
        again = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=env)
    assert first.code == again.code == 1
    assert "nothing was sent" in again.stdout.lower()
    assert len(demo.world.calls) == calls
    assert (tmp_path / "o/report.csv").read_bytes() == report


async def test_a_nightly_list_is_a_new_run_each_time(tmp_path: Path) -> None:
    """Without --out a finished job is run anew in a folder of its own."""
    pairs = [("room", "user")]
    world = leader_world(pairs)
    job = write_job(tmp_path / "nightly.csv", pairs)
    async with Sandbox(world) as sandbox:
        for _ in range(2):
            await rolecall("run", job, *FAST, cwd=tmp_path, env=environment(sandbox.url))
    folders = sorted((tmp_path / "runs/nightly").iterdir())
    assert [read_report(folder)[0]["outcome"] for folder in folders] == ["removed", "not_leader"]


async def test_an_edited_job_goes_on_where_its_pairs_are_known(tmp_path: Path) -> None:
    """Reordered and new lines are safe: finished pairs are not sent again, and stay as they were told."""
    pairs = [("room", f"user{number}") for number in range(6)]
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs[:4])
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=env)
        write_job(job, [pairs[5], *reversed(pairs[1:5])])
        ended = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=env)
    assert ended.code == 0, ended.stderr
    told = [(row["line"], row["userId"], row["outcome"]) for row in read_report(tmp_path / "o")]
    assert told == [
        ("2", "user5", "removed"),
        ("3", "user4", "removed"),
        ("4", "user3", "removed"),
        ("5", "user2", "removed"),
        ("6", "user1", "removed"),
        ("", "user0", "removed"),
    ]
    assert all(len(world.calls_for(*pair)) == 1 for pair in pairs)


async def test_refused_rows_are_sent_again_only_when_asked(tmp_path: Path) -> None:
    """`--retry-failed` sends what was refused, once the cause is mended; without it nothing is sent."""
    pairs = [("room", "user1"), ("room", "user2")]
    world = leader_world(pairs)
    world.rooms["room"].archived = True
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        words = ("run", job, "--out", "o", *FAST)
        refused = await rolecall(*words, cwd=tmp_path, env=env)
        world.rooms["room"].archived = False
        idle = await rolecall(*words, cwd=tmp_path, env=env)
        mended = await rolecall(*words, "--retry-failed", cwd=tmp_path, env=env)
    assert [refused.code, idle.code, mended.code] == [1, 1, 0]
    assert [row["outcome"] for row in read_report(tmp_path / "o")] == ["removed", "removed"]


async def test_a_failed_row_whose_retry_was_stopped_is_still_failed(tmp_path: Path) -> None:
    """The server rejects the new calls with 'too many requests', Ctrl-C ends them: the report is as before."""
    pairs = [("room", "user1"), ("other", "user2")]
    world = leader_world(pairs)
    world.rooms["room"].archived = world.rooms["other"].archived = True
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        words = ("run", job, "--out", "o", *FAST)
        assert (await rolecall(*words, cwd=tmp_path, env=env)).code == 1
        before = read_report(tmp_path / "o")
        sandbox.faults.add(Fault(Kind.TOO_MANY, FaultMatch(route="groups.removeLeader")))
        calls = len(changing_calls(world))
        worker = await start(*words, "--retry-failed", cwd=tmp_path, env=env)
        await wait_for_changes(sandbox, calls + 1)
        worker.send_signal(signal.SIGINT)
        assert (await finish(worker)).code == 130
    assert {(row["outcome"], row["reason"]) for row in before} == {("failed", "room_archived")}
    assert read_report(tmp_path / "o") == before


async def test_invalid_rows_and_duplicates_are_told_with_their_lines(tmp_path: Path) -> None:
    """What cannot be sent is told beside what was done, each with its physical line."""
    world = leader_world([("room", "user")])
    job = tmp_path / "job.csv"
    job.write_text('roomId,userId,note\nroom,user,"two\nlines"\n,user,x\n\nroom,user,again\nroom,other,=1+1\n')
    async with Sandbox(world) as sandbox:
        ended = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 1
    rows = read_report(tmp_path / "o")
    assert [(row["line"], row["outcome"], row["reason"]) for row in rows] == [
        ("2", "removed", ""),
        ("4", "invalid", "missing_room_id"),
        ("6", "duplicate", "duplicate_of"),
        ("7", "failed", "user_not_found"),
    ]
    assert rows[0]["note"] == "two\nlines"
    assert rows[2]["message"] == "the same pair stands in line 2"
    assert rows[3]["note"] == "'=1+1"


async def test_the_reports_beside_the_csv_are_the_same_table(tmp_path: Path) -> None:
    """`--report-format` writes JSON and JSONL with the rows of report.csv, and summary.json counts them."""
    demo = demo_world(60, seed=7)
    job = write_job(tmp_path / "job.csv", [(pair.room_id, pair.user_id) for pair in demo.rows])
    formats = ("--report-format", "jsonl", "--report-format", "json")
    async with Sandbox(demo.world) as sandbox:
        await rolecall("run", job, "--out", "o", *FAST, *formats, cwd=tmp_path, env=environment(sandbox.url))
    rows = read_report(tmp_path / "o")
    objects = json.loads((tmp_path / "o/report.json").read_bytes())
    assert objects == [json.loads(line) for line in (tmp_path / "o/report.jsonl").read_text().splitlines()]
    assert [item["outcome"] for item in objects] == [row["outcome"] for row in rows]
    summary = json.loads((tmp_path / "o/summary.json").read_bytes())
    assert summary["rows"] == len(rows) == sum(summary["outcomes"].values())
    with (tmp_path / "o/retry.csv").open(newline="") as file:
        retry = [(row["roomId"], row["userId"]) for row in csv.DictReader(file)]
    assert retry == [(row["roomId"], row["userId"]) for row in rows if row["outcome"] == "failed"]


async def test_a_run_leaves_nothing_that_others_can_read_and_no_token(tmp_path: Path) -> None:
    """The folder is 0700, its files 0600, and the token stands in none of them, nor in any output."""
    demo = demo_world(60, seed=9)
    job = write_job(tmp_path / "job.csv", [(pair.room_id, pair.user_id) for pair in demo.rows])
    async with Sandbox(demo.world, faults=[Fault(Kind.STATUS, FaultMatch(chance=0.2), status=500)]) as sandbox:
        ended = await rolecall("run", job, *FAST, cwd=tmp_path, env=environment(sandbox.url))
    (folder,) = (tmp_path / "runs/job").iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert ACCOUNT.token.encode() not in path.read_bytes(), path
    assert ACCOUNT.token not in ended.stdout + ended.stderr


async def test_a_second_run_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """While one run holds a folder another one ends with exit 5 and sends nothing."""
    pairs = [("room", f"user{number}") for number in range(2)]
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    plan = FaultPlan([Fault(Kind.HANG_BEFORE, times=None)])
    async with Sandbox(world, faults=plan) as sandbox:
        env = environment(sandbox.url)
        holder = await start("run", job, "--out", "o", *FAST, cwd=tmp_path, env=env)
        await wait_for_changes(sandbox, 1)
        calls = len(world.calls)
        second = await rolecall("run", job, "--out", "o", *FAST, cwd=tmp_path, env=env)
        holder.kill()
        await holder.communicate()
    assert second.code == 5
    assert second.stderr.count("\n") == 1
    assert len(world.calls) == calls


@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", ">/dev/full 2>/dev/full", "2>&- | true"])
async def test_nobody_listens(tmp_path: Path, streams: str) -> None:
    """Closed, full or broken streams change nothing: no ledger takes their numbers, the report is written."""
    pairs = [("room", f"user{number}") for number in range(5)]
    world = leader_world(pairs)
    job = write_job(tmp_path / "job.csv", pairs)
    async with Sandbox(world) as sandbox:
        line = f"{ROLECALL} run {job} --out o --rate unlimited {streams}"
        process = await asyncio.create_subprocess_shell(line, cwd=tmp_path, env=environment(sandbox.url))
        assert await process.wait() == 0
    assert [row["outcome"] for row in read_report(tmp_path / "o")] == ["removed"] * 5


async def test_a_slow_sender_on_stdin_loses_no_row(tmp_path: Path) -> None:
    """Rows that come after a pause are read too, also where stdin does not wait for them."""
    pairs = [("room", f"user{number}") for number in range(4)]
    world = leader_world(pairs)
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    async with Sandbox(world) as sandbox:
        process = await asyncio.create_subprocess_exec(
            ROLECALL, "run", "-", "--out", "o", *FAST, cwd=tmp_path, env=environment(sandbox.url), stdin=ours
        )
        os.close(ours)
        lines = as_csv(pairs).splitlines(keepends=True)
        os.write(theirs, b"".join(lines[:3]))
        await asyncio.to_thread(wait_until_read, theirs)
        os.write(theirs, b"".join(lines[3:]))
        os.close(theirs)
        assert await process.wait() == 0
    assert [row["outcome"] for row in read_report(tmp_path / "o")] == ["removed"] * 4
