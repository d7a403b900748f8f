"""Run, verify and undo with the installed command: what was done is seen, and taken back."""

import json
import signal
from collections import Counter
from pathlib import Path

import pytest

from rolecall.sandbox import ACCOUNT, Fault, FaultMatch, Kind, Sandbox
from rolecall.sandbox.org_world import group, user
from tests.support.command import (
    Ended,
    environment,
    finish,
    outcomes,
    read_report,
    read_rows,
    rolecall,
    start,
    write_job,
)
from tests.support.organisation import FAST, LEADERS, NO_LEADER, RUN, changes, organisation

pytestmark = pytest.mark.e2e


async def test_verify_settles_what_the_run_could_not(tmp_path: Path) -> None:
    """Unknown rows become what is read back: removed where the role is gone, failed where it is still there."""
    world, job = organisation(), write_job(tmp_path / "job.csv", LEADERS)
    faults = [
        Fault(Kind.DROP_AFTER, FaultMatch(user=LEADERS[0][1]), times=None),
        Fault(Kind.STATUS, FaultMatch(user=LEADERS[1][1]), times=None, status=502, html=True),
    ]
    async with Sandbox(world, faults=faults) as sandbox:
        env = environment(sandbox.url)
        words = ("--out", "out", "--max-attempts", "1", "--no-read-roles", *RUN)
        await rolecall("run", job, *words, cwd=tmp_path, env=env)
        before = outcomes(tmp_path / "out")
        opened = await rolecall("verify", "out", "--no-wait", *FAST, cwd=tmp_path, env=env)
        listed = read_rows(tmp_path / "out/verify.csv")
        verified = await rolecall("verify", "out", "--late-arrival", "1", *FAST, cwd=tmp_path, env=env)
    assert sum(rows for (outcome, _), rows in before.items() if outcome == "unknown") == 2
    assert opened.code == 6, opened.stderr
    assert "2 rows read back: 1 unknown until now and settled, 1 open (a call may still arrive)." in opened.stdout
    assert [(row["finding"], row["line"], row["hasRole"]) for row in listed] == [("open", "3", "yes")]
    assert verified.code == 0, verified.stderr
    assert [(row["outcome"], row["reason"], row["evidence"]) for row in read_report(tmp_path / "out")] == [
        ("removed", "confirmed_by_reading", "inferred"),
        ("failed", "role_unchanged", "inferred"),
    ]


async def test_verify_settles_no_row_of_somebody_who_is_no_member(tmp_path: Path) -> None:
    """A lost answer for a user who is not there, or not in the room, is not taken for a role that was removed."""
    world = organisation()
    outsider, nobody = (group("finance-planning"), user("sales.analyst")), (group("finance-planning"), "nobody")
    job = write_job(tmp_path / "job.csv", [outsider, nobody, LEADERS[0]])
    proxy = Fault(Kind.STATUS, FaultMatch(route="groups.removeLeader"), times=1, status=502, html=True)
    async with Sandbox(world, faults=[proxy]) as sandbox:
        env = environment(sandbox.url)
        words = ("--out", "out", "--max-attempts", "1", "--concurrency", "1", "--no-read-roles", *RUN)
        await rolecall("run", job, *words, cwd=tmp_path, env=env)
        verified = await rolecall("verify", "out", "--late-arrival", "0", *FAST, cwd=tmp_path, env=env)
        seen = read_report(tmp_path / "out")
        await rolecall("run", job, *words, cwd=tmp_path, env=env)
    assert verified.code == 1
    assert {(row["finding"], row["line"], row["why"]) for row in read_rows(tmp_path / "out/verify.csv")} == {
        ("unread", "2", "user_not_in_room"),
        ("unread", "3", "user_not_found"),
    }
    assert [row["outcome"] for row in seen] == ["unknown", "unknown", "failed"]
    assert [row["reason"] for row in read_report(tmp_path / "out")] == [
        "user_not_in_room",
        "user_not_found",
        "role_unchanged",
    ]


