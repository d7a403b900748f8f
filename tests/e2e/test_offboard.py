"""`rolecall offboard` from outside: one command for every night, with the same result, exit code and metrics."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from rolecall.sandbox import ACCOUNT, Sandbox, World
from rolecall.sandbox.entities import RoomType
from tests.support.command import environment, finish, read_rows, rolecall, start
from tests.support.organisation import FAST, changes

PEOPLE = 18
KINDS: tuple[RoomType, ...] = ("p", "c")
UNKNOWN = ("@unknown.person", "gone@example.org")
METRIC = re.compile(r"^rolecall_last_run_(\w+)\{(.*)\} (\S+)$", re.MULTILINE)


def company() -> World:
    """Return a workspace in which 18 people have roles in groups and channels, with colleagues who stay."""
    world = World()
    world.add_account(*ACCOUNT)
    world.add_room("OPS", name="ops", type="c")
    world.add_user("stays")
    for number in range(PEOPLE):
        world.add_user(f"user{number:02}")
    for number in range(12):
        for kind in KINDS:
            room = f"{kind}room{number:02}"
            world.add_room(room, type=kind)
            world.join(room, ACCOUNT.user_id, ("owner",))
            world.join(room, "stays", ("leader", "moderator", "owner"))
            world.join(room, f"user{number:02}", ("leader",))
            world.join(room, f"user{(number + 6) % PEOPLE:02}", ("moderator", "owner"))
    return world


def write_list(folder: Path) -> Path:
    """Write the list of the leavers, two of whom the workspace does not have."""
    path = folder / "people.txt"
    path.write_text("".join(f"{word}\n" for word in (*(f"user{number:02}" for number in range(PEOPLE)), *UNKNOWN)))
    return path


def newest(folder: Path) -> Path:
    """Return the folder of the last night."""
    return max((folder / "offboardings/people").glob("2*"))


def metrics(path: Path) -> dict[tuple[str, str], str]:
    """Return the samples of a metrics file without times, by name and labels."""
    found = METRIC.findall(path.read_text())
    return {(name, labels): value for name, labels, value in found if not name.endswith("seconds")}


@pytest.mark.parametrize(("ignore", "code"), [((), 1), (("--ignore-missing",), 0)])
async def test_every_night_ends_the_same_way(tmp_path: Path, ignore: tuple[str, ...], code: int) -> None:
    """Twenty people, two unknown: each night has the same exit code, people and series; the first takes every role."""
    world = company()
    reports, series = list[Path](), list[dict[tuple[str, str], str]]()
    reporting = ("--metrics-file", "m.prom", "--notify", "#ops")
    words: list[str | Path] = ["offboard", "--users", write_list(tmp_path), *reporting, *FAST, *ignore]
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        for night in range(3):
            ended = await rolecall(*words, "--reason", f"night {night}", cwd=tmp_path, env=env)
            assert ended.code == code, ended.stderr
            assert "18 of 20 people found" in ended.stdout
            assert "Not found: @unknown.person, gone@example.org" in ended.stdout
            reports.append(newest(tmp_path))
            series.append(metrics(tmp_path / "m.prom"))
    assert len(set(reports)) == 3
    for night, report in enumerate(reports):
        rows = read_rows(report / "report.csv")
        missing = [(row["person"], row["outcome"], row["reason"]) for row in rows if not row["operation"]]
        assert missing == [
            ("'@unknown.person", "invalid", "user_not_found"),
            ("gone@example.org", "invalid", "address_not_found"),
        ]
        outcomes = Counter(row["outcome"] for row in rows if row["operation"])
        assert outcomes == ({"removed": 72} if night == 0 else {})
        summary = json.loads((report / "summary.json").read_text())
        assert (summary["people"]["listed"], summary["people"]["found"]) == (20, 18)
        assert summary["reason"] == f"night {night}"
        assert len(summary["operations"]) == 6
        found = next(value for (name, labels), value in series[night].items() if 'state="found"' in labels)
        assert found == "18"
        [exit_code] = [value for (name, _), value in series[night].items() if name == "exit_code"]
        assert exit_code == str(code)
    assert series[0].keys() == series[1].keys()
    assert series[1] == series[2]
    assert len(world.record.posts) == 3
    assert "18 of 20 people found" in world.record.posts[1].text
    assert {role for role in ("leader", "moderator", "owner") if world.pairs_with_role(role)} == {
        "leader",
        "moderator",
        "owner",
    }
    assert not [
        pair for role in ("leader", "moderator", "owner") for pair in world.pairs_with_role(role) if "user" in pair[1]
    ]


async def test_each_operation_is_a_run_that_can_be_undone(tmp_path: Path) -> None:
    """The folder has one run for each operation, read back; status, report, verify and undo work on each."""
    world = company()
    before = {role: world.pairs_with_role(role) for role in ("leader", "moderator", "owner")}
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        ended = await rolecall("offboard", "--users", write_list(tmp_path), "--out", "o", *FAST, cwd=tmp_path, env=env)
        runs = sorted(path.parent.name for path in (tmp_path / "o").glob("*/ledger.sqlite"))
        assert runs == sorted(
            f"{kind}.remove{role}" for kind in ("groups", "channels") for role in ("Leader", "Moderator", "Owner")
        )
        for run in runs:
            assert (tmp_path / "o" / run / "verify.csv").exists(), ended.stderr
            undone = await rolecall("undo", f"o/{run}", *FAST, cwd=tmp_path, env=env)
            assert undone.code == 0, undone.stderr
    assert {role: world.pairs_with_role(role) for role in before} == before


async def test_only_the_wanted_roles_are_taken(tmp_path: Path) -> None:
    """--roles, --kinds and --exclude limit what is taken; an exclusion that leaves nothing out is named."""
    world = company()
    words = (
        "offboard",
        "--users",
        write_list(tmp_path),
        "--roles",
        "leader",
        "--kinds",
        "groups",
        "--exclude",
        "proom00",
        "--exclude",
        "#Leadership Team",
    )
    async with Sandbox(world) as sandbox:
        ended = await rolecall(*words, "--ignore-missing", *FAST, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 0, ended.stderr
    assert "--exclude #Leadership Team left nothing out" in ended.stderr
    assert "proom00 left" not in ended.stderr
    assert {(route, room) for route, room, _ in changes(world)} == {
        ("groups.removeLeader", f"proom{number:02}") for number in range(1, 12)
    }


async def test_a_dead_token_is_seen(tmp_path: Path) -> None:
    """Refused credentials end with 3, in the metrics too, and a webhook gets a message; no folder is left."""
    world = company()
    hook = world.add_webhook("hook", "secret", "OPS", "stays")
    world.revoke(ACCOUNT.token)
    (tmp_path / "target").touch(mode=0o600)
    async with Sandbox(world) as sandbox:
        (tmp_path / "target").write_text(f"{sandbox.url}/hooks/{hook.id}/{hook.token}")
        words = (
            "offboard",
            "--users",
            write_list(tmp_path),
            "--metrics-file",
            "m.prom",
            "--notify-file",
            "target",
            *FAST,
        )
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 3, ended.stderr
    assert [value for (name, _), value in metrics(tmp_path / "m.prom").items() if name == "exit_code"] == ["3"]
    [post] = world.record.posts
    assert "could not begin the offboarding" in post.text
    assert "refuses the credentials (401)" in post.text
    assert not list((tmp_path / "offboardings/people").glob("2*"))


async def test_a_list_that_takes_too_much_is_refused_before_the_first_operation(tmp_path: Path) -> None:
    """A limit that one operation exceeds ends the night with 2 before any of them sends a row; a message says so."""
    world = company()
    words = ("offboard", "--users", write_list(tmp_path), "--keep-leaders", "2", "--notify", "#ops", *FAST)
    async with Sandbox(world) as sandbox:
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 2
    assert "Refused before the first change: it takes 12 of 24 leaders" in ended.stderr
    assert changes(world) == []
    assert "Refused before the first change" in world.record.posts[0].text
    assert not list((tmp_path / "offboardings/people").glob("2*"))


async def test_people_whose_roles_cannot_be_read_are_a_failure(tmp_path: Path) -> None:
    """Without the permission to see rooms nothing is known of anybody: exit 1, also with --ignore-missing."""
    world = company()
    world.remove_permission("view-other-user-channels")
    words = ("offboard", "--users", write_list(tmp_path), "--ignore-missing", *FAST)
    async with Sandbox(world) as sandbox:
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 1, ended.stderr
    rows = read_rows(newest(tmp_path) / "report.csv")
    assert Counter(row["reason"] for row in rows)["rooms_not_shown"] == PEOPLE


async def test_old_folders_are_deleted(tmp_path: Path) -> None:
    """--keep-days deletes the nights before, and nothing else; one that is in use stays."""
    parent = tmp_path / "offboardings/people"
    for name in ("20200101T000000Z", "20200102T000000Z-2", "kept", "29990101T000000Z"):
        (parent / name / "groups.removeLeader").mkdir(parents=True)
        (parent / name / "report.csv").touch()
    (tmp_path / "elsewhere").mkdir()
    (parent / "20200103T000000Z").symlink_to(tmp_path / "elsewhere")
    world = company()
    words = ("offboard", "--users", write_list(tmp_path), "--keep-days", "30", "--ignore-missing", *FAST)
    async with Sandbox(world) as sandbox:
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    assert ended.code == 0, ended.stderr
    assert "Deleted: 2 older folders." in ended.stdout
    left = sorted(path.name for path in parent.iterdir() if path.is_dir())
    assert left[0] == "20200103T000000Z"
    assert left[-2:] == ["29990101T000000Z", "kept"]
    assert len(left) == 4


async def test_json_is_the_whole_output(tmp_path: Path) -> None:
    """With --json stdout is one document: summary.json with the folder and the exit code."""
    world = company()
    async with Sandbox(world) as sandbox:
        words = ("offboard", "--users", write_list(tmp_path), "--json", *FAST)
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    printed = json.loads(ended.stdout)
    assert printed.pop("exitCode") == 1
    assert Path(printed.pop("folder")) == newest(tmp_path).relative_to(tmp_path)
    assert printed == json.loads((newest(tmp_path) / "summary.json").read_text())


async def test_one_process_works_on_a_list(tmp_path: Path) -> None:
    """While a night runs, a second one ends with 5 and sends nothing; the metrics say since when the first runs."""
    world = company()
    words = ("offboard", "--users", write_list(tmp_path), "--ignore-missing", "--metrics-file", "m.prom", *FAST)
    async with Sandbox(world, latency=0.02) as sandbox:
        env = environment(sandbox.url)
        first = await start(*words, cwd=tmp_path, env=env)
        await sandbox.wait_for_calls(30)
        running = (tmp_path / "m.prom").read_text()
        second = await rolecall(*words[:-4], *FAST, cwd=tmp_path, env=env)
        ended = await finish(first)
    assert "rolecall_running_since_timestamp_seconds{" in running
    assert (second.code, ended.code) == (5, 0), ended.stderr
    assert "running_since" not in (tmp_path / "m.prom").read_text()
    assert len(list((tmp_path / "offboardings/people").glob("2*"))) == 1


async def test_the_night_after_a_kill_takes_the_rest(tmp_path: Path) -> None:
    """A night that is killed in the middle loses nothing: the next one finds and takes what is left, nothing twice."""
    world = company()
    words = ("offboard", "--users", write_list(tmp_path), "--ignore-missing", *FAST, "--concurrency", "2")
    async with Sandbox(world, latency=0.005) as sandbox:
        env = environment(sandbox.url)
        first = await start(*words, cwd=tmp_path, env=env)
        while len(changes(world)) < 10:
            await sandbox.wait_for_calls(len(world.calls) + 1)
        first.kill()
        await finish(first)
        second = await rolecall(*words, cwd=tmp_path, env=env)
        third = await rolecall(*words, cwd=tmp_path, env=env)
    assert (second.code, third.code) == (0, 0), second.stderr + third.stderr
    for role in ("leader", "moderator", "owner"):
        assert not [user for _, user in world.pairs_with_role(role) if user.startswith("user")]
    taken = [
        (room, user, role) for room in world.rooms for user in world.users for role in ("leader", "moderator", "owner")
    ]
    assert max(world.removals(*each) for each in taken) == 1


async def test_an_interrupted_night_says_so(tmp_path: Path) -> None:
    """SIGTERM ends with 130 and a report of what was done; later operations are not started."""
    world = company()
    words = ("offboard", "--users", write_list(tmp_path), "--metrics-file", "m.prom", *FAST, "--concurrency", "1")
    async with Sandbox(world, latency=0.02) as sandbox:
        first = await start(*words, cwd=tmp_path, env=environment(sandbox.url))
        while len(changes(world)) < 3:
            await sandbox.wait_for_calls(len(world.calls) + 1)
        first.terminate()
        ended = await finish(first)
    assert ended.code == 130, ended.stderr
    rows = read_rows(newest(tmp_path) / "report.csv")
    outcomes = Counter(row["outcome"] for row in rows if row["operation"])
    assert outcomes["removed"] == len(changes(world))
    assert outcomes["removed"] + outcomes["not_attempted"] == 72
    assert [value for (name, _), value in metrics(tmp_path / "m.prom").items() if name == "exit_code"] == ["130"]


async def test_the_page_has_every_operation_and_every_person(tmp_path: Path) -> None:
    """One page for the night: its operations, its rows with their operation, and the people who were not found."""
    world = company()
    words: list[str | Path] = ["offboard", "--users", write_list(tmp_path), "--reason", "HR-<1>", *FAST]
    async with Sandbox(world) as sandbox:
        ended = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
        again = await rolecall(*words, cwd=tmp_path, env=environment(sandbox.url))
    pages = sorted((tmp_path / "offboardings/people").glob("2*/report.html"))
    assert (ended.code, again.code, len(pages)) == (1, 1, 2)
    assert "On one page:" in ended.stdout
    first, second = (page.read_text() for page in pages)
    rows = [read_page_rows(text) for text in (first, second)]
    assert Counter(row[-1] for row in rows[0]) == {
        **{f"{kind}.removeLeader": 12 for kind in ("groups", "channels")},
        **{f"{kind}.remove{role}": 12 for kind in ("groups", "channels") for role in ("Moderator", "Owner")},
        "": 2,
    }
    assert [row[2] or row[12] for row in rows[1]] == ["@unknown.person", "gone@example.org"]
    assert '<a href="groups.removeLeader/report.html">' in first
    assert "groups.removeLeader/report.html" not in second
    assert "18 of 20 found" in second
    assert "@unknown.person, gone@example.org" in second
    assert "HR-&lt;1&gt;" in first


def read_page_rows(page: str) -> list[list[object]]:
    """Return the values of each row of a page's table."""
    found = re.search(r'<script type="application/json" id="rows">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    rows: list[list[object]] = json.loads(found[1])
    return rows