async def test_verify_lists_what_is_otherwise(tmp_path: Path) -> None:
    """A role that somebody gave back after the run is listed, with exit code 6."""
    world, job = organisation(), write_job(tmp_path / "job.csv", LEADERS)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall("run", job, "--out", "out", *RUN, cwd=tmp_path, env=env)
        world.join(*LEADERS[1], ("leader",))
        verified = await rolecall("verify", "out", *FAST, cwd=tmp_path, env=env)
    assert verified.code == 6
    assert (
        f"line 3, @sales.lead ({LEADERS[1][1]}) in {LEADERS[1][0]}: reported removed, but is leader now"
        in verified.stdout
    )
    assert "2 rows read back: 1 as the report says, 1 otherwise." in verified.stdout
    assert [row["finding"] for row in read_rows(tmp_path / "out/verify.csv")] == ["differs"]


async def test_verify_looks_at_rows_that_the_job_no_longer_has(tmp_path: Path) -> None:
    """A row that the run removed is read back also after it was taken out of the job file."""
    world, job = organisation(), write_job(tmp_path / "job.csv", LEADERS)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall("run", job, "--out", "out", *RUN, cwd=tmp_path, env=env)
        write_job(job, LEADERS[:1])
        await rolecall("run", job, "--out", "out", *RUN, cwd=tmp_path, env=env)
        world.join(*LEADERS[1], ("leader",))
        verified = await rolecall("verify", "out", *FAST, cwd=tmp_path, env=env)
    assert verified.code == 6
    assert (
        f"no longer in the job, @sales.lead ({LEADERS[1][1]}) in {LEADERS[1][0]}: reported removed, but"
        in verified.stdout
    )
    assert [row["line"] for row in read_rows(tmp_path / "out/verify.csv")] == [""]


async def test_verify_asks_by_user_where_that_is_fewer_calls(tmp_path: Path) -> None:
    """One user in many rooms is read back with one call, deactivated or not."""
    world = organisation()
    pairs = sorted(pair for pair in world.pairs_with_role("leader") if pair[1] == user("sales.lead"))
    job = write_job(tmp_path / "job.csv", [pair for pair in pairs if world.rooms[pair[0]].type == "p"])
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall("run", job, "--out", "out", *RUN, cwd=tmp_path, env=env)
        world.record.calls.clear()
        verified = await rolecall("verify", "out", *FAST, cwd=tmp_path, env=env)
    assert verified.code == 0, verified.stdout
    routes = Counter(call.route for call in world.calls)
    assert routes["users.info"] <= 2
    assert routes["groups.roles"] == 0


async def test_undo_gives_back_exactly_what_was_taken(tmp_path: Path) -> None:
    """Only rows that the run removed get their role back; inferred ones only when asked for; and only once."""
    world, job = organisation(), write_job(tmp_path / "job.csv", [*LEADERS, NO_LEADER])
    before = world.pairs_with_role("leader")
    lost = Fault(Kind.DROP_AFTER, FaultMatch(user=LEADERS[0][1], route="groups.removeLeader"))
    async with Sandbox(world, faults=[lost]) as sandbox:
        env = environment(sandbox.url)
        words = ("run", job, "--out", "out", *RUN)
        write_job(job, LEADERS[1:])
        blind = await rolecall(*words, "--no-read-roles", cwd=tmp_path, env=env)
        assert "1 row: prior role unknown" in blind.stdout
        nothing = await rolecall("undo", "out", *RUN, cwd=tmp_path, env=env)
        assert nothing.code == 2
        assert "1 row is removed only by inference: prior role unknown" in nothing.stderr
        write_job(job, [*LEADERS, NO_LEADER])
        await rolecall(*words, cwd=tmp_path, env=env)
        assert world.pairs_with_role("leader") == before - set(LEADERS)
        world.record.calls.clear()
        undone = await rolecall("undo", "out", *RUN, cwd=tmp_path, env=env)
        assert changes(world) == [("groups.addLeader", *LEADERS[0])]
        twice = await rolecall("undo", "out", *RUN, cwd=tmp_path, env=env)
        inferred = await rolecall("undo", "out", "--include-inferred", *RUN, cwd=tmp_path, env=env)
        verified = await rolecall("verify", "out/undo", *FAST, cwd=tmp_path, env=env)
    told = json.loads((tmp_path / "out/summary.json").read_text("utf-8"))
    assert told["evidence"] == {"response": 0, "roles": 0, "message": 1, "inferred": 1}
    assert (undone.code, twice.code, inferred.code, verified.code) == (0, 2, 0, 0)
    assert undone.stderr.startswith(
        "Not undone: 1 removed by inference: their prior role is unknown (--include-inferred).\n"
    )
    assert "Not undone" not in inferred.stderr
    assert "undone already" in twice.stderr
    assert changes(world) == [("groups.addLeader", *pair) for pair in LEADERS]
    assert world.pairs_with_role("leader") == before
    assert outcomes(tmp_path / "out/undo") == Counter({("added", ""): 2})


async def test_an_undo_that_was_refused_is_not_told_as_one_that_was_done(tmp_path: Path) -> None:
    """Where rows could not be given back, the second undo says how many; unknown rows are named as not undone."""
    world, job = organisation(), write_job(tmp_path / "job.csv", LEADERS)
    lost = Fault(Kind.STATUS, FaultMatch(user=LEADERS[1][1], route="groups.removeLeader"), status=502, html=True)
    async with Sandbox(world, faults=[lost]) as sandbox:
        env = environment(sandbox.url)
        await rolecall("run", job, "--out", "out", "--max-attempts", "1", *RUN, cwd=tmp_path, env=env)
        world.remove_permission("set-leader")
        undone = await rolecall("undo", "out", *RUN, cwd=tmp_path, env=env)
        again = await rolecall("undo", "out", *RUN, cwd=tmp_path, env=env)
        verified = await rolecall("verify", "out", "--no-wait", *FAST, cwd=tmp_path, env=env)
    assert (undone.code, again.code) == (1, 2)
    assert undone.stderr.startswith("Not undone: 1 unknown ('rolecall verify out' settles them).\n")
    assert verified.code == 6
    assert ", but for 1 row that failed: out/undo contains the report" in again.stderr
    assert "was undone" not in verified.stdout


@pytest.mark.parametrize("verb", ["undo", "verify"])
async def test_what_changed_nothing_is_not_undone(verb: str, tmp_path: Path) -> None:
    """A check's folder, an empty folder, and credentials for another workspace are refused in one line."""
    world, job = organisation(), write_job(tmp_path / "job.csv", LEADERS)
    (tmp_path / "empty").mkdir()

    async def refused(folder: str, url: str) -> Ended:
        return await rolecall(verb, folder, *FAST, cwd=tmp_path, env=environment(url))

    async with Sandbox(world) as sandbox, Sandbox(organisation()) as other:
        await rolecall("check", job, "--out", "checked", *FAST, cwd=tmp_path, env=environment(sandbox.url))
        await rolecall("run", job, "--out", "out", *RUN, cwd=tmp_path, env=environment(sandbox.url))
        world.record.calls.clear()
        ended = [
            await refused("checked", sandbox.url),
            await refused("empty", sandbox.url),
            await refused("out", other.url),
        ]
    assert [(end.code, len(end.stderr.splitlines())) for end in ended] == [(2, 1)] * 3
    assert [
        told in end.stderr for told, end in zip(("changed nothing", "contains no run", "not http"), ended, strict=True)
    ]
    assert world.calls == []


async def test_a_run_that_removed_nothing_has_nothing_to_undo(tmp_path: Path) -> None:
    """Where no row was removed the undo says so and makes no folder of its own."""
    world, job = organisation(), write_job(tmp_path / "job.csv", [NO_LEADER])
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall("run", job, "--out", "out", *RUN, cwd=tmp_path, env=env)
        refused = await rolecall("undo", "out", *RUN, cwd=tmp_path, env=env)
    assert refused.code == 2
    assert "nothing to undo" in refused.stderr
    assert not (tmp_path / "out/undo").exists()


async def test_another_operation_is_told_in_its_own_words(tmp_path: Path) -> None:
    """Taking the moderator role in channels and groups is one job each, with its own outcomes in report and summary."""
    world = organisation()
    job = write_job(tmp_path / "job.csv", [NO_LEADER, LEADERS[0]])
    words = ("--operation", "groups.removeModerator", "--out", "out", *RUN)
    async with Sandbox(world) as sandbox:
        done = await rolecall("run", job, *words, cwd=tmp_path, env=environment(sandbox.url))
    assert done.code == 0
    assert outcomes(tmp_path / "out") == Counter({("removed", ""): 1, ("not_moderator", "not_needed"): 1})
    told = json.loads((tmp_path / "out/summary.json").read_text("utf-8"))
    assert told["operation"] == "groups.removeModerator"
    assert (told["outcomes"]["not_moderator"], "not_leader" in told["outcomes"]) == (1, False)
    assert ACCOUNT.token not in done.stdout + done.stderr


async def test_quiet_says_nothing_of_what_is_well(tmp_path: Path) -> None:
    """With --quiet find, check and verify are silent where they end with 0, so that a scheduler has nothing to mail."""
    world = organisation()
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url, ROLECALL_QUIET="1")
        words = ("find", "--room", LEADERS[0][0], "--out", "job.csv", *FAST)
        ended = [await rolecall(*words, cwd=tmp_path, env=env)]
        ended.append(await rolecall("check", "job.csv", *FAST, cwd=tmp_path, env=env))
        ended.append(await rolecall("run", "job.csv", "--out", "out", *RUN, cwd=tmp_path, env=env))
        ended.append(await rolecall("verify", "out", *FAST, cwd=tmp_path, env=env))
    assert ended == [Ended(0, "", "")] * 4
    assert outcomes(tmp_path / "out") == Counter({("removed", ""): 1})


async def test_an_undo_that_may_not_begin_leaves_nothing(tmp_path: Path) -> None:
    """With a token that is not accepted the undo ends with 3, and no folder of its own stays."""
    world, job = organisation(), write_job(tmp_path / "job.csv", LEADERS)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall("run", job, "--out", "out", *RUN, cwd=tmp_path, env=env)
        dead = env | {"ROCKETCHAT_AUTH_TOKEN": "revoked"}
        refused = await rolecall("undo", "out", *RUN, cwd=tmp_path, env=dead)
    assert refused.code == 3
    assert not (tmp_path / "out/undo").exists()


async def test_a_verification_that_is_stopped_keeps_the_earlier_one(tmp_path: Path) -> None:
    """After Ctrl-C in the middle, verify ends with 130 and the file of the last complete verification stays."""
    world, job = organisation(), write_job(tmp_path / "job.csv", LEADERS)
    async with Sandbox(world) as sandbox:
        env = environment(sandbox.url)
        await rolecall("run", job, "--out", "out", *RUN, cwd=tmp_path, env=env)
        world.join(*LEADERS[1], ("leader",))
        await rolecall("verify", "out", *FAST, cwd=tmp_path, env=env)
        before = (tmp_path / "out/verify.csv").read_bytes()
        world.record.calls.clear()
        sandbox.faults.add(Fault(Kind.HANG_BEFORE, FaultMatch(room=LEADERS[1][0], route="groups.roles"), times=None))
        verifying = await start("verify", "out", *FAST, cwd=tmp_path, env=env)
        await sandbox.wait_for_calls(3)  # who we are, and the roles of two rooms
        verifying.send_signal(signal.SIGINT)
        stopped = await finish(verifying)
    assert stopped.code == 130, stopped
    assert (tmp_path / "out/verify.csv").read_bytes() == before
